/** Protocols with a known bug, to see whether the simulation finds it and what minimising makes of it. */
import type { Consensus, CoreSetup, Effects } from '../../../../../lib/consensus/consensus.js';
import { raft, type ConsensusOption } from '../../../../../lib/replica/consensus.js';

type Break = (core: Consensus, setup: CoreSetup) => Partial<Consensus>;

function broken(change: Break, prepare: (setup: CoreSetup) => CoreSetup = (setup) => setup): ConsensusOption {
  const option = raft({ heartbeatMs: 50, electionTimeoutMs: 300 });
  const { protocol, codec } = option.wired;
  const create = (setup: CoreSetup): Consensus => {
    const core = protocol.create(prepare(setup));
    const changed = change(core, setup);
    return new Proxy(core, {
      get(target, name) {
        const own = changed[name as keyof Consensus];
        if (own !== undefined) return own;
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
  };
  return { name: option.name, wired: { protocol: { name: protocol.name, create }, codec } };
}

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
