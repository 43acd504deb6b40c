/** A file of the log. */
import { join } from 'node:path';
import { crc32 } from '../../crc.js';
import type { Environment } from '../../environment.js';
import type { FileHandle } from '../../files.js';
import { encodeSegmentHeader, SEGMENT_HEADER } from './format.js';
import type { Part } from './groupLog.js';
import { syncFile, writeFully } from './io.js';

/** @internal */
export class Segment {
  readonly number: number;
  readonly path: string;
  /** The first bytes of its file. */
  readonly header: Uint8Array;
  /** Starts the CRC of every frame and block. */
  readonly seed: number;
  /** Open for writing; undefined until it is prepared, and once it is sealed. */
  handle: FileHandle | undefined;
  /** Where the next frame goes. */
  end = SEGMENT_HEADER;
  /** Bytes of its file that are allocated: frames beyond make it grow. */
  allocated = SEGMENT_HEADER;
  /** The frame that left no group with an entry in it, while that is so; Infinity otherwise. */
  deadBy = 0;
  /** Called once no read is under way. */
  readonly onIdle: (() => void)[] = [];
  #readers = 0;
  /** Its footer is being written. */
  sealing = false;
  readonly #parts = new Set<Part>();

  constructor(directory: string, number: number, header: Uint8Array) {
    this.number = number;
    this.path = segmentPath(directory, number);
    this.header = header;
    // Without the CRC at its end, over which the CRC of every header would be the same.
    this.seed = crc32(header.subarray(0, 60));
  }

  get parts(): Iterable<Part> {
    return this.#parts;
  }

  get live(): boolean {
    return this.#parts.size > 0;
  }

  /** Reads under way. */
  get readers(): number {
    return this.#readers;
  }

  pin(): void {
    this.#readers++;
  }

  unpin(): void {
    if (--this.#readers === 0) for (const idle of this.onIdle.splice(0)) idle();
  }

  hold(part: Part): void {
    this.#parts.add(part);
    this.deadBy = Infinity;
  }

  letGo(part: Part): void {
    this.#parts.delete(part);
  }
}

const SUFFIX = '.seg';
const DIGITS = 12;

/** @internal */
export function segmentPath(directory: string, number: number): string {
  return join(directory, `${String(number).padStart(DIGITS, '0')}${SUFFIX}`);
}

/** The number in the name of a segment; undefined for other names. @internal */
export function segmentNumber(name: string): number | undefined {
  const match = /^(\d{12})\.seg$/.exec(name);
  return match ? Number(match[1]) : undefined;
}

/** A name that a segment bears until it is ready. @internal */
export function isUnfinished(name: string): boolean {
  return name.endsWith('.tmp');
}

/** What a segment is made with. @internal */
export interface SegmentMaker {
  readonly environment: Environment;
  readonly directory: string;
  readonly incarnation: string;
  readonly segmentBytes: number;
  readonly sync: 'fdatasync' | 'dsync';
}

/** A segment whose file is still to be prepared. @internal */
export function newSegment(maker: SegmentMaker, number: number): Segment {
  const salt = maker.environment.randomBytes(16);
  return new Segment(maker.directory, number, encodeSegmentHeader(number, maker.incarnation, salt));
}

const ZEROS = new Uint8Array(256 * 1024);
/** Flushed in small steps, since a flush of the log may have to wait for one of these. */
const FLUSH_EVERY = 1 << 20;

/**
 * Makes a segment's file: header, zeros up to `size` (a write over zeros costs no metadata), flushed under a temporary name,
 * renamed, the directory flushed. `stop` ends it early, with undefined.
 *
 * @internal
 */
export async function prepareSegment(
  segment: Segment,
  maker: SegmentMaker,
  size: number,
  stop: () => boolean,
): Promise<FileHandle | undefined> {
  const { files } = maker.environment;
  const temporary = `${segment.path}.tmp`;
  const { header } = segment;
  await files.remove(temporary);
  let handle = await files.open(temporary, 'create');
  try {
    await writeFully(handle, [header], 0);
    let dirty = 0;
    for (let at = header.length; at < size;) {
      const length = Math.min(ZEROS.length - (at % ZEROS.length), size - at); // whole pages
      await writeFully(handle, [length === ZEROS.length ? ZEROS : ZEROS.subarray(0, length)], at);
      at += length;
      dirty += length;
      if (dirty >= FLUSH_EVERY) {
        await syncFile(handle);
        dirty = 0;
      }
      if (stop()) {
        await handle.close();
        await files.remove(temporary);
        return undefined;
      }
    }
    await syncFile(handle);
    await files.rename(temporary, segment.path);
    await files.syncDirectory(maker.directory);
    if (maker.sync === 'dsync') {
      await handle.close();
      handle = await files.open(segment.path, 'dsync');
    }
  } catch (error) {
    await handle.close().catch(() => undefined);
    await files.remove(temporary).catch(() => undefined);
    throw error;
  }
  segment.allocated = size;
  return handle;
}
