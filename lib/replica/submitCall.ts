/** A submit, as a call: to the log or to the outbox, until it is settled, its time is over, or its signal fires. */
import type { Environment } from '../environment.js';
import { QuorateError } from '../errors.js';
import { armLimits } from './callLimits.js';
import type { OutboxQueue } from './outbox/outboxQueue.js';
import { Waiter } from './pending.js';
import type { SubmitOptions } from './replicaTypes.js';
import { parseRequestId } from './requestId.js';
import type { Submitter } from './submitter.js';

/** Who called, and how long it waits. @internal */
export interface SubmitCall {
  readonly environment: Environment;
  readonly options: SubmitOptions;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** Submits a command. @internal */
export function submitCommand(submitter: Submitter, command: unknown, call: SubmitCall): void {
  const { requestId, timeout } = call.options;
  limited(
    call,
    (waiter) => submitter.abandon(waiter, 'ERR_TIMEOUT', `no answer within ${timeout ?? 0} ms`),
    (waiter) => submitter.abandon(waiter, 'ERR_ABORTED', 'the submit was aborted'),
    (waiter) => {
      const id = requestId === undefined ? undefined : parseRequestId(requestId);
      if (typeof id === 'object') submitter.retry(id, command, waiter);
      else submitter.add(command, id, waiter);
    },
  );
}

/** Puts a command into the outbox. @internal */
export function enqueueCommand(outbox: OutboxQueue, command: unknown, call: SubmitCall): void {
  const { requestId, timeout } = call.options;
  let entry: ReturnType<typeof outbox.add>;
  limited(
    call,
    (waiter) => outbox.leave(entry, waiter, 'ERR_TIMEOUT', `not applied within ${timeout ?? 0} ms`),
    (waiter) => outbox.abort(entry, waiter),
    (waiter) => {
      const id = requestId === undefined ? undefined : parseRequestId(requestId);
      entry = outbox.add(command, id, waiter);
    },
  );
}

/** Hands in a waiter that time-out and signal may end first. */
function limited(
  { environment, options, resolve, reject }: SubmitCall,
  onTimeout: (waiter: Waiter) => void,
  onAbort: (waiter: Waiter) => void,
  handIn: (waiter: Waiter) => void,
): void {
  const settled = <T>(settle: (value: T) => void): ((value: T) => void) => {
    return (value) => {
      disarm();
      settle(value);
    };
  };
  const waiter = new Waiter(settled(resolve), settled(reject));
  const disarm = armLimits(
    environment,
    options,
    () => onTimeout(waiter),
    () => onAbort(waiter),
  );
  try {
    if (options.signal?.aborted === true)
      throw new QuorateError('ERR_ABORTED', 'the signal had fired already', { fate: 'refused' });
    handIn(waiter);
  } catch (error) {
    disarm();
    throw error;
  }
}
