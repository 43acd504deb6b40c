/**
 * Lane messages as a stream in chunks. Small messages that wait together share a chunk, a large one takes several; a chunk
 * keeps its number and its bytes however often it is sent. In the stream a message is three bytes of length, never split
 * between chunks, and its bytes. @internal
 */
import { ByteWriter } from '../../bytes.js';
import { maxChunkBytes } from './packets.js';

/** Largest message on a lane. */
export const maxMessageBytes = 64 * 1024;
/** Bytes before a message in the stream. */
export const lengthBytes = 3;

/** A part of the stream. */
export interface Chunk {
  readonly seq: number;
  readonly bytes: Uint8Array;
  /** How many bytes of `bytes` belong to messages. */
  readonly payload: number;
  /** The other end has it. */
  acked: boolean;
  /** It is to be sent again. */
  lost: boolean;
}

export class ChunkWriter {
  readonly #writer = new ByteWriter(512);
  #payload = 0;
  #full: Chunk[] = [];
  #head = 0;
  #next = 0;
  #waiting = 0;

  /** Bytes of messages that `take` has not handed out. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Chunks that wait, the one that is being filled included. */
  get count(): number {
    return this.#full.length - this.#head + (this.#writer.length > 0 ? 1 : 0);
  }

  /** Copies a message into the stream. */
  write(message: Uint8Array): void {
    if (this.#writer.length + lengthBytes > maxChunkBytes) this.#finish();
    const { length } = message;
    this.#writer.u8(length >>> 16);
    this.#writer.u8((length >>> 8) & 0xff);
    this.#writer.u8(length & 0xff);
    this.#waiting += length;
    let at = 0;
    while (at < length) {
      const room = maxChunkBytes - this.#writer.length;
      if (room === 0) {
        this.#finish();
        continue;
      }
      const bytes = Math.min(room, length - at);
      this.#writer.raw(at === 0 && bytes === length ? message : message.subarray(at, at + bytes));
      this.#payload += bytes;
      at += bytes;
    }
  }

  /** The bytes of the chunk that `take` would hand out; 0: nothing waits. */
  get nextBytes(): number {
    return this.#full[this.#head]?.bytes.length ?? this.#writer.length;
  }

  /** The next chunk, the one being filled if no full one waits. */
  take(): Chunk | undefined {
    if (this.#head === this.#full.length && this.#writer.length > 0) this.#finish();
    const chunk = this.#full[this.#head];
    if (chunk === undefined) return undefined;
    this.#head++;
    if (this.#head === this.#full.length) {
      this.#full.length = 0;
      this.#head = 0;
    } else if (this.#head > 256 && this.#head * 2 > this.#full.length) {
      this.#full = this.#full.slice(this.#head);
      this.#head = 0;
    }
    this.#waiting -= chunk.payload;
    return chunk;
  }

  /** Forgets what waits. */
  clear(): void {
    this.#writer.take();
    this.#full = [];
    this.#head = this.#payload = this.#waiting = 0;
  }

  #finish(): void {
    const payload = this.#payload;
    this.#full.push({ seq: this.#next++, bytes: this.#writer.take(), payload, acked: false, lost: false });
    this.#payload = 0;
  }
}
