/** What all calls of a transaction have in common: their limits, and what their errors mean. @internal */
import type { Environment, Timer } from '../environment.js';
import { QuorateError } from '../errors.js';

/** What a promise gives, unless the signal fires before. */
export function within<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/** Resolves after so long; rejects when the signal fires before. */
export function sleep(environment: Environment, ms: number, signal: AbortSignal): Promise<void> {
  let timer: Timer | undefined;
  const slept = new Promise<void>((resolve) => {
    timer = environment.setTimer(ms, resolve);
  });
  return within(slept, signal).finally(() => timer?.cancel());
}

/** The group's machine has said no to the operation, and the transaction goes on. */
export function saidByMachine(error: unknown): boolean {
  if (!(error instanceof QuorateError)) return false;
  if (error.code === 'ERR_REJECTED') return error.reason !== 'TRANSACTIONS_FULL';
  return ['ERR_COMMAND_FAILED', 'ERR_UNKNOWN_OPERATION', 'ERR_CODEC', 'ERR_TOO_LARGE'].includes(error.code);
}

/** Nothing was decided, and nobody will decide to commit. */
export function asRefused(error: unknown): QuorateError {
  if (!(error instanceof QuorateError))
    return new QuorateError('ERR_INTERNAL', String(error), { fate: 'refused', cause: error });
  const full = error.code === 'ERR_REJECTED' && error.reason === 'TRANSACTIONS_FULL';
  return new QuorateError(full ? 'ERR_OVERLOADED' : error.code, error.message, {
    fate: 'refused',
    reason: error.reason,
    data: error.data,
    cause: error,
  });
}
