/** What a history and a sequential specification look like to the checker. */

/** One call of a client: what it asked, what it got, and when. */
export interface Operation<Input = unknown, Output = unknown> {
  /** Who called. A label for the explanation only: operations of one process may overlap. */
  readonly process: number | string;
  /** When the call was made. Any unit, any origin, but one clock for the whole history. */
  readonly call: number;
  /**
   * When the call returned, at or after `call`. `Infinity` if its outcome is unknown (it timed out, its client
   * crashed): it may have taken effect at any time after `call`, or never. One that is known to have had no
   * effect does not belong into the history at all.
   */
  readonly return: number;
  /** What was asked. */
  readonly input: Input;
  /** What came back; `undefined` if the outcome is unknown. */
  readonly output: Output;
}

/** What {@link Model.step} answers. */
export interface StepResult<State> {
  /** Whether the operation, taking effect in this state, could have given this output. */
  readonly ok: boolean;
  /** The state afterwards. Not looked at unless `ok`. */
  readonly state: State;
}

/**
 * A sequential specification: what one client alone would see.
 *
 * @example
 * ```ts
 * const counter: Model<number, { add: number }, number> = {
 *   init: () => 0,
 *   step: (n, { add }, output) => ({ ok: output === undefined || output === n + add, state: n + add }),
 * };
 * ```
 */
export interface Model<State = unknown, Input = unknown, Output = unknown> {
  /** The state before the first operation. */
  init(): State;
  /**
   * Whether `input` may give `output` in `state`, and the state that follows. Must be a pure function: it
   * returns a new state and leaves the old one as it is (a change in place is `ERR_CONFIG` where it is noticed).
   * For an operation whose outcome is unknown `output` is what the history has there, normally `undefined`:
   * let it stand for "any output".
   */
  step(state: State, input: Input, output: Output): StepResult<State>;
  /**
   * Cuts a history into parts that have nothing to do with each other, such as those of single keys; the
   * history is linearizable exactly if each part is (Herlihy and Wing 1990, locality; Horn and Kroening 2015,
   * P-compositionality). Worth a great deal of time.
   *
   * @defaultValue one part, the whole
   */
  partition?(history: readonly Operation<Input, Output>[]): readonly (readonly Operation<Input, Output>[])[];
  /**
   * A primitive that tells states apart: the same for two states only if no operation can ever tell one
   * from the other. Worth giving if states are large or are instances of classes.
   *
   * @defaultValue by content: primitives (`NaN` and -0 are values of their own), plain objects, arrays, Maps,
   * Sets, Dates and byte arrays, nested at will. The order of properties, of Map entries and of Set members is
   * taken to be no part of the state unless `step` is caught minding it. Everything else (instances of
   * classes, functions) by identity, which is always right and may cost time.
   */
  key?(state: State): string | number | bigint | boolean | null | undefined;
  /** An operation in a few words, for the explanation. @defaultValue its input and output as JavaScript. */
  describe?(input: Input, output: Output): string;
}

/** `ok`: linearizable. `illegal`: no order explains it. `unknown`: time or memory ran out before either was certain. */
export type Verdict = 'ok' | 'illegal' | 'unknown';

/** How long and how far {@link checkLinearizable} looks. */
export interface LinearizabilityOptions {
  /**
   * Milliseconds of real time after which the verdict is `unknown`; 0 to Infinity.
   * @defaultValue 10,000
   */
  readonly timeoutMs?: number | undefined;
  /**
   * Bytes that the search may take, roughly, beside the model's own; 1 MiB to 4 GiB. The verdict is `unknown`
   * if they do not suffice.
   * @defaultValue 512 MiB
   */
  readonly memoryLimit?: number | undefined;
}
