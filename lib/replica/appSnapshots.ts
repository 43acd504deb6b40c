/** The app's end of snapshots: captures the state at an entry's bound and hands out its chunks, and restores from chunks. */
import type { SnapshotMeta } from '../consensus/consensus.js';
import type { AppNotice, EngineNotice } from '../engine/door.js';
import { QuorateError } from '../errors.js';
import type { Applier } from './applier.js';
import type { Codec } from './codec.js';
import { restoreChunks, snapshotChunks } from './snapshotFormat.js';
import type { StateMachine } from './stateMachine.js';

/** What happens around them. */
export interface AppSnapshotHost {
  say(notice: AppNotice): void;
  /** The state stands at `meta.index`. */
  restored(meta: SnapshotMeta): void;
  failed(error: Error): void;
}

/** Chunks that somebody else pushes and a machine pulls. */
class ChunkPipe implements AsyncIterator<Uint8Array> {
  readonly #pull: () => void;
  #taker:
    | { readonly take: (result: IteratorResult<Uint8Array>) => void; readonly fail: (error: Error) => void }
    | undefined;
  #ended = false;
  #abandoned = false;

  constructor(pull: () => void) {
    this.#pull = pull;
  }

  next(): Promise<IteratorResult<Uint8Array>> {
    if (this.#abandoned) return Promise.reject(new Error('the restore was given up'));
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((take, fail) => {
      this.#taker = { take, fail };
      this.#pull();
    });
  }

  push(chunk: Uint8Array): void {
    const taker = this.#taker;
    this.#taker = undefined;
    if (chunk.length === 0) {
      this.#ended = true;
      taker?.take({ done: true, value: undefined });
    } else {
      taker?.take({ done: false, value: chunk });
    }
  }

  /** No more chunks will come: whoever waits for one gets an error. */
  abandon(): void {
    this.#abandoned = true;
    this.#taker?.fail(new Error('the restore was given up'));
    this.#taker = undefined;
  }
}

/** The state of one moment: where it stands, and its chunks. */
export interface Captured {
  readonly meta: SnapshotMeta;
  readonly chunks: AsyncGenerator<Uint8Array, void, undefined>;
}

interface Asker {
  readonly resolve: (captured: Captured) => void;
  readonly reject: (error: unknown) => void;
}

/** What the engine says of snapshots. */
export type SnapshotNotice = Exclude<
  EngineNotice,
  { type: 'failed' | 'removed' | 'warning' | 'autopilot' | 'progress' | 'compacted' | 'compactFailed' }
>;

/** The app's end of snapshots, of a member that holds the state, or of one that does not. */
export interface RoomSnapshots {
  /** Nothing is to be opened before it is over. */
  readonly restoring: boolean;
  take(notice: SnapshotNotice): void;
  /** The state moved on. */
  progress(): void;
  /** The state at the next entry's bound, for somebody else than the engine; rejects with ERR_NOT_READY, ERR_CLOSED or ERR_WITNESS. */
  captured(): Promise<Captured>;
  close(): void;
}

export class AppSnapshots implements RoomSnapshots {
  readonly #machine: StateMachine;
  readonly #codec: Codec;
  readonly #applier: Applier;
  readonly #host: AppSnapshotHost;
  #wanted = false;
  #askers: Asker[] = [];
  #outgoing: AsyncGenerator<Uint8Array> | undefined;
  #incoming: ChunkPipe | undefined;
  #restoring: Promise<void> = Promise.resolve();

  constructor(machine: StateMachine, codec: Codec, applier: Applier, host: AppSnapshotHost) {
    this.#machine = machine;
    this.#codec = codec;
    this.#applier = applier;
    this.#host = host;
  }

  get restoring(): boolean {
    return this.#incoming !== undefined;
  }

  take(notice: SnapshotNotice): void {
    switch (notice.type) {
      case 'snapshotWanted':
        this.#wanted = true;
        this.progress();
        return;
      case 'snapshotPull':
        this.#next();
        return;
      case 'snapshotDone':
        this.#drop();
        return;
      case 'restoreBegin':
        this.#restore(notice.meta);
        return;
      case 'restoreChunk':
        this.#incoming?.push(notice.chunk);
    }
  }

  /** The state moved on: captures it, if that is wanted and possible now. */
  progress(): void {
    this.#answer();
    if (!this.#wanted || !this.#applier.atBound || this.#incoming) return;
    this.#wanted = false;
    const meta = this.#applier.meta;
    if (!meta) {
      this.#host.say({ type: 'snapshotFailed', message: 'there is nothing to capture yet' });
      return;
    }
    this.#drop();
    try {
      this.#outgoing = this.capture();
    } catch (error) {
      this.#host.failed(asError(error));
      return;
    }
    this.#host.say({ type: 'snapshotBegin', meta });
  }

  /**
   * The state at the next entry's bound, for somebody else than the engine. Rejects with
   * ERR_NOT_READY where there is none, and ERR_CLOSED when the replica ends first.
   */
  captured(): Promise<Captured> {
    return new Promise((resolve, reject) => {
      this.#askers.push({ resolve, reject });
      this.#answer();
    });
  }

  #answer(): void {
    const { meta, atBound } = this.#applier;
    if (this.#askers.length === 0 || !atBound || this.#incoming) return;
    for (const { resolve, reject } of this.#askers.splice(0)) {
      try {
        if (!meta) throw new QuorateError('ERR_NOT_READY', 'nothing of the group is here yet');
        resolve({ meta, chunks: this.capture() });
      } catch (error) {
        reject(error);
      }
    }
  }

  /** The chunks of the state as it is now. */
  capture(): AsyncGenerator<Uint8Array, void, undefined> {
    return snapshotChunks(
      this.#codec,
      this.#machine.version,
      this.#applier.sessions.image(),
      this.#machine.snapshot(),
    );
  }

  #next(): void {
    const outgoing = this.#outgoing;
    if (!outgoing) {
      this.#host.say({ type: 'snapshotFailed', message: 'the capture was dropped' });
      return;
    }
    this.#nextFilled(outgoing).then(
      (chunk) => {
        if (this.#outgoing !== outgoing) return;
        if (chunk.length === 0) this.#outgoing = undefined;
        this.#host.say({ type: 'snapshotChunk', chunk });
      },
      (error: unknown) => this.#host.failed(asError(error)),
    );
  }

  /** The next chunk that is not empty: an empty one would mean the end. */
  async #nextFilled(outgoing: AsyncGenerator<Uint8Array>): Promise<Uint8Array> {
    for (;;) {
      const next = await outgoing.next();
      if (next.done) return new Uint8Array(0);
      if (next.value.length > 0) return next.value;
    }
  }

  #drop(): void {
    const outgoing = this.#outgoing;
    this.#outgoing = undefined;
    // Lets the machine release what it kept for the capture.
    outgoing?.return(undefined).catch((error: unknown) => this.#host.failed(asError(error)));
  }

  #restore(meta: SnapshotMeta): void {
    this.#wanted = false;
    this.#drop();
    this.#applier.clear();
    const pipe = new ChunkPipe(() => this.#host.say({ type: 'restorePull' }));
    this.#incoming?.abandon();
    this.#incoming = pipe;
    // A machine restores one snapshot at a time: one that was overtaken has to end first.
    this.#restoring = this.#restoring.then(() => this.#run(pipe, meta));
  }

  async #run(pipe: ChunkPipe, meta: SnapshotMeta): Promise<void> {
    try {
      const image = await restoreChunks(this.#codec, this.#machine, pipe);
      if (this.#incoming !== pipe) return;
      this.#incoming = undefined;
      this.#applier.sessions.restore(image);
      this.#applier.restored(meta);
      this.#host.restored(meta);
      this.#host.say({ type: 'restored' });
    } catch (error) {
      if (this.#incoming === pipe) this.#host.failed(asError(error));
    }
  }

  close(): void {
    this.#wanted = false;
    for (const { reject } of this.#askers.splice(0))
      reject(new QuorateError('ERR_CLOSED', 'the replica was closed'));
    const incoming = this.#incoming;
    this.#incoming = undefined;
    incoming?.abandon();
    this.#drop();
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
