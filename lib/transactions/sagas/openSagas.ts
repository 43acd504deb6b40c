/** Opening the sagas of a group. */
import { checkNumber, configError, QuorateError } from '../../errors.js';
import { Replica } from '../../replica/replica.js';
import { MAX_LEASE_MS, MAX_SPAN_MS, MIN_LEASE_MS } from './limits.js';
import { Sagas } from './sagas.js';
import type { OpenSagasOptions } from './sagasTypes.js';

/** One for each replica: two would take each other for dead. */
const opened = new WeakSet<Replica>();

/**
 * Opens the sagas that a replica of {@link sagas} remembers: to start them, to watch them, and, once they are defined here, to run
 * them. Each saga has one owner at a time, a member that lives and has its definition; sagas are spread over these. If the owner
 * dies another goes on. Waits for nobody. The replica is to be closed by whoever opened it.
 *
 * @throws QuorateError `ERR_CONFIG` (also for a replica of another machine, or one whose sagas were opened before), `ERR_CLOSED`,
 * `ERR_WITNESS`.
 *
 * @example
 * ```ts
 * const replica = await openReplica({ mesh, group: 'sagas', members, storage, stateMachine: sagas() });
 * const running = openSagas({ replica });
 * running.define(order);
 * ```
 */
export function openSagas(options: OpenSagasOptions): Sagas {
  const { replica } = options as Partial<OpenSagasOptions>;
  if (!(replica instanceof Replica)) throw configError('replica', replica, 'a replica made by openReplica');
  const setup = {
    replica,
    environment: Replica.environmentOf(replica),
    lease: checkNumber('lease', options.lease ?? 10_000, MIN_LEASE_MS, MAX_LEASE_MS),
    concurrency: checkNumber('concurrency', options.concurrency ?? 256, 1, 100_000),
    settle: checkNumber('settle', options.settle ?? 5000, 1, MAX_SPAN_MS),
  };
  try {
    replica.peek({ op: 'activity' });
  } catch (cause) {
    if (!(cause instanceof QuorateError) || ['ERR_CLOSED', 'ERR_WITNESS'].includes(cause.code)) throw cause;
    throw configError('replica', replica, 'a replica of sagas()');
  }
  if (opened.has(replica)) throw configError('replica', replica, 'one whose sagas are not open here yet');
  opened.add(replica);
  return new Sagas(setup);
}
