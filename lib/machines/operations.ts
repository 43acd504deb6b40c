/** What all machines with named operations share. @internal */
import { QuorateError } from '../errors.js';

/** The operation that a command or query of any form names, or undefined. */
export function opOf(operation: unknown): unknown {
  return typeof operation === 'object' && operation !== null
    ? (operation as { readonly op?: unknown }).op
    : undefined;
}

/** The error that every member raises alike for an operation that its machine does not have. */
export function unknownOperation(
  kind: 'command' | 'query',
  operation: unknown,
  known: Iterable<string>,
): QuorateError {
  const op = opOf(operation);
  const name = typeof op === 'string' ? JSON.stringify(op.slice(0, 80)) : `of op ${typeof op}`;
  const all = [...known];
  const allowed = all.length === 0 ? `it has no ${kind} at all` : `allowed are ${all.join(', ')}`;
  return new QuorateError('ERR_UNKNOWN_OPERATION', `the state machine has no ${kind} ${name}; ${allowed}`);
}

/** Why a command is refused: the code for `reject`, and what was wrong. */
export interface Problem {
  readonly reason: string;
  readonly message: string;
}

/** How `validate` says what `apply` would say with `reject`. */
export function refused(problem: Problem): QuorateError {
  return new QuorateError('ERR_REJECTED', problem.message, { reason: problem.reason, fate: 'refused' });
}
