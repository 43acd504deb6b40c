import { expect } from 'chai';
import { describe, it } from 'mocha';
import { ByteWriter } from '../../../../lib/bytes.js';
import { PieceWriter } from '../../../../lib/mesh/framing.js';
import { FrameKind, type MeshPort } from '../../../../lib/mesh/port.js';
import { encodeDatagram } from '../../../../lib/mesh/relay/router.js';
import { createSimulation } from '../../../../lib/testing/index.js';
import { DIRECT_MS, MeshJudge, REACHED_MS } from '../../../../lib/testing/exploration/meshJudge.js';
import { Disturbances } from '../../../../lib/testing/simulation/disturbances.js';
import { ConvictionWatch } from '../../../../lib/testing/simulation/watch/convictionWatch.js';
import { DatagramWatch } from '../../../../lib/testing/simulation/watch/datagramWatch.js';
import { FrameWatch } from '../../../../lib/testing/simulation/watch/frameWatch.js';

function reports(): { readonly said: string[]; readonly report: (...words: string[]) => void } {
  const said: string[] = [];
  return { said, report: (invariant, _node, message) => void said.push(`${invariant}: ${message}`) };
}

type Handler = Parameters<MeshPort['handle']>[1];

/** Two ports under observation; what one sends waits to be handed to the other. */
function ports() {
  const { said, report } = reports();
  const watch = new FrameWatch(report);
  const wire: Uint8Array[] = [];
  const heard: number[] = [];
  const make = (linked: ReadonlyMap<string, number>, take: (handler: Handler) => void): MeshPort =>
    ({
      linked: () => linked,
      send: (_peer: string, _kind: number, frame: Uint8Array) => frame.length < 1000 && wire.push(frame) > 0,
      handle: (_kind: number, handler: Handler) => take(handler),
    }) as unknown as MeshPort;
  const links = new Map([['b', 7]]);
  const a = make(links, () => undefined);
  let handler: Handler = () => false;
  const at = new Map([['a', 3]]);
  const b = make(at, (one) => (handler = one));
  watch.watch(a, 'a', 1);
  watch.watch(b, 'b', 1);
  b.handle(FrameKind.group, (_peer, _session, frame) => heard.push(frame[0]!) > 0);
  const send = (value: number, bytes = 1): boolean =>
    a.send('b', FrameKind.group, new Uint8Array(bytes).fill(value), { lane: 'control' });
  const give = (at: number, session = 3): void => void handler('a', session, wire[at]!);
  return { said, heard, links, at, send, give };
}

describe('simulation: the watch over the mesh', () => {
  it('lets frames through as they were sent, and says nothing while they are in order', () => {
    const { said, heard, send, give } = ports();
    for (let i = 0; i < 5; i++) {
      expect(send(i)).to.equal(true);
      expect(send(99, 2000), 'not taken').to.equal(false);
    }
    for (let i = 0; i < 5; i++) give(i);
    expect(heard).to.deep.equal([0, 1, 2, 3, 4]);
    expect(said).to.deep.equal([]);
  });

  it('sees frames out of order, twice, missing, or over another link', () => {
    const told = (order: readonly number[], then?: (p: ReturnType<typeof ports>) => void): string => {
      const both = ports();
      for (let i = 0; i < 5; i++) both.send(i);
      for (const at of order) both.give(at);
      then?.(both);
      return both.said.join();
    };
    expect(told([0, 1, 2, 3, 4])).to.equal('');
    expect(told([2, 3])).to.equal(''); // whoever comes late misses the beginning
    expect(told([0, 2, 1])).to.include('frames');
    expect(told([0, 1, 1])).to.include('came after');
    expect(told([0, 2])).to.include('in the place of');
    expect(told([0, 1], ({ give }) => give(2, 4))).to.include('the link has session 3');
    const renamed = ({ give, at }: ReturnType<typeof ports>): void => {
      at.set('a', 4);
      give(2, 4);
    };
    expect(told([0, 1], renamed)).to.include('in session 3 before');
    expect(
      told([0, 1], ({ links, send, give }) => {
        links.set('b', 8);
        send(5);
        give(5);
      }),
    ).to.include('carried frames of');
  });

  it('sees datagrams that run in a circle, or whose hops do not grow fewer', () => {
    const message = (hops: number): Uint8Array => {
      const datagram = { from: 'a', to: 'd', number: 5, hops, kind: 0, payload: new Uint8Array(9) };
      const frame = encodeDatagram(datagram, 'control');
      const writer = new PieceWriter(1000);
      const other = new ByteWriter(8);
      other.u8(1);
      const piece = other.take();
      writer.add(FrameKind.group, piece, 0, piece.length, true);
      writer.add(FrameKind.datagram, frame, 0, frame.length, false);
      return writer.take().slice();
    };
    const walk = (
      ...steps: ([from: string, to: string, left: number] | { readonly started: string })[]
    ): string => {
      const { said, report } = reports();
      const watch = new DatagramWatch(['a', 'b', 'c', 'd'], report);
      for (const step of steps)
        if ('started' in step) watch.started(step.started);
        else watch.message(step[0], step[1], message(step[2]));
      expect(watch.hops).to.equal(steps.filter((step) => !('started' in step)).length);
      return said.join();
    };
    expect(walk(['a', 'b', 16], ['b', 'c', 15], ['c', 'd', 14])).to.equal('');
    expect(walk(['a', 'b', 16], ['b', 'c', 16])).to.include('hops left');
    expect(walk(['a', 'b', 16], ['b', 'c', 15], ['c', 'b', 14], ['b', 'c', 13])).to.include('twice');
    expect(walk(['a', 'b', 16], ['c', 'd', 15])).to.include('came with undefined');
    // A run that begins has carried nothing, and has nothing to carry; but an origin's numbers are its own for good.
    const around = [
      ['a', 'b', 16],
      ['b', 'c', 15],
      { started: 'b' },
      ['c', 'b', 14],
      ['b', 'd', 13],
    ] as const satisfies Parameters<typeof walk>[number][];
    expect(walk(...around)).to.equal('');
    expect(walk(...around, ['b', 'd', 12])).to.include('twice');
    expect(walk(['a', 'b', 16], { started: 'b' }, ['b', 'c', 15])).to.include('came with undefined');
    expect(walk(['a', 'b', 16], { started: 'a' }, ['a', 'b', 16])).to.include('twice');
  });

  it('sees who judges after an own stall, and who judges a peer that nobody touched', () => {
    const judged = (now: number, prepare: (d: Disturbances) => void, lossy = false): string => {
      const { said, report } = reports();
      const disturbances = new Disturbances();
      prepare(disturbances);
      new ConvictionWatch(disturbances, lossy, report).convicted({ node: 'a', peer: 'b', now });
      return said.join();
    };
    const stall = (d: Disturbances): void => {
      d.tell('cut', 21_000, 'a', 'b');
      d.paused('a', 20_000, 22_000);
    };
    expect(judged(22_100, stall)).to.include('own stall');
    expect(judged(23_600, stall)).to.include('own stall');
    expect(judged(24_100, stall)).to.equal('');
    // By its own clock it was away for half of that.
    const asleep = (d: Disturbances): void => {
      stall(d);
      d.paused('a', 20_500, 21_500, 1000);
    };
    expect(judged(22_800, asleep)).to.include('own stall');
    expect(judged(23_100, asleep)).to.equal('');
    expect(judged(30_000, (d) => d.tell('cut', 25_000, 'b', 'a'))).to.equal('');
    expect(judged(30_000, (d) => d.tell('process', 25_000, 'b'))).to.equal('');
    expect(judged(30_000, (d) => d.tell('cut', 25_000, 'b', 'c'))).to.include('false conviction');
    expect(judged(30_000, (d) => d.tell('cut', 25_000, 'b', 'c'), true)).to.equal('');
  });

  it('sees that somebody is not reached, and that somebody is elected without need', async () => {
    const options = { relay: true, lossy: false, cutsOnly: true, strict: true };
    // Without relaying, but judged as with it.
    for (const [seed, invariant] of [
      [1, 'reachability'],
      [2, 'needless election'],
    ] as const) {
      const simulation = createSimulation({ seed, nodes: ['a', 'b', 'c', 'd', 'e'], relay: false });
      await simulation.ready();
      new MeshJudge(simulation, options);
      await simulation.run(12_000);
      expect(simulation.violation).to.equal(undefined);
      const leader = simulation.leader()!;
      const others = simulation.nodes.filter((id) => id !== leader);
      if (invariant === 'reachability') simulation.cut(others[0]!, others[1]!);
      else for (const other of others.slice(1)) simulation.cut(leader, other);
      await simulation.run(REACHED_MS + 1000);
      expect(simulation.violation?.invariant).to.equal(invariant);
    }
  });

  it('takes a mesh that heals all the time for well only where packets are lost', async () => {
    for (const lossy of [false, true]) {
      const simulation = createSimulation({ seed: 1, nodes: ['a', 'b', 'c'] });
      await simulation.ready();
      new MeshJudge(simulation, { relay: true, lossy, cutsOnly: false, strict: false });
      for (const id of simulation.nodes) {
        const mesh = simulation.mesh(id);
        const partition = mesh.partition.bind(mesh);
        mesh.partition = () => ({ ...partition(), state: 'healing' });
      }
      await simulation.run(DIRECT_MS + 2000);
      expect(simulation.violation?.invariant).to.equal(lossy ? undefined : 'mesh healing');
    }
  });
});
