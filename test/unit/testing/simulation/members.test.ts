/** Groups whose members come and go, in the simulation: who begins when, and how nodes stop and are asked from outside. */
import { expect } from 'chai';
import { QuorateError } from '../../../../lib/errors.js';
import { checkLinearizable, createSimulation, keyValueModel } from '../../../../lib/testing/index.js';
import { elected, five, get, put, three, thrown, untilEqual, type KeyValueSimulation } from './support.js';

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

/** Members are removed; while too few of the others are there, as right after a loss of power, that is refused, and asked again. */
async function removed(simulation: KeyValueSimulation, through: string, remove: string[]): Promise<void> {
  for (let left = 50; ; left--) {
    try {
      await simulation.settle(simulation.replica(through).changeMembers({ remove }));
      return;
    } catch (error) {
      if (left === 0 || !(error instanceof QuorateError) || error.code !== 'ERR_MEMBERSHIP') throw error;
      await simulation.run(200);
    }
  }
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

  it('grow to five and shrink to one, with a loss of power of the leader in every change', async function () {
    this.timeout(60_000);
    for (let seed = 1; seed <= 5; seed++) {
      const simulation = await elected({ seed, nodes: five, founders: ['a'] });
      let written = 0;
      const write = (id: string): Promise<unknown> => put(simulation, id, 'n', ++written);
      const strike = async (): Promise<void> => {
        await simulation.run((seed * 7) % 40);
        const leader = simulation.leader() ?? 'a';
        simulation.crash(leader);
        await simulation.run(100);
        simulation.restart(leader);
        await until(simulation, `${leader} is up`, () => simulation.state(leader) === 'up');
      };
      for (const id of five.slice(1)) {
        simulation.restart(id);
        await strike();
        await until(simulation, `${id} votes`, () =>
          simulation.group.members.settled([...five.slice(0, five.indexOf(id) + 1)]),
        );
        await write(id);
      }
      for (const [at, id] of ['e', 'd', 'c', 'b'].entries()) {
        // Asked of the one that goes, which may be struck before it could pass it on.
        simulation
          .replica(id)
          .removeMember(id)
          .catch(() => undefined);
        await strike();
        const left = five.slice(0, 4 - at);
        await removed(simulation, left[0]!, [id]);
        // Started again it would ask to be let in again.
        simulation.crash(id);
        await write(left[0]!);
      }
      await removed(simulation, 'a', five.slice(1));
      expect(members(simulation, 'a')).to.equal('a');
      expect(await get(simulation, 'a', 'n')).to.equal(written);
      simulation.check();
    }
  });

  it('stay removed, although they had asked to be let in, when links are made anew', async () => {
    const simulation = await elected({ nodes: three, founders: ['a', 'b'] });
    simulation.restart('c');
    await until(simulation, 'c votes', () => members(simulation, 'a') === 'a b c');
    await simulation.settle(simulation.replica('a').removeMember('c'));
    for (const id of ['a', 'b']) simulation.network.reset('c', id);
    await simulation.run(5000);
    expect(members(simulation, 'a')).to.equal('a b');
    // Who wants it back asks anew.
    simulation.restart('c', { join: 'voter' });
    await until(simulation, 'c votes again', () => members(simulation, 'a') === 'a b c');
    simulation.check();
  });

  it('stop as they should: the leadership is handed over, and no call is left behind', async () => {
    const simulation = await elected();
    const leader = simulation.leader()!;
    const open = simulation.replica(leader).submit({ op: 'put', key: 'k', value: 1 });
    open.catch(() => undefined);
    const begun = simulation.now;
    await simulation.settle(simulation.stop(leader));
    expect(simulation.state(leader)).to.equal('down');
    const others = three.filter((id) => id !== leader);
    await put(simulation, others[0]!, 'k', 2);
    expect(simulation.now - begun, 'the election time-out is 300 ms').to.be.below(250);
    expect(simulation.openCalls).to.equal(0);
    await simulation.settle(simulation.stop(leader)); // it is down already
    simulation.restart(leader);
    await untilEqual(simulation);
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
