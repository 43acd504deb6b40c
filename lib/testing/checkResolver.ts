/** Tries the laws that a function has to obey for replicas to converge. */
import { isDeepStrictEqual } from 'node:util';
import { checkNumber, configError, QuorateError } from '../errors.js';
import { cbor } from '../replica/codec.js';
import { Random } from './simulation/random.js';

/** What {@link checkResolver} is given: a function to check, and values to check it with. */
export interface CheckResolverOptions<V> {
  /** What `custom()` takes, or the `merge` of a replicated data type: one value of two. Either this or `resolve`. */
  readonly merge?: ((a: V, b: V) => V) | undefined;
  /** What `siblings()` takes: one value of several. */
  readonly resolve?: ((values: readonly V[]) => V) | undefined;
  /**
   * Makes a value as the store may hold it. All chance has to come from `random`, which gives numbers in [0, 1). Make small values
   * that often have something in common: those show most.
   */
  readonly generate: (random: () => number) => V;
  /**
   * Whether two values are the same.
   *
   * @defaultValue `isDeepStrictEqual` of node:util
   */
  readonly equal?: ((a: V, b: V) => boolean) | undefined;
  /**
   * How many triples of values, from 1 to 1,000,000.
   *
   * @defaultValue 1000
   */
  readonly runs?: number | undefined;
  /**
   * Decides the values: an integer from 0 to 2^32 - 1.
   *
   * @defaultValue 1
   */
  readonly seed?: number | undefined;
}

/** The `data` of what {@link checkResolver} throws. */
export interface ResolverFinding<V> {
  readonly law: 'commutative' | 'associative' | 'idempotent' | 'pure';
  /** What it was called with. */
  readonly values: readonly V[];
  /** What it gave, each of the two ways; what should have been equal. */
  readonly results: readonly unknown[];
}

/**
 * Tries with random values whether a function that resolves conflicts is commutative, associative, idempotent and pure: without that,
 * replicas that meet in another order read other values. For a function of many values (`resolve`) that means: neither their order, nor
 * that one is there twice, nor that some were resolved before makes a difference.
 *
 * @throws QuorateError `ERR_INVARIANT` for the first law that is broken, with a {@link ResolverFinding} in `data`; `ERR_CONFIG` for
 * options out of range.
 *
 * @example
 * ```ts
 * checkResolver<number[]>({
 *   merge: (a, b) => [...new Set([...a, ...b])].sort(),
 *   generate: (random) => [...new Set([1, 2, 3].filter(() => random() < 0.5))],
 * });
 * ```
 */
export function checkResolver<V>(options: CheckResolverOptions<V>): void {
  const { merge, resolve, generate, equal = isDeepStrictEqual, runs = 1000, seed = 1 } = options;
  if ((merge === undefined) === (resolve === undefined))
    throw configError('merge', merge, 'a function, unless there is `resolve`; one of them');
  for (const [name, value] of Object.entries({ merge: merge ?? resolve, generate, equal }))
    if (typeof value !== 'function') throw configError(name, value, 'a function');
  checkNumber('runs', runs, 1, 1_000_000);
  checkNumber('seed', seed, 0, 2 ** 32 - 1);
  const of = guard(resolve ?? ((values) => values.reduce((a, b) => merge!(a, b))), equal);
  const random = new Random(`resolver ${seed}`);
  const next = (): number => random.next();
  const same = (law: ResolverFinding<V>['law'], values: readonly V[], left: V, right: V): void => {
    if (!equal(left, right)) throw broken({ law, values, results: [left, right] });
  };
  for (let run = 0; run < runs; run++) {
    const [a, b, c] = [generate(next), generate(next), generate(next)];
    const ab = of([a, b]);
    same('commutative', [a, b], ab, of([b, a]));
    same('idempotent', [a], a, of([a, a]));
    same('idempotent', [a, b], ab, of([ab, b]));
    same('associative', [a, b, c], of([ab, c]), of([a, of([b, c])]));
    if (!resolve) continue;
    const all = of([a, b, c]);
    same('commutative', [a, b, c], all, of([c, a, b]));
    same('associative', [a, b, c], all, of([ab, c]));
    same('idempotent', [a, b, c], all, of([a, b, b, c]));
  }
}

/** Calls it twice: it must give the same, and leave what it is given as it was. */
function guard<V>(
  of: (values: readonly V[]) => V,
  equal: (a: V, b: V) => boolean,
): (values: readonly V[]) => V {
  const codec = cbor();
  return (values) => {
    const before = codec.encode(values);
    const first = of(values);
    const kept = codec.encode(first);
    const second = of(values);
    if (!equal(first, second)) throw broken({ law: 'pure', values, results: [first, second] });
    if (Buffer.compare(before, codec.encode(values)) !== 0)
      throw broken({ law: 'pure', values: codec.decode(before) as V[], results: [...values] });
    return codec.decode(kept) as V;
  };
}

function broken<V>(finding: ResolverFinding<V>): QuorateError {
  const { law, values, results } = finding;
  const show = (list: readonly unknown[]): string => list.map(shown).join(' and ');
  const message = `the function is not ${law}: ${show(values)} gave ${show(results)}`;
  return new QuorateError('ERR_INVARIANT', message, { data: finding });
}

function shown(value: unknown): string {
  const text = JSON.stringify(value, (_, part: unknown) =>
    part instanceof Map || part instanceof Set ? [...part] : typeof part === 'bigint' ? `${part}n` : part,
  ) as string | undefined;
  return text === undefined ? String(value) : text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
