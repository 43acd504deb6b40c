/** What a state machine offers beyond the contract so that its commands can be part of a transaction. */
import type { ApplyContext } from './stateMachine.js';

/** What an operation touches: a key, or all keys that begin with a prefix (`{ prefix: '' }`: everything). */
export type LockRange = string | { readonly prefix: string };

/** A command of a transaction, with the context that it is rehearsed and applied in. */
export interface RehearsalStep<Command> {
  readonly command: Command;
  readonly context: ApplyContext;
}

/**
 * What a transaction needs of a machine: to know beforehand how commands will go, without doing them. {@link keyValue} and what
 * {@link defineMachine} makes offer it; `transactional` takes it for machines that do not.
 *
 * What is rehearsed while the transaction holds its locks is applied later, in the same order and with the same contexts, and
 * must then go the same way, whatever operations that touch none of the same keys did in between. So `touches` must name
 * everything that decides how an operation goes, and everything it changes.
 */
export interface Rehearsal<Command = unknown, Query = unknown> {
  /**
   * Applies the steps in their order to a copy, or to an overlay, of the state. Returns the answer to the query on what came of
   * it or, without a query, the result of the last step. Throws what `apply` would throw. Changes nothing.
   */
  rehearse(steps: readonly RehearsalStep<Command>[], query?: { readonly query: Query }): unknown;
  /**
   * What an operation reads and writes. The same answer for the same operation, always and on every member. Operations that it
   * does not know it says touch everything.
   *
   * @defaultValue every operation touches everything: one lock for the whole state
   */
  touches?(operation: Command | Query): readonly LockRange[];
}
