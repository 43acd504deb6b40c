/** Dotted version vector sets: the vectors of the facts, and an oracle that keeps the whole causal history of every version. */
import { expect } from 'chai';
import fc from 'fast-check';
import { VectorClock } from '../../../../lib/store/causality/vectorClock.js';
import {
  contains,
  emptySet,
  join,
  keepNewest,
  put,
  triples,
  type Dotted,
  type VersionSet,
} from '../../../../lib/store/causality/versionSet.js';

interface Named extends Dotted {
  readonly name: string;
}
type Set_ = VersionSet<Named>;

const write = (set: Set_, seen: VectorClock, actor: string, name: string): Set_ =>
  put(set, seen, { dot: { actor, counter: Math.max(set.context.get(actor), seen.get(actor)) + 1 }, name });
const shown = (set: Set_): unknown =>
  triples(set).map(([actor, n, own]) => [actor, n, own.map(({ name }) => name)]);
const blind = VectorClock.empty;

describe('a dotted version vector set', () => {
  it('follows the vectors of the facts', () => {
    const two = write(write(emptySet(), blind, 'a', 'v1'), blind, 'a', 'v2');
    expect(shown(two)).to.deep.equal([['a', 2, ['v2', 'v1']]]);
    expect(shown(write(two, VectorClock.of({ a: 1 }), 'a', 'v3'))).to.deep.equal([['a', 3, ['v3', 'v2']]]);
    const replaced: Set_ = { context: VectorClock.of({ a: 1 }), versions: [] };
    expect(shown(join(replaced, two))).to.deep.equal([['a', 2, ['v2']]]);
    expect(shown(join(two, replaced))).to.deep.equal([['a', 2, ['v2']]]);
  });

  it('keeps two versions of two clients that write in turns through one server, not one for each write', () => {
    let set: Set_ = emptySet();
    const seen = [blind, blind];
    for (let i = 0; i < 100; i++) {
      set = write(set, seen[i % 2]!, 'a', `w${i}`);
      // With server-id version vectors each write would stay as a sibling: a context cannot tell which of them it has seen.
      seen[i % 2] = set.context;
      expect(set.versions.length).to.be.at.most(2);
    }
    expect(set.versions.length).to.equal(2);
  });

  it('refuses a dot that is not new', () => {
    const one = write(emptySet(), blind, 'a', 'v1');
    const again = { dot: { actor: 'a', counter: 1 }, name: 'v2' };
    expect(() => put(one, blind, again)).to.throw('not new');
    expect(() => put<Named>(emptySet(), VectorClock.of({ a: 3 }), again)).to.throw('not new');
  });

  it('agrees with causal histories, whoever writes and reads where, and however replicas meet', () => {
    const replicas = ['a', 'b', 'c'];
    const command = fc.oneof(
      fc.record({ op: fc.constant('put' as const), at: fc.nat(2), client: fc.nat(3), blind: fc.boolean() }),
      fc.record({ op: fc.constant('get' as const), at: fc.nat(2), client: fc.nat(3) }),
      fc.record({ op: fc.constant('sync' as const), at: fc.nat(2), from: fc.nat(2) }),
    );
    fc.assert(
      fc.property(fc.array(command, { maxLength: 60 }), (commands) => {
        const real: Set_[] = replicas.map(() => emptySet());
        /** The oracle: live writes by name, each with all writes it follows from, itself among them. */
        const model: Map<string, Set<string>>[] = replicas.map(() => new Map<string, Set<string>>());
        const seen = [0, 1, 2, 3].map(() => ({ clock: blind, history: new Set<string>() }));
        let count = 0;
        for (const command of commands) {
          const { at } = command;
          if (command.op === 'put') {
            const { clock, history } = command.blind
              ? { clock: blind, history: new Set<string>() }
              : seen[command.client]!;
            const name = `w${count++}`;
            real[at] = write(real[at]!, clock, replicas[at]!, name);
            for (const other of model[at]!.keys()) if (history.has(other)) model[at]!.delete(other);
            model[at]!.set(name, new Set([...history, name]));
          } else if (command.op === 'get') {
            const history = new Set([...model[at]!.values()].flatMap((one) => [...one]));
            seen[command.client] = { clock: real[at]!.context, history };
          } else {
            const [before, from] = [real[at]!, real[command.from]!];
            real[at] = join(before, from);
            expect(join(from, before)).to.deep.equal(real[at]);
            expect(join(real[at], from)).to.equal(real[at]);
            expect(contains(before, from)).to.equal(real[at] === before);
            const all = new Map([...model[at]!, ...model[command.from]!]);
            const replaced = (name: string): boolean =>
              [...all].some(([other, history]) => other !== name && history.has(name));
            model[at] = new Map([...all].filter(([name]) => !replaced(name)));
          }
          expect(new Set(real[at]!.versions.map(({ name }) => name))).to.deep.equal(
            new Set(model[at]!.keys()),
          );
        }
        const [x, y, z] = real as [Set_, Set_, Set_];
        expect(join(join(x, y), z)).to.deep.equal(join(x, join(y, z)));
      }),
      { numRuns: 300 },
    );
  });

  it('keeps the newest alone, and says which lost', () => {
    const set = write(write(write(emptySet(), blind, 'a', '2'), blind, 'b', '3'), blind, 'c', '1');
    const byName = (a: Named, b: Named): number => Number(a.name) - Number(b.name);
    const kept = keepNewest(set, byName);
    expect(kept.set.versions.map(({ name }) => name)).to.deep.equal(['3']);
    expect(kept.losers.map(({ name }) => name)).to.deep.equal(['2', '1']);
    expect(kept.set.context).to.equal(set.context);
    expect(keepNewest(kept.set, byName).set).to.equal(kept.set);
  });
});
