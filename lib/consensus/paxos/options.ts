/** What can be set on the Paxos core, and what it is set to otherwise. */
import { coreDefaults, maxElectionTimeoutFor, type CoreOptions } from '../core/options.js';

/**
 * Options of the Paxos protocol, `paxos()`: the same as of `raft()`, but that a group never goes quiet. A voter looks around three
 * times in an `electionTimeoutMs`, or in three round trips where they take longer; `priority` also decides between two that would
 * take over at the same time.
 */
export type PaxosOptions = CoreOptions;

/** The values that hold where an option is left out. */
export const paxosDefaults: Required<PaxosOptions> = coreDefaults;

/** The options with nothing left out; none is checked. @internal */
export function completePaxosOptions(options: PaxosOptions): Required<PaxosOptions> {
  return { ...paxosDefaults, maxElectionTimeoutMs: maxElectionTimeoutFor(options), ...options };
}
