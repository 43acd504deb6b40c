/** Resources of the user's own that take part in transactions. */
import { configError } from '../errors.js';

/**
 * Something outside of the groups that takes part in transactions: a database, a payment provider, a file. It belongs to the group
 * whose machine names it (see {@link transactional}); the decision is in that group's log, and any member that has the resource
 * carries it out, after any crash.
 *
 * All three may be called more than once for one id, also at the same time and by different members, and must then come to the same
 * end: `commit` and `abort` are called again until they resolve. `abort` may come for an id that `prepare` never saw, or sees only
 * later, and must then have that `prepare` vote no.
 */
export interface TransactionResource<Payload = unknown> {
  /** Votes: after `true` both `commit` and `abort` must be possible, also after a restart. `false`, or a throw, aborts. */
  prepare(id: string, payload: Payload): Promise<boolean> | boolean;
  /** Carries it out; called only for what was prepared. */
  commit(id: string, payload: Payload): Promise<void> | void;
  /** Undoes what `prepare` did, if anything. */
  abort(id: string, payload: Payload): Promise<void> | void;
}

/** Throws ERR_CONFIG. @internal */
export function checkResources(given: unknown): Map<string, TransactionResource> {
  if (typeof given !== 'object' || given === null) throw configError('resources', given, 'an object');
  const out = new Map<string, TransactionResource>();
  for (const [name, resource] of Object.entries(
    given as Record<string, Partial<TransactionResource> | undefined>,
  )) {
    if (name.length === 0 || name.length > 128)
      throw configError('resources', name, 'names of 1 to 128 characters');
    for (const method of ['prepare', 'commit', 'abort'] as const)
      if (typeof resource?.[method] !== 'function')
        throw configError(`resources.${name}.${method}`, resource?.[method], 'a function');
    out.set(name, resource as TransactionResource);
  }
  return out;
}
