/** A commit whose answer does not come: the driver says that it does not know, touches nothing any more, and learns it by its request id. */
import { expect } from 'chai';
import { QuorateError } from '../../../lib/errors.js';
import { transact, type Replica } from '../../../lib/index.js';
import { bank, World, type Account, type Bank } from './world.js';

describe('a commit without an answer', () => {
  it('is ambiguous, is carried out by others, and has the same outcome under its request id', async () => {
    const world = new World({
      seed: 5,
      layout: { home: ['a', 'b', 'c'], other: ['a', 'b', 'c'] },
      machine: () => bank(),
    });
    const { simulation } = world;
    await world.ready();
    const parties = (): { home: Replica<Bank>; other: Replica<Bank> } => ({
      home: world.replica('a', 'home')!,
      other: world.replica('a', 'other')!,
    });
    const value: Account = { balance: 1, version: 1, by: 'me' };
    let runs = 0;
    let decideSent = false;
    const { home, other } = parties();
    const submit = home.submit.bind(home);
    // The command gets to the log, its answer never to the driver.
    Object.assign(home, {
      submit: (command: readonly unknown[], options: never) => {
        const sent = submit(command as never, options);
        if (command[1] !== 'decide' || decideSent) return sent;
        decideSent = true;
        sent.catch(() => undefined);
        return new Promise((_, reject) => {
          simulation.after(1, () =>
            reject(new QuorateError('ERR_TIMEOUT', 'no answer', { fate: 'ambiguous' })),
          );
        });
      },
    });
    const pay = (timeout: number) =>
      transact(
        { home, other },
        async (groups) => {
          runs++;
          await groups.home.submit({ op: 'put', key: 'k', value });
          await groups.other.submit({ op: 'put', key: 'k', value });
          return { runs };
        },
        { requestId: 'once', timeout },
      );
    const error = await simulation.settle(
      pay(1000).then(
        () => undefined,
        (caught: unknown) => caught,
      ),
    );
    expect(error).to.include({ code: 'ERR_TIMEOUT', fate: 'ambiguous', requestId: 'once' });
    expect(decideSent).to.equal(true);
    expect(
      await simulation.runUntil(
        () => world.settled && home.peek({ op: 'get', key: 'k' }) !== undefined,
        15_000,
      ),
    ).to.equal(true);
    for (const replica of [home, other])
      expect(await simulation.settle(replica.query({ op: 'get', key: 'k' }))).to.deep.equal(value);
    expect(await simulation.settle(pay(5000))).to.deep.equal({ runs: 1 });
    expect(runs).to.equal(1);
    simulation.check();
  });
});
