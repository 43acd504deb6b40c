/** Leadership transfers of whole nodes in virtual time, with something going wrong at each step. */
import { expect } from 'chai';
import type { Consensus, MessageBase, NodeId } from '../../../../lib/consensus/consensus.js';
import { raft } from '../../../../lib/replica/consensus.js';
import { checkLinearizable, keyValueModel } from '../../../../lib/testing/index.js';
import { brokenRaft, elected, five, get, put, three, thrown, untilEqual, untilLed } from './support.js';
import type { KeyValueSimulation } from './support.js';

/** Cores that tell of each message before they take it; `false` loses it. */
function overheard(hear: (self: NodeId, message: MessageBase) => boolean | undefined) {
  return brokenRaft((core, { self }): Partial<Consensus> => ({
    receive: (now, from, message) => hear(self, message) === false || core.receive(now, from, message),
  }));
}

const others = (simulation: KeyValueSimulation): [string, string] =>
  simulation.nodes.filter((id) => id !== simulation.leader()) as [string, string];

/** Clients that never stop; `failed` holds what any submit failed with. */
function load(simulation: KeyValueSimulation) {
  const state = { done: 0, failed: [] as unknown[], stop: false };
  const client = async (id: string, name: string): Promise<void> => {
    for (let n = 0; !state.stop; n++) {
      await simulation.sleep(3);
      await simulation
        .replica(id)
        .submit({ op: 'put', key: name, value: n })
        .then(
          () => state.done++,
          (error: unknown) => state.failed.push(error),
        );
    }
  };
  const running = Promise.all(
    simulation.nodes.flatMap((id) => ['x', 'y'].map((key) => client(id, `${id}${key}`))),
  );
  return {
    state,
    end: async () => {
      state.stop = true;
      await simulation.settle(running);
    },
  };
}

function transfer(simulation: KeyValueSimulation, through: string, to?: string, timeout = 10_000) {
  return simulation.settle(simulation.replica(through).transferLeadership(to, { timeout }));
}

describe('simulation: transfers of the leadership', () => {
  it('go where they are told, through any member, and it is known where it was asked for', async () => {
    const simulation = await elected();
    for (const through of three)
      for (const to of three) {
        if (simulation.leader() === to) continue;
        const { epoch } = simulation.replica(through).status();
        await transfer(simulation, through, to);
        expect(simulation.replica(through).status()).to.include({ leader: to, epoch: epoch + 1 });
        expect(simulation.leader()).to.equal(to);
      }
    await untilEqual(simulation);
    simulation.check();
  });

  it('are done already where the target leads', async () => {
    const simulation = await elected();
    const leader = simulation.leader()!;
    const [one] = others(simulation);
    await untilEqual(simulation);
    const { epoch } = simulation.replica(one).status();
    await transfer(simulation, one, leader);
    expect(simulation.replica(one).status()).to.include({ leader, epoch });
  });

  it('go to somebody else when nobody is named, sooner than an election', async () => {
    for (const through of [0, 1, 2]) {
      const simulation = await elected({ nodes: five });
      const before = simulation.leader();
      const begun = simulation.now;
      await transfer(simulation, five[through]!);
      expect(simulation.leader()).to.not.equal(before);
      expect(simulation.now - begun, 'the election time-out is 300 ms').to.be.below(100);
      simulation.check();
    }
  });

  for (const onNoQuorum of ['wait', 'reject'] as const)
    it(`fail no command under load, with onNoQuorum '${onNoQuorum}'`, async function () {
      this.timeout(120_000);
      const simulation = await elected({ onNoQuorum });
      const { state, end } = load(simulation);
      for (let n = 0; n < 12; n++) {
        await simulation.run(40);
        await transfer(simulation, three[n % 3]!);
      }
      await simulation.run(100);
      await end();
      expect(state.failed).to.deep.equal([]);
      expect(state.done).to.be.above(300);
      expect(checkLinearizable(keyValueModel(), simulation.history)).to.equal('ok');
      expect(simulation.replica('a').status().epoch).to.be.at.least(13);
      await untilEqual(simulation);
      simulation.check();
    });

  it('keep reads linearizable while they go on', async () => {
    const simulation = await elected();
    const { end } = load(simulation);
    const seen: Promise<unknown>[] = [];
    for (let n = 0; n < 30; n++) {
      await simulation.run(7);
      for (const id of three) seen.push(simulation.replica(id).query({ op: 'get', key: 'ax' }));
      if (n % 3 === 0)
        void simulation
          .replica(three[n % 2]!)
          .transferLeadership()
          .catch(() => undefined);
    }
    await end();
    await simulation.settle(Promise.all(seen));
    expect(checkLinearizable(keyValueModel(), simulation.history)).to.equal('ok');
    simulation.check();
  });

  it('bear messages that come twice, late, and in another order', async function () {
    this.timeout(120_000);
    for (let seed = 1; seed <= 8; seed++) {
      const simulation = await elected({
        seed,
        messages: { duplicateRate: 0.5, reorderRate: 0.3, delayMs: 60 },
      });
      for (let n = 0; n < 6; n++) {
        await simulation.settle(
          simulation
            .replica(three[n % 3]!)
            .transferLeadership(undefined, { timeout: 3000 })
            .catch(() => undefined),
        );
        await put(simulation, three[(n + 1) % 3]!, 'k', n);
      }
      expect(await get(simulation, 'a', 'k')).to.equal(5);
      simulation.check();
    }
  });

  const steps: Record<string, string> = {
    'as it is told to campaign': 'timeoutNow',
    'as its votes arrive': 'vote',
    'as it is elected': 'voteReply',
  };
  for (const [when, type] of Object.entries(steps))
    for (const victim of ['target', 'leader'] as const)
      for (const how of ['crashes', 'is cut off', 'stands still'] as const)
        it(`leave a group that serves when the ${victim} ${how} ${when}`, async () => {
          const roles = { target: '', leader: '' };
          let struck = 0;
          const strike = (): void => {
            const id = roles[victim];
            if (how === 'crashes') simulation.crash(id, { power: true });
            else if (how === 'stands still') simulation.pause(id, 1500);
            else for (const other of three) if (other !== id) simulation.cut(id, other);
            struck++;
          };
          const simulation = await elected({
            consensus: overheard((_, message) => {
              if (struck === 0 && roles.target !== '' && message.type === type) {
                struck++;
                simulation.after(0, strike);
              }
              return undefined;
            }),
          });
          await put(simulation, 'a', 'k', 'before');
          const leader = simulation.leader()!;
          const [target, third] = others(simulation);
          Object.assign(roles, { target, leader });
          const call = simulation.replica(third).transferLeadership(target, { timeout: 5000 });
          const ended = call.then(
            () => 'done',
            (error: unknown) => (error as { code: string }).code,
          );
          const result = await simulation.settle(ended);
          expect(struck).to.equal(2);
          expect(['done', 'ERR_TRANSFER_FAILED', 'ERR_TIMEOUT']).to.include(result);
          await untilLed(
            simulation,
            three.filter((id) => simulation.state(id) === 'up'),
          );
          await put(simulation, third, 'k', 'after');
          simulation.heal();
          for (const id of three) if (simulation.state(id) !== 'up') simulation.restart(id);
          await untilEqual(simulation);
          for (const id of three) expect(await get(simulation, id, 'k')).to.equal('after');
          expect(checkLinearizable(keyValueModel(), simulation.history)).to.equal('ok');
          simulation.check();
        });

  it('are given up when the target does not hear of it, and then the leader serves as before', async () => {
    const simulation = await elected({ consensus: overheard((_, { type }) => type !== 'timeoutNow') });
    const leader = simulation.leader()!;
    const [target, third] = others(simulation);
    const { epoch } = simulation.replica(leader).status();
    const begun = simulation.now;
    const written = simulation.replica(third).submit({ op: 'put', key: 'k', value: 1 });
    for (const through of [third, leader]) {
      const error = await thrown(() => transfer(simulation, through, target), 'ERR_TRANSFER_FAILED');
      expect(error.message).to.equal(
        `the leadership stays where it is: ${target} did not take over within an election time-out`,
      );
    }
    expect(simulation.now - begun).to.be.within(600, 900);
    await simulation.settle(written);
    await put(simulation, third, 'k', 2);
    expect(simulation.replica(leader).status()).to.include({ role: 'leader', epoch });
    simulation.check();
  });

  it('are refused for a target that is cut off or down', async () => {
    const simulation = await elected();
    const [target, third] = others(simulation);
    simulation.crash(target);
    await simulation.run(3000);
    const error = await thrown(() => transfer(simulation, third, target), 'ERR_TRANSFER_FAILED');
    expect(error.message).to.contain(`the leader has no link to ${target}`);
    await put(simulation, third, 'k', 1);
  });

  it('are refused for a target that is far behind', async () => {
    // Its disk stands still, and so it lacks more than fits the way to it.
    const simulation = await elected({ consensus: raft({ maxMessageBytes: 2048, maxInflightBytes: 4096 }) });
    const [target, third] = others(simulation);
    simulation.disk(target).stall(4000);
    for (let n = 0; n < 8; n++) await put(simulation, third, `k${n}`, new Uint8Array(1000));
    const error = await thrown(() => transfer(simulation, third, target), 'ERR_TRANSFER_FAILED');
    expect(error.message).to.contain(`${target} has not caught up`);
    simulation.check();
  });

  it('are asked for again when the request is lost with its link', async () => {
    const simulation = await elected();
    const leader = simulation.leader()!;
    const [target, third] = others(simulation);
    simulation.network.reset(third, leader);
    const call = simulation.replica(third).transferLeadership(target, { timeout: 20_000 });
    simulation.network.reset(third, leader);
    await simulation.settle(call);
    expect(simulation.leader()).to.equal(target);
  });

  it('wait for a leader, and time out without one', async () => {
    const simulation = await elected();
    const [one, other] = others(simulation);
    simulation.crash(simulation.leader()!);
    const waits = simulation.replica(one).transferLeadership(other, { timeout: 20_000 });
    await simulation.settle(waits);
    expect(simulation.leader()).to.equal(other);
    simulation.crash(one);
    await simulation.run(3000);
    const error = await thrown(() => transfer(simulation, other, one, 500), 'ERR_TIMEOUT');
    expect(error.message).to.contain(`${one} does not lead after 500 ms`);
  });

  it('end with their signal', async () => {
    const simulation = await elected({ consensus: overheard((_, { type }) => type !== 'timeoutNow') });
    const [target, third] = others(simulation);
    const abort = new AbortController();
    const call = simulation.replica(third).transferLeadership(target, { signal: abort.signal });
    simulation.after(50, () => abort.abort());
    const error = await thrown(() => simulation.settle(call), 'ERR_ABORTED');
    expect(error.name).to.equal('AbortError');
    const { signal } = abort;
    await thrown(() => simulation.replica(third).transferLeadership(target, { signal }), 'ERR_ABORTED');
  });

  it('refuse a target that is no voter, or that leads and is asked', async () => {
    const simulation = await elected();
    const leader = simulation.leader()!;
    for (const to of ['z', '', 7 as unknown as string]) {
      const error = await thrown(() => simulation.replica('a').transferLeadership(to), 'ERR_CONFIG');
      expect(error.message).to.match(/^to must be a voter of the group: a, b, c, got /);
    }
    const error = await thrown(() => simulation.replica(leader).transferLeadership(leader), 'ERR_CONFIG');
    expect(error.message).to.contain('this one leads already');
    for (const timeout of [0, 1.5, 2 ** 31])
      await thrown(() => simulation.replica('a').transferLeadership('b', { timeout }), 'ERR_CONFIG');
  });

  it('cannot be where nobody else votes', async () => {
    const simulation = await elected({ nodes: ['only'] });
    const error = await thrown(() => transfer(simulation, 'only'), 'ERR_TRANSFER_FAILED');
    expect(error.message).to.contain('there is no other voter on record');
  });

  it('may wait in large numbers, but not without end', async () => {
    const simulation = await elected({ consensus: overheard((_, { type }) => type !== 'timeoutNow') });
    const [target, third] = others(simulation);
    const call = (): Promise<void> => simulation.replica(third).transferLeadership(target);
    const calls = Array.from({ length: 64 }, () =>
      call().catch((error: unknown) => (error as { code: string }).code),
    );
    await thrown(call, 'ERR_OVERLOADED');
    expect(new Set(await simulation.settle(Promise.all(calls)))).to.deep.equal(
      new Set(['ERR_TRANSFER_FAILED']),
    );
    await put(simulation, third, 'k', 1);
  });

  it('come first when the leader closes, and the group goes on without a time-out', async () => {
    const simulation = await elected();
    const leader = simulation.leader()!;
    const [one, other] = others(simulation);
    await put(simulation, one, 'k', 1);
    const begun = simulation.now;
    await simulation.settle(simulation.replica(leader).close());
    const next = await untilLed(simulation, [one, other]);
    await put(simulation, one, 'k', 2);
    expect(simulation.now - begun, 'the election time-out is 300 ms').to.be.below(150);
    expect(simulation.replica(next).status().role).to.equal('leader');
  });

  it('do not come first when closing is told not to, or nobody could take over', async () => {
    const handed = await elected();
    const leader = handed.leader()!;
    const { epoch } = handed.replica(leader).status();
    const begun = handed.now;
    await handed.settle(handed.replica(leader).close({ handOver: false }));
    expect(handed.now - begun).to.be.below(50);
    for (const id of three) expect(handed.replica(id).status().epoch).to.equal(epoch);

    const alone = await elected();
    for (const id of others(alone)) alone.crash(id);
    await alone.run(150);
    const at = alone.now;
    await alone.settle(alone.replica(alone.leader()!).close());
    expect(alone.now - at).to.be.below(310);
  });

  it('hold a closing leader no longer than an election time-out', async () => {
    const simulation = await elected({ consensus: overheard((_, { type }) => type !== 'timeoutNow') });
    const begun = simulation.now;
    await simulation.settle(simulation.replica(simulation.leader()!).close());
    expect(simulation.now - begun).to.be.within(290, 350);
  });
});
