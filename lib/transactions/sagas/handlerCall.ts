/** One call of a handler: how long it may take, how it is told to stop, and what became of it. @internal */
import type { Environment } from '../../environment.js';
import { QuorateError } from '../../errors.js';
import type { ErrorRecord } from './record.js';
import { encodeResult, errorRecord } from './values.js';

/** What became of a call. `broken`: it may have happened, and trying again would not help. */
export type Outcome =
  | { readonly type: 'done'; readonly result: Uint8Array | undefined }
  | { readonly type: 'rejected' | 'failed' | 'broken'; readonly error: ErrorRecord };

/** What `context.reject` throws. */
class Rejection {
  readonly error: ErrorRecord;

  constructor(error: ErrorRecord) {
    this.error = error;
  }
}

/** The `reject` of a context. */
export function rejecting(): (code: string, data?: unknown) => never {
  return (code, data) => {
    // eslint-disable-next-line @typescript-eslint/only-throw-error -- a private signal, caught by callHandler
    throw new Rejection(errorRecord({ message: `rejected: ${code}` }, code, data));
  };
}

export interface CallLimits {
  readonly timeoutMs: number;
  /** How long it is waited for once its signal has fired. */
  readonly settleMs: number;
}

/** Resolves when the handler has come to its end, or was waited for long enough. Never rejects. */
export function callHandler(
  environment: Environment,
  step: string,
  handler: () => unknown,
  controller: AbortController,
  { timeoutMs, settleMs }: CallLimits,
): Promise<Outcome> {
  return new Promise((resolve) => {
    const { signal } = controller;
    let settling: { cancel(): void } | undefined;
    const end = (outcome: Outcome): void => {
      timer.cancel();
      settling?.cancel();
      signal.removeEventListener('abort', onAbort);
      resolve(outcome);
    };
    const onAbort = (): void => {
      settling = environment.setTimer(settleMs, () => end({ type: 'failed', error: reasonOf(signal) }));
    };
    const timer = environment.setTimer(timeoutMs, () => {
      controller.abort(new QuorateError('ERR_TIMEOUT', `step ${step} took more than ${timeoutMs} ms`));
    });
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    // In a promise, so that a throw is one too.
    new Promise((done) => done(handler())).then(
      (value) => end(outcomeOf(step, value)),
      (error: unknown) => end(failureOf(error, signal)),
    );
  });
}

function outcomeOf(step: string, value: unknown): Outcome {
  try {
    return { type: 'done', result: encodeResult(step, value) };
  } catch (error) {
    return { type: 'broken', error: errorRecord(error) };
  }
}

function failureOf(error: unknown, signal: AbortSignal): Outcome {
  if (error instanceof Rejection) return { type: 'rejected', error: error.error };
  // What a handler throws because its signal fired says less than why it fired.
  return { type: 'failed', error: signal.aborted ? reasonOf(signal) : errorRecord(error) };
}

function reasonOf(signal: AbortSignal): ErrorRecord {
  return errorRecord(signal.reason);
}
