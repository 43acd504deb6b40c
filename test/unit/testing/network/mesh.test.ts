import { expect } from 'chai';
import { describe, it } from 'mocha';
import { FrameKind, type MeshPort } from '../../../../lib/mesh/port.js';
import type { Mesh } from '../../../../lib/mesh/mesh.js';
import type { NetworkSettings } from '../../../../lib/testing/simulation/network/settings.js';
import { Lab, count, numbered, numbersOf } from './support.js';

function stateOf(mesh: Mesh, peer: string): string | undefined {
  return mesh.peers().find((p) => p.id === peer)?.state;
}

/** All frames that come. */
function frames(port: MeshPort): Uint8Array[] {
  const got: Uint8Array[] = [];
  port.handle(FrameKind.group, (_peer, _session, frame) => {
    got.push(frame.slice());
    return true;
  });
  return got;
}

describe('simulated network: meshes', () => {
  it('links three nodes, and carries frames', async () => {
    const lab = new Lab();
    const [a, b, c] = [await lab.mesh('a'), await lab.mesh('b'), await lab.mesh('c')];
    const got = frames(c.port);
    await lab.until(() => [a, b, c].every(({ port }) => port.linked().size === 2));
    for (const i of count(50)) a.port.send('c', FrameKind.group, numbered(i), { lane: 'control' });
    await lab.until(() => got.length === 50);
    expect(numbersOf(got)).deep.equal(count(50));
    await b.mesh.close();
    await lab.run(20);
    expect([...a.port.linked().keys()]).deep.equal(['c']);
    await Promise.all([a.mesh.close(), c.mesh.close()]);
  });

  it('loses a peer behind a cut and finds it again', async () => {
    const lab = new Lab();
    const [a, b] = [await lab.mesh('a'), await lab.mesh('b')];
    await lab.until(() => stateOf(a.mesh, 'b') === 'up' && stateOf(b.mesh, 'a') === 'up');
    lab.network.cut('a', 'b');
    await lab.until(
      () => stateOf(a.mesh, 'b') === 'unreachable' && stateOf(b.mesh, 'a') === 'unreachable',
      4000,
    );
    await lab.run(20_000);
    expect(stateOf(a.mesh, 'b')).equal('unreachable');
    lab.network.heal();
    await lab.until(() => stateOf(a.mesh, 'b') === 'up' && stateOf(b.mesh, 'a') === 'up', 15_000);
    expect(a.events.filter((e) => e.startsWith('up'))).length(2);
  });

  it('survives a short cut without losing the link', async () => {
    const lab = new Lab();
    const [a, b] = [await lab.mesh('a'), await lab.mesh('b')];
    const got = frames(b.port);
    await lab.until(() => a.port.linked().has('b') && b.port.linked().has('a'));
    lab.network.cut('a', 'b');
    a.port.send('b', FrameKind.group, numbered(3), { lane: 'control' });
    await lab.run(500);
    lab.network.heal();
    await lab.until(() => got.length === 1, 2000);
    expect(a.events.filter((e) => e.startsWith('unreachable'))).deep.equal([]);
    await lab.run(5000);
    expect([a.events.at(-1), b.events.at(-1)]).deep.equal(['up b', 'up a']);
    expect(b.events.filter((e) => e.startsWith('unreachable'))).deep.equal([]);
  });

  it('gives a link up on both sides when one direction is cut', async () => {
    const lab = new Lab();
    const [a, b] = [await lab.mesh('a'), await lab.mesh('b')];
    const got = frames(b.port);
    await lab.until(() => a.port.linked().has('b') && b.port.linked().has('a'));
    lab.network.cutOneWay('b', 'a');
    a.port.send('b', FrameKind.group, numbered(3), { lane: 'control' });
    await lab.until(() => got.length === 1, 500);
    // a hears nothing any more; its goodbye still reaches b.
    await lab.until(() => !a.port.linked().has('b'), 4000);
    await lab.until(() => !b.port.linked().has('a'), 4000);
    lab.network.heal();
    await lab.until(() => stateOf(a.mesh, 'b') === 'up' && stateOf(b.mesh, 'a') === 'up', 15_000);
  });

  it('replaces a crashed run by the next one of the same id', async () => {
    const lab = new Lab({ silenceMs: 60_000 });
    const a = await lab.mesh('a');
    const b = await lab.mesh('b');
    await lab.until(() => a.port.linked().has('b'));
    const session = a.port.linked().get('b')!;
    b.process.alive = false;
    await lab.run(50);
    const again = await lab.mesh('b');
    const got = frames(again.port);
    await lab.until(() => (a.port.linked().get('b') ?? 0) > session, 10_000);
    a.port.send('b', FrameKind.group, numbered(8), { lane: 'bulk' });
    await lab.until(() => got.length === 1, 1000);
    expect(b.events).deep.equal(['up a']);
  });

  it('bears 30 % loss: all arrives in order while the link lives', async () => {
    const lab = new Lab({ latencyMs: 2 });
    const [a, b] = [await lab.mesh('a'), await lab.mesh('b')];
    const got = frames(b.port);
    await lab.until(() => a.port.linked().has('b') && b.port.linked().has('a'));
    lab.network.shapeAll({ lossRate: 0.3 });
    for (const i of count(100)) {
      a.port.send('b', FrameKind.group, numbered(i, 3000), { lane: i % 2 === 0 ? 'bulk' : 'control' });
      await lab.run(5);
    }
    lab.network.shapeAll({ lossRate: 0 });
    await lab.run(12_000);
    const numbers = numbersOf(got);
    for (const parity of [0, 1]) {
      const lane = numbers.filter((n) => n % 2 === parity);
      expect(lane).deep.equal([...lane].sort((x, y) => x - y));
    }
    if (a.mesh.metrics().linksLost === 0 && b.mesh.metrics().linksLost === 0) expect(numbers).length(100);
    expect(new Set(numbers).size).equal(numbers.length);
  });

  it('pushes back to the sender over a thin wire, and drains', async () => {
    const lab = new Lab({ bandwidth: 2e6 });
    const [a, b] = [await lab.mesh('a'), await lab.mesh('b')];
    const got = frames(b.port);
    await lab.until(() => a.port.linked().has('b') && b.port.linked().has('a'));
    let sent = 0;
    while (a.port.send('b', FrameKind.group, numbered(sent, 100_000), { lane: 'bulk' })) sent++;
    expect(sent * 100_000).within(16e6, 18e6);
    let drained = false;
    a.port.whenDrained('b', 'bulk', () => (drained = true));
    await lab.until(() => drained, 20_000);
    expect(a.port.backlog('b', 'bulk')).lessThan(5e6);
    await lab.until(() => got.length === sent, 20_000);
    expect(a.events.concat(b.events)).deep.equal(['up b', 'up a']);
  });

  it('outlasts a pause of a whole process', async () => {
    const lab = new Lab();
    const [a, b] = [await lab.mesh('a'), await lab.mesh('b')];
    const got = frames(b.port);
    await lab.until(() => a.port.linked().has('b') && b.port.linked().has('a'));
    b.process.pausedUntil = lab.scheduler.now + 1200;
    a.port.send('b', FrameKind.group, numbered(4), { lane: 'control' });
    await lab.run(1000);
    expect(got).deep.equal([]);
    await lab.run(1000);
    expect(got).length(1);
    expect(b.events).deep.equal(['up a', 'stall']);
    expect(a.events.filter((e) => e.startsWith('unreachable'))).deep.equal([]);
  });

  for (const [name, settings] of [
    ['a good network', {}],
    ['a bad one', { latencyMs: 3, jitterMs: 5, tailMs: 10, lossRate: 0.05, bandwidth: 1e6 }],
  ] as [string, NetworkSettings][]) {
    it(`is decided by its seed alone, on ${name}`, async () => {
      const [first, second, other] = [
        await story(settings, 's1'),
        await story(settings, 's1'),
        await story(settings, 's2'),
      ];
      expect(second).deep.equal(first);
      expect(other.hash).not.equal(first.hash);
      expect(first.counts.messages).greaterThan(100);
    });
  }

  it('draws each way from a stream of its own', async () => {
    // What happens between c and d changes nothing between a and b.
    const run = async (more: boolean): Promise<number[]> => {
      const lab = new Lab({ lossRate: 0.2, jitterMs: 10 });
      const [near, far] = await lab.pair();
      const c = await lab.bare('c');
      await lab.bare('d');
      if (more) c.session.connect('d');
      await lab.run(3000);
      for (const i of count(50)) {
        near.raw.control.send(numbered(i));
        if (more) c.links[0]?.raw.control.send(numbered(i));
        await lab.run(10);
      }
      await lab.run(20_000);
      return far.at.control;
    };
    expect(await run(true)).deep.equal(await run(false));
  });
});

/** Three meshes, all kinds of faults, and what came of it. */
async function story(
  settings: NetworkSettings,
  seed: string,
): Promise<{ hash: string; length: number; counts: Record<string, number>; events: string[][] }> {
  const lab = new Lab(settings, seed);
  const nodes = [await lab.mesh('a'), await lab.mesh('b'), await lab.mesh('c')];
  for (const { port } of nodes) frames(port);
  const chat = async (ms: number): Promise<void> => {
    for (let t = 0; t < ms; t += 50) {
      for (const { port } of nodes)
        for (const peer of port.linked().keys())
          port.send(peer, FrameKind.group, numbered(t, 500), {
            lane: t % 100 === 0 ? 'bulk' : 'control',
          });
      await lab.run(50);
    }
  };
  await chat(500);
  lab.network.cutOneWay('a', 'b');
  lab.network.clog('c', 'a', 300);
  await chat(2500);
  lab.network.partition([['a'], ['b', 'c']]);
  nodes[2]!.process.alive = false;
  await chat(1000);
  lab.network.heal();
  nodes[2] = await lab.mesh('c');
  await chat(3000);
  lab.network.reset('a', 'b');
  lab.network.rendezvous('b', false);
  await chat(500);
  lab.network.rendezvous('b', true);
  await chat(3000);
  return {
    hash: lab.trace.hash,
    length: lab.trace.length,
    counts: { ...lab.network.counts },
    events: nodes.map((n) => n.events),
  };
}
