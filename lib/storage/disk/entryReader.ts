/** Reads entries back from the segments. */
import type { Entry, Index } from '../../consensus/consensus.js';
import { lastOf } from '../../consensus/consensus.js';
import type { FileSystem } from '../../files.js';
import { checkReadRange, costOf } from '../readRange.js';
import type { GroupLog, Part } from './groupLog.js';
import { corrupt } from './io.js';
import { checkBlock, decodeBlock } from './replay.js';
import type { Segment } from './segment.js';

/** The most that is read from a file at once, unless a single block has more. */
const SPAN = 1 << 20;
/** Bytes between two blocks that are read for nothing rather than with another call. */
const GAP = 16384;

/** Neighbouring blocks of one part. */
interface Span {
  readonly part: Part;
  readonly blocks: { offset: number; length: number; last: Index }[];
}

/** What reading needs of the rest. @internal */
export interface ReadSource {
  readonly files: FileSystem;
  /** Whether what is at that place of a segment was written. */
  isDurable(segment: Segment, position: number): boolean;
  /** Waits until all that was queued is written. */
  settle(): Promise<void>;
}

/**
 * Whole entries from the one that holds `from` on: at least one, then as many as end at `to` at the latest and keep within
 * `maxBytes`.
 *
 * @internal
 */
export async function readEntries(
  source: ReadSource,
  log: GroupLog,
  from: Index,
  to: Index,
  maxBytes: number,
): Promise<Entry[]> {
  checkRange(log, from, to);
  let spans = plan(source, log, from, to, maxBytes);
  while (spans.length === 0) {
    await source.settle();
    checkRange(log, from, to);
    spans = plan(source, log, from, to, maxBytes);
  }
  for (const { part } of spans) part.segment.pin();
  const entries: Entry[] = [];
  let bytes = 0;
  try {
    for (const span of spans) {
      for (const entry of await readSpan(source.files, span)) {
        if (lastOf(entry) < from) continue;
        bytes += costOf(entry);
        if (entries.length > 0 && (lastOf(entry) > to || bytes > maxBytes)) return entries;
        entries.push(entry);
      }
    }
    return entries;
  } finally {
    for (const { part } of spans) part.segment.unpin();
  }
}

/**
 * Notes where the blocks are before anything is awaited, since the log may change meanwhile; their bytes never do. Ends before
 * the first block that is yet to be written.
 */
function plan(source: ReadSource, log: GroupLog, from: Index, to: Index, maxBytes: number): Span[] {
  const spans: Span[] = [];
  let bytes = 0;
  let span: Span | undefined;
  for (let part: Part | undefined = log.partOf(from); part !== undefined; part = log.partAfter(part)) {
    for (let i = part.firstIndex <= from ? part.find(from) : part.head; i < part.count; i++) {
      if (part.first[i]! > to && spans.length > 0) return spans;
      const offset = part.offset[i]!;
      if (!source.isDurable(part.segment, offset)) return spans;
      const length = part.lengthOf(i);
      const begin = span?.blocks[0];
      const before = span?.blocks.at(-1);
      const near =
        span?.part === part &&
        offset + length - begin!.offset <= SPAN &&
        offset - before!.offset - before!.length <= GAP;
      if (!near) spans.push((span = { part, blocks: [] }));
      span!.blocks.push({ offset, length, last: part.lastOf(i) });
      bytes += length;
      // The first block may have most of its entries before `from`.
      if (bytes - spans[0]!.blocks[0]!.length >= maxBytes) return spans;
    }
  }
  return spans;
}

async function readSpan(files: FileSystem, { part, blocks }: Span): Promise<Entry[]> {
  const begin = blocks[0]!.offset;
  const end = blocks.at(-1)!.offset + blocks.at(-1)!.length;
  const bytes = await readBytes(files, part.segment, begin, end - begin);
  const entries: Entry[] = [];
  for (const { offset, length, last } of blocks) {
    const content = checkBlock(bytes.subarray(offset - begin, offset - begin + length), part.segment.seed);
    if (content === undefined)
      throw corrupt(part.segment.path, offset, `entries of group ${part.name} fail their check`);
    let decoded: Entry[];
    try {
      decoded = decodeBlock(content);
    } catch (cause) {
      throw corrupt(part.segment.path, offset, `entries of group ${part.name} do not decode`, cause);
    }
    for (const entry of decoded) {
      if (lastOf(entry) > last) break; // cut off by a truncation
      entries.push(share(entries.at(-1), entry));
    }
  }
  return entries;
}

/** Entries of one reign share their epoch over blocks, too. */
function share(before: Entry | undefined, entry: Entry): Entry {
  if (before === undefined || before.epoch === entry.epoch) return entry;
  const { config, n, priority, node } = before.epoch;
  const { epoch } = entry;
  const same = epoch.n === n && epoch.config === config && epoch.priority === priority && epoch.node === node;
  return same ? { ...entry, epoch: before.epoch } : entry;
}

async function readBytes(
  files: FileSystem,
  segment: Segment,
  position: number,
  length: number,
): Promise<Uint8Array> {
  if (segment.handle !== undefined) return segment.handle.read(position, length);
  const handle = await files.open(segment.path, 'read');
  try {
    return await handle.read(position, length);
  } finally {
    await handle.close();
  }
}

function checkRange({ name, firstIndex, lastIndex }: GroupLog, from: Index, to: Index): void {
  checkReadRange(name, firstIndex, lastIndex, from, to);
}
