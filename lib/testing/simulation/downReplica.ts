/** What stands for the replica of a node that does not run: it refuses, as a process that is not there does. */
import { QuorateError } from '../../errors.js';
import { Emitter } from '../../events.js';
import type { Replica } from '../../replica/replica.js';
import type {
  CloseReason,
  ReplicaEvents,
  ReplicaMetrics,
  ReplicaStatus,
} from '../../replica/replicaTypes.js';

class DownReplica extends Emitter<ReplicaEvents> {
  readonly id: string;
  readonly group: string;
  readonly closed: Promise<CloseReason> = Promise.resolve({ type: 'closed' });
  readonly #why: string;

  constructor(id: string, group: string, why: string) {
    super();
    this.id = id;
    this.group = group;
    this.#why = why;
  }

  /** As own properties, so that they can take the place of those of a replica that was left behind by a crash. */
  readonly calls = {
    status: (): ReplicaStatus => ({
      id: this.id,
      group: this.group,
      state: 'closed',
      role: 'follower',
      leader: undefined,
      epoch: 0,
      quorum: false,
      quiet: false,
      commitIndex: 0,
      appliedIndex: 0,
      members: [],
      pending: { commands: 0, reads: 0 },
      quorums: { commit: 1, election: 1 },
      outbox: { size: 0, bytes: 0 },
    }),
    metrics: (): ReplicaMetrics => ({
      submitted: 0,
      committed: 0,
      failed: 0,
      queries: 0,
      pendingCommands: 0,
      pendingReads: 0,
      leaderChanges: 0,
      commitIndex: 0,
      appliedIndex: 0,
    }),
    submit: (): Promise<never> => Promise.reject(this.#refusal('refused')),
    query: (): Promise<never> => Promise.reject(this.#refusal()),
    ready: (): Promise<never> => Promise.reject(this.#refusal()),
    transferLeadership: (): Promise<never> => Promise.reject(this.#refusal()),
    changeMembers: (): Promise<never> => Promise.reject(this.#refusal()),
    addMember: (): Promise<never> => Promise.reject(this.#refusal()),
    removeMember: (): Promise<never> => Promise.reject(this.#refusal()),
    compact: (): Promise<never> => Promise.reject(this.#refusal()),
    digest: (): Promise<never> => Promise.reject(this.#refusal()),
    peek: (): never => this.#throw(),
    changes: (): never => this.#throw(),
    close: (): Promise<void> => Promise.resolve(),
    [Symbol.asyncDispose]: (): Promise<void> => Promise.resolve(),
  };

  #throw(): never {
    throw this.#refusal();
  }

  #refusal(fate?: 'refused'): QuorateError {
    return new QuorateError('ERR_CLOSED', this.#why, { fate });
  }
}

/** Made anew for every call: it knows nothing, and nobody waits for its events. */
export function downReplica(id: string, group: string, state: string): Replica {
  const down = new DownReplica(id, group, `node ${id} is ${state}`);
  return Object.assign(down, down.calls) as unknown as Replica;
}

/** Whoever still holds the replica of a process that died gets refusals instead of promises that nobody keeps. */
export function bury(replica: Replica): void {
  const { id, group } = replica;
  Object.assign(replica, new DownReplica(id, group, `that process of node ${id} has died`).calls);
}
