/** Groups whose members come and go, in the simulation: who begins when, and how nodes stop and are asked from outside. */
import { expect } from 'chai';
import { checkLinearizable, createSimulation, keyValueModel } from '../../../../lib/testing/index.js';
import { elected, get, put, three, thrown, type KeyValueSimulation } from './support.js';

const members = (simulation: KeyValueSimulation, id: string): string =>
  simulation
    .replica(id)
    .status()
    .members.map((member) => (member.as === 'voter' ? member.id : `(${member.id})`))
    .sort()
    .join(' ');

async function until(simulation: KeyValueSimulation, what: string, holds: () => boolean): Promise<void> {
  expect(await simulation.runUntil(holds, 20_000), what).to.equal(true);
}

describe('simulation: members that come and go', () => {
  it('begin with the founders; the others are down until they are started, and join', async () => {
    const simulation = await elected({ nodes: three, founders: ['b'] });
    expect(three.map((id) => simulation.state(id))).to.deep.equal(['down', 'up', 'down']);
    expect(members(simulation, 'b')).to.equal('b');
    simulation.restart('a');
    await until(simulation, 'a votes', () => members(simulation, 'b') === 'a b');
    simulation.restart('c', { join: 'learner' });
    await until(simulation, 'c learns', () => members(simulation, 'a') === '(c) a b');
    await put(simulation, 'c', 'k', 1);
    expect(await get(simulation, 'a', 'k')).to.equal(1);
    simulation.check();
  });

  it('are told when a call outlives a replica that was closed', async () => {
    const simulation = await elected();
    // A close that settles nothing.
    const replica = simulation.replica('a');
    Object.assign(replica, { close: () => Promise.resolve() });
    simulation.partition([['a'], ['b', 'c']]);
    replica.submit({ op: 'put', key: 'k', value: 1 }).catch(() => undefined);
    await simulation.settle(simulation.stop('a').catch(() => undefined)).catch(() => undefined);
    expect(simulation.violation).to.include({ invariant: 'calls', node: 'a' });
  });

  it('are worked with from outside, and that is part of the history', async () => {
    const simulation = await elected({ clients: ['x'] });
    const client = await simulation.client('x');
    expect(await simulation.client('x')).to.equal(client);
    await simulation.settle(client.submit({ op: 'put', key: 'k', value: 1 }));
    expect(await simulation.settle(client.query({ op: 'get', key: 'k' }))).to.equal(1);
    // What is asked from outside is asked of a member.
    const { history } = simulation;
    expect(history.filter(({ process }) => process === 'x').map(({ output }) => output)).to.deep.equal([
      { ok: true },
      1,
    ]);
    expect(checkLinearizable(keyValueModel(), simulation.history)).to.equal('ok');
    simulation.partition([['x'], three]);
    const lost = thrown(() => client.submit({ op: 'put', key: 'k', value: 2 }), 'ERR_CLOSED');
    await simulation.run(100);
    simulation.crash('x');
    expect((await lost).fate).to.equal('ambiguous');
    await thrown(() => simulation.client('x'), 'ERR_CLOSED');
    await thrown(() => simulation.client('a'), 'ERR_CONFIG');
    simulation.heal();
    simulation.restart('x');
    await until(simulation, 'x is up', () => simulation.state('x') === 'up');
    const next = await simulation.client('x');
    expect(next).to.not.equal(client);
    expect(await simulation.settle(next.query({ op: 'get', key: 'k' }))).to.equal(1);
  });

  it('have protocols of their own, where they differ from node to node', async () => {
    const asked: string[] = [];
    const { raft } = await import('../../../../lib/index.js');
    const simulation = await elected({
      consensus: (node) => {
        asked.push(node);
        return raft({ heartbeatMs: 50, electionTimeoutMs: 300, priority: node === 'c' ? 2 : 0 });
      },
    });
    expect([...new Set(asked)].toSorted()).to.deep.equal(three);
    await until(simulation, 'c leads', () => simulation.leader() === 'c');
  });

  it('are founded by some of the nodes, each named once', async () => {
    for (const founders of [[], ['z'], ['a', 'a'], 'a' as unknown as string[]]) {
      const error = await thrown(() => createSimulation({ seed: 1, nodes: three, founders }), 'ERR_CONFIG');
      expect(error.message).to.match(
        /^founders must be a list of some of the nodes, each once: a, b, c, got /,
      );
    }
  });

  it('refuse every call while they are down', async () => {
    const simulation = await elected({ nodes: three, founders: ['a', 'b'] });
    const down = simulation.replica('c');
    await thrown(() => down.changeMembers({ remove: ['a'] }), 'ERR_CLOSED');
    await thrown(() => down.addMember('c'), 'ERR_CLOSED');
    await thrown(() => down.removeMember('a'), 'ERR_CLOSED');
  });
});
