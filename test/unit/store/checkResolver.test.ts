/** The check of functions that resolve conflicts finds each law that is broken, and passes what obeys all. */
import { expect } from 'chai';
import { QuorateError } from '../../../lib/errors.js';
import {
  checkResolver,
  type CheckResolverOptions,
  type ResolverFinding,
} from '../../../lib/testing/checkResolver.js';
import { pnCounter, type CounterState } from '../../../lib/store/crdt/counter.js';
import { VectorClock } from '../../../lib/store/causality/vectorClock.js';

const small = (random: () => number): number => Math.floor(random() * 5);
const list = (random: () => number): number[] => [1, 2, 3].filter(() => random() < 0.5);

function findingOf<V>(options: CheckResolverOptions<V>): ResolverFinding<V> {
  try {
    checkResolver(options);
  } catch (error) {
    if (!(error instanceof QuorateError) || error.code !== 'ERR_INVARIANT') throw error;
    return error.data as ResolverFinding<V>;
  }
  throw new Error('it found nothing');
}

describe('checkResolver', () => {
  it('passes functions that obey the laws', () => {
    checkResolver<number>({ merge: (a, b) => Math.max(a, b), generate: small });
    checkResolver<number[]>({
      merge: (a, b) => [...new Set([...a, ...b])].sort(),
      generate: list,
      runs: 200,
    });
    checkResolver<number[]>({ resolve: (all) => [...new Set(all.flat())].sort(), generate: list, runs: 200 });
    checkResolver<string>({
      merge: (a, b) => (a.toLowerCase() < b.toLowerCase() ? b : a),
      generate: (random) => (random() < 0.5 ? 'x' : 'X'),
      equal: (a, b) => a.toLowerCase() === b.toLowerCase(),
    });
  });

  it('passes the merge of a replicated data type', () => {
    const type = pnCounter();
    // One life of three writers: how far each got, and how far each state has heard of it.
    const counts = ['a~0000000000000001', 'b~0000000000000002', 'c~0000000000000003'];
    checkResolver<CounterState>({
      merge: (a, b) => type.merge(a, b),
      generate: (random) =>
        counts.reduce((state, actor) => {
          const heard = Math.floor(random() * 3);
          for (let n = 1; n <= heard; n++) {
            const context = {
              dot: { actor, counter: n },
              seen: VectorClock.of([[actor, n - 1]]),
              stamp: { wall: n, counter: 0 },
            };
            state = type.apply(state, { op: 'add', by: n }, context);
          }
          return state;
        }, type.initial()),
      runs: 200,
    });
  });

  it('finds what is not commutative, associative, idempotent or pure', () => {
    expect(findingOf<number>({ merge: (a) => a, generate: small }).law).to.equal('commutative');
    expect(
      findingOf<number>({ merge: (a, b) => a + b, generate: (random) => 1 + small(random) }).law,
    ).to.equal('idempotent');
    const finding = findingOf<number>({ merge: (a, b) => (a === b ? a : Math.abs(a - b)), generate: small });
    expect(finding.law).to.be.oneOf(['associative', 'idempotent']);
    expect(finding.results[0]).to.not.deep.equal(finding.results[1]);
    // Rock, paper, scissors: the winner of two is clear, that of three is not.
    expect(
      findingOf<number>({
        merge: (a, b) => ((a - b + 3) % 3 === 1 ? a : b),
        generate: (r) => Math.floor(r() * 3),
      }).law,
    ).to.equal('associative');
    let calls = 0;
    expect(findingOf<number>({ merge: () => ++calls, generate: small }).law).to.equal('pure');
    const mutating = findingOf<number[]>({
      merge: (a, b) => (a.push(0), a.length > b.length ? a : b),
      generate: list,
    });
    expect(mutating.law).to.equal('pure');
  });

  it('finds what shows with three values alone', () => {
    const middle = (all: readonly number[]): number =>
      all.slice().sort((a, b) => a - b)[Math.floor(all.length / 2)]!;
    expect(findingOf<number>({ resolve: middle, generate: small }).law).to.be.oneOf([
      'associative',
      'idempotent',
    ]);
    const firstOfThree = (all: readonly number[]): number => (all.length > 2 ? all[0]! : Math.max(...all));
    expect(findingOf<number>({ resolve: firstOfThree, generate: small }).law).to.equal('commutative');
  });

  it('finds the same again by the same seed, and says what it found', () => {
    const options = { merge: (a: number) => a, generate: small, seed: 7 };
    expect(findingOf(options)).to.deep.equal(findingOf(options));
    expect(() => checkResolver(options)).to.throw(/not commutative: \d and \d gave \d and \d/);
  });

  it('refuses options that make no sense', () => {
    const bad: unknown[] = [
      { generate: small },
      { merge: Math.max, resolve: Math.max, generate: small },
      { merge: 5, generate: small },
      { merge: Math.max },
      { merge: Math.max, generate: small, runs: 0 },
      { merge: Math.max, generate: small, seed: -1 },
    ];
    for (const options of bad)
      expect(() => checkResolver(options as never), JSON.stringify(options))
        .to.throw(QuorateError)
        .with.property('code', 'ERR_CONFIG');
  });
});
