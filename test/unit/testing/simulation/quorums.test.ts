/** Groups whose quorums are no majorities. */
import { expect } from 'chai';
import { raft } from '../../../../lib/replica/consensus.js';
import { checkLinearizable, keyValueModel } from '../../../../lib/testing/index.js';
import { elected, five, get, put, thrown, untilEqual, untilLed } from './support.js';
import type { KeyValueSimulation } from './support.js';

function flexible(more: Parameters<typeof raft>[0] = {}): Promise<KeyValueSimulation> {
  return elected({ nodes: five, consensus: raft({ quorums: { commit: 2, election: 4 }, ...more }) });
}

type Four = readonly [string, string, string, string];

const others = (simulation: KeyValueSimulation): Four =>
  simulation.nodes.filter((id) => id !== simulation.leader()) as unknown as Four;

describe('quorums of two to commit and four to elect, of five', () => {
  it('go on with one follower, and elect nobody with three members', async () => {
    const simulation = await flexible();
    await put(simulation, 'a', 'k', 1);
    const leader = simulation.leader()!;
    const [one, ...rest] = others(simulation);
    for (const id of rest) simulation.crash(id);
    await simulation.run(3000);
    expect(simulation.leader()).to.equal(leader);
    await put(simulation, one, 'k', 2);
    expect(await get(simulation, one, 'k')).to.equal(2);
    // The last of those who hold it: with three others the group must wait for it.
    simulation.crash(leader);
    simulation.restart(rest[0]);
    simulation.restart(rest[1]);
    await simulation.run(5000);
    expect(simulation.leader(), 'three members').to.equal(undefined);
    simulation.restart(rest[2]);
    await untilLed(simulation);
    expect(await get(simulation, rest[2], 'k')).to.equal(2);
    simulation.check();
  });

  it('lose nothing when those who hold it are not among those who elect at first', async () => {
    const simulation = await flexible({ lease: {} });
    const leader = simulation.leader()!;
    const [one, ...rest] = others(simulation);
    simulation.partition([[leader, one], rest]);
    await put(simulation, one, 'k', 'of two');
    await simulation.run(4000);
    for (const id of rest) expect(simulation.replica(id).status().leader).to.equal(undefined);
    simulation.crash(leader);
    simulation.heal();
    await untilLed(simulation);
    for (const id of [one, ...rest]) expect(await get(simulation, id, 'k')).to.equal('of two');
    simulation.restart(leader);
    await untilEqual(simulation);
    expect(checkLinearizable(keyValueModel(), simulation.history)).to.equal('ok');
    simulation.check();
  });

  it('step down without a follower, answer no reads, and take up again', async () => {
    const simulation = await flexible();
    await put(simulation, 'a', 'k', 1);
    const leader = simulation.leader()!;
    simulation.partition([[leader], others(simulation)]);
    await thrown(
      () => simulation.settle(simulation.replica(leader).query({ op: 'get', key: 'k' }, { timeout: 2000 })),
      'ERR_TIMEOUT',
    );
    expect(simulation.replica(leader).status().role).to.not.equal('leader');
    simulation.heal();
    await untilEqual(simulation);
    expect(await get(simulation, leader, 'k')).to.equal(1);
    simulation.check();
  });

  it('are told by the status, and follow the members', async () => {
    const simulation = await flexible();
    await put(simulation, 'a', 'k', 1);
    await simulation.run(500);
    for (const id of five)
      expect(simulation.replica(id).status().quorums).to.deep.equal({ commit: 2, election: 4 });
    const leaver = others(simulation)[0];
    await simulation.settle(simulation.replica(simulation.leader()!).removeMember(leaver));
    await simulation.run(500);
    expect(simulation.replica(simulation.leader()!).status().quorums).to.deep.equal({
      commit: 2,
      election: 3,
    });
    const majority = await elected();
    expect(majority.replica('a').status().quorums).to.deep.equal({ commit: 2, election: 2 });
  });

  it('are refused where they do not fit the founders', async () => {
    await thrown(() => elected({ consensus: raft({ quorums: { commit: 4 } }) }), 'ERR_CONFIG');
  });
});
