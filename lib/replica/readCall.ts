/** A read, as a call: what it waits for, and what it asks the state machine. */
import type { Environment } from '../environment.js';
import { QuorateError } from '../errors.js';
import { armLimits, checkTimeout } from './callLimits.js';
import { detach } from './detach.js';
import type { Reads } from './reads.js';
import type { CallOptions } from './replicaTypes.js';
import type { StateMachine } from './stateMachine.js';

/** Asks the state as it is here and now; what comes back shares nothing with it. @internal */
export function askMachine(machine: StateMachine, query: unknown): unknown {
  if (!machine.query) throw new QuorateError('ERR_UNKNOWN_OPERATION', 'the state machine answers no queries');
  let answer: unknown;
  try {
    answer = machine.query(query);
  } catch (cause) {
    if (cause instanceof QuorateError) throw cause;
    throw new QuorateError(
      'ERR_QUERY_FAILED',
      `query threw: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
  return detach(answer);
}

/** Runs something as soon as what was committed before this call is applied here. @internal */
export function linearize<T>(
  environment: Environment,
  reads: Reads,
  run: () => T,
  options: CallOptions,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const { timeout, signal } = options;
    const settle = (): void => {
      disarm?.();
      try {
        resolve(run());
      } catch (error) {
        reject(asError(error));
      }
    };
    const fail = (error: unknown): void => {
      disarm?.();
      reject(asError(error));
    };
    if (signal?.aborted) throw new QuorateError('ERR_ABORTED', 'the signal had fired already');
    checkTimeout(timeout);
    const waiter = reads.add(settle, fail, timeout);
    const disarm =
      timeout === undefined && signal === undefined
        ? undefined
        : armLimits(
            environment,
            options,
            () =>
              reads.abandon(
                waiter,
                'ERR_TIMEOUT',
                `no leader with a quorum confirmed the read within ${timeout ?? 0} ms`,
              ),
            () => reads.abandon(waiter, 'ERR_ABORTED', 'the read was aborted'),
          );
  });
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
