/** Opens a log: finds its end, repairs what a crash left there, refuses what a crash does not explain. */
import { join } from 'node:path';
import { QuorateError } from '../../errors.js';
import type { FileHandle, FileSystem } from '../../files.js';
import { decodeTrailer, isSegmentHeader, SEGMENT_HEADER, TRAILER } from './format.js';
import { captureParts, decodeFooter, footerCrc } from './footer.js';
import { GroupTable } from './groupTable.js';
import { corrupt, syncFile, writeFully } from './io.js';
import type { Leaving } from './journal.js';
import { hasSoundBlocks, replayFrame } from './replay.js';
import {
  Breather,
  findLastNonZero,
  findLaterFrame,
  headerAt,
  isTorn,
  readFrame,
  SegmentBytes,
} from './scan.js';
import { isUnfinished, Segment, segmentNumber, segmentPath } from './segment.js';
import type { SegmentMaker } from './segment.js';

/** @internal */
export interface RecoveredLog {
  readonly table: GroupTable;
  readonly segments: Segment[];
  readonly active: Segment;
  readonly prepared: Segment | undefined;
  /** Segments that were left and not sealed. */
  readonly unsealed: Leaving[];
  /** Of the last frame. */
  readonly sequence: number;
}

/** A segment as it was found. */
interface Found {
  readonly segment: Segment;
  readonly handle: FileHandle;
  readonly bytes: SegmentBytes;
  readonly trailer: { footerLength: number; footerCrc: number; sequence: number } | undefined;
  /** Sequence of the first frame; undefined when there is none. */
  readonly firstSequence: number | undefined;
}

/** Names of segments in a directory, without those that were not finished, which are removed. @internal */
export async function listSegments(files: FileSystem, directory: string): Promise<number[]> {
  const numbers: number[] = [];
  for (const name of await files.list(directory)) {
    if (isUnfinished(name)) await files.remove(join(directory, name));
    const number = segmentNumber(name);
    if (number !== undefined) numbers.push(number);
  }
  return numbers.sort((a, b) => a - b);
}

/** Reads the log of a storage back. Throws ERR_STORAGE_CORRUPT. @internal */
export async function recoverLog(maker: SegmentMaker): Promise<RecoveredLog> {
  const { directory } = maker;
  const { files } = maker.environment;
  const numbers = await listSegments(files, directory);
  if (numbers.length === 0) throw corrupt(directory, 0, 'the segments of the log are missing');
  const found: Found[] = [];
  try {
    for (const number of numbers) found.push(await find(maker, number));
    const log = await new Recovery(maker, found).run();
    // What was read may have come from the page cache of a process that was killed: it counts only once it is durable.
    await syncFile(log.active.handle!);
    await files.syncDirectory(directory);
    return log;
  } catch (error) {
    for (const { handle } of found) await handle.close().catch(() => undefined);
    throw error;
  }
}

async function find(maker: SegmentMaker, number: number): Promise<Found> {
  const path = segmentPath(maker.directory, number);
  const handle = await maker.environment.files.open(path, 'write');
  try {
    const size = await handle.size();
    const header = await handle.read(0, SEGMENT_HEADER);
    if (!isSegmentHeader(header, number, maker.incarnation))
      throw corrupt(path, 0, 'the header of a segment fails its check');
    const segment = new Segment(maker.directory, number, header);
    segment.allocated = size;
    const trailer = decodeTrailer(await handle.read(Math.max(0, size - TRAILER), TRAILER), segment.seed);
    const bytes = new SegmentBytes(handle, size);
    const first = await headerAt(
      new SegmentBytes(handle, Math.min(size, 4096)),
      SEGMENT_HEADER,
      segment.seed,
    );
    return { segment, handle, bytes, trailer, firstSequence: first?.sequence };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

class Recovery {
  readonly #maker: SegmentMaker;
  readonly #found: Found[];
  readonly #table = new GroupTable();
  readonly #unsealed: Leaving[] = [];
  readonly #breather: Breather;
  #sequence = 0;
  /** Where the last valid frame of the segment that was scanned last begins, and ends. */
  #last: { readonly position: number; readonly end: number } | undefined;

  constructor(maker: SegmentMaker, found: Found[]) {
    this.#maker = maker;
    this.#found = found;
    this.#breather = new Breather(maker.environment);
  }

  async run(): Promise<RecoveredLog> {
    const found = this.#found;
    const tail = await this.#findTail();
    for (let i = 0; i < tail; i++) await this.#replayLeft(found[i]!, found[i + 1]!);
    await this.#replayTail(found[tail]!, tail, found.length > tail + 1 ? found[tail + 1]! : undefined);
    await this.#rewriteLast(found[tail]!);

    const active = found[tail]!;
    const prepared = found[tail + 1];
    const unsealed = new Set(this.#unsealed.map(({ segment }) => segment));
    for (const [i, { segment, handle }] of found.entries()) {
      if (i === tail || i === tail + 1) segment.handle = await this.#reopen(segment, handle);
      else if (unsealed.has(segment)) segment.handle = handle;
      else await handle.close();
    }
    return {
      table: this.#table,
      segments: found.slice(0, tail + 1).map(({ segment }) => segment),
      active: active.segment,
      prepared: prepared?.segment,
      unsealed: this.#unsealed,
      sequence: this.#sequence,
    };
  }

  /**
   * Writes the last frame over itself. If its flush failed before this opening, the page cache shows it and takes it for clean, and
   * another flush would write nothing (Rebello et al., "Can Applications Recover from fsync Failures?", 2020). The frames before
   * it were flushed, or it would not have been begun.
   */
  async #rewriteLast({ handle, bytes }: Found): Promise<void> {
    if (this.#last === undefined) return;
    const { position, end } = this.#last;
    await writeFully(handle, [await bytes.at(position, end - position)], position);
  }

  /** The last segment with a valid frame; the first when there is none. */
  async #findTail(): Promise<number> {
    const begun = this.#found.findLastIndex(
      (one) => one.firstSequence !== undefined || one.trailer !== undefined,
    );
    if (begun <= 0) return 0;
    // A torn first frame is no frame: the segment before it is the one that goes on, and must not be sealed.
    const { bytes, segment, trailer } = this.#found[begun]!;
    if (trailer !== undefined) return begun;
    const frame = await readFrame(bytes, SEGMENT_HEADER, segment.seed);
    return typeof frame === 'object' && hasSoundBlocks(frame, segment.seed) ? begun : begun - 1;
  }

  async #reopen(segment: Segment, handle: FileHandle): Promise<FileHandle> {
    if (this.#maker.sync !== 'dsync') return handle;
    await handle.close();
    return this.#maker.environment.files.open(segment.path, 'dsync');
  }

  /** A segment that another one follows. */
  async #replayLeft(found: Found, next: Found): Promise<void> {
    const { segment } = found;
    const sealed = await this.#replayFooter(found);
    const end = sealed ? segment.end : await this.#replayFrames(found);
    // Behind the last frame there may be a footer that was not finished. That no frame is missing, the next segment tells.
    const adjacent = next.segment.number === segment.number + 1;
    if (adjacent && next.firstSequence !== undefined && next.firstSequence !== this.#sequence + 1) {
      throw corrupt(
        segment.path,
        end,
        `batch ${this.#sequence + 1} is damaged, and the log goes on after it`,
      );
    }
    if (!sealed) this.#unsealed.push({ segment, parts: captureParts(segment), sequence: this.#sequence });
  }

  /** The segment with the last frames. */
  async #replayTail(found: Found, place: number, next: Found | undefined): Promise<void> {
    const { segment, bytes, trailer } = found;
    if (trailer !== undefined)
      throw corrupt(segment.path, bytes.size, 'the segment that follows this one is missing, or damaged');
    if (found.firstSequence === undefined && (place > 0 || segment.number !== 1)) {
      throw corrupt(
        segment.path,
        SEGMENT_HEADER,
        'the first batch is damaged, and those before it are missing',
      );
    }
    const end = await this.#replayFrames(found);
    const begun = next !== undefined && (await findLastNonZero(next.bytes, SEGMENT_HEADER)) >= 0;
    const missing = next?.firstSequence !== undefined && next.firstSequence !== this.#sequence + 1;
    if (missing || (begun && (await findLastNonZero(bytes, end)) >= 0)) {
      throw corrupt(
        segment.path,
        end,
        `batch ${this.#sequence + 1} is damaged, and the log goes on in ${next.segment.path}`,
      );
    }
    await this.#repairEnd(found, end);
    if (next !== undefined) await this.#repairEnd(next, SEGMENT_HEADER);
    for (const later of this.#found.slice(place + 2)) {
      if ((await findLastNonZero(later.bytes, SEGMENT_HEADER)) >= 0) {
        throw corrupt(later.segment.path, SEGMENT_HEADER, 'a segment that does not belong here');
      }
      await this.#maker.environment.files.remove(later.segment.path);
    }
  }

  async #replayFooter({ segment, handle, bytes, trailer }: Found): Promise<boolean> {
    if (trailer === undefined) return false;
    const at = bytes.size - TRAILER - trailer.footerLength;
    if (at < SEGMENT_HEADER) return false;
    const footer = await handle.read(at, trailer.footerLength);
    if (footerCrc(footer, segment.seed) !== trailer.footerCrc) return false;
    for (const part of decodeFooter(footer, segment)) this.#table.ensure(part.name).addPart(part);
    segment.end = at;
    this.#sequence = trailer.sequence;
    if (this.#breather.due) await this.#breather.pause();
    return true;
  }

  /** Replays the valid frames of a segment; returns where they end. */
  async #replayFrames({ segment, bytes, firstSequence }: Found): Promise<number> {
    const { seed } = segment;
    let at = SEGMENT_HEADER;
    this.#last = undefined;
    if (firstSequence !== undefined) {
      if (firstSequence <= this.#sequence)
        throw corrupt(segment.path, at, `batch ${firstSequence} is there twice`);
      // Segments before this one may have been removed; its checkpoint stands for them.
      this.#sequence = firstSequence - 1;
    }
    for (;;) {
      const frame = await readFrame(bytes, at, seed);
      if (frame === 'header' || frame === 'content' || frame.sequence !== this.#sequence + 1) break;
      try {
        if (!hasSoundBlocks(frame, seed)) break;
        replayFrame(this.#table, segment, frame);
      } catch (cause) {
        if (!(cause instanceof QuorateError)) throw cause;
        throw corrupt(segment.path, at, cause.message, cause);
      }
      this.#sequence = frame.sequence;
      this.#last = { position: at, end: frame.end };
      at = frame.end;
      if (this.#breather.due) await this.#breather.pause();
    }
    segment.end = at;
    return at;
  }

  /** What is behind the last frame of the log is nothing, or a torn write, whose bytes must never come to count again. */
  async #repairEnd({ segment, handle, bytes }: Found, end: number): Promise<void> {
    const last = await findLastNonZero(bytes, end);
    if (last < 0) return;
    const later = await findLaterFrame(bytes, end, this.#sequence + 2, segment.seed);
    if (later !== undefined) {
      throw corrupt(
        segment.path,
        end,
        `batch ${this.#sequence + 1} is damaged, and a later one follows at byte ${later}`,
      );
    }
    if (!(await isTorn(bytes, end, segment.seed))) {
      throw corrupt(segment.path, end, `batch ${this.#sequence + 1} was written whole and has changed since`);
    }
    for (let at = end; at <= last; at += ZEROS.length) {
      await writeFully(handle, [ZEROS.subarray(0, Math.min(ZEROS.length, last + 1 - at))], at);
    }
    await syncFile(handle);
  }
}

const ZEROS = new Uint8Array(256 * 1024);
