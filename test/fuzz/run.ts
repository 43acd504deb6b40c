/** Runs a surface over many inputs, and tells what came of it. */
import { QuorateError } from '../../lib/errors.js';
import { mutate } from './mutate.js';
import { Random } from './random.js';
import { Broken, must, TAKEN, type Surface, type Trial, type Verdict } from './surface.js';

/** Heap and buffers above what there was at the beginning. */
const MAX_GROWTH = 512 * 1024 * 1024;
const LOOK_EVERY = 1024;

/** What came of a run. */
export interface Summary {
  readonly surface: string;
  readonly seed: number;
  readonly inputs: number;
  readonly seconds: number;
  readonly codes: ReadonlyMap<string, number>;
  readonly slowestMs: number;
  readonly slowestInput: number;
  readonly heapBefore: number;
  readonly heapAfter: number;
  readonly heapMost: number;
  readonly heldMost: number;
}

/** An input that did what none may. */
export class Found extends Error {
  readonly position: number;
  readonly input: Uint8Array;

  constructor(surface: string, seed: number, position: number, input: Uint8Array, cause: unknown) {
    const why = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
    super(`${surface}, seed ${seed}, input ${position} (${input.length} bytes): ${why}`, { cause });
    this.position = position;
    this.input = input;
  }
}

export interface RunOptions {
  readonly seed: number;
  readonly count: number;
  /** The first input: those before it in the same life are run too. */
  readonly from?: number;
  readonly onProgress?: (inputs: number) => void;
}

/** Bytes of the heap and of buffers, after collecting what is garbage where the process lets us. */
function memory(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function collected(): number {
  (globalThis as { gc?: () => void }).gc?.();
  return memory();
}

/** The input at a position, and whether it is valid as it is. */
export function inputAt(surface: Surface, random: Random): { input: Uint8Array; valid: boolean } {
  if (random.chance(0.08)) return { input: random.pick(surface.corpus), valid: true };
  return { input: mutate(random, surface.corpus, surface.words ?? []), valid: false };
}

/** Runs inputs until one does what none may: throws {@link Found} then. */
export async function run(surface: Surface, options: RunOptions): Promise<Summary> {
  const { seed, count, onProgress } = options;
  const random = new Random();
  const codes = new Map<string, number>();
  const first = Math.floor((options.from ?? 0) / surface.life) * surface.life;
  const heapBefore = collected();
  const began = process.hrtime.bigint();
  let heapMost = heapBefore;
  let heldMost = 0;
  let slowestMs = 0;
  let slowestInput = 0;
  let trial: Trial | undefined;
  const tally = (code: string, by = 1): void => void codes.set(code, (codes.get(code) ?? 0) + by);
  const settle = async (): Promise<void> => {
    for (const code of (await trial?.settle?.()) ?? []) {
      must(/^ERR_[A-Z_]+$/.test(code), `a refusal without a code: ${code}`);
      tally(code);
      tally(TAKEN, -1);
    }
  };
  for (let i = first; i < count; i++) {
    if (trial === undefined || i % surface.life === 0) {
      await settle();
      trial = await surface.begin(random.at(seed ^ 0x5eed, i));
    }
    const { input, valid } = inputAt(surface, random.at(seed, i));
    const kept = Uint8Array.from(input);
    const at = performance.now();
    try {
      const taken = judge(surface, trial, input, valid);
      tally(typeof taken === 'string' ? taken : await taken);
      if (i % 256 === 255) await settle();
      if (i % LOOK_EVERY === 0) {
        const now = memory();
        if (now > heapMost) heapMost = now;
        must(
          now - heapBefore < MAX_GROWTH || collected() - heapBefore < MAX_GROWTH,
          'memory grows without a bound',
        );
        heldMost = Math.max(heldMost, trial.held?.() ?? 0);
        onProgress?.(i);
      }
    } catch (error) {
      throw new Found(surface.name, seed, i, kept, error);
    }
    const took = performance.now() - at;
    if (took > slowestMs) {
      slowestMs = took;
      slowestInput = i;
    }
  }
  await settle();
  await trial?.dispose?.();
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  return {
    surface: surface.name,
    seed,
    inputs: count - first,
    seconds,
    codes,
    slowestMs,
    slowestInput,
    heapBefore,
    heapAfter: collected(),
    heapMost,
    heldMost,
  };
}

function judge(
  surface: Surface,
  trial: Trial,
  input: Uint8Array,
  valid: boolean,
): Verdict | Promise<Verdict> {
  const judged = (verdict: Verdict): Verdict => {
    must(verdict !== 'ERR_INTERNAL', 'an internal error');
    must(verdict === TAKEN || /^ERR_[A-Z_]+$/.test(verdict), `a refusal without a code: ${verdict}`);
    must(!surface.strict || !valid || verdict === TAKEN, `what is valid was refused with ${verdict}`);
    return verdict;
  };
  let taken: Verdict | Promise<Verdict>;
  try {
    taken = trial.take(input, valid);
  } catch (error) {
    return judged(codeOf(error));
  }
  return typeof taken === 'string' ? judged(taken) : taken.catch(codeOf).then(judged);
}

/** The code of a refusal; throws what is none. */
function codeOf(error: unknown): string {
  if (error instanceof Broken || !(error instanceof QuorateError)) throw error;
  return error.code;
}
