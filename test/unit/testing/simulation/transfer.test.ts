/** Leadership transfers of whole nodes in virtual time, with something going wrong at each step. */
import { expect } from 'chai';
import type { Consensus, MessageBase, NodeId } from '../../../../lib/consensus/consensus.js';
import { checkLinearizable, keyValueModel } from '../../../../lib/testing/index.js';
import { brokenRaft, elected, get, put, three, thrown, untilEqual, untilLed } from './support.js';
import type { KeyValueSimulation } from './support.js';

/** Cores that tell of each message before they take it; `false` loses it. */
function overheard(hear: (self: NodeId, message: MessageBase) => boolean | undefined) {
  return brokenRaft((core, { self }): Partial<Consensus> => ({
    receive: (now, from, message) => hear(self, message) === false || core.receive(now, from, message),
  }));
}

const others = (simulation: KeyValueSimulation): [string, string] =>
  simulation.nodes.filter((id) => id !== simulation.leader()) as [string, string];

function transfer(simulation: KeyValueSimulation, through: string, to?: string, timeout = 10_000) {
  return simulation.settle(simulation.replica(through).transferLeadership(to, { timeout }));
}

describe('simulation: transfers of the leadership', () => {
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

  it('hold a closing leader no longer than an election time-out', async () => {
    const simulation = await elected({ consensus: overheard((_, { type }) => type !== 'timeoutNow') });
    const begun = simulation.now;
    await simulation.settle(simulation.replica(simulation.leader()!).close());
    expect(simulation.now - begun).to.be.within(290, 350);
  });
});
