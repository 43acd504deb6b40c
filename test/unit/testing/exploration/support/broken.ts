/** Protocols with a known bug, to see whether the simulation finds it and what minimising makes of it. */
import type { Consensus, Effects } from '../../../../../lib/consensus/consensus.js';
import { raft, type ConsensusOption } from '../../../../../lib/replica/consensus.js';
import { alterCores } from '../../../../../lib/testing/exploration/alterCores.js';

const broken = (
  change: Parameters<typeof alterCores>[1],
  prepare?: Parameters<typeof alterCores>[2],
): ConsensusOption => alterCores(raft({ heartbeatMs: 50, electionTimeoutMs: 300 }), change, prepare);

function believesDiskAtOnce(core: Consensus): Partial<Consensus> {
  return {
    drain: (now: number, out: Effects): void => {
      core.drain(now, out);
      if (out.io > 0) core.persisted(now, out.io);
    },
  };
}

/** Acknowledges and votes before its disk has written: breaks without any fault. */
export const acknowledgesEarly = (): ConsensusOption => broken(believesDiskAtOnce);

/** The same, but only in a process that found something on its disk: breaks after a restart. */
export const acknowledgesEarlyAfterRestart = (): ConsensusOption =>
  broken((core, { recovered }) => (recovered?.hard === undefined ? {} : believesDiskAtOnce(core)));

/** Does not know after a restart for whom it voted. */
export const forgetsVote = (): ConsensusOption =>
  broken(
    () => ({}),
    (setup) => {
      const { recovered } = setup;
      if (recovered?.hard === undefined) return setup;
      return { ...setup, recovered: { ...recovered, hard: { ...recovered.hard, vote: '' } } };
    },
  );
