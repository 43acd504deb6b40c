/** Resources of the user's own, when the process that drives the transaction loses power: another member tells them the outcome. */
import { expect } from 'chai';
import { transact, transactionsOf, type TransactionResource } from '../../../lib/index.js';
import { isMarked } from '../../../lib/transactions/commands.js';
import { bank, World } from './world.js';

interface Payload {
  readonly cents: number;
}

/** A provider outside of all nodes: it remembers by id, and takes calls again and again. */
class Provider {
  readonly calls: string[] = [];
  readonly state = new Map<string, 'prepared' | 'committed' | 'aborted'>();
  /** Called within each call. */
  onCall: (call: string, node: string) => void = () => undefined;
  /** So many calls of commit and abort fail. */
  failures = 0;

  at(node: string): TransactionResource<Payload> {
    const called = (call: string): void => {
      this.calls.push(`${call} ${node}`);
      this.onCall(call, node);
    };
    const end = (id: string, state: 'committed' | 'aborted'): void => {
      if (this.failures-- > 0) throw new Error('out of order');
      const before = this.state.get(id);
      if (before !== undefined && before !== 'prepared' && before !== state)
        throw new Error(`${id} was ${before}, and is to be ${state}`);
      this.state.set(id, state);
    };
    return {
      prepare: (id, { cents }) => {
        called(`prepare ${cents}`);
        if (this.state.get(id) === 'aborted') return false;
        this.state.set(id, 'prepared');
        return true;
      },
      commit: (id, { cents }) => {
        called(`commit ${cents}`);
        end(id, 'committed');
      },
      abort: (id, { cents }) => {
        called(`abort ${cents}`);
        end(id, 'aborted');
      },
    };
  }
}

describe('a resource of the user', function () {
  this.timeout(120_000);
  const cases = [
    { name: 'before it has prepared', at: 'registered', outcome: 'aborted' },
    { name: 'while it prepares', at: 'prepare', outcome: 'aborted' },
    { name: 'when the decision is in the log', at: 'decided', outcome: 'committed' },
    { name: 'while it commits', at: 'commit', outcome: 'committed' },
  ] as const;
  for (const [n, { name, at, outcome }] of cases.entries())
    it(`is told the outcome by others when the driver dies ${name}`, async () => {
      const provider = new Provider();
      const driver = 'a';
      const spring = (what: string): void => {
        if (sprung || what !== at) return;
        sprung = true;
        world.crash(driver);
        world.simulation.after(20_000, () => world.restart(driver));
      };
      let sprung = false;
      const world = new World({
        seed: 10 + n,
        layout: { home: ['a', 'b', 'c'] },
        machine: (node) => {
          const machine = bank({ resources: { psp: provider.at(node) } });
          const apply = machine.apply.bind(machine);
          machine.apply = (command, context): never => {
            const result = apply(command, context) as never;
            const op = isMarked(command) ? command[1] : '';
            if (world.leader('home') === node)
              spring(op === 'register' ? 'registered' : op === 'decide' ? 'decided' : '');
            return result;
          };
          return machine;
        },
      });
      provider.onCall = (call) => spring(call.split(' ')[0]!);
      const { simulation } = world;
      await world.ready();
      provider.failures = 2;
      transact(
        { home: world.replica(driver, 'home')! },
        async ({ home }, { enlist }) => {
          enlist('psp', { cents: 7 });
          await home.submit({ op: 'put', key: 'paid', value: { balance: 7, version: 1, by: 'me' } });
        },
        { timeout: 1500 },
      ).catch(() => undefined);
      const over = (): boolean =>
        sprung &&
        ['b', 'c'].every((node) => world.replica(node, 'home')?.peek({ op: 'list' }) !== undefined) &&
        [...provider.state.values()].includes(outcome);
      expect(await simulation.runUntil(over, 15_000), provider.calls.join(', ')).to.equal(true);
      await simulation.run(8000);
      expect([...provider.state.values()]).to.deep.equal([outcome]);
      const wrong = outcome === 'committed' ? 'abort' : 'commit';
      expect(provider.calls.filter((call) => call.startsWith(wrong))).to.deep.equal([]);
      // It is not asked for ever.
      const before = provider.calls.length;
      await simulation.run(12_000);
      expect(provider.calls.length).to.equal(before);
      for (const node of ['a', 'b', 'c']) {
        const replica = world.replica(node, 'home')!;
        await simulation.settle(replica.ready());
        expect(replica.peek({ op: 'get', key: 'paid' })?.balance).to.equal(
          outcome === 'committed' ? 7 : undefined,
        );
      }
      expect(world.settled).to.equal(true);
      simulation.check();
    });

  it('that no living member has is listed as missing, with its transaction, until one that has it comes', async () => {
    const provider = new Provider();
    let owner = 'a';
    const world = new World({
      seed: 30,
      layout: { home: ['a', 'b', 'c'] },
      machine: (node) => (node === owner ? bank({ resources: { psp: provider.at(node) } }) : bank()),
    });
    const { simulation } = world;
    await world.ready();
    let listed = false;
    provider.onCall = () => {
      listed = true;
      world.crash('a');
    };
    transact({ home: world.replica('a', 'home')! }, (_, { enlist }) => enlist('psp', { cents: 3 }), {
      timeout: 1500,
    }).catch(() => undefined);
    expect(await simulation.runUntil(() => listed, 3000)).to.equal(true);
    await simulation.run(8000);
    for (const node of ['b', 'c']) {
      const [open, ...rest] = transactionsOf(world.replica(node, 'home')!).unfinished();
      expect(rest).to.deep.equal([]);
      expect(open).to.deep.include({ state: 'abort', resources: ['psp'], missing: ['psp'] });
    }
    // Not the node itself, but another one that got the resource.
    owner = 'b';
    world.restart('b');
    const told = (): boolean => [...provider.state.values()].includes('aborted');
    expect(await simulation.runUntil(told, 20_000)).to.equal(true);
    await simulation.run(8000);
    expect(transactionsOf(world.replica('c', 'home')!).unfinished()).to.deep.equal([]);
    simulation.check();
  });
});
