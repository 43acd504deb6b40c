/** A commit whose answer does not come: the driver says that it does not know, touches nothing any more, and learns it by its request id. */
import { expect } from 'chai';
import { QuorateError } from '../../../lib/errors.js';
import { transact, transactionsOf, type Replica } from '../../../lib/index.js';
import { marked } from '../../../lib/transactions/commands.js';
import { bank, World, type Account, type Bank } from './world.js';

describe('a commit without an answer', function () {
  this.timeout(120_000);
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

describe('a group that has voted', function () {
  this.timeout(120_000);
  it('asks a home that never heard of the transaction, which from then on is aborted', async () => {
    const layout = { home: ['a', 'b', 'c'], other: ['a', 'b', 'c'], nobody: ['d'] };
    const world = new World({ seed: 6, layout, machine: () => bank() });
    const { simulation } = world;
    await world.ready();
    const [home, other] = [await world.party('d', 'home'), await world.party('d', 'other')];
    const submit = home.submit.bind(home);
    Object.assign(home, {
      submit: (command: readonly unknown[], options: never) =>
        command[1] === 'register' ? new Promise(() => undefined) : submit(command as never, options),
    });
    transact(
      { home, other },
      async (groups) => {
        await groups.other.submit({ op: 'put', key: 'k', value: { balance: 1, version: 1, by: 'me' } });
        await groups.home.submit({ op: 'put', key: 'k', value: { balance: 1, version: 1, by: 'me' } });
      },
      { timeout: 1000 },
    ).catch(() => undefined);
    const inDoubt = (): boolean =>
      ['a', 'b', 'c'].every((node) => transactionsOf(world.replica(node, 'other')!).inDoubt().length === 1);
    expect(await simulation.runUntil(inDoubt, 5000)).to.equal(true);
    world.crash('d');
    const events: string[] = [];
    for (const node of ['a', 'b', 'c'])
      transactionsOf(world.replica(node, 'other')!).on('recovered', (_, outcome) => events.push(outcome));
    const { id } = transactionsOf(world.replica('a', 'other')!).inDoubt()[0]!;
    const over = (): boolean =>
      ['a', 'b', 'c'].every((node) => transactionsOf(world.replica(node, 'other')!).metrics().inDoubt === 0);
    // It has no reason to wait for the time-out: nobody can register it any more.
    expect(await simulation.runUntil(over, 900)).to.equal(true);
    await simulation.run(200);
    expect(events).to.include('abort');
    const late = marked('register', {
      ...{ id, at: 1_700_000_000_000 + simulation.now, leaseMs: 1000, groups: ['other'], resources: [] },
      ...{ request: undefined, steps: undefined },
    });
    const answer = await simulation.settle(world.replica('a', 'home')!.submit(late as never));
    expect(answer).to.deep.equal({ type: 'abort' });
    simulation.check();
  });
});
