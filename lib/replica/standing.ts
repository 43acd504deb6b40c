/** Where a replica's group stands, as far as the engine has said, and what the app hears of it. @internal */
import type { Membership } from '../consensus/membership.js';
import { commitSize, electionSize } from '../consensus/quorum.js';
import type { GroupStatus } from '../engine/door.js';
import { memberList } from './memberList.js';
import type { MemberStatus, ReplicaEvents, ReplicaStatus } from './replicaTypes.js';

/** Calls the app's listeners. */
export type Emit = <K extends keyof ReplicaEvents>(event: K, ...args: ReplicaEvents[K]) => void;

/** What the app sees of the group. */
export type GroupView = Pick<
  ReplicaStatus,
  'role' | 'leader' | 'epoch' | 'quorum' | 'quiet' | 'members' | 'quorums'
>;

export class Standing {
  #status: GroupStatus | undefined;
  #members: readonly MemberStatus[] = [];
  #leaderChanges = 0;

  /** Undefined until the engine has said it. */
  get status(): GroupStatus | undefined {
    return this.#status;
  }

  get members(): readonly MemberStatus[] {
    return this.#members;
  }

  get leads(): boolean {
    return this.#status?.role === 'leader';
  }

  get leaderChanges(): number {
    return this.#leaderChanges;
  }

  view(): GroupView {
    const status = this.#status;
    return {
      role: status?.role ?? 'follower',
      leader: status?.leader === '' ? undefined : status?.leader,
      epoch: status?.epoch.n ?? 0,
      quorum: status?.quorum ?? false,
      quiet: status?.quiet ?? false,
      members: this.#members,
      quorums: quorumsOf(status?.membership),
    };
  }

  /** The engine says how things are now. What it returns tells the app what is new. */
  update(status: GroupStatus): (emit: Emit) => void {
    const before = this.#status;
    const members = this.#members;
    this.#status = status;
    if (before?.membership !== status.membership) this.#members = memberList(status.membership, members);
    return (emit) => this.#tell(emit, status, before, members);
  }

  #tell(
    emit: Emit,
    status: GroupStatus,
    before: GroupStatus | undefined,
    members: readonly MemberStatus[],
  ): void {
    if (!before) {
      if (status.quorum) emit('quorum:regained');
      if (status.leader !== '') emit('leader:changed', status.leader);
      return;
    }
    if (before.role !== status.role) emit('role:changed', status.role);
    if (before.leader !== status.leader) {
      this.#leaderChanges++;
      emit('leader:changed', status.leader === '' ? undefined : status.leader);
    }
    if (members !== this.#members) emit('members:changed', this.#members);
    if (before.quorum !== status.quorum) emit(status.quorum ? 'quorum:regained' : 'quorum:lost');
  }
}

function quorumsOf(membership: Membership | undefined): ReplicaStatus['quorums'] {
  const { voters = [], quorums } = membership ?? {};
  return { commit: commitSize(voters.length, quorums), election: electionSize(voters.length, quorums) };
}
