/**
 * Frames on lanes. A lane message is a row of pieces; a piece is a whole small frame or a part of a large one:
 *
 *     u8      first 0x80 | last 0x40 | urgent 0x20 | kind 0x1f
 *     varint  bytes of the whole frame           (only in a first piece that is not the last)
 *     varint  bytes of this piece
 *     bytes
 *
 * Pieces of one frame follow each other; only urgent frames, always of one piece, may come between them.
 *
 * @internal
 */

/** The kind of frames between the two links themselves: heartbeats, credit, farewell. */
export const linkKind = 0;
/** The largest kind that fits. */
export const maxKind = 0x1f;
/** Most bytes that a piece's header takes. */
export const maxHeaderBytes = 11;

const first = 0x80;
const last = 0x40;
const urgent = 0x20;

/** Packs pieces into one lane message. The buffer is reused: lanes copy what they are given. */
export class PieceWriter {
  readonly #buffer: Uint8Array;
  #length = 0;

  constructor(capacity: number) {
    this.#buffer = new Uint8Array(capacity);
  }

  get length(): number {
    return this.#length;
  }

  /** How many bytes of a frame still fit. */
  get space(): number {
    return this.#buffer.length - this.#length - maxHeaderBytes;
  }

  /** Adds bytes `from` to `to` of a frame; the caller has seen to the space. */
  add(kind: number, frame: Uint8Array, from: number, to: number, isUrgent: boolean): void {
    const isFirst = from === 0;
    const isLast = to === frame.length;
    const flags = (isFirst ? first : 0) | (isLast ? last : 0) | (isUrgent ? urgent : 0);
    this.#buffer[this.#length++] = flags | kind;
    if (isFirst && !isLast) this.#varint(frame.length);
    this.#varint(to - from);
    this.#buffer.set(isFirst && isLast ? frame : frame.subarray(from, to), this.#length);
    this.#length += to - from;
  }

  /** The message so far, valid until the next `add`. */
  take(): Uint8Array {
    const message = this.#buffer.subarray(0, this.#length);
    this.#length = 0;
    return message;
  }

  #varint(value: number): void {
    let rest = value;
    while (rest > 0x7f) {
      this.#buffer[this.#length++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#buffer[this.#length++] = rest;
  }
}

/** What {@link PieceReader} calls back. Each answers `false` to stop reading: the link is being closed. */
export interface PieceSink {
  /** A piece of an ordinary frame, before it is taken in: `bytes` of it. */
  charge(bytes: number): boolean;
  /** A whole frame. `bytes` is owned by the sink. */
  frame(kind: number, bytes: Uint8Array, isUrgent: boolean): boolean;
}

/** Takes lane messages apart and puts frames together. Never throws, whatever the bytes. */
export class PieceReader {
  readonly #maxFrameBytes: number;
  readonly #sink: PieceSink;
  #partial: Uint8Array | undefined;
  #partialKind = 0;
  #filled = 0;
  #at = 0;

  constructor(maxFrameBytes: number, sink: PieceSink) {
    this.#maxFrameBytes = maxFrameBytes;
    this.#sink = sink;
  }

  /** Bytes held for a frame that is not whole yet. */
  get assembling(): number {
    return this.#partial?.length ?? 0;
  }

  /** Reads one lane message. Returns what is wrong with it, if anything. */
  read(message: Uint8Array): string | undefined {
    this.#at = 0;
    if (message.length === 0) return 'an empty message';
    while (this.#at < message.length) {
      const flags = message[this.#at++]!;
      const kind = flags & maxKind;
      const whole = (flags & (first | last)) === (first | last);
      if ((flags & urgent) !== 0 && !whole) return 'an urgent frame in fragments';
      const total = (flags & (first | last)) === first ? this.#varint(message) : 0;
      const length = this.#varint(message);
      if (length < 0 || total < 0 || length > message.length - this.#at)
        return 'a piece longer than its message';
      const from = this.#at;
      this.#at += length;
      if ((flags & urgent) === 0 && !this.#sink.charge(length)) return undefined;
      let problem: string | undefined | false;
      if (whole) problem = this.#whole(kind, message, from, length, (flags & urgent) !== 0);
      else problem = this.#part(flags, kind, message, from, length, total);
      if (problem === false) return undefined;
      if (problem !== undefined) return problem;
    }
    return undefined;
  }

  #whole(
    kind: number,
    message: Uint8Array,
    from: number,
    length: number,
    isUrgent: boolean,
  ): string | undefined | false {
    if (!isUrgent && this.#partial !== undefined) return 'a frame inside a frame';
    if (length > this.#maxFrameBytes) return `a frame of ${length} bytes, above ${this.#maxFrameBytes}`;
    // A view on the message, which is ours: the transport hands out private copies.
    const frame = new Uint8Array(message.buffer, message.byteOffset + from, length);
    return this.#sink.frame(kind, frame, isUrgent) ? undefined : false;
  }

  #part(
    flags: number,
    kind: number,
    message: Uint8Array,
    from: number,
    length: number,
    total: number,
  ): string | undefined | false {
    if ((flags & first) !== 0) {
      if (this.#partial !== undefined) return 'a frame inside a frame';
      if (total > this.#maxFrameBytes) return `a frame of ${total} bytes, above ${this.#maxFrameBytes}`;
      if (length >= total) return 'a first fragment as long as its frame';
      // Zeroed pages cost nothing until written, so a large announcement alone takes no memory.
      this.#partial = new Uint8Array(total);
      this.#partialKind = kind;
      this.#filled = 0;
    }
    const partial = this.#partial;
    if (partial === undefined) return 'a fragment without a beginning';
    if (kind !== this.#partialKind) return 'a fragment of another kind than its frame';
    if (this.#filled + length > partial.length) return 'fragments longer than their frame';
    if (length === 0) return 'an empty fragment';
    partial.set(message.subarray(from, from + length), this.#filled);
    this.#filled += length;
    if ((flags & last) === 0) return undefined;
    if (this.#filled !== partial.length) return 'fragments shorter than their frame';
    this.#partial = undefined;
    return this.#sink.frame(kind, partial, false) ? undefined : false;
  }

  /** An integer of up to 31 bits, or -1. */
  #varint(message: Uint8Array): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = message[this.#at++];
      if (byte === undefined) return -1;
      if (shift === 28 && byte > 7) return -1;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    return -1;
  }
}
