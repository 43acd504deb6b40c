/** Snapshots between the app's side and the storage of this node: when to take one, saving its chunks, restoring from it. */
import type { Index, SnapshotMeta } from '../consensus/consensus.js';
import { QuorateError, type ErrorCode } from '../errors.js';
import type { NodeStore, SnapshotReader, SnapshotWriter } from '../storage/storage.js';
import type { AppNotice, EngineNotice } from './door.js';

const CHUNK_BYTES = 256 * 1024;

/** What ends a snapshot that is being saved, and nothing else: an incoming one took its place or is newer, or space is short. */
const passing: readonly ErrorCode[] = ['ERR_CLOSED', 'ERR_COMPACTED', 'ERR_STORAGE_FULL'];

/** What happens around snapshots. */
export interface SnapshotEvents {
  tell(notice: EngineNotice): void;
  /** A snapshot of this node's own state is durable, and of so many bytes; `done` once the log behind it is gone, durably. */
  saved(meta: SnapshotMeta, bytes: number, done: () => void): void;
  /** Whether a peer sends one. */
  receiving(): boolean;
  /** The app's side stands at this snapshot of so many bytes. */
  restored(meta: SnapshotMeta, bytes: number): void;
  failed(error: Error): void;
}

type State =
  | { readonly type: 'idle' }
  | { readonly type: 'wanted' }
  | {
      readonly type: 'saving';
      readonly meta: SnapshotMeta;
      writer: SnapshotWriter | undefined;
      bytes: number;
    }
  | { readonly type: 'restoring'; reader: SnapshotReader | undefined; offset: number; again: boolean };

export class LocalSnapshots {
  readonly #group: string;
  readonly #store: NodeStore;
  readonly #threshold: number;
  readonly #events: SnapshotEvents;
  #state: State = { type: 'idle' };
  /** Bytes that the log held after the last snapshot: what grows from there counts. */
  #baseline = 0;
  /** The index of the newest snapshot that the app's side made or stands at. */
  #newest: Index = 0;
  /** What the app asked for last, unless it was answered. */
  #asked: { readonly token: number; readonly index: Index } | undefined;
  /** Before so much is handed over there is no use in trying again what was asked for. */
  #retryAt: Index = 0;
  #waiting: ((ok: boolean) => void)[] = [];
  /** One step after another; the storage is slow. */
  #work: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(group: string, store: NodeStore, threshold: number, events: SnapshotEvents) {
    this.#group = group;
    this.#store = store;
    this.#threshold = threshold;
    this.#events = events;
  }

  /** Asks for a snapshot if the log has grown enough, or if one is owed. `handed`: the app's side was given entries up to here. */
  consider(handed: Index): void {
    if (this.#closed || this.#state.type !== 'idle' || handed === 0) return;
    const grown = this.#store.logBytes(this.#group) - this.#baseline >= this.#threshold;
    if (grown || this.#owes(handed)) this.#want();
  }

  /** Whether what was asked for was pushed aside, and there is room for it again. */
  #owes(handed: Index): boolean {
    return this.#asked !== undefined && handed >= this.#retryAt && !this.#events.receiving();
  }

  /** The app asks for a snapshot that covers `index`. */
  #compact(token: number, index: Index): void {
    if (this.#newest >= index) {
      this.#events.tell({ type: 'compacted', index: this.#newest });
      return;
    }
    this.#asked = { token, index };
    this.#retryAt = 0;
    if (this.#state.type === 'idle') this.#want();
  }

  /** There is a snapshot at `index`. Returns what says so to who asked for it. */
  #covered(index: Index): () => void {
    this.#newest = index;
    const asked = this.#asked;
    if (asked === undefined) return () => undefined;
    if (asked.index <= index) this.#asked = undefined;
    // Those who asked before the last one may be content with less than that.
    return () => this.#events.tell({ type: 'compacted', index });
  }

  #refuse(error: QuorateError): void {
    const asked = this.#asked;
    this.#asked = undefined;
    if (asked) this.#events.tell({ type: 'compactFailed', token: asked.token, error });
  }

  /** Resolves once a snapshot of this node's own making is there; `false` if that fails. */
  request(): Promise<boolean> {
    return new Promise((resolve) => {
      if (this.#closed) {
        resolve(false);
        return;
      }
      this.#waiting.push(resolve);
      if (this.#state.type === 'idle') this.#want();
    });
  }

  #want(): void {
    this.#state = { type: 'wanted' };
    this.#events.tell({ type: 'snapshotWanted' });
  }

  /** Takes what the app's side says of a snapshot. */
  take(notice: Exclude<AppNotice, { type: 'failed' }>): void {
    if (this.#closed) return;
    switch (notice.type) {
      case 'snapshotBegin':
        if (this.#state.type === 'wanted') this.#begin(notice.meta);
        return;
      case 'snapshotChunk':
        if (this.#state.type === 'saving') this.#save(this.#state, notice.chunk);
        return;
      case 'snapshotFailed':
        if (this.#state.type !== 'saving' && this.#state.type !== 'wanted') return;
        this.#refuse(new QuorateError('ERR_NOT_READY', `no snapshot could be taken: ${notice.message}`));
        this.#giveUp(this.#state);
        return;
      case 'compact':
        this.#compact(notice.token, notice.index);
        return;
      case 'restorePull':
        if (this.#state.type === 'restoring') this.#feed(this.#state);
        return;
      case 'restored':
        if (this.#state.type === 'restoring') this.#finishRestore(this.#state);
    }
  }

  #begin(meta: SnapshotMeta): void {
    const state: State = { type: 'saving', meta, writer: undefined, bytes: 0 };
    this.#state = state;
    this.#saveStep(state, async () => {
      state.writer = await this.#store.createSnapshot(this.#group);
      if (this.#state === state) this.#events.tell({ type: 'snapshotPull' });
      else await state.writer.abort();
    });
  }

  #save(state: Extract<State, { type: 'saving' }>, chunk: Uint8Array): void {
    this.#saveStep(state, async () => {
      if (this.#state !== state || !state.writer) return;
      if (chunk.length > 0) {
        await state.writer.write(chunk);
        state.bytes += chunk.length;
        if (this.#isCurrent(state)) this.#events.tell({ type: 'snapshotPull' });
        return;
      }
      await state.writer.commit(state.meta);
      if (!this.#isCurrent(state)) return;
      this.#state = { type: 'idle' };
      this.#events.saved(state.meta, state.bytes, this.#covered(state.meta.index));
      this.#baseline = this.#store.logBytes(this.#group);
      this.#settleWaiting(true);
      this.#events.tell({ type: 'snapshotDone', index: state.meta.index, ok: true });
    });
  }

  #saveStep(state: Extract<State, { type: 'saving' }>, work: () => Promise<void>): void {
    this.#step(async () => {
      try {
        await work();
      } catch (error) {
        if (!(error instanceof QuorateError && passing.includes(error.code))) throw error;
        if (!this.#isCurrent(state)) return;
        if (error.code === 'ERR_STORAGE_FULL') this.#refuse(error);
        // A newer one is there, and is about to be restored.
        else if (error.code === 'ERR_COMPACTED') this.#retryAt = state.meta.index + 1;
        this.#giveUp(state);
      }
    });
  }

  // A function, so that the compiler does not think that nothing changes while a step awaits.
  #isCurrent(state: State): boolean {
    return this.#state === state && !this.#closed;
  }

  #giveUp(state: State): void {
    this.#state = { type: 'idle' };
    // What the log holds now is the new baseline, or the next turn would ask again at once.
    this.#baseline = this.#store.logBytes(this.#group);
    if (state.type === 'saving') this.#step(async () => state.writer?.abort());
    this.#events.tell({ type: 'snapshotDone', index: 0, ok: false });
    this.#settleWaiting(false);
  }

  /** Feeds the newest committed snapshot to the app's side. */
  restore(): void {
    const before = this.#state;
    if (before.type === 'restoring') {
      // The app's side finishes the one before, so that it is clear which of them its words are about.
      before.again = true;
      return;
    }
    if (before.type !== 'idle') this.#giveUp(before);
    const state: State = { type: 'restoring', reader: undefined, offset: 0, again: false };
    this.#state = state;
    this.#step(async () => {
      const reader = await this.#store.openSnapshot(this.#group);
      if (!reader) throw new Error(`the snapshot of group ${this.#group} is gone`);
      if (!this.#isCurrent(state)) {
        await reader.close();
        return;
      }
      state.reader = reader;
      this.#events.tell({ type: 'restoreBegin', meta: reader.meta });
    });
  }

  #feed(state: Extract<State, { type: 'restoring' }>): void {
    this.#step(async () => {
      if (this.#state !== state || !state.reader) return;
      const chunk = await state.reader.read(state.offset, CHUNK_BYTES);
      if (!this.#isCurrent(state)) return;
      state.offset += chunk.length;
      this.#events.tell({ type: 'restoreChunk', chunk });
    });
  }

  #finishRestore(state: Extract<State, { type: 'restoring' }>): void {
    this.#step(async () => {
      if (this.#state !== state || !state.reader) return;
      await state.reader.close();
      if (!this.#isCurrent(state)) return;
      this.#state = { type: 'idle' };
      if (state.again) {
        this.restore();
        return;
      }
      this.#baseline = this.#store.logBytes(this.#group);
      this.#covered(state.reader.meta.index)();
      this.#events.restored(state.reader.meta, state.reader.size);
      this.#settleWaiting(true);
    });
  }

  #settleWaiting(ok: boolean): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve(ok);
  }

  #step(work: () => Promise<void>): void {
    this.#work = this.#work.then(work).catch((error: unknown) => {
      if (!this.#closed) this.#events.failed(error instanceof Error ? error : new Error(String(error)));
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#asked = undefined;
    const state = this.#state;
    this.#state = { type: 'idle' };
    this.#settleWaiting(false);
    this.#work = this.#work
      .then(async () => {
        if (state.type === 'saving') await state.writer?.abort();
        if (state.type === 'restoring') await state.reader?.close();
      })
      .catch(() => undefined); // the storage has failed, which was said already
  }

  /** Resolves when nothing is under way any more. */
  settled(): Promise<void> {
    return this.#work;
  }
}
