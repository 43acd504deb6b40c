/** Carries out on the group table what the frames of the log say. */
import { crc32 } from '../../crc.js';
import { ByteReader } from '../../bytes.js';
import type { Entry, HardState, Index } from '../../consensus/consensus.js';
import { lastOf } from '../../consensus/consensus.js';
import { QuorateError } from '../../errors.js';
import { decodeEntries } from '../entryCodec.js';
import { FRAME_HEADER } from './format.js';
import type { GroupTable } from './groupTable.js';
import { readMeta } from './meta.js';
import type { GroupCheckpoint, MetaVisitor } from './meta.js';
import type { ScannedFrame } from './scan.js';
import type { Segment } from './segment.js';

/** The bytes of a block after its CRC; undefined when they do not match it. @internal */
export function checkBlock(block: Uint8Array, seed: number): Uint8Array | undefined {
  if (block.length < 4) return undefined;
  const stored = (block[0]! | (block[1]! << 8) | (block[2]! << 16) | (block[3]! << 24)) >>> 0;
  const content = block.subarray(4);
  return crc32(content, seed) === stored ? content : undefined;
}

/** Whether the blocks of a frame are what its metadata says. @internal */
export function hasSoundBlocks(frame: ScannedFrame, seed: number): boolean {
  const lengths: number[] = [];
  readMeta(frame.meta, { ...IGNORE, append: (_group, length) => lengths.push(length) });
  let at = 0;
  const sound = lengths.every(
    (length) => checkBlock(frame.body.subarray(at, (at += length)), seed) !== undefined,
  );
  return sound && at === frame.body.length;
}

const nothing = (): void => undefined;
const IGNORE: MetaVisitor = {
  checkpoint: nothing,
  erase: nothing,
  hard: nothing,
  truncate: nothing,
  reset: nothing,
  append: nothing,
  compact: nothing,
};

/** Replays one frame whose bytes were checked; throws where it contradicts what came before it. @internal */
export function replayFrame(table: GroupTable, segment: Segment, frame: ScannedFrame): void {
  readMeta(frame.meta, new Replay(table, segment, frame));
}

class Replay implements MetaVisitor {
  readonly #table: GroupTable;
  readonly #segment: Segment;
  readonly #frame: ScannedFrame;
  #at = 0;

  constructor(table: GroupTable, segment: Segment, frame: ScannedFrame) {
    this.#table = table;
    this.#segment = segment;
    this.#frame = frame;
  }

  /** It says all there is to say about the segments before it: what they held that it does not know of is gone. */
  checkpoint(groups: GroupCheckpoint[], floors: Map<string, number>): void {
    const { groups: known, floors: knownFloors } = this.#table;
    const told = new Set(groups.map(({ name }) => name));
    for (const [name, group] of known) {
      if (told.has(name)) continue;
      group.cutParts(0);
      known.delete(name);
    }
    for (const { name, firstIndex, lastIndex, hard } of groups) {
      const group = this.#table.ensure(name);
      group.hard = hard;
      group.cutParts(lastIndex + 1);
      group.compact(firstIndex);
      group.lastIndex = lastIndex;
    }
    knownFloors.clear();
    for (const [name, floor] of floors) knownFloors.set(name, floor);
  }

  erase(group: string, floor: number): void {
    this.#table.erase(group, floor);
  }

  hard(group: string, hard: HardState): void {
    this.#table.ensure(group).hard = hard;
  }

  truncate(group: string, from: Index): void {
    this.#table.ensure(group).truncate(from);
  }

  reset(group: string, first: Index): void {
    this.#table.ensure(group).reset(first);
  }

  append(name: string, length: number): void {
    const group = this.#table.ensure(name);
    const block = this.#frame.body.subarray(this.#at, this.#at + length);
    const offset = this.#frame.position + FRAME_HEADER + this.#at;
    this.#at += length;
    const entries = decodeBlock(block.subarray(4));
    if (entries[0]!.index !== group.lastIndex + 1) {
      throw new QuorateError(
        'ERR_CODEC',
        `group ${name} goes on at ${entries[0]!.index} after ${group.lastIndex}`,
      );
    }
    group.addBlock(this.#segment, entries, 0, entries.length, offset, length);
  }

  compact(group: string, first: Index): void {
    this.#table.ensure(group).compact(first);
  }
}

/** The entries of a block whose CRC was checked. @internal */
export function decodeBlock(content: Uint8Array): Entry[] {
  const reader = new ByteReader(content);
  const entries = decodeEntries(reader);
  const head = entries[0];
  if (head === undefined || reader.remaining > 0)
    throw new QuorateError('ERR_CODEC', 'a block without entries, or with more than them');
  const uniform = lastOf(entries.at(-1)!) - head.index + 1 === entries.length;
  if (!uniform && entries.length > 1) throw new QuorateError('ERR_CODEC', 'a block that cannot be cut');
  return entries;
}
