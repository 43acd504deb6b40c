/** Puts chunks in order and messages together, within a window. @internal */
import { lengthBytes, maxMessageBytes } from './laneChunks.js';

/** What a chunk that waits for an earlier one costs beside its bytes. */
const chunkOverhead = 64;

/** What became of a chunk. */
export type Taken = 'new' | 'known' | 'outside';

export class Assembly {
  readonly #windowBytes: number;
  readonly #windowChunks: number;
  readonly #deliver: (message: Uint8Array) => void;
  readonly #ahead = new Map<number, Uint8Array>();
  #aheadBytes = 0;
  #next = 0;
  #partial: Uint8Array | undefined;
  #filled = 0;
  #running = false;
  #closed = false;

  constructor(windowBytes: number, windowChunks: number, deliver: (message: Uint8Array) => void) {
    this.#windowBytes = windowBytes;
    this.#windowChunks = windowChunks;
    this.#deliver = deliver;
  }

  /** All chunks before this one were delivered. */
  get next(): number {
    return this.#next;
  }

  /** Bytes held: chunks that came before their turn, and a message that is not whole. */
  get held(): number {
    return this.#aheadBytes + (this.#partial?.length ?? 0);
  }

  /** Takes a chunk in; `outside`: it is beyond the window, and is not kept. */
  take(seq: number, bytes: Uint8Array): Taken {
    if (seq < this.#next || this.#ahead.has(seq)) return 'known';
    const cost = bytes.length + chunkOverhead;
    const inTurn = seq === this.#next;
    // The chunk whose turn it is always fits: it is what the others wait for.
    if (!inTurn && this.#aheadBytes + cost > this.#windowBytes) return 'outside';
    if (seq - this.#next >= this.#windowChunks) return 'outside';
    this.#ahead.set(seq, bytes);
    this.#aheadBytes += cost;
    return 'new';
  }

  /** Delivers what is whole and in order. Returns what is wrong with the stream, if anything. */
  run(): string | undefined {
    if (this.#running) return undefined;
    this.#running = true;
    let problem: string | undefined;
    while (problem === undefined) {
      const bytes = this.#ahead.get(this.#next);
      if (bytes === undefined || this.#closed) break;
      this.#ahead.delete(this.#next);
      this.#aheadBytes -= bytes.length + chunkOverhead;
      this.#next++;
      problem = this.#read(bytes);
    }
    this.#running = false;
    return problem;
  }

  close(): void {
    this.#closed = true;
    this.#ahead.clear();
    this.#aheadBytes = 0;
    this.#partial = undefined;
  }

  #read(bytes: Uint8Array): string | undefined {
    let at = 0;
    while (at < bytes.length && !this.#closed) {
      if (this.#partial === undefined) {
        if (bytes.length - at < lengthBytes) return 'a chunk that ends inside a length';
        const length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
        at += lengthBytes;
        if (length > maxMessageBytes) return `a message of ${length} bytes, above ${maxMessageBytes}`;
        if (length <= bytes.length - at) {
          // A view: the bytes are ours, and no other message lies in this part of them.
          const message = bytes.subarray(at, at + length);
          at += length;
          this.#deliver(message);
          continue;
        }
        this.#partial = new Uint8Array(length);
        this.#filled = 0;
      }
      const partial = this.#partial;
      const more = Math.min(partial.length - this.#filled, bytes.length - at);
      partial.set(bytes.subarray(at, at + more), this.#filled);
      this.#filled += more;
      at += more;
      if (this.#filled < partial.length) break;
      this.#partial = undefined;
      this.#deliver(partial);
    }
    return undefined;
  }
}
