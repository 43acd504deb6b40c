/**
 * Applies committed entries to the state machine: in order, each command once, yielding to the event loop when there is
 * much to do. Holds the replicated state beside the machine's own: sessions, membership, the place in the log.
 */
import { ByteReader } from '../bytes.js';
import {
  lastOf,
  NO_EPOCH,
  type Entry,
  type Epoch,
  type Index,
  type SnapshotMeta,
} from '../consensus/consensus.js';
import { decodeMembership, type Membership } from '../consensus/membership.js';
import type { Environment } from '../environment.js';
import { QuorateError } from '../errors.js';
import { decodeHeader, ItemReader, type BatchHeader } from './batch.js';
import type { BatchCodec } from './codec.js';
import { MachineContext } from './context.js';
import { detach } from './detach.js';
import { Failure, resultExpired, type Outcome } from './outcome.js';
import { SessionTable, type Session } from './sessions.js';
import type { StateMachine } from './stateMachine.js';

/** How long to apply before other work gets a turn, and how often to look at the clock. */
const SLICE_MS = 5;
const COMMANDS_A_LOOK = 32;

/** Who wants to know what is applied. */
export interface AppliedListener {
  /** A batch is behind: its outcomes, in the order of its sequences. */
  batch(session: number, first: number, outcomes: readonly Outcome[]): void;
  /** Whether somebody waits for batches of that session. */
  awaits(session: number): boolean;
  expired(session: number, first: number, count: number): void;
  registered(session: number, origin: string, nonce: string): void;
  epoch(n: number): void;
  members(membership: Membership): void;
  /** A slice is done: everything up to `index` is applied. */
  progress(index: Index): void;
  /** One command that was applied now, if `watching`. */
  command(index: Index, time: number, origin: string, bytes: Uint8Array, outcome: Outcome): void;
  failed(error: Error): void;
}

/** A batch that is being applied. */
interface Running {
  readonly entry: Entry;
  readonly header: BatchHeader;
  readonly session: Session;
  readonly items: ItemReader;
  /** None of its sequences was applied before. */
  readonly fresh: boolean;
  readonly outcomes: Outcome[];
}

export class Applier {
  readonly sessions = new SessionTable();
  readonly #machine: StateMachine;
  readonly #codec: BatchCodec;
  readonly #environment: Environment;
  readonly #listener: AppliedListener;
  readonly #context = new MachineContext();
  #queue: Entry[] = [];
  #at = 0;
  #running: Running | undefined;
  #yielded = false;
  #stopped = false;
  #index: Index = 0;
  #entryIndex: Index = 0;
  #epoch: Epoch = NO_EPOCH;
  #time = 0;
  #membership: Membership | undefined;
  #protocol = '';
  /** Whether `command` should be told of each command. */
  watching = false;
  /** There is no state here, and the entries are empty: all that is applied is who takes part. */
  witness = false;

  constructor(machine: StateMachine, codec: BatchCodec, environment: Environment, listener: AppliedListener) {
    this.#machine = machine;
    this.#codec = codec;
    this.#environment = environment;
    this.#listener = listener;
  }

  /** The index of the last command that was applied. */
  get appliedIndex(): Index {
    return this.#index;
  }

  get membership(): Membership | undefined {
    return this.#membership;
  }

  /** Whether everything that was handed over is applied. */
  get idle(): boolean {
    return !this.#running && this.#queue.length === 0;
  }

  /** Whether the state stands at the end of an entry, where a snapshot can be captured. */
  get atBound(): boolean {
    return this.#running === undefined;
  }

  /** What a snapshot captured now says of itself; undefined before there is anything to capture. */
  get meta(): SnapshotMeta | undefined {
    if (!this.#membership || this.#entryIndex === 0) return undefined;
    return {
      index: this.#entryIndex,
      epoch: this.#epoch,
      time: this.#time,
      membership: this.#membership,
      protocol: this.#protocol,
    };
  }

  set protocol(name: string) {
    this.#protocol = name;
  }

  /** Takes committed entries, and applies as many as fit into a slice. */
  push(entries: readonly Entry[]): void {
    for (const entry of entries) this.#queue.push(entry);
    if (!this.#yielded) this.#run();
  }

  /** The state was replaced by a snapshot; what was queued is behind it. */
  restored(meta: SnapshotMeta): void {
    this.#index = meta.index;
    this.#entryIndex = meta.index;
    this.#epoch = meta.epoch;
    this.#time = meta.time;
    this.#setMembership(meta.membership);
    this.#listener.epoch(meta.epoch.n);
    this.#listener.progress(this.#index);
  }

  /** Drops what is queued: a snapshot is about to replace the state. */
  clear(): void {
    this.#queue = [];
    this.#at = 0;
    this.#running = undefined;
  }

  stop(): void {
    this.#stopped = true;
    this.clear();
  }

  #run(): void {
    if (this.#stopped) return;
    const end = this.#environment.now() + SLICE_MS;
    try {
      while (this.#running || this.#at < this.#queue.length) {
        if (!this.#running) this.#start(this.#queue[this.#at++]!);
        if (this.#running && !this.#work(end)) break;
        if (this.#at % COMMANDS_A_LOOK === 0 && this.#environment.now() >= end) break;
      }
    } catch (error) {
      // Not a command that failed: the machinery itself. Going on could make this member differ from the others.
      this.stop();
      this.#listener.failed(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    if (this.#at > 0 && this.#at === this.#queue.length) {
      this.#queue = [];
      this.#at = 0;
    }
    this.#listener.progress(this.#index);
    if (!this.#running && this.#queue.length === 0) return;
    this.#yielded = true;
    this.#environment.defer(() => {
      this.#yielded = false;
      this.#run();
    });
  }

  #start(entry: Entry): void {
    if (entry.kind === 'user' && !this.witness) {
      this.#startUser(entry);
      return;
    }
    if (entry.kind === 'config') {
      const membership = decodeMembership(entry.data);
      if (!membership)
        throw new QuorateError('ERR_INTERNAL', `the config entry at ${entry.index} does not decode`);
      this.#setMembership(membership);
    }
    this.#finish(entry);
  }

  #startUser(entry: Entry): void {
    const reader = new ByteReader(entry.data);
    const header = decodeHeader(reader);
    if (header.type === 'register') {
      const session = this.sessions.register(entry.index, header.origin, header.nonce, entry.time);
      this.#listener.registered(session.id, header.origin, header.nonce);
      this.#finish(entry);
      return;
    }
    const session = this.sessions.use(header.session, entry.time);
    if (!session) {
      this.#listener.expired(header.session, header.first, header.count);
      this.#finish(entry);
      return;
    }
    session.raiseFloor(header.floor);
    const fresh = session.isFresh(header.first, header.count);
    this.#running = { entry, header, session, items: new ItemReader(reader), fresh, outcomes: [] };
  }

  /** Applies commands of the running batch; `false` when the slice is over before the batch is. */
  #work(end: number): boolean {
    const running = this.#running!;
    const { entry, header, session, items, fresh, outcomes } = running;
    this.#context.begin(entry.time, session.origin);
    while (outcomes.length < header.count) {
      const at = outcomes.length;
      if (at > 0 && at % COMMANDS_A_LOOK === 0 && this.#environment.now() >= end) return false;
      items.next();
      const found = fresh ? undefined : session.find(header.first + at);
      if (found) {
        outcomes.push(found.known ? found.outcome : resultExpired);
      } else {
        outcomes.push(this.#applyOnce(entry, entry.index + at, items));
      }
      this.#index = entry.index + at;
    }
    if (fresh) session.record(header.first, outcomes);
    else this.#recordMissing(session, header.first, outcomes);
    this.#running = undefined;
    this.#finish(entry);
    if (this.#listener.awaits(header.session)) this.#listener.batch(header.session, header.first, outcomes);
    return true;
  }

  #recordMissing(session: Session, first: number, outcomes: readonly Outcome[]): void {
    for (const [at, outcome] of outcomes.entries()) {
      if (session.isFresh(first + at, 1)) session.record(first + at, [outcome]);
    }
  }

  #applyOnce(entry: Entry, index: Index, items: ItemReader): Outcome {
    const { requestId, from, to } = items;
    if (requestId !== '') {
      const known = this.sessions.request(requestId);
      if (known) return known.outcome;
    }
    const outcome = this.#apply(entry.data, from, to, index);
    if (requestId !== '') this.sessions.recordRequest(requestId, outcome, entry.time);
    if (this.watching) {
      this.#listener.command(index, entry.time, this.#context.origin, entry.data.subarray(from, to), outcome);
    }
    return outcome;
  }

  #apply(data: Uint8Array, from: number, to: number, index: Index): Outcome {
    this.#context.seek(index);
    try {
      const result = this.#machine.apply(this.#codec.decodeRange(data, from, to), this.#context);
      if (result instanceof Promise) {
        result.catch(() => undefined);
        return new Failure('ERR_COMMAND_FAILED', 'apply returned a promise; it must be synchronous');
      }
      return detach(result);
    } catch (error) {
      return this.#context.failureOf(error);
    }
  }

  #finish(entry: Entry): void {
    this.#index = lastOf(entry);
    this.#entryIndex = this.#index;
    this.#time = entry.time;
    if (entry.epoch !== this.#epoch) {
      this.#epoch = entry.epoch;
      this.#listener.epoch(entry.epoch.n);
    }
  }

  #setMembership(membership: Membership): void {
    this.#membership = membership;
    this.#context.genesis = membership.genesis;
    this.#listener.members(membership);
  }
}
