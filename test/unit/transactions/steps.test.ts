/**
 * Who drives a transaction, who leads its home, who leads the other group, and several of them at once, lose power at each step of
 * the protocol: the outcome is the same everywhere, what the driver was told is true, and nobody stays in doubt.
 */
import { expect } from 'chai';
import { QuorateError } from '../../../lib/errors.js';
import { transact, transactionsOf } from '../../../lib/index.js';
import { isMarked, type Operation } from '../../../lib/transactions/commands.js';
import { bank, World, type Account, type Branch, type Layout } from './world.js';

const layout: Layout = { home: ['a', 'b', 'c'], other: ['b', 'c', 'd'] };
const DRIVER = 'e';

/** `sent`: as the driver is about to send it. `applied`: as the group's leader has applied it, before anybody hears of it. */
interface Moment {
  readonly when: 'sent' | 'applied';
  readonly op: Operation;
  readonly group: string;
}

const moments: readonly Moment[] = (['sent', 'applied'] as const).flatMap((when) =>
  (
    [
      ['step', 'home'],
      ['step', 'other'],
      ['register', 'home'],
      ['prepare', 'other'],
      ['decide', 'home'],
      ['finish', 'other'],
      ['end', 'home'],
    ] as const
  ).map(([op, group]) => ({ when, op, group })),
);

type Victim = 'driver' | 'home' | 'other';
const victims: readonly (readonly Victim[])[] = [
  ['driver'],
  ['home'],
  ['other'],
  ['driver', 'home'],
  ['driver', 'other'],
  ['home', 'other'],
  ['driver', 'home', 'other'],
];

class Stage {
  readonly world: World;
  /** What happens next, once. */
  trap: { readonly moment: Moment; readonly spring: () => void } | undefined;

  constructor(seed: number) {
    this.world = new World({
      seed,
      layout: { ...layout, [`nobody`]: [DRIVER] },
      machine: (node, group) => {
        const machine = bank();
        const apply = machine.apply.bind(machine);
        machine.apply = (command, context): never => {
          const result = apply(command, context) as never;
          if (this.world.leader(group) === node) this.#at('applied', group, command);
          return result;
        };
        return machine;
      },
    });
  }

  async party(group: string): Promise<Branch> {
    const party = await this.world.party(DRIVER, group);
    const submit = party.submit.bind(party);
    Object.assign(party, {
      submit: (command: never, options: never) => {
        this.#at('sent', group, command);
        return submit(command, options);
      },
    });
    return party;
  }

  #at(when: Moment['when'], group: string, command: unknown): void {
    const { trap } = this;
    if (trap === undefined || !isMarked(command)) return;
    const { moment } = trap;
    if (moment.when !== when || moment.group !== group || moment.op !== command[1]) return;
    this.trap = undefined;
    trap.spring();
  }
}

interface Told {
  outcome: 'committed' | 'refused' | 'unknown';
}

describe('a transaction whose nodes lose power', function () {
  this.timeout(240_000);

  const some = process.env['STEPS'] === 'all' ? victims : [victims[0]!, victims[5]!, victims[6]!];
  for (const [at, who] of some.entries())
    it(`has one outcome, whenever it happens to: ${who.join(', ')}`, async () => {
      const stage = new Stage(at + 1);
      const { world } = stage;
      const { simulation } = world;
      await world.ready();
      const outcomes = new Set<string>();
      for (const [n, moment] of moments.entries()) {
        const name = `${moment.when} ${moment.op} ${moment.group}`;
        const told: Told = { outcome: 'unknown' };
        let sprung = false;
        stage.trap = {
          moment,
          spring: () => {
            sprung = true;
            const nodes = who.map((each) => (each === 'driver' ? DRIVER : world.leader(each)));
            for (const node of new Set(nodes)) {
              if (node === undefined) continue;
              world.crash(node);
              simulation.after(400, () => world.restart(node));
            }
          },
        };
        const [home, other] = [await stage.party('home'), await stage.party('other')];
        const value: Account = { balance: n + 1, version: n + 1, by: name };
        transact(
          { home, other },
          async (groups) => {
            await groups.home.submit({ op: 'put', key: 'k', value });
            await groups.other.submit({ op: 'put', key: 'k', value });
          },
          { timeout: 1500 },
        ).then(
          () => (told.outcome = 'committed'),
          (error: unknown) => {
            const known = error instanceof QuorateError && error.fate === 'refused';
            told.outcome = known ? 'refused' : 'unknown';
          },
        );
        expect(await simulation.runUntil(() => sprung, 5000), name).to.equal(true);
        await simulation.run(600);
        const up = (): boolean => world.nodes.every((node) => world.isUp(node)) && world.settled;
        const seen = (): boolean => {
          if (!up() || (!who.includes('driver') && told.outcome === 'unknown')) return false;
          return [...layout['home']!].every((node) => world.replica(node, 'home')!.status().quorum);
        };
        // Time-out, longest pause between tries, an election.
        const settled = await simulation.runUntil(seen, 1500 + 6250 + 4000);
        simulation.check();
        expect(settled, `${name}: nobody is in doubt`).to.equal(true);
        const values = [];
        for (const [group, members] of Object.entries(layout))
          for (const node of members) {
            const replica = world.replica(node, group)!;
            await simulation.settle(replica.ready());
            values.push(replica.peek({ op: 'get', key: 'k' })?.balance ?? 0);
            expect(transactionsOf(replica).metrics().inDoubt, name).to.equal(0);
          }
        expect(new Set(values).size, `${name}: ${values.join(' ')}`).to.equal(1);
        const done = values[0] === n + 1;
        if (told.outcome === 'committed') expect(done, name).to.equal(true);
        if (told.outcome === 'refused') expect(done, name).to.equal(false);
        // Whoever drives dies before the decision is in the log: nothing happens; after: all of it.
        const decided = moments.findIndex(({ when, op }) => when === moment.when && op === 'decide');
        const later = n > decided || (n === decided && moment.when === 'applied');
        const sameWhen = moments[n]!.when === moments[decided]!.when;
        if (who.length === 1 && who[0] === 'driver' && sameWhen) expect(done, name).to.equal(later);
        outcomes.add(`${done}`);
      }
      // Groups that go on without a member bring a driver that lives to its end.
      expect([...outcomes].sort()).to.deep.equal(who.includes('driver') ? ['false', 'true'] : ['true']);
    });
});
