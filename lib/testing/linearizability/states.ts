/** The states that a search has met, as small numbers, and what each operation does to them. @internal */
import { configError, QuorateError } from '../../errors.js';
import { Canonical } from './canonical.js';
import type { Model, Operation, StepResult } from './model.js';

const FAILED = { ok: false } as const;
/** V8 gives up on Maps a little above 16 million entries. */
const MAX_CACHED_STEPS = 4_000_000;
const CHECK_ALWAYS = 256;
const CHECK_EVERY = 16;
/** How many steps are spent on finding out whether a model minds the order in Maps, Sets and objects. */
const ORDER_PROBES = 4096;
const PROBES_EACH = 32;

/** {@link States.step}: the operation does not fit. */
export const REFUSED = -1;

/**
 * Interns states by content, so that the search compares numbers, and calls the model once for every pair of
 * state and kind of operation (operations of equal input and output are of one kind).
 */
export class States<S, I, O> {
  /** Roughly, in bytes. */
  size = 0;
  /** True once two states that differ in order only were seen to behave differently: the search starts again. */
  orderMatters = false;
  /** The kind of each operation. */
  readonly kinds: Int32Array;

  readonly #model: Model<S, I, O>;
  readonly #ordered: boolean;
  readonly #canonical = new Canonical();
  readonly #values: S[] = [];
  readonly #keys: unknown[] = [];
  readonly #ids = new Map<unknown, number>();
  readonly #unordered = new Map<string, number>();
  readonly #examples: Operation<I, O>[] = [];
  readonly #steps = new Map<number, number>();
  #calls = 0;
  #probes = ORDER_PROBES;
  #nextProbe = 0;

  constructor(model: Model<S, I, O>, operations: readonly Operation<I, O>[], ordered: boolean) {
    this.#model = model;
    this.#ordered = ordered;
    const kinds = new Map<string, number>();
    this.kinds = Int32Array.from(operations, (operation) => {
      const text = this.#canonical.text(operation.input, true) + this.#canonical.text(operation.output, true);
      let kind = kinds.get(text);
      if (kind === undefined) {
        kinds.set(text, (kind = kinds.size));
        this.#examples.push(operation);
      }
      return kind;
    });
  }

  initial(): number {
    return this.#intern(this.#model.init());
  }

  value(id: number): S {
    return this.#values[id]!;
  }

  /** The state after an operation of that kind, or {@link REFUSED}. */
  step(state: number, kind: number): number {
    const pair = state * this.#examples.length + kind;
    let next = this.#steps.get(pair);
    if (next === undefined) {
      next = this.#call(state, kind);
      if (this.#steps.size >= MAX_CACHED_STEPS) {
        this.size -= this.#steps.size * 40;
        this.#steps.clear();
      }
      this.#steps.set(pair, next);
      this.size += 40;
    }
    return next;
  }

  #call(state: number, kind: number): number {
    const before = this.#values[state]!;
    const result = this.#ask(before, kind);
    if (isObject(before)) this.#checkUntouched(before, state);
    return result.ok ? this.#intern(result.state) : REFUSED;
  }

  #ask(state: S, kind: number): StepResult<S> | typeof FAILED {
    const { input, output } = this.#examples[kind]!;
    const result: unknown = this.#model.step(state, input, output);
    if (typeof result !== 'object' || result === null || !('ok' in result)) {
      throw configError('model.step(state, input, output)', result, 'an object { ok, state }');
    }
    // Whatever is truthy will do.
    return result.ok ? (result as StepResult<S>) : FAILED;
  }

  /** A model that changes states in place makes every verdict worthless, so it is worth looking for. */
  #checkUntouched(value: S, id: number): void {
    if (++this.#calls > CHECK_ALWAYS && this.#calls % CHECK_EVERY !== 0) return;
    if (!Object.is(this.#key(value), this.#keys[id])) {
      throw new QuorateError(
        'ERR_CONFIG',
        'model.step must return a new state and leave the one it is given as it is; it changed it in place',
      );
    }
  }

  #key(value: S): unknown {
    if (this.#model.key === undefined) return this.#canonical.text(value, true);
    const key: unknown = this.#model.key(value);
    if ((typeof key === 'object' && key !== null) || typeof key === 'function') {
      throw configError('model.key(state)', key, 'a primitive');
    }
    return key;
  }

  #intern(value: S): number {
    const key = this.#key(value);
    let id = this.#ids.get(key);
    if (id !== undefined) return id;
    // Texts that differ may still have the same content in another order.
    const loose =
      this.#model.key !== undefined || this.#ordered || !isObject(value)
        ? undefined
        : this.#canonical.text(value, false);
    if (loose !== undefined) id = this.#unordered.get(loose);
    if (id === undefined) {
      id = this.#values.length;
      this.#values.push(value);
      this.#keys.push(key);
      if (loose !== undefined) this.#unordered.set(loose, id);
    } else {
      this.#probe(this.#values[id]!, value);
    }
    this.#ids.set(key, id);
    // The value itself takes about as much as its text.
    this.size += 160 + 2 * textLength(key) + 2 * textLength(loose);
    return id;
  }

  /** Compares what two states do that differ in order only. */
  #probe(a: S, b: S): void {
    const kinds = this.#examples.length;
    for (let n = Math.min(PROBES_EACH, kinds); n > 0 && this.#probes > 0; n--) {
      this.#probes--;
      const kind = this.#nextProbe++ % kinds;
      const left = this.#ask(a, kind);
      const right = this.#ask(b, kind);
      if (left.ok !== right.ok) this.orderMatters = true;
      else if (
        left.ok &&
        right.ok &&
        this.#canonical.text(left.state, false) !== this.#canonical.text(right.state, false)
      ) {
        this.orderMatters = true;
      }
    }
  }
}

function textLength(key: unknown): number {
  return typeof key === 'string' ? key.length : 8;
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}
