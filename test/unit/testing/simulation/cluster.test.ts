import { expect } from 'chai';
import { createSimulation } from '../../../../lib/testing/index.js';
import { elected, get, put, three, thrown, untilEqual, untilLed } from './support.js';

describe('simulation: a cluster and its faults', () => {
  it('elects a leader, and serves through every member', async () => {
    const simulation = await elected();
    for (const id of three) expect(await put(simulation, id, `from ${id}`, id)).to.deep.equal({ ok: true });
    for (const id of three)
      for (const other of three) expect(await get(simulation, id, `from ${other}`)).to.equal(other);
    expect(simulation.counts()['calls: ok']).to.equal(12);
    expect(simulation.check()).to.deep.include({ ok: true, commitIndex: simulation.commitIndex });
  });

  it('is ready when all have met: then any one of them can be lost at once', async () => {
    for (let seed = 1; seed <= 5; seed++) {
      const simulation = createSimulation({ seed, nodes: three });
      await simulation.ready();
      simulation.crash(simulation.leader()!);
      await untilLed(simulation);
    }
  });

  it('says who is missing when a group does not get ready', async () => {
    const simulation = createSimulation({ seed: 1, nodes: three });
    simulation.crash('b');
    const error = await thrown(() => simulation.ready(5000), 'ERR_TIMEOUT');
    expect(error.message).to.contain('5000 virtual ms: a up, b down, c up');
  });

  for (const power of [true, false])
    it(`keeps what was acknowledged when all members ${power ? 'lose power' : 'are killed'} and start again`, async () => {
      const simulation = await elected();
      for (let n = 0; n < 20; n++) await put(simulation, three[n % 3]!, `key ${n}`, n);
      for (const id of three) simulation.crash(id, { power });
      expect(three.map((id) => simulation.state(id))).to.deep.equal(['down', 'down', 'down']);
      expect(simulation.leader()).to.equal(undefined);
      await simulation.run(1000);
      for (const id of three) simulation.restart(id);
      await untilLed(simulation);
      for (let n = 0; n < 20; n++) expect(await get(simulation, three[n % 3]!, `key ${n}`)).to.equal(n);
      const counts = simulation.counts();
      expect(counts[power ? 'power losses' : 'kills']).to.equal(3);
      expect(counts.restarts).to.equal(3);
      simulation.check();
    });

  it('restarts a node that runs by killing it first, and crashes only what runs', async () => {
    const simulation = await elected();
    simulation.restart('b');
    expect(simulation.state('b')).to.equal('starting');
    await untilEqual(simulation);
    simulation.crash('b');
    simulation.crash('b');
    expect(simulation.counts()['power losses']).to.equal(1);
  });

  it('isolates a node that is in no group', async () => {
    const simulation = await elected();
    const alone = three.find((id) => id !== simulation.leader())!;
    simulation.partition([three.filter((id) => id !== alone)]);
    await simulation.run(3000);
    expect(simulation.replica(alone).status().quorum).to.equal(false);
    expect(three).to.include(simulation.leader());
  });

  it('cuts one way only, and heals it', async () => {
    const simulation = await elected();
    const leader = simulation.leader()!;
    const [one, other] = three.filter((id) => id !== leader) as [string, string];
    // Nothing that the leader says arrives, all that it is told does.
    simulation.cutOneWay(leader, one);
    simulation.cutOneWay(leader, other);
    const next = await untilLed(simulation, [one, other]);
    await put(simulation, next, 'k', 1);
    await simulation.run(2000);
    const { role, epoch } = simulation.replica(leader).status();
    expect(role).to.not.equal('leader');
    expect(epoch, 'it was told').to.be.at.least(simulation.replica(next).status().epoch);
    simulation.heal(leader, one);
    simulation.heal(leader, other);
    await untilEqual(simulation);
    simulation.check();
  });

  it('stops a replica whose disk fails, says so, and starts it again', async () => {
    const simulation = await elected();
    const victim = three.find((id) => id !== simulation.leader())!;
    simulation.setDisk(victim, { errors: { write: 1, sync: 1 } });
    await put(simulation, simulation.leader()!, 'k', 1);
    expect(await simulation.runUntil(() => simulation.state(victim) === 'failed', 5000)).to.equal(true);
    expect(simulation.failure(victim)).to.have.property('code', 'ERR_STORAGE_FAILED');
    expect(simulation.counts()['replicas failed (ERR_STORAGE_FAILED)']).to.equal(1);
    simulation.setDisk(victim, { errors: {} });
    simulation.restart(victim);
    expect(simulation.failure(victim)).to.equal(undefined);
    await untilEqual(simulation);
    simulation.check();
  });

  it('bears clocks that drift and jump', async () => {
    const simulation = await elected({ clocks: { driftRate: 0.2 } });
    simulation.shiftClock('a', 3_600_000);
    simulation.shiftClock('b', -3_600_000);
    for (let n = 0; n < 5; n++)
      for (const id of three) {
        await put(simulation, id, 'k', `${n} ${id}`);
        await simulation.run(200);
      }
    const rates = simulation.trace.events
      .filter(({ kind }) => kind === 'start')
      .map(({ detail }) => detail.split(' ').at(-1));
    expect(new Set(rates)).to.have.lengthOf(3);
    expect(simulation.counts()['clock shift']).to.equal(2);
    simulation.check();
  });

  it('loses, doubles and delays messages of the protocol, and stops doing it', async () => {
    const simulation = await elected({ messages: { lossRate: 0.1, duplicateRate: 0.1, reorderRate: 0.1 } });
    for (let n = 0; n < 20; n++) await put(simulation, three[n % 3]!, `key ${n}`, n);
    const { 'messages: lost': lost, 'messages: duplicated': twice } = simulation.counts();
    expect(lost).to.be.greaterThan(0);
    expect(twice).to.be.greaterThan(0);
    simulation.setMessages({ lossRate: 0, duplicateRate: 0, reorderRate: 0 });
    const before = simulation.counts()['messages: lost'];
    await simulation.run(2000);
    expect(simulation.counts()['messages: lost']).to.equal(before);
    simulation.check();
  });

  it('has no mesh of a node that is down, and a replica that refuses', async () => {
    const simulation = createSimulation({ seed: 1, nodes: three });
    const states = (): string[] => three.map((id) => simulation.replica(id).status().state);
    expect(states(), 'before any time has passed').to.deep.equal(['closed', 'closed', 'closed']);
    const leads = (): boolean => three.some((id) => simulation.replica(id).status().role === 'leader');
    expect(await simulation.runUntil(leads, 10_000)).to.equal(true);
    await simulation.ready();
    const old = simulation.replica('a');
    const held = simulation.replica('b');
    simulation.crash('a');
    expect((await thrown(() => simulation.mesh('a'), 'ERR_CLOSED')).message).to.equal('node a is down');
    for (const [replica, why] of [
      [simulation.replica('a'), 'node a is down'],
      [old, 'that process of node a has died'],
    ] as const) {
      expect(replica.status()).to.include({ id: 'a', state: 'closed', role: 'follower', quorum: false });
      const write = await thrown(() => replica.submit({ op: 'put', key: 'k', value: 1 }), 'ERR_CLOSED');
      expect([write.message, write.fate]).to.deep.equal([why, 'refused']);
      for (const call of [
        () => replica.query({ op: 'get', key: 'k' }),
        () => replica.ready(),
        () => replica.digest(),
        () => replica.peek({ op: 'get', key: 'k' }),
        () => replica.changes(),
      ])
        expect((await thrown(call, 'ERR_CLOSED')).message).to.equal(why);
      expect(replica.metrics().submitted).to.equal(0);
      await replica.close();
    }
    simulation.restart('a');
    expect((await thrown(() => simulation.mesh('a'), 'ERR_CLOSED')).message).to.equal('node a is starting');
    const linked = (): boolean =>
      simulation
        .mesh('a')
        .peers()
        .some(({ state }) => state === 'up');
    expect(await simulation.runUntil(linked, 10_000), 'not up yet does not hold').to.equal(true);
    await untilEqual(simulation);
    expect(simulation.mesh('a').id).to.equal('a');
    expect(simulation.replica('a')).to.not.equal(old);
    expect(simulation.replica('b')).to.equal(held);
  });
});
