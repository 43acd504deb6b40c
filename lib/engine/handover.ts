/** Brings committed entries to the app's side: in order, without a gap, and no more than it can hold. */
import { lastOf, type Consensus, type Entry, type Index } from '../consensus/consensus.js';
import type { NodeStore } from '../storage/storage.js';
import { waitingBytes } from './door.js';

/** Bytes of entries, as {@link waitingBytes} counts them, that may wait on the app's side. */
const WINDOW_BYTES = 8 * 1024 * 1024;
const CHUNK_BYTES = 1024 * 1024;

export class Handover {
  readonly #group: string;
  readonly #core: Consensus;
  readonly #store: NodeStore;
  readonly #wake: () => void;
  readonly #fail: (error: Error) => void;
  #handed: Index;
  #commit: Index;
  /** Set while a snapshot is being restored. */
  #paused = false;
  #reading = false;
  /** Grows whenever what is being read from disk has become useless. */
  #generation = 0;
  #fetched: Entry[] = [];
  /** Handed over and not applied yet: last index and bytes of each entry. */
  readonly #waiting: { readonly last: Index; readonly bytes: number }[] = [];
  #waitingBytes = 0;

  constructor(
    group: string,
    core: Consensus,
    store: NodeStore,
    from: Index,
    wake: () => void,
    fail: (error: Error) => void,
  ) {
    this.#group = group;
    this.#core = core;
    this.#store = store;
    this.#handed = from;
    this.#commit = from;
    this.#wake = wake;
    this.#fail = fail;
  }

  /** The last index that was handed over. */
  get handedIndex(): Index {
    return this.#handed;
  }

  get commitIndex(): Index {
    return this.#commit;
  }

  committed(index: Index): void {
    if (index > this.#commit) this.#commit = index;
  }

  /** The app's side has applied up to here. */
  applied(index: Index): void {
    let done = 0;
    while (done < this.#waiting.length && this.#waiting[done]!.last <= index) {
      this.#waitingBytes -= this.#waiting[done]!.bytes;
      done++;
    }
    if (done > 0) this.#waiting.splice(0, done);
  }

  /** Stops until `resume`: the app's side is getting a snapshot. */
  pause(): void {
    this.#paused = true;
    this.#generation++;
    this.#fetched = [];
    this.#waiting.length = 0;
    this.#waitingBytes = 0;
  }

  /** The app's side stands at `index`. */
  resume(index: Index): void {
    this.#paused = false;
    this.#handed = index;
    this.committed(index);
  }

  /** Appends to `out` what may be handed over now. */
  take(out: Entry[]): void {
    if (this.#paused) return;
    while (this.#handed < this.#commit && this.#waitingBytes < WINDOW_BYTES) {
      const entries =
        this.#fetched.length > 0
          ? this.#takeFetched()
          : this.#core.entries(this.#handed + 1, this.#commit, CHUNK_BYTES);
      if (entries.length === 0) {
        this.#fetch();
        return;
      }
      for (const entry of entries) {
        const last = lastOf(entry);
        out.push(entry);
        this.#handed = last;
        const bytes = waitingBytes(entry);
        this.#waiting.push({ last, bytes });
        this.#waitingBytes += bytes;
      }
    }
  }

  #takeFetched(): Entry[] {
    const entries = this.#fetched;
    this.#fetched = [];
    return entries;
  }

  #fetch(): void {
    if (this.#reading) return;
    this.#reading = true;
    const generation = this.#generation;
    const settle = (entries: Entry[] | undefined, error: unknown): void => {
      this.#reading = false;
      if (generation !== this.#generation) {
        this.#wake();
      } else if (entries) {
        this.#fetched = entries;
        this.#wake();
      } else {
        this.#fail(error instanceof Error ? error : new Error(String(error)));
      }
    };
    this.#store.read(this.#group, this.#handed + 1, this.#commit, CHUNK_BYTES).then(
      (entries) => settle(entries, undefined),
      (error: unknown) => settle(undefined, error),
    );
  }
}
