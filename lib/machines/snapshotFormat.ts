/**
 * The form of the snapshots that this library's machines make: `Q`, kind, format number, count (varint), that many
 * records (length as u32, bytes), CRC-32 of all before. Cut into chunks at any place. @internal
 */
import { crc32 } from '../crc.js';
import { ByteReader, ByteWriter } from '../bytes.js';
import { QuorateError } from '../errors.js';

const MAGIC = 0x51;
const FORMAT = 1;
const CHUNK_BYTES = 65_536;
/** A record is filled up to here before its chunk goes out, so that most chunks need no cutting. */
const FLUSH_BYTES = 57_344;
const MAX_RECORD_BYTES = 2 ** 31 - 1;
/** Three bytes and a varint of at most eight. */
const MAX_HEADER_BYTES = 11;

/** What is in a snapshot. */
export type SnapshotKind = 'state' | 'keyValue' | 'sagas';
const kinds: Record<SnapshotKind, number> = { state: 0x53, keyValue: 0x4b, sagas: 0x47 };

/** Chunks of at most 64 KiB, made as they are asked for; `write` puts one record into the writer. */
export function* snapshotChunks<R>(
  kind: SnapshotKind,
  count: number,
  records: Iterable<R>,
  write: (writer: ByteWriter, record: R) => void,
): Generator<Uint8Array, void, undefined> {
  const writer = new ByteWriter(CHUNK_BYTES);
  let crc = 0;
  writer.u8(MAGIC);
  writer.u8(kinds[kind]);
  writer.u8(FORMAT);
  writer.varint(count);
  for (const record of records) {
    const at = writer.length;
    writer.u32(0);
    write(writer, record);
    writer.patchU32(at, writer.length - at - 4);
    if (writer.length < FLUSH_BYTES) continue;
    const bytes = writer.take();
    crc = crc32(bytes, crc);
    yield* split(bytes);
  }
  const rest = writer.take();
  crc = crc32(rest, crc);
  yield* split(rest);
  writer.u32(crc);
  yield writer.take();
}

function* split(bytes: Uint8Array): Generator<Uint8Array, void, undefined> {
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) yield bytes.subarray(at, at + CHUNK_BYTES);
}

/** Reads chunks of any bounds; `read` gets each record as a range of bytes that are only valid during the call. */
export async function readSnapshot(
  kind: SnapshotKind,
  chunks: AsyncIterable<Uint8Array>,
  read: (bytes: Uint8Array, from: number, to: number) => void,
): Promise<void> {
  const parser = new Parser(kind, read);
  for await (const chunk of chunks) parser.push(chunk);
  parser.end();
}

class Parser {
  readonly #kind: SnapshotKind;
  readonly #read: (bytes: Uint8Array, from: number, to: number) => void;
  /** What was received and not yet read is from `#from` to `#to`; the buffer may be the caller's chunk. */
  #bytes: Uint8Array = new Uint8Array(0);
  #owned = true;
  #from = 0;
  #to = 0;
  #recordsLeft = -1; // -1: the header is still due
  #crc = 0;

  constructor(kind: SnapshotKind, read: (bytes: Uint8Array, from: number, to: number) => void) {
    this.#kind = kind;
    this.#read = read;
  }

  push(chunk: Uint8Array): void {
    if (!(chunk instanceof Uint8Array)) fail('a chunk is not a Uint8Array');
    this.#append(chunk);
    if (this.#recordsLeft >= 0 || this.#available >= MAX_HEADER_BYTES) this.#parse();
    this.#keepRest();
  }

  end(): void {
    this.#parse();
    if (this.#recordsLeft > 0) fail(`it ends ${this.#recordsLeft} records too early`);
    if (this.#available !== 4) fail(`${this.#available} bytes are where its 4-byte checksum is due`);
    const expected = new ByteReader(this.#bytes, this.#from).u32();
    if (expected !== this.#crc) fail('its checksum does not fit');
  }

  /** Reads what is there whole. The checksum is taken once a chunk: a call for each record would cost more than the record. */
  #parse(): void {
    const start = this.#from;
    if (this.#recordsLeft < 0) this.#header();
    this.#records();
    this.#crc = crc32(this.#bytes.subarray(start, this.#from), this.#crc);
  }

  get #available(): number {
    return this.#to - this.#from;
  }

  #append(chunk: Uint8Array): void {
    const left = this.#available;
    if (left === 0) {
      this.#bytes = chunk;
      this.#owned = false;
      this.#from = 0;
      this.#to = chunk.length;
      return;
    }
    if (this.#to + chunk.length > this.#bytes.length) {
      // Doubled, so that a large record in small chunks is not copied again and again.
      const grown = new Uint8Array(Math.max(left + chunk.length, Math.min(left * 2, MAX_RECORD_BYTES)));
      grown.set(this.#bytes.subarray(this.#from, this.#to));
      this.#bytes = grown;
      this.#from = 0;
      this.#to = left;
    }
    this.#bytes.set(chunk, this.#to);
    this.#to += chunk.length;
  }

  /** The chunk is its producer's again after `push`: what is left of it is copied. */
  #keepRest(): void {
    if (this.#owned) return;
    this.#bytes = this.#bytes.slice(this.#from, this.#to);
    this.#owned = true;
    this.#to = this.#available;
    this.#from = 0;
  }

  #header(): void {
    const reader = new ByteReader(this.#bytes.subarray(0, this.#to), this.#from);
    if (reader.u8() !== MAGIC || reader.u8() !== kinds[this.#kind])
      fail(`it is no snapshot of kind ${this.#kind}`);
    const format = reader.u8();
    if (format !== FORMAT) fail(`it has format ${format}, known is ${FORMAT}`);
    this.#recordsLeft = reader.varint();
    this.#from = reader.at;
  }

  #records(): void {
    while (this.#recordsLeft > 0 && this.#available >= 4) {
      const at = this.#from;
      const length = u32(this.#bytes, at);
      if (length > MAX_RECORD_BYTES)
        fail(`a record has ${length} bytes, above its cap of ${MAX_RECORD_BYTES}`);
      if (this.#available < 4 + length) return;
      this.#read(this.#bytes, at + 4, at + 4 + length);
      this.#from = at + 4 + length;
      this.#recordsLeft--;
    }
  }
}

function u32(bytes: Uint8Array, at: number): number {
  return bytes[at + 3]! * 0x100_0000 + (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16));
}

function fail(why: string): never {
  throw new QuorateError('ERR_CODEC', `the snapshot cannot be read: ${why}`);
}
