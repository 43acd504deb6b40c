/**
 * A short list of records beside the log, in a file of its own: a header, then frames, each with what was appended in one go and
 * flushed before the next one is written. So only the last frame can be cut short by a crash. The file is read as a whole when it
 * is opened, and written anew, under another name first, when most of it is of no use any more.
 */
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { ByteReader, ByteWriter } from '../../bytes.js';
import { crc32 } from '../../crc.js';
import type { Environment } from '../../environment.js';
import { QuorateError } from '../../errors.js';
import type { FileHandle, FileSystem } from '../../files.js';
import type { RecordFile } from '../storage.js';
import { corrupt, FailStop, isFull, syncFile, writeFully } from './io.js';
import { readManifest } from './manifest.js';

const FILE_MAGIC = 0x43455251; // 'QREC'
const FRAME_MAGIC = 0x31434552; // 'REC1'
const VERSION = 1;
const HEADER = 64;
const FRAME_HEADER = 16;
const ALIGNMENT = 8;
const SECTOR = 512;

/** Opens the list of a group in the directory of a disk storage; makes it if need be. @internal */
export async function openRecordFile(
  directory: string,
  environment: Environment,
  group: string,
  reserve: number,
): Promise<RecordFile> {
  const { files } = environment;
  const path = join(directory, 'outbox', nameOf(group));
  try {
    const manifest = await readManifest(files, directory);
    if (manifest === undefined)
      throw new QuorateError('ERR_INTERNAL', `${directory} holds no storage that is open`);
    await files.makeDirectory(dirname(path));
    await files.syncDirectory(directory);
    const names = await files.list(dirname(path));
    if (names.includes(`${nameOf(group)}.tmp`)) await files.remove(`${path}.tmp`);
    const identity = identityOf(manifest.incarnation, group);
    const file = new DiskRecords(path, environment, identity, reserve);
    if (names.includes(nameOf(group))) await file.load();
    else await file.create([]);
    return file;
  } catch (cause) {
    if (cause instanceof QuorateError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new QuorateError('ERR_STORAGE_FAILED', `${path} cannot be opened: ${why}`, { cause });
  }
}

/** Names differ also where a file system takes upper and lower case for the same, or has no place for a colon. */
function nameOf(group: string): string {
  const hash = createHash('sha256').update(group).digest('hex').slice(0, 16);
  return `${group.replace(/[^A-Za-z0-9-]/g, '_').slice(0, 40)}-${hash}.records`;
}

/** 16 bytes that tell storages and groups apart. */
function identityOf(incarnation: string, group: string): Uint8Array {
  return createHash('sha256').update(`${incarnation} ${group}`).digest().subarray(0, 16);
}

interface Job {
  readonly records: readonly Uint8Array[];
  readonly kind: 'append' | 'appendWithRoom' | 'replace';
  readonly done: (error?: Error) => void;
}

class DiskRecords implements RecordFile {
  records: readonly Uint8Array[] = [];
  readonly #path: string;
  readonly #files: FileSystem;
  readonly #environment: Environment;
  readonly #identity: Uint8Array;
  readonly #reserve: number;
  readonly #failStop: FailStop;
  #handle: FileHandle | undefined;
  #seed = 0;
  #end = 0;
  #sequence = 0;
  #queuedBytes = 0;
  #jobs: Job[] = [];
  #working: Promise<void> | undefined;
  #closed = false;

  constructor(path: string, environment: Environment, identity: Uint8Array, reserve: number) {
    this.#path = path;
    this.#environment = environment;
    this.#files = environment.files;
    this.#identity = identity;
    this.#reserve = reserve;
    this.#failStop = new FailStop(path);
  }

  get bytes(): number {
    return this.#end + this.#queuedBytes;
  }

  /** Writes it anew, with these records, and puts it in the place of what is there. */
  async create(records: readonly Uint8Array[]): Promise<void> {
    const temporary = `${this.#path}.tmp`;
    const header = new ByteWriter(HEADER);
    header.u32(FILE_MAGIC);
    header.u32(VERSION);
    header.raw(this.#identity);
    header.raw(this.#environment.randomBytes(16));
    header.raw(new Uint8Array(HEADER - 4 - header.length));
    const head = header.take();
    const seed = crc32(head);
    const tail = new ByteWriter(4);
    tail.u32(seed);
    const frame = records.length === 0 ? new Uint8Array(0) : encodeFrame(records, 1, seed);
    await this.#files.remove(temporary);
    const handle = await this.#files.open(temporary, 'create');
    try {
      await writeFully(handle, [head, tail.take(), frame], 0);
      await syncFile(handle);
    } catch (error) {
      await handle.close();
      throw error;
    }
    const old = this.#handle;
    this.#handle = handle;
    try {
      await this.#files.rename(temporary, this.#path);
      await this.#files.syncDirectory(dirname(this.#path));
    } catch (cause) {
      throw this.#failStop.fail(cause, 'renaming'); // nobody knows which of the two is there
    }
    this.#seed = seed;
    this.#sequence = records.length === 0 ? 0 : 1;
    this.#end = HEADER + frame.length;
    await old?.close();
  }

  /** Reads it; removes what a crash left of a frame that was being written. */
  async load(): Promise<void> {
    const handle = await this.#files.open(this.#path, 'write');
    this.#handle = handle;
    try {
      const bytes = await handle.read(0, await handle.size());
      this.#readHeader(bytes);
      const records: Uint8Array[] = [];
      let at = HEADER;
      while (at < bytes.length) {
        const frame = readFrame(bytes, at, this.#seed);
        if (frame === undefined) {
          if (!isTorn(bytes, at, this.#seed) || hasFrameAfter(bytes, at, this.#seed, this.#sequence))
            throw corrupt(this.#path, at, 'a frame fails its check');
          break;
        }
        if (frame.sequence !== this.#sequence + 1)
          throw corrupt(this.#path, at, `frame ${frame.sequence} follows frame ${this.#sequence}`);
        this.#sequence = frame.sequence;
        records.push(...frame.records);
        at = frame.next;
      }
      if (at < bytes.length) {
        await handle.truncate(at);
        await syncFile(handle);
      }
      this.#end = at;
      this.records = records;
      // A process that was killed may have made the name without flushing it: it counts from now on.
      await this.#files.syncDirectory(dirname(this.#path));
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  #readHeader(bytes: Uint8Array): void {
    if (bytes.length < HEADER) throw corrupt(this.#path, 0, `it has ${bytes.length} bytes and no header`);
    const reader = new ByteReader(bytes);
    const magic = reader.u32();
    const version = reader.u32();
    const seed = crc32(bytes.subarray(0, HEADER - 4));
    if (magic !== FILE_MAGIC || new ByteReader(bytes, HEADER - 4).u32() !== seed)
      throw corrupt(this.#path, 0, 'the header fails its check');
    if (version !== VERSION) {
      const message = `${this.#path} has format ${version}; this version reads format ${VERSION}`;
      throw new QuorateError('ERR_STORAGE_VERSION', message);
    }
    if (Buffer.compare(reader.raw(16), this.#identity) !== 0)
      throw new QuorateError('ERR_STORAGE_FOREIGN', `${this.#path} is of another storage or group`);
    this.#seed = seed;
  }

  append(records: readonly Uint8Array[], leaveRoom: boolean, done: (error?: Error) => void): void {
    this.#queue({ records, kind: leaveRoom ? 'appendWithRoom' : 'append', done });
  }

  replace(records: readonly Uint8Array[], done: (error?: Error) => void): void {
    this.#queue({ records, kind: 'replace', done });
  }

  #queue(job: Job): void {
    if (this.#closed || this.#failStop.failed) {
      job.done(this.#failStop.failed ?? new QuorateError('ERR_CLOSED', `${this.#path} was closed`));
      return;
    }
    this.#jobs.push(job);
    if (job.kind !== 'replace') this.#queuedBytes += sizeOf(job.records);
    this.#working ??= this.#work();
  }

  /** Works off what is queued: appends that wait together make one frame and one flush. */
  async #work(): Promise<void> {
    while (this.#jobs.length > 0) {
      const first = this.#jobs[0]!;
      const count = first.kind === 'replace' ? 1 : this.#jobs.findIndex(({ kind }) => kind === 'replace');
      const jobs = this.#jobs.splice(0, count < 0 ? this.#jobs.length : count);
      try {
        if (first.kind === 'replace') await this.#replaceBy(first);
        else await this.#appendAll(jobs);
      } catch (cause) {
        const error = this.#failStop.fail(cause, 'writing');
        for (const job of [...jobs, ...this.#jobs.splice(0)]) job.done(error);
      }
    }
    this.#working = undefined;
  }

  async #replaceBy({ records, done }: Job): Promise<void> {
    try {
      await this.create(records);
    } catch (error) {
      if (this.#failStop.failed || !isFull(error)) throw error;
      await this.#files.remove(`${this.#path}.tmp`); // there was no space: what is there is good as it is
    }
    done();
  }

  async #appendAll(jobs: readonly Job[]): Promise<void> {
    let bytes = 0;
    for (const { records } of jobs) bytes += sizeOf(records);
    let fits = true;
    if (jobs.some(({ kind }) => kind === 'appendWithRoom'))
      fits = (await this.#files.freeBytes(dirname(this.#path))) - bytes >= this.#reserve;
    const kept = fits ? jobs : jobs.filter(({ kind }) => kind === 'append');
    if (kept.length > 0) {
      const frame = encodeFrame(
        kept.flatMap(({ records }) => records),
        this.#sequence + 1,
        this.#seed,
      );
      await writeFully(this.#handle!, [frame], this.#end);
      await syncFile(this.#handle!);
      this.#sequence++;
      this.#end += frame.length;
    }
    this.#queuedBytes -= bytes;
    const full = fits
      ? undefined
      : new QuorateError('ERR_STORAGE_FULL', `the disk of ${this.#path} is nearly full`, { fate: 'refused' });
    for (const job of jobs) job.done(job.kind === 'append' ? undefined : full);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#working;
    await this.#handle?.close();
    this.#handle = undefined;
  }
}

function sizeOf(records: readonly Uint8Array[]): number {
  return records.reduce((sum, record) => sum + record.length + 4, FRAME_HEADER + ALIGNMENT);
}

function encodeFrame(records: readonly Uint8Array[], sequence: number, seed: number): Uint8Array {
  const writer = new ByteWriter(sizeOf(records) + 16);
  writer.u32(FRAME_MAGIC);
  writer.u32(0);
  writer.u32(sequence);
  writer.u32(0);
  writer.varint(records.length);
  for (const record of records) writer.bytes(record);
  const length = writer.length - FRAME_HEADER;
  writer.patchU32(4, length);
  writer.u32(0);
  const over = writer.length % ALIGNMENT;
  if (over > 0) writer.raw(new Uint8Array(ALIGNMENT - over));
  const frame = writer.take();
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  view.setUint32(12, crc32(frame.subarray(0, 12), seed), true);
  const end = FRAME_HEADER + length;
  view.setUint32(end, crc32(frame.subarray(FRAME_HEADER, end), seed), true);
  return frame;
}

/** Where the body of a frame ends by its header; undefined when there is no header. */
function bodyEnd(bytes: Uint8Array, at: number, seed: number): number | undefined {
  if (at + FRAME_HEADER > bytes.length) return undefined;
  const reader = new ByteReader(bytes, at);
  if (reader.u32() !== FRAME_MAGIC) return undefined;
  const length = reader.u32();
  reader.u32();
  if (reader.u32() !== crc32(bytes.subarray(at, at + 12), seed)) return undefined;
  return at + FRAME_HEADER + length;
}

interface ReadFrame {
  readonly sequence: number;
  readonly records: readonly Uint8Array[];
  readonly next: number;
}

function readFrame(bytes: Uint8Array, at: number, seed: number): ReadFrame | undefined {
  const end = bodyEnd(bytes, at, seed);
  if (end === undefined || end + 4 > bytes.length) return undefined;
  const body = bytes.subarray(at + FRAME_HEADER, end);
  if (new ByteReader(bytes, end).u32() !== crc32(body, seed)) return undefined;
  const next = Math.ceil((end + 4) / ALIGNMENT) * ALIGNMENT;
  if (next > bytes.length) return undefined;
  const reader = new ByteReader(body);
  const records: Uint8Array[] = [];
  for (let left = reader.varint(); left > 0; left--) records.push(reader.bytes());
  return { sequence: new ByteReader(bytes, at + 8).u32(), records, next };
}

/** Whether what begins here is what a crash leaves: the file ends early, or a sector of it was never written. */
function isTorn(bytes: Uint8Array, at: number, seed: number): boolean {
  const end = bodyEnd(bytes, at, seed);
  const needed = end === undefined ? at + FRAME_HEADER : Math.ceil((end + 4) / ALIGNMENT) * ALIGNMENT;
  if (needed > bytes.length) return true;
  for (let from = at; from < needed;) {
    const to = Math.min(needed, (Math.floor(from / SECTOR) + 1) * SECTOR);
    if (bytes.subarray(from, to).every((byte) => byte === 0)) return true;
    from = to;
  }
  return false;
}

/** A whole frame behind a damaged one: that one was durable, and is not what a crash left. */
function hasFrameAfter(bytes: Uint8Array, at: number, seed: number, sequence: number): boolean {
  for (let next = at + ALIGNMENT; next + FRAME_HEADER <= bytes.length; next += ALIGNMENT) {
    const frame = readFrame(bytes, next, seed);
    if (frame !== undefined && frame.sequence > sequence) return true;
  }
  return false;
}
