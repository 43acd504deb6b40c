/** The app's side of a group: everything behind the door, put together. */
import type { Entry, Index, SnapshotMeta } from '../consensus/consensus.js';
import {
  waitingBytes,
  type AppBatch,
  type AppNotice,
  type AppSide,
  type EngineBatch,
  type EngineSide,
  type GroupStatus,
  type Proposal,
} from '../engine/door.js';
import type { AutopilotStep } from '../consensus/autopilot.js';
import type { Membership } from '../consensus/membership.js';
import type { Environment } from '../environment.js';
import type { ErrorCode } from '../errors.js';
import { Applier } from './applier.js';
import { AppSnapshots, type AppSnapshotHost, type RoomSnapshots } from './appSnapshots.js';
import { ChangeFeed } from './changes.js';
import { batchCodec, type BatchCodec, type Codec } from './codec.js';
import { Compactions } from './compactions.js';
import type { SubmitLimits } from './load.js';
import { LeaderCalls } from './leaderCalls.js';
import { Failure } from './outcome.js';
import { OutboxQueue, type OutboxEvents, type OutboxLimits } from './outbox/outboxQueue.js';
import { Replay } from './outbox/replay.js';
import type { RecordFile } from '../storage/storage.js';
import { Reads } from './reads.js';
import type { StateMachine } from './stateMachine.js';
import { Submitter } from './submitter.js';
import { WitnessSnapshots } from './witnessSnapshots.js';

/** Entries of this size may wait on this side before the engine is told of progress out of turn. */
const UNTOLD_BYTES = 1024 * 1024;

/** What the replica's face wants to hear. */
export interface RoomEvents {
  status(status: GroupStatus): void;
  warning(error: Error): void;
  failed(error: Error): void;
  autopilot(step: AutopilotStep): void;
  /** The group goes on with other members. */
  removed(membership: Membership): void;
  readonly outbox: Omit<OutboxEvents, 'failed'>;
}

/** How a room is furnished. */
export interface RoomSetup {
  readonly self: string;
  readonly machine: StateMachine;
  readonly codec: Codec;
  readonly environment: Environment;
  readonly limits: SubmitLimits;
  readonly outbox: Pick<OutboxLimits, 'maxEntries' | 'maxBytes'>;
  readonly protocol: string;
  /** It votes, and holds no state. */
  readonly witness?: boolean;
  readonly events: RoomEvents;
}

export class Room implements AppSide {
  readonly submitter: Submitter;
  readonly reads: Reads;
  readonly leaderCalls: LeaderCalls;
  readonly applier: Applier;
  readonly snapshots: RoomSnapshots;
  readonly compactions: Compactions;
  readonly changes: ChangeFeed;
  readonly outbox: OutboxQueue;
  readonly #replay: Replay;
  readonly #codec: BatchCodec;
  readonly #events: RoomEvents;
  #engine: EngineSide | undefined;
  #woke = false;
  #told: Index = 0;
  /** Bytes that were handed over since the engine was told that everything is applied. */
  #untold = 0;
  #notices: AppNotice[] = [];
  #status: GroupStatus | undefined;
  #commitIndex: Index = 0;
  #failed = false;
  #whenOpen: (() => void) | undefined;

  constructor(setup: RoomSetup) {
    const { machine, environment, limits, events } = setup;
    this.#codec = batchCodec(setup.codec);
    this.#events = events;
    const wake = (): void => this.#wake();
    this.submitter = new Submitter(setup.self, environment, this.#codec, limits, wake);
    this.reads = new Reads(environment, limits.maxPendingCommands, limits.submitTimeoutMs, wake);
    this.leaderCalls = new LeaderCalls(environment, (notice) => this.#say(notice));
    this.applier = new Applier(machine, this.#codec, environment, {
      batch: (session, first, outcomes) => {
        this.#replay.applied(session, first, outcomes);
        this.submitter.applied(session, first, outcomes);
      },
      awaits: (session) => this.submitter.awaits(session) || this.#replay.watches,
      expired: (session, first, count) => this.submitter.expired(session, first, count),
      registered: (session, origin, nonce) => this.submitter.registered(session, origin, nonce),
      epoch: (n) => this.submitter.epochApplied(n),
      members: () => undefined,
      progress: (index) => this.#progress(index),
      command: (index, time, origin, bytes, outcome) => {
        const command = this.#codec.decode(bytes);
        this.changes.applied({
          type: 'applied',
          index,
          time,
          origin,
          command,
          ok: !(outcome instanceof Failure),
        });
      },
      failed: (error) => this.#fail(error),
    });
    this.compactions = new Compactions(environment, this.applier, (notice) => this.#say(notice));
    this.applier.protocol = setup.protocol;
    this.applier.witness = setup.witness === true;
    const { maxCommandBytes } = limits;
    this.outbox = new OutboxQueue(
      environment,
      this.#codec,
      { ...setup.outbox, maxCommandBytes },
      {
        ...events.outbox,
        changed: () => {
          events.outbox.changed();
          this.#replay.poke();
        },
        failed: (error) => this.#fail(error),
      },
    );
    const { outbox: queue, submitter, reads } = this;
    const { sessions } = this.applier;
    this.#replay = new Replay({
      environment,
      queue,
      submitter,
      reads,
      sessions,
      appliedIndex: () => this.applier.appliedIndex,
      failed: (error) => this.#fail(error),
    });
    this.changes = new ChangeFeed((watching) => (this.applier.watching = watching));
    const host: AppSnapshotHost = {
      say: (notice) => this.#say(notice),
      restored: (meta) => this.#restored(meta),
      failed: (error) => this.#fail(error),
    };
    this.snapshots = setup.witness
      ? new WitnessSnapshots(this.applier, host)
      : new AppSnapshots(machine, this.#codec, this.applier, host);
  }

  /** Where the group stands; undefined until the engine has said so. */
  get status(): GroupStatus | undefined {
    return this.#status;
  }

  get commitIndex(): Index {
    return Math.max(this.#commitIndex, this.applier.appliedIndex);
  }

  /** Resolves once the engine has said where the group stands, and the local state is restored. */
  async open(engine: EngineSide): Promise<void> {
    this.#engine = engine;
    if (this.#woke) engine.wake();
    await new Promise<void>((resolve) => {
      this.#whenOpen = resolve;
      this.#maybeOpen();
    });
  }

  /** Gives the outbox its file. Throws ERR_STORAGE_CORRUPT. */
  attachOutbox(file: RecordFile): void {
    this.outbox.attach(file);
    this.#replay.attached();
    if (this.#failed) this.outbox.end('ERR_REPLICA_FAILED', 'the replica has failed');
  }

  #maybeOpen(): void {
    if (this.#failed || (this.#status && !this.snapshots.restoring)) this.#whenOpen?.();
  }

  #wake(): void {
    if (this.#woke) return;
    this.#woke = true;
    this.#engine?.wake();
  }

  #say(notice: AppNotice): void {
    this.#notices.push(notice);
    this.#wake();
  }

  collect(): AppBatch | undefined {
    this.#woke = false;
    const proposals: Proposal[] = [];
    const reads: number[] = [];
    if (!this.#failed) {
      this.submitter.collect(proposals);
      this.reads.collect(reads);
    }
    const applied = this.applier.appliedIndex;
    const notices = this.#notices;
    if (proposals.length === 0 && reads.length === 0 && notices.length === 0 && applied === this.#told)
      return undefined;
    if (notices.length > 0) this.#notices = [];
    this.#told = applied;
    // What is still being applied has to be told of later, even if nothing more comes.
    if (this.applier.idle) this.#untold = 0;
    return { proposals, reads, applied, notices };
  }

  deliver(batch: EngineBatch): void {
    this.#commitIndex = batch.commitIndex;
    if (batch.status) {
      this.#status = batch.status;
      if (!this.#failed) {
        this.submitter.statusChanged(batch.status);
        this.reads.statusChanged(batch.status);
        this.leaderCalls.statusChanged(batch.status);
        this.#replay.statusChanged(batch.status.quorum);
        this.#events.status(batch.status);
      }
    }
    for (const notice of batch.notices) {
      if (notice.type === 'failed') this.#fail(notice.error, false);
      else if (notice.type === 'removed') this.#leave(notice.membership);
      else if (notice.type === 'autopilot') this.#events.autopilot(notice.step);
      else if (notice.type === 'progress') this.leaderCalls.answered(notice.token, notice.report);
      else if (notice.type === 'warning') this.#warn(notice.error);
      else if (notice.type === 'compacted') this.compactions.done(notice.index);
      else if (notice.type === 'compactFailed') this.compactions.failed(notice.token, notice.error);
      else if (notice.type === 'requestRefused') this.leaderCalls.refused(notice.token, notice.why);
      else if (!this.#failed) this.snapshots.take(notice);
    }
    if (this.#failed) return;
    for (const { token, why } of batch.refused) this.submitter.refused(token, why);
    for (const context of batch.readsFailed) this.reads.failed(context);
    const { appliedIndex } = this.applier;
    for (const { context, index } of batch.reads) this.reads.confirmed(context, index, appliedIndex);
    if (batch.entries.length > 0) this.#push(batch.entries);
    this.#maybeOpen();
  }

  #push(entries: readonly Entry[]): void {
    for (const entry of entries) this.#untold += waitingBytes(entry);
    this.applier.push(entries);
  }

  #progress(index: Index): void {
    this.reads.applied(index);
    this.snapshots.progress();
    // The engine counts what is not applied yet. It hears of progress with the next proposal, or from here.
    if (this.#untold > UNTOLD_BYTES) this.#wake();
  }

  #restored(meta: SnapshotMeta): void {
    this.#replay.restored(meta.index);
    this.submitter.restored(this.applier.sessions);
    this.changes.reset(meta.index);
    this.#maybeOpen();
  }

  #warn(error: Error): void {
    this.submitter.obstacle = error;
    this.#events.warning(error);
  }

  #fail(error: Error, tell = true): void {
    if (this.#failed) return;
    this.#failed = true;
    if (tell) this.#say({ type: 'failed', error });
    this.submitter.obstacle = error;
    this.#end('ERR_REPLICA_FAILED', `the replica has failed: ${error.message}`);
    this.#maybeOpen();
    this.#events.failed(error);
  }

  #leave(membership: Membership): void {
    if (this.#failed) return;
    // Who waits for just this change has what it wanted.
    if (this.#status) this.leaderCalls.statusChanged({ ...this.#status, membership, stable: membership });
    this.#failed = true;
    this.#end('ERR_NOT_A_MEMBER', 'this node was removed from the group');
    this.#maybeOpen();
    this.#events.removed(membership);
  }

  /** Rejects what is pending and ends every stream. */
  #end(code: ErrorCode, why: string): void {
    this.applier.stop();
    this.#replay.end();
    this.outbox.end(code, why);
    this.submitter.close(code, why);
    this.reads.close(code, why);
    this.leaderCalls.close(code, why);
    this.compactions.close(code, why);
    this.snapshots.close();
    this.changes.close();
  }

  close(): void {
    this.#end('ERR_CLOSED', 'the replica was closed');
    this.#failed = true;
  }
}
