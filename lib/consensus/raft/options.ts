/** What can be set on the Raft core, and what it is set to otherwise. */
import { coreDefaults, maxElectionTimeoutFor, type CoreOptions } from '../core/options.js';

/** Options of the Raft protocol, `raft()`. */
export interface RaftOptions extends CoreOptions {
  /**
   * After how many milliseconds in which nothing was written or read the group goes quiet: it sends no heartbeats and waits for
   * none until somebody wants something of it. Then it wakes at once, but a quiet group notices the death of its leader only when
   * the mesh does. From 0 to 86 400 000, or `Infinity`: never. The group goes quiet when all members that are there agree.
   *
   * @defaultValue 5000
   */
  readonly quietAfterMs?: number;
}

/** The values that hold where an option is left out. */
export const raftDefaults: Required<RaftOptions> = { ...coreDefaults, quietAfterMs: 5000 };

/** The options with nothing left out; none is checked. @internal */
export function completeRaftOptions(options: RaftOptions): Required<RaftOptions> {
  return { ...raftDefaults, maxElectionTimeoutMs: maxElectionTimeoutFor(options), ...options };
}
