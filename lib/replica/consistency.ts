/** How fresh an answer must be: the choices, checked. */
import { checkNumber, configError } from '../errors.js';
import type { Consistency } from './replicaTypes.js';

/** Those without a figure, in the order of their numbers on the wire. @internal */
export const plainConsistencies = ['linearizable', 'committed', 'local'] as const;

/** The longest lag that can be allowed, in milliseconds. @internal */
export const MAX_LAG_MS = 2 ** 31 - 1;

/** Throws ERR_CONFIG. @internal */
export function checkConsistency(consistency: Consistency): Consistency {
  const given: unknown = consistency;
  if (typeof given === 'object' && given !== null && 'maxLagMs' in given)
    return { maxLagMs: checkNumber('consistency.maxLagMs', given.maxLagMs, 1, MAX_LAG_MS) };
  if (plainConsistencies.includes(given as (typeof plainConsistencies)[number])) return consistency;
  throw configError('consistency', given, "'linearizable', 'committed', 'local' or { maxLagMs }");
}

/** Whether a quorum may have to be asked for an answer. @internal */
export function needsQuorum(consistency: Consistency): boolean {
  return consistency === 'linearizable' || typeof consistency === 'object';
}
