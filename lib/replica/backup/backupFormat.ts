/**
 * A backup as bytes: a head that says what it is, the chunks of the group's snapshot, an end that says that it is whole.
 *
 * magic `QRTBACK` and the format, 1 byte · the head: length, bytes, CRC · chunks: length, CRC, bytes · a length of 0, the number
 * of all bytes of chunks, the SHA-256 of head and chunks. Numbers are little-endian; each CRC-32 goes on from the one before, so
 * that chunks neither change nor change places.
 */
import { createHash } from 'node:crypto';
import { ByteReader, ByteWriter } from '../../bytes.js';
import type { Epoch } from '../../consensus/consensus.js';
import { crc32 } from '../../crc.js';
import { QuorateError } from '../../errors.js';
import { decodeEpoch, encodeEpoch } from '../../storage/entryCodec.js';

const MAGIC = new TextEncoder().encode('QRTBACK');
const FORMAT = 1;
const CHUNK_BYTES = 256 * 1024;
const MAX_HEAD_BYTES = 1024 * 1024;
const MAX_NAME = 1024;
const MAX_MEMBERS = 4096;
const DIGEST_BYTES = 32;

/** What a backup says of itself. */
export interface BackupInfo {
  /** The group it is of. */
  readonly group: string;
  /** That group's genesis: tells it from others of the same name. */
  readonly genesis: string;
  /** The member that made it. */
  readonly node: string;
  /** Everything up to this index of the group's log is in it, and nothing else. */
  readonly index: number;
  /** The epoch of the entry there. */
  readonly epoch: Epoch;
  /** The log's time there, in milliseconds since 1970. */
  readonly time: number;
  /** When it was made, by the clock of who made it, in milliseconds since 1970. */
  readonly createdAt: number;
  /** The version of the state machine whose state it holds. */
  readonly machineVersion: number;
  /** The consensus protocol of the group. */
  readonly protocol: string;
  /** The members of the group at that index. They are not members of a group that is made from it. */
  readonly members: readonly string[];
}

/** The bytes of a backup, made as they are taken. @internal */
export async function* encodeBackup(
  info: BackupInfo,
  content: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const head = encodeHead(info);
  const hash = createHash('sha256').update(head);
  let crc = crc32(head);
  let bytes = 0;
  const writer = new ByteWriter(head.length + 32);
  writer.raw(MAGIC);
  writer.u8(FORMAT);
  writer.u32(head.length);
  writer.raw(head);
  writer.u32(crc);
  yield writer.take();
  for await (const piece of content) {
    for (let at = 0; at < piece.length; at += CHUNK_BYTES) {
      const chunk = piece.subarray(at, at + CHUNK_BYTES);
      crc = crc32(chunk, crc);
      hash.update(chunk);
      bytes += chunk.length;
      writer.u32(chunk.length);
      writer.u32(crc);
      writer.raw(chunk);
      yield writer.take();
    }
  }
  writer.u32(0);
  writer.f64(bytes);
  writer.raw(hash.digest());
  yield writer.take();
}

/** A backup that is being read. @internal */
export interface OpenBackup {
  readonly info: BackupInfo;
  /** The content. Ends only when all of it was right; throws ERR_BACKUP_CORRUPT before the end otherwise. */
  readonly content: AsyncGenerator<Uint8Array, void, undefined>;
}

/** Reads the head of a backup. Throws ERR_BACKUP_CORRUPT, ERR_BACKUP_VERSION. @internal */
export async function openBackup(
  source: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<OpenBackup> {
  const input = new Input(source);
  try {
    const magic = await input.take(MAGIC.length);
    if (!MAGIC.every((byte, i) => magic[i] === byte)) throw corrupt(0, 'this is no backup');
    const format = (await input.take(1))[0]!;
    if (format !== FORMAT)
      throw new QuorateError(
        'ERR_BACKUP_VERSION',
        `the backup has format ${format}, this version reads ${FORMAT}`,
      );
    const length = await input.u32();
    if (length > MAX_HEAD_BYTES) throw corrupt(input.at - 4, `its head claims ${length} bytes`);
    const at = input.at;
    const head = (await input.take(length)).slice();
    if ((await input.u32()) !== crc32(head)) throw corrupt(at, 'its head was changed');
    return { info: decodeHead(head, at), content: readContent(input, head) };
  } catch (error) {
    await input.end();
    throw error;
  }
}

async function* readContent(input: Input, head: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  const hash = createHash('sha256').update(head);
  let crc = crc32(head);
  let bytes = 0;
  try {
    for (;;) {
      const at = input.at;
      const length = await input.u32();
      if (length > CHUNK_BYTES) throw corrupt(at, `a chunk claims ${length} bytes`);
      if (length === 0) break;
      const expected = await input.u32();
      const chunk = await input.take(length);
      crc = crc32(chunk, crc);
      if (crc !== expected) throw corrupt(at, 'a chunk was changed, or is not in its place');
      hash.update(chunk);
      bytes += length;
      yield chunk;
    }
    const at = input.at;
    const total = new ByteReader(await input.take(8)).f64();
    const digest = await input.take(DIGEST_BYTES);
    if (total !== bytes || Buffer.compare(hash.digest(), digest) !== 0)
      throw corrupt(at, `its end does not fit the ${bytes} bytes before it`);
    if (await input.more()) throw corrupt(input.at, 'something follows its end');
  } finally {
    await input.end();
  }
}

/** Bytes by the count, out of pieces of any size. Holds no more than one piece beyond what was asked for. */
class Input {
  /** How many bytes were taken. */
  at = 0;
  readonly #pieces: AsyncIterator<Uint8Array> | Iterator<Uint8Array>;
  #piece: Uint8Array = new Uint8Array(0);
  #ended = false;

  constructor(source: Iterable<Uint8Array> | AsyncIterable<Uint8Array>) {
    this.#pieces =
      Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  }

  async take(count: number): Promise<Uint8Array> {
    const out = new Uint8Array(count);
    let have = 0;
    while (have < count) {
      if (!(await this.more())) throw corrupt(this.at + have, 'it ends there, in the middle');
      const part = this.#piece.subarray(0, count - have);
      out.set(part, have);
      have += part.length;
      this.#piece = this.#piece.subarray(part.length);
    }
    this.at += count;
    return out;
  }

  async u32(): Promise<number> {
    return new ByteReader(await this.take(4)).u32();
  }

  /** Whether there is another byte. */
  async more(): Promise<boolean> {
    while (this.#piece.length === 0) {
      if (this.#ended) return false;
      const next = await this.#pieces.next();
      if (next.done === true) {
        this.#ended = true;
        return false;
      }
      if (!(next.value instanceof Uint8Array))
        throw new QuorateError('ERR_CONFIG', 'from must yield Uint8Array, as file streams do');
      this.#piece = next.value;
    }
    return true;
  }

  /** Nothing more is wanted: lets the source go. */
  async end(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    await this.#pieces.return?.();
  }
}

function encodeHead(info: BackupInfo): Uint8Array {
  const writer = new ByteWriter();
  for (const text of [info.group, info.genesis, info.node, info.protocol]) writer.string(text);
  writer.varint(info.index);
  encodeEpoch(writer, info.epoch);
  writer.f64(info.time);
  writer.f64(info.createdAt);
  writer.varint(info.machineVersion);
  writer.varint(info.members.length);
  for (const member of info.members) writer.string(member);
  return writer.take();
}

function decodeHead(head: Uint8Array, at: number): BackupInfo {
  try {
    const reader = new ByteReader(head);
    const text = (): string => reader.string(MAX_NAME);
    const [group, genesis, node, protocol] = [text(), text(), text(), text()];
    const index = reader.varint();
    const epoch = decodeEpoch(reader);
    const time = reader.f64();
    const createdAt = reader.f64();
    const machineVersion = reader.varint();
    const count = reader.varint();
    if (count > MAX_MEMBERS || !Number.isFinite(time) || !Number.isFinite(createdAt) || genesis === '')
      throw corrupt(at, 'its head makes no sense');
    const members = Array.from({ length: count }, text);
    return { group, genesis, node, protocol, index, epoch, time, createdAt, machineVersion, members };
  } catch (cause) {
    if (cause instanceof QuorateError && cause.code === 'ERR_BACKUP_CORRUPT') throw cause;
    throw corrupt(at, 'its head makes no sense', cause);
  }
}

function corrupt(at: number, why: string, cause?: unknown): QuorateError {
  return new QuorateError('ERR_BACKUP_CORRUPT', `the backup is damaged at byte ${at}: ${why}`, { cause });
}
