import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { ConnectivityRow } from '../../../../lib/failure/rows.js';
import { maxHearsay } from '../../../../lib/failure/rowsHearsay.js';
import { decodeRowMessage, encodeRows, encodeVersions } from '../../../../lib/failure/rowsCodec.js';
import { isIncarnation } from '../../../../lib/mesh/incarnation.js';
import { meshPort } from '../../../../lib/mesh/mesh.js';
import { FrameKind, type MeshPort } from '../../../../lib/mesh/port.js';
import { createSimulation } from '../../../../lib/testing/index.js';
import type { Simulation } from '../../../../lib/testing/index.js';

/** The greatest run that can be named. */
const top = '999999999999999-ffffffffffffffff';
const honest = ['a', 'b', 'c'];

/** Three honest nodes and h, a member by right, all linked. */
async function started(seed: number, relay = true): Promise<Simulation> {
  const simulation = createSimulation({ seed, nodes: [...honest, 'h'], relay });
  await simulation.ready();
  await simulation.run(3000);
  return simulation;
}

function row(from: string, heard: readonly string[], change: Partial<ConnectivityRow> = {}): ConnectivityRow {
  const entries = [...heard]
    .sort()
    .map((peer) => ({ peer, hears: true, pending: false, deaf: false, phi: 0 }));
  return { from, incarnation: top, version: 1, left: false, entries, ...change };
}

/** What h says to all others. */
function gossip(simulation: Simulation, rows: readonly ConnectivityRow[], lost = false): void {
  const port = meshPort(simulation.mesh('h'));
  for (const peer of honest) port.send(peer, FrameKind.gossip, encodeRows(rows, lost), { lane: 'control' });
}

/** The runs of all nodes, which every member knows: h asks for them, and listens to nothing else any more. */
async function runs(simulation: Simulation): Promise<Map<string, string>> {
  const known = new Map<string, string>();
  const port = meshPort(simulation.mesh('h'));
  // past the watch of the simulation, which knows none but the frames of groups
  (Object.getPrototypeOf(port) as MeshPort).handle.call(port, FrameKind.gossip, (_peer, _session, frame) => {
    const message = decodeRowMessage(frame, isIncarnation);
    if (message.kind === 'rows')
      for (const { from, incarnation } of message.rows) known.set(from, incarnation);
    return true;
  });
  port.send('a', FrameKind.gossip, encodeVersions([], []), { lane: 'control' });
  await simulation.runUntil(() => known.size === 4, 1000);
  return known;
}

/** What each shows: "a healthy [[…]]". */
function shown(simulation: Simulation, ids: readonly string[] = honest): string[] {
  expect(simulation.violation, 'it would stand still').to.equal(undefined);
  return ids.map((id) => {
    const { state, components } = simulation.mesh(id).partition();
    return `${id} ${state} ${components.map((part) => part.join('')).join(' ')}`;
  });
}

const whole = honest.map((id) => `${id} healthy abch`);

describe('gossip of a hostile member (simulated)', () => {
  for (const [what, change] of [
    ['a newer run', {}],
    ['a newer run at the last version', { version: 2 ** 48 }],
    ['the farewell of a newer run', { version: 2 ** 48, left: true }],
  ] as const) {
    it(`a row about a linked member: ${what}, is not believed, and no way is lost by it`, async () => {
      const simulation = await started(1);
      for (let i = 0; i < 8; i++) {
        gossip(simulation, [row('c', [], change)]);
        gossip(simulation, [row('c', [], { version: 2 ** 48 })], true);
        await simulation.run(250);
        expect(shown(simulation)).to.deep.equal(whole);
      }
      simulation.crash('h');
      simulation.cut('a', 'c');
      await simulation.run(4000);
      const reached = simulation
        .mesh('a')
        .peers()
        .find(({ id }) => id === 'c');
      expect(reached).to.include({ state: 'up', path: 'relayed' });
      simulation.heal();
      await simulation.run(10_000);
      expect(shown(simulation)).to.deep.equal(honest.map((id) => `${id} complete abc h`));
    });
  }

  it('a row of the true run of a linked member is outdone by its node, or not believed', async () => {
    for (const [version, left] of [
      [1000, false],
      [1000, true],
      [2 ** 48, false],
      [2 ** 48, true],
    ] as const) {
      const simulation = await started(2);
      const run = (await runs(simulation)).get('c')!;
      for (let i = 0; i < 5; i++) {
        gossip(simulation, [
          row('c', [], { incarnation: run, version: Math.min(version + i * 1000, 2 ** 48), left }),
        ]);
        await simulation.run(500);
      }
      await simulation.run(3000);
      expect(shown(simulation), `version ${version}, left ${left}`).to.deep.equal(whole);
      simulation.cut('a', 'c');
      await simulation.run(3000);
      expect(shown(simulation)[0]).to.equal('a partial abch');
    }
  });

  it('a member that starts anew with its clock set back is believed', async () => {
    const simulation = await started(3);
    simulation.shiftClock('c', -3_600_000);
    simulation.restart('c');
    simulation.shiftClock('c', -3_600_000);
    await simulation.run(6000);
    expect(shown(simulation)).to.deep.equal(whole);
    simulation.cut('b', 'c');
    await simulation.run(4000);
    expect(shown(simulation)).to.deep.equal(honest.map((id) => `${id} partial abch`));
  });

  it('a member that starts anew while a pair is cut is believed where it cannot be reached directly', async () => {
    for (const relay of [true, false]) {
      const simulation = await started(4, relay);
      simulation.cut('a', 'c');
      await simulation.run(4000);
      simulation.restart('c');
      await simulation.run(relay ? 6000 : 14_000); // so long it is a newcomer, where nothing links it
      expect(shown(simulation), `relay ${relay}`).to.deep.equal(honest.map((id) => `${id} partial abch`));
    }
  });

  it('made-up members are few, wherever they are made up, and newcomers get in', async () => {
    const simulation = await started(5);
    const run = (await runs(simulation)).get('h')!;
    const ids = Array.from({ length: 1010 }, (_, i) => `z${String(i).padStart(4, '0')}`);
    const attack = (version: number): void => {
      gossip(simulation, [row('h', [...honest, ...ids], { incarnation: run, version: 500 + version })]);
      const rows = ids.map((id) => row(id, ['h'], { version }));
      for (let i = 0; i < rows.length; i += 100) gossip(simulation, rows.slice(i, i + 100));
    };
    for (let version = 1; version <= 8; version++) {
      attack(version);
      await simulation.run(500);
      for (const id of honest) {
        const mesh = simulation.mesh(id);
        expect(mesh.peers().length, `peers of ${id}`).to.be.at.most(3 + maxHearsay);
        expect(mesh.partition().reachable.length).to.be.at.most(4 + maxHearsay);
      }
    }
    simulation.restart('c');
    await simulation.run(4000);
    const fresh = simulation
      .mesh('c')
      .peers()
      .filter(({ state }) => state === 'up');
    expect(simulation.violation).to.equal(undefined);
    expect(fresh.map(({ id }) => id).sort()).to.deep.equal(['a', 'b', 'h']);
  });
});
