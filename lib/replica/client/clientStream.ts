/** A stream of changes at a client: what came and is not read yet, and the credit for more. @internal */
import type { NodeId } from '../../consensus/consensus.js';
import { QuorateError } from '../../errors.js';
import type { Change } from '../changes.js';
import type { Codec } from '../codec.js';
import { costOf, type WireChange } from './wire.js';

/** How much may be on its way to a reader, or wait for it. One change may go beyond the bytes. */
export const STREAM_WINDOW = { count: 1024, bytes: 1024 * 1024 } as const;

/** What a stream asks of its client. */
export interface StreamHost {
  /** The reader has room for so many changes and bytes in all, of what its member sends. */
  grant(stream: ClientStream): void;
  ended(stream: ClientStream): void;
}

export class ClientStream implements AsyncIterableIterator<Change> {
  /** Where the stream stands: the last index that came. */
  from: number | undefined;
  /** The request under which its member knows it; another one for each member. */
  request = 0;
  at: NodeId | undefined;
  readonly #codec: Codec;
  readonly #host: StreamHost;
  #queue: WireChange[] = [];
  #head = 0;
  #takers: {
    readonly resolve: (result: IteratorResult<Change>) => void;
    readonly reject: (error: unknown) => void;
  }[] = [];
  #ended = false;
  #error: Error | undefined;
  // Of what the present member sends: had so much, read so much, may send so much.
  #came = { count: 0, bytes: 0 };
  #waiting = 0;
  granted = { count: 0, bytes: 0 };

  constructor(codec: Codec, from: number | undefined, host: StreamHost) {
    this.#codec = codec;
    this.from = from;
    this.#host = host;
  }

  /** A member is about to be asked: from here on counts what that one sends. */
  begin(peer: NodeId, request: number): void {
    this.at = peer;
    this.request = request;
    this.#came = { count: 0, bytes: 0 };
    this.granted = { count: 0, bytes: 0 };
    this.#extend();
  }

  /** Whether the grant grew by so much that it is worth a word. */
  #extend(): boolean {
    const count = this.#came.count + STREAM_WINDOW.count - (this.#queue.length - this.#head);
    const bytes = this.#came.bytes + STREAM_WINDOW.bytes - this.#waiting;
    const { granted } = this;
    const half = STREAM_WINDOW.count / 2;
    if (count - granted.count < half && bytes - granted.bytes < STREAM_WINDOW.bytes / 2) return false;
    this.granted = { count: Math.max(granted.count, count), bytes: Math.max(granted.bytes, bytes) };
    return true;
  }

  /** Takes what came from the member. `false`: more than was granted, or out of order. */
  push(changes: readonly WireChange[]): boolean {
    for (const change of changes) {
      if (this.#came.count >= this.granted.count || this.#came.bytes >= this.granted.bytes) return false;
      if (change.type === 'applied' && (this.from === undefined || change.index <= this.from)) return false;
      const cost = costOf(change);
      this.#came.count++;
      this.#came.bytes += cost;
      this.#waiting += cost;
      this.from = change.index;
      // A copy: a view would keep the whole frame for as long as one of its changes waits.
      this.#queue.push(change.type === 'reset' ? change : { ...change, command: change.command.slice() });
    }
    while (this.#takers.length > 0 && this.#head < this.#queue.length) {
      const taker = this.#takers.shift()!;
      this.#take().then(taker.resolve, taker.reject);
    }
    return true;
  }

  #take(): Promise<IteratorResult<Change>> {
    const change = this.#queue[this.#head]!;
    if (++this.#head >= 256 && this.#head * 2 >= this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    this.#waiting -= costOf(change);
    if (this.at !== undefined && this.#extend()) this.#host.grant(this);
    if (change.type === 'reset') return Promise.resolve({ done: false, value: change });
    try {
      const value = { ...change, command: this.#codec.decode(change.command) };
      return Promise.resolve({ done: false, value });
    } catch (error) {
      this.#queue = [];
      this.#head = 0;
      this.end(error instanceof Error ? error : new QuorateError('ERR_CODEC', String(error)));
      return this.next();
    }
  }

  next(): Promise<IteratorResult<Change>> {
    if (this.#head < this.#queue.length) return this.#take();
    if (this.#error !== undefined) {
      const error = this.#error;
      this.#error = undefined;
      return Promise.reject(error);
    }
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => this.#takers.push({ resolve, reject }));
  }

  return(): Promise<IteratorResult<Change>> {
    this.#queue = [];
    this.#head = 0;
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** What came can still be read; then the stream ends, or fails with the error. */
  end(error?: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    const takers = this.#takers;
    this.#takers = [];
    this.#host.ended(this);
    for (const { resolve, reject } of takers) this.next().then(resolve, reject);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
