/** A place where bytes of others come in, as the fuzzer sees it. */
import type { Random } from './random.js';

/** What became of an input: taken, or the code it was refused with. A surface whose callers give the code says which. */
export type Verdict = string;

/** The input was taken. */
export const TAKEN = 'taken';

/** One life of whatever takes the inputs. */
export interface Trial {
  /**
   * Takes an input; `valid`: it came as it is out of the corpus. Throws a QuorateError, which counts as a refusal with its code,
   * or {@link Broken} where it finds that something must not be; whatever else it throws is a crash. A promise is waited for
   * before the next input comes.
   */
  take(input: Uint8Array, valid: boolean): Verdict | Promise<Verdict>;
  /** Waits for what was begun; answers with what inputs that seemed taken were refused with after all. */
  settle?(): Promise<readonly Verdict[]>;
  /** Releases what the surface holds: the run is over. */
  dispose?(): Promise<void>;
  /** Bytes that are held for the other side now, where there is a cap to compare them with. */
  held?(): number;
}

/** What to fuzz. */
export interface Surface {
  readonly name: string;
  readonly about: string;
  /** Valid inputs, recorded from those that make them. */
  readonly corpus: readonly Uint8Array[];
  /** Words of the format. */
  readonly words?: readonly Uint8Array[];
  /** Inputs that one trial takes: 1 where nothing is remembered. */
  readonly life: number;
  /** Whether each input of the corpus must be taken, whatever came before. */
  readonly strict: boolean;
  begin(random: Random): Trial | Promise<Trial>;
}

/** Something that must never be. */
export class Broken extends Error {}

export function must(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Broken(what);
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** A surface without memory, made of a function. */
export function stateless(
  name: string,
  about: string,
  corpus: readonly Uint8Array[],
  take: Trial['take'],
  words: readonly (string | Uint8Array)[] = [],
): Surface {
  const bytes = words.map((word) => (typeof word === 'string' ? Buffer.from(word) : word));
  return { name, about, corpus, words: bytes, life: 1_000_000_000, strict: true, begin: () => ({ take }) };
}
