/** The face of a replica: what an app holds in its hand. */
import { allMembers } from '../consensus/membership.js';
import type { ProgressReport } from '../engine/progressWire.js';
import type { EngineSide, GroupStatus } from '../engine/door.js';
import type { Environment } from '../environment.js';
import { checkNumber, configError, QuorateError } from '../errors.js';
import { Emitter } from '../events.js';
import type { Storage } from '../storage/storage.js';
import { backupOf } from './backup/backup.js';
import { checkTimeout } from './callLimits.js';
import { checkChange, membersChanged } from './changeCall.js';
import type { Change } from './changes.js';
import { checkConsistency, needsQuorum } from './consistency.js';
import { drained, handOver } from './closing.js';
import { Detour } from './detour.js';
import { digestOf } from './digest.js';
import { Life } from './life.js';
import type { CheckedOptions } from './options.js';
import { Waiter } from './pending.js';
import type { Outbox } from './outbox/outboxTypes.js';
import { askProgress, progressOf, withProgress } from './progressCall.js';
import { askMachine, linearize } from './readCall.js';
import type {
  CallOptions,
  ChangeMembersOptions,
  CloseOptions,
  CloseReason,
  Compaction,
  MemberProgress,
  MembersChange,
  QueryOptions,
  ReplicaEvents,
  ReplicaMetrics,
  ReplicaStatus,
  SubmitOptions,
} from './replicaTypes.js';
import { Room } from './room.js';
import { furnish } from './roomSetup.js';
import { Standing } from './standing.js';
import { enqueueCommand, submitCommand } from './submitCall.js';
import { checkTarget, transferTo } from './transferCall.js';
import type { AnswerOf, CommandOf, QueryOf, ResultOf, StateMachine } from './stateMachine.js';

/** What serves the clients of a replica. @internal */
export interface ReplicaTenant {
  statusChanged(): void;
  /** The replica takes no calls any more; those under way may still be answered. */
  closing(): void;
}

/**
 * This process's copy of a replicated state machine. Made by {@link openReplica}.
 *
 * @example
 * ```ts
 * await replica.submit({ op: 'put', key: 'theme', value: 'dark' });
 * await replica.query({ op: 'get', key: 'theme' });
 * ```
 */
export class Replica<M extends StateMachine = StateMachine> extends Emitter<ReplicaEvents> {
  /** The id of the node it lives on. */
  readonly id: string;
  readonly group: string;
  /** Resolves when the replica is over, with the reason; never rejects. */
  readonly closed: Promise<CloseReason>;
  readonly #machine: M;
  readonly #options: CheckedOptions;
  readonly #environment: Environment;
  readonly #room: Room;
  #engine: EngineSide | undefined;
  #tenant: ReplicaTenant | undefined;
  readonly #life = new Life();
  readonly #standing = new Standing();
  readonly #detour: Detour;
  #queries = 0;

  /** @internal */
  constructor(self: string, machine: M, options: CheckedOptions, environment: Environment) {
    super();
    this.id = self;
    this.group = options.group;
    this.#machine = machine;
    this.#options = options;
    this.#environment = environment;
    this.closed = this.#life.over;
    this.#detour = new Detour(options.onNoQuorum);
    this.#room = new Room(
      furnish(self, machine, options, environment, {
        status: (status) => this.#statusChanged(status),
        warning: (error) => this.emit('warning', error),
        failed: (error) => this.#end({ type: 'failed', error }),
        autopilot: (step) => this.emit('autopilot:step', step),
        removed: (membership) =>
          this.#end({ type: 'removed', members: allMembers(membership).map(({ id }) => id) }),
        outbox: {
          queued: (entry) => this.emit('outbox:queued', entry),
          replayed: (outcome) => this.emit('outbox:replayed', outcome),
          unknown: (outcome) => this.emit('outbox:unknown', outcome),
          drained: () => this.emit('outbox:drained'),
          changed: () => this.#route(),
        },
      }),
    );
  }

  /** Puts the replica to work. @internal */
  static async open<M extends StateMachine>(
    replica: Replica<M>,
    connect: (room: Room) => Promise<EngineSide>,
    storage: Storage,
  ): Promise<void> {
    replica.#engine = await connect(replica.#room);
    const { group, onNoQuorum } = replica.#options;
    if (onNoQuorum === 'queue') {
      // The engine has opened the storage, and holds its lock.
      const file = await storage.openRecords!({ environment: replica.#environment, group });
      try {
        replica.#room.attachOutbox(file);
      } catch (error) {
        await file.close();
        throw error;
      }
    }
    await replica.#room.open(replica.#engine);
    replica.#route();
  }

  /** Has a tenant work on the room behind the face, unless the replica is over. @internal */
  static let<M extends StateMachine>(replica: Replica<M>, move: (room: Room) => ReplicaTenant): void {
    if (replica.#life.open) replica.#tenant = move(replica.#room);
  }

  /** Where a replica has its clock, timers and randomness from. @internal */
  static environmentOf(replica: Replica): Environment {
    return replica.#environment;
  }

  /**
   * The commands that wait for a quorum, with `onNoQuorum: 'queue'`; otherwise empty.
   */
  get outbox(): Outbox {
    return this.#room.outbox;
  }

  /** Resolves once a leader is known and a quorum answers, and this member has caught up with what was committed then. */
  async ready(options: CallOptions = {}): Promise<void> {
    await this.#linearize(() => undefined, options);
  }

  /**
   * Submits a command; resolves with what the state machine's `apply` returned, once the command is committed on a quorum's
   * disks and applied here. It takes effect exactly once, whatever happens to leaders and links on the way.
   *
   * Throws {@link QuorateError}: with `fate` `refused` when the command did not enter the log, and `ambiguous` when it may still
   * take effect (`ERR_TIMEOUT`, `ERR_ABORTED`, `ERR_CLOSED`, `ERR_REPLICA_FAILED`): then submit it again only with the error's
   * `requestId`. `ERR_REJECTED` and `ERR_COMMAND_FAILED` come from the machine. `ERR_OVERLOADED`, `ERR_TOO_LARGE`, `ERR_CODEC`,
   * `ERR_NOT_READY`, `ERR_OUTBOX_FULL` and `ERR_STORAGE_FULL` are refusals.
   *
   * With `onNoQuorum: 'queue'`, while no quorum answers or the outbox is not empty, the command goes behind those in the
   * {@link Replica.outbox}, and the promise is pending until it was replayed. Only a `timeout` that this call is given ends the
   * waiting, with the fate `ambiguous`: the command stays in the outbox. The `signal` takes it out again, with the fate `refused`,
   * unless it was sent.
   */
  submit<const C extends CommandOf<M>>(command: C, options?: SubmitOptions): Promise<ResultOf<M, C>> {
    return new Promise<unknown>((resolve, reject) => {
      this.#checkState('refused');
      this.#detour.check('refused');
      this.#machine.validate?.(command);
      const { submitter, outbox } = this.#room;
      const environment = this.#environment;
      if (this.#detour.taken)
        enqueueCommand(outbox, command, { environment, options: options ?? {}, resolve, reject });
      else if (options) submitCommand(submitter, command, { environment, options, resolve, reject });
      else submitter.add(command, undefined, new Waiter(resolve, reject));
    }) as Promise<ResultOf<M, C>>;
  }

  /**
   * Asks the state machine. By default the answer is linearizable: it shows everything that was committed, and every answer that
   * anybody was given, before the call; any member can answer. Answers share nothing with the state.
   *
   * Throws {@link QuorateError}: `ERR_TIMEOUT`, `ERR_ABORTED`, `ERR_CLOSED`, `ERR_REPLICA_FAILED`, `ERR_OVERLOADED`,
   * `ERR_NOT_READY` (linearizable or with a `maxLagMs` that the local state does not meet, with `onNoQuorum: 'reject'`, while no
   * quorum answers), and
   * `ERR_QUERY_FAILED` or `ERR_UNKNOWN_OPERATION` from the machine.
   */
  async query<const Q extends QueryOf<M>>(query: Q, options: QueryOptions = {}): Promise<AnswerOf<M, Q>> {
    this.#checkState();
    const consistency = checkConsistency(options.consistency ?? 'linearizable');
    this.#queries++;
    if (!needsQuorum(consistency)) return this.peek(query);
    if (typeof consistency === 'object' && this.#room.reads.isWithin(consistency.maxLagMs))
      return this.peek(query);
    this.#detour.check();
    return this.#linearize(() => this.#ask(query), options);
  }

  /** Asks the state as it is here and now; for user interfaces. Only what is committed shows. */
  peek<const Q extends QueryOf<M>>(query: Q): AnswerOf<M, Q> {
    this.#checkState();
    return this.#ask(query);
  }

  #ask<Q extends QueryOf<M>>(query: Q): AnswerOf<M, Q> {
    return askMachine(this.#machine, query) as AnswerOf<M, Q>;
  }

  #linearize<T>(run: () => T, options: CallOptions): Promise<T> {
    this.#checkOpen();
    return linearize(this.#environment, this.#room.reads, run, options);
  }

  /**
   * Hands the leadership to another voter, from any member: the leader brings `to` up to date and has it elected at once
   * (Ongaro's dissertation, section 3.10). Resolves when the new leader is known here. Meanwhile commands and queries wait; none
   * fails for it.
   *
   * Throws {@link QuorateError}: `ERR_TRANSFER_FAILED` when the leadership stays where it is, since `to` has no link to the
   * leader, is far behind, or did not take over within an election time-out; `ERR_CONFIG` when `to` is no voter, or is this
   * member, which leads already; `ERR_TIMEOUT`, `ERR_ABORTED` (the transfer may come about all the same), `ERR_OVERLOADED`,
   * `ERR_CLOSED`, `ERR_REPLICA_FAILED`.
   *
   * @example
   * ```ts
   * await replica.transferLeadership('b', { timeout: 5000 });
   * ```
   *
   * @param to - the voter that should lead; left out: the linked one that is most up to date
   */
  async transferLeadership(to?: string, options: CallOptions = {}): Promise<void> {
    this.#checkOpen();
    const { timeout = this.#options.timeout } = options;
    checkTimeout(timeout);
    if (to !== undefined) checkTarget(to, this.#standing.members, this.#standing.leads ? this.id : undefined);
    await this.#room.leaderCalls.ask(transferTo(to ?? ''), { ...options, timeout });
  }

  /**
   * Changes who takes part in the group, from any member (Raft, section 6: joint consensus). Resolves when the new members are
   * committed; new voters have caught up by then. The group goes on all the while. One change at a time: a second one waits for
   * the first.
   *
   * Throws {@link QuorateError}: `ERR_MEMBERSHIP` when the members stay as they are, since nobody would vote or too few of the
   * voters that would be left answer; `ERR_TIMEOUT`, `ERR_ABORTED` (the change may come about all the same: a newcomer that never
   * comes is taken back by removing it), `ERR_CONFIG`, `ERR_OVERLOADED`, `ERR_CLOSED`, `ERR_REPLICA_FAILED`.
   *
   * @example
   * ```ts
   * await replica.changeMembers({ add: [{ id: 'd' }, { id: 'e' }], remove: ['a', 'b'] });
   * ```
   */
  async changeMembers(change: MembersChange, options: ChangeMembersOptions = {}): Promise<void> {
    this.#checkOpen();
    const { timeout = this.#options.timeout, onProgress } = options;
    checkTimeout(timeout);
    if (onProgress !== undefined && typeof onProgress !== 'function')
      throw configError('onProgress', onProgress, 'a function');
    const { leaderCalls } = this.#room;
    const work = leaderCalls.ask(membersChanged(checkChange(change)), { ...options, timeout });
    if (onProgress)
      await withProgress(this.#environment, work, () => this.progress({ timeout: 1000 }), onProgress);
    else await work;
  }

  /**
   * How far the other members are, as the leader sees it; from any member. While a newcomer catches up `changeMembers` tells it
   * as well, see `onProgress`.
   *
   * Throws {@link QuorateError}: `ERR_TIMEOUT`, `ERR_ABORTED`, `ERR_OVERLOADED`, `ERR_CLOSED`, `ERR_NOT_A_MEMBER`,
   * `ERR_REPLICA_FAILED`.
   *
   * @example
   * ```ts
   * for (const { id, lag } of await replica.progress()) console.log(`${id} lacks ${lag} entries`);
   * ```
   */
  async progress(options: CallOptions = {}): Promise<MemberProgress[]> {
    this.#checkOpen();
    const { timeout = this.#options.timeout } = options;
    checkTimeout(timeout);
    const report = await this.#room.leaderCalls.ask(askProgress, { ...options, timeout });
    return progressOf(report as ProgressReport);
  }

  /** Adds a member, or changes its part: {@link Replica.changeMembers} for one. */
  async addMember(
    id: string,
    options: ChangeMembersOptions & { readonly as?: 'voter' | 'learner' | 'witness' } = {},
  ): Promise<void> {
    const { as = 'voter', ...limits } = options;
    await this.changeMembers({ add: [{ id, as }] }, limits);
  }

  /** Removes a member: {@link Replica.changeMembers} for one. */
  async removeMember(id: string, options: ChangeMembersOptions = {}): Promise<void> {
    await this.changeMembers({ remove: [id] }, options);
  }

  /** Where this replica stands, now. */
  status(): ReplicaStatus {
    const { state, running } = this.#life;
    const view = this.#standing.view();
    return {
      id: this.id,
      group: this.group,
      state,
      ...view,
      quorum: running && view.quorum,
      quiet: running && view.quiet,
      commitIndex: this.#room.commitIndex,
      appliedIndex: this.#room.applier.appliedIndex,
      pending: { commands: this.#room.submitter.pendingCommands, reads: this.#room.reads.pending },
      outbox: { size: this.#room.outbox.size, bytes: this.#room.outbox.bytes },
    };
  }

  /**
   * The commands as they are applied here. Begins after index `from` if that is still at hand, otherwise with a `reset`: read the
   * state, which holds everything up to the reset's index, and go on. A consumer that falls too far behind gets a `reset` too.
   * Ends when the signal fires or the replica closes.
   */
  changes(
    options: { readonly from?: number; readonly signal?: AbortSignal } = {},
  ): AsyncIterableIterator<Change<CommandOf<M>>> {
    this.#checkState();
    const { from, signal } = options;
    if (from !== undefined) checkNumber('from', from, 0, Number.MAX_SAFE_INTEGER);
    const stream = this.#room.changes.subscribe(this.#room.applier.appliedIndex, from, signal);
    return stream as AsyncIterableIterator<Change<CommandOf<M>>>;
  }

  /**
   * A backup of the group: bytes for a file or a stream, with all that was committed up to one index, checksums, and what it is of.
   * {@link restoreGroup} makes a group of it. The state is captured when the first bytes are asked for; the group goes on
   * meanwhile. By default it holds every command that was acknowledged before; with `consistency: 'local'` it holds what is
   * applied here, and needs no quorum.
   *
   * Throws {@link QuorateError}, when bytes are asked for: `ERR_NOT_READY` (`local`, and nothing is here yet), `ERR_CONFIG`,
   * `ERR_TIMEOUT`, `ERR_ABORTED`, `ERR_CLOSED`, `ERR_REPLICA_FAILED`. What was taken until then is no backup.
   *
   * @example
   * ```ts
   * await pipeline(replica.backup(), createWriteStream('settings.backup'));
   * ```
   */
  backup(options: QueryOptions = {}): AsyncGenerator<Uint8Array, void, undefined> {
    this.#checkOpen();
    const { consistency = 'linearizable' } = options;
    checkConsistency(consistency);
    const from = {
      group: this.group,
      node: this.id,
      machineVersion: this.#machine.version,
      environment: this.#environment,
      snapshots: this.#room.snapshots,
    };
    return backupOf(from, async () => {
      this.#checkOpen();
      if (consistency === 'linearizable') await this.#linearize(() => undefined, options);
    });
  }

  /**
   * Takes a snapshot of this member's state now, and has the log behind it go, but for `snapshot.keepEntries` and what transfers
   * to other members still need. Resolves when that is durable. It covers all that was applied here before the call; where the
   * newest snapshot does so already, nothing is written. Calls that wait share one snapshot. No other member takes part, and no
   * quorum is needed; members take snapshots by themselves, see `snapshot.logBytes`. On a witness the snapshot is empty.
   *
   * Throws {@link QuorateError}: `ERR_NOT_READY` (nothing of the group is here yet), `ERR_STORAGE_FULL` (there is no space for it;
   * the replica goes on), `ERR_TIMEOUT`, `ERR_ABORTED` (a snapshot may be taken all the same), `ERR_OVERLOADED`, `ERR_CONFIG`,
   * `ERR_CLOSED`, `ERR_NOT_A_MEMBER`, `ERR_REPLICA_FAILED`.
   *
   * @example
   * ```ts
   * const { index } = await replica.compact({ timeout: 60_000 }); // before the machine is shut down, so that it starts faster
   * ```
   */
  async compact(options: CallOptions = {}): Promise<Compaction> {
    this.#checkOpen();
    const { timeout = this.#options.timeout } = options;
    checkTimeout(timeout);
    return this.#room.compactions.ask({ ...options, timeout });
  }

  /**
   * A SHA-256 over the state machine's snapshot, and the index it was taken at. Equal on all members at the same index; a member
   * where it differs has a state machine that is not deterministic.
   */
  async digest(): Promise<{ readonly index: number; readonly digest: string }> {
    this.#checkState();
    return digestOf(this.#machine, this.#room.applier.appliedIndex);
  }

  /** Figures since the replica was opened. */
  metrics(): ReplicaMetrics {
    return {
      ...this.#room.submitter.counts,
      queries: this.#queries,
      pendingCommands: this.#room.submitter.pendingCommands,
      pendingReads: this.#room.reads.pending,
      leaderChanges: this.#standing.leaderChanges,
      commitIndex: this.#room.commitIndex,
      appliedIndex: this.#room.applier.appliedIndex,
    };
  }

  /**
   * Closes the replica: pending calls are rejected (or, with `drain`, waited for), the leadership is handed over if it is here,
   * the log is flushed, the storage released if no other group uses it. The group goes on without this member. Safe to call
   * twice.
   */
  close(options: CloseOptions = {}): Promise<void> {
    const timeout = checkNumber('timeout', options.timeout ?? 5000, 1, 2 ** 31 - 1);
    return this.#life.close(() => this.#close(options.drain === true, options.handOver !== false, timeout));
  }

  /** Closes the replica; for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(drain: boolean, hand: boolean, timeout: number): Promise<void> {
    const life = this.#life;
    this.#tenant?.closing();
    if (drain && life.running) await drained(this.#environment, this.#room, timeout, () => !life.running);
    const { transferMs = 1000 } = this.#options.wired.protocol;
    if (hand && life.running) await handOver(this.#room, this.#standing, Math.min(timeout, transferMs));
    const wasRunning = life.end('closed');
    this.#room.close();
    // Before the engine gives back the storage's lock.
    if (this.#room.outbox.attached) await this.#room.outbox.close();
    await this.#engine?.close();
    if (wasRunning) life.tell({ type: 'closed' });
    this.removeAllListeners();
  }

  /** For what needs the state. */
  #checkState(fate?: 'refused'): void {
    this.#checkOpen(fate);
    if (this.#options.join !== 'witness') return;
    const message = 'this member is a witness and holds no state: ask another member, or through openClient';
    throw new QuorateError('ERR_WITNESS', message, { fate });
  }

  #checkOpen(fate?: 'refused'): void {
    this.#life.check(fate, this.#room.submitter.obstacle);
  }

  #statusChanged(status: GroupStatus): void {
    const announce = this.#standing.update(status);
    this.#route();
    this.#tenant?.statusChanged();
    announce((event, ...args) => this.emit(event, ...args));
  }

  #route(): void {
    this.#detour.decide(this.#standing.status, this.#room.outbox.waiting);
  }

  #end(reason: Exclude<CloseReason, { type: 'closed' }>): void {
    if (!this.#life.end(reason.type)) return;
    this.#tenant?.closing();
    if (reason.type === 'failed') this.emit('replica:failed', reason.error);
    else this.emit('replica:removed', reason.members);
    this.#life.tell(reason);
    this.#release();
  }

  #release(): void {
    // What holds files and timers is released; the app may still ask for status, and close.
    const { outbox } = this.#room;
    const closing = outbox.attached
      ? outbox.close().finally(() => this.#engine?.close())
      : this.#engine?.close();
    closing?.catch(() => undefined);
  }
}
