/** How long a call waits: its time-out, and the signal that ends it. */
import type { Environment } from '../environment.js';
import { checkNumber } from '../errors.js';
import type { CallOptions } from './replicaTypes.js';

/** Throws ERR_CONFIG for a time-out out of range. */
export function checkTimeout(timeout: number | undefined): void {
  if (timeout !== undefined) checkNumber('timeout', timeout, 1, 2 ** 31 - 1);
}

/** Arms time-out and signal of a call; the function it returns disarms both. Throws ERR_CONFIG for a time-out out of range. */
export function armLimits(
  environment: Environment,
  { timeout, signal }: CallOptions,
  onTimeout: () => void,
  onAbort: () => void,
): () => void {
  checkTimeout(timeout);
  const timer = timeout === undefined ? undefined : environment.setTimer(timeout, onTimeout);
  signal?.addEventListener('abort', onAbort, { once: true });
  return () => {
    timer?.cancel();
    signal?.removeEventListener('abort', onAbort);
  };
}
