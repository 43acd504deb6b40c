/**
 * Where the entries of one group are: blocks of entries by index, in parts, one part for each segment that holds some.
 * A block holds entries of count 1 only, or a single entry; so every index of the former is an entry's bound, and the
 * latter is never cut.
 */
import { compareEpochs, lastOf } from '../../consensus/consensus.js';
import type { Entry, Epoch, HardState, Index } from '../../consensus/consensus.js';
import { QuorateError } from '../../errors.js';
import type { Segment } from './segment.js';

const SOLID = 0x80000000;

/** The blocks of one group in one segment, in the order of their indexes. @internal */
export class Part {
  readonly segment: Segment;
  readonly name: string;
  first: Float64Array;
  offset: Uint32Array;
  /** With the top bit set for a block of one entry that takes several indexes. */
  length: Uint32Array;
  count = 0;
  /** Blocks before this one are no longer needed. */
  head = 0;
  /** The last index held; the last block may reach beyond it after a truncation. */
  last = 0;
  /** Bytes of the blocks from `head` on. */
  bytes = 0;
  readonly runs: { from: Index; epoch: Epoch }[] = [];
  readonly configs: Index[] = [];

  constructor(segment: Segment, name: string, capacity = 4) {
    this.segment = segment;
    this.name = name;
    this.first = new Float64Array(capacity);
    this.offset = new Uint32Array(capacity);
    this.length = new Uint32Array(capacity);
  }

  get firstIndex(): Index {
    return this.first[this.head]!;
  }

  lengthOf(block: number): number {
    return this.length[block]! & ~SOLID;
  }

  isSolid(block: number): boolean {
    return this.length[block]! >= SOLID;
  }

  /** The last index of a block as far as it counts. */
  lastOf(block: number): Index {
    return block + 1 < this.count ? this.first[block + 1]! - 1 : this.last;
  }

  push(first: Index, last: Index, offset: number, length: number, solid: boolean): void {
    if (this.count === this.first.length) this.#grow();
    this.first[this.count] = first;
    this.offset[this.count] = offset;
    this.length[this.count++] = solid ? (length | SOLID) >>> 0 : length;
    this.last = last;
    this.bytes += length;
  }

  addRun(from: Index, epoch: Epoch): void {
    const newest = this.runs.at(-1);
    if (newest === undefined || compareEpochs(newest.epoch, epoch) !== 0) this.runs.push({ from, epoch });
  }

  /** The block that holds the index. */
  find(index: Index): number {
    let low = this.head;
    let high = this.count - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.first[middle]! <= index) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  epochAt(index: Index): Epoch {
    return runAt(this.runs, index)!.epoch;
  }

  /** Drops what is from `index` on; false when nothing is left. */
  cutTail(index: Index): boolean {
    while (this.count > this.head && this.first[this.count - 1]! >= index)
      this.bytes -= this.lengthOf(--this.count);
    if (this.count === this.head) return false;
    if (this.last >= index) this.last = index - 1;
    while (this.runs.length > 0 && this.runs.at(-1)!.from >= index) this.runs.pop();
    while (this.configs.length > 0 && this.configs.at(-1)! >= index) this.configs.pop();
    return true;
  }

  /** Drops the blocks that end before `index`; false when nothing is left. */
  cutHead(index: Index): boolean {
    if (this.last < index) return false;
    while (this.lastOf(this.head) < index) this.bytes -= this.lengthOf(this.head++);
    return true;
  }

  #grow(): void {
    const first = new Float64Array(this.first.length * 2);
    const offset = new Uint32Array(first.length);
    const length = new Uint32Array(first.length);
    first.set(this.first);
    offset.set(this.offset);
    length.set(this.length);
    this.first = first;
    this.offset = offset;
    this.length = length;
  }
}

/** The last run that begins at or before the index. */
function runAt(
  runs: readonly { from: Index; epoch: Epoch }[],
  index: Index,
): { from: Index; epoch: Epoch } | undefined {
  for (let i = runs.length - 1; i >= 0; i--) if (runs[i]!.from <= index) return runs[i];
  return undefined;
}

/** @internal */
export class GroupLog {
  readonly name: string;
  firstIndex: Index = 1;
  lastIndex: Index = 0;
  hard: HardState | undefined;
  /** Grows with every change of the entries. */
  revision = 0;
  /** Called with a segment in which this group holds nothing any more. */
  readonly #left: (segment: Segment) => void;
  readonly #parts: Part[] = [];

  constructor(name: string, left: (segment: Segment) => void) {
    this.name = name;
    this.#left = left;
  }

  get parts(): readonly Part[] {
    return this.#parts;
  }

  get bytes(): number {
    let sum = 0;
    for (const part of this.#parts) sum += part.bytes;
    return sum;
  }

  /** The part that holds the index. */
  partOf(index: Index): Part {
    let low = 0;
    let high = this.#parts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.#parts[middle]!.firstIndex <= index) low = middle;
      else high = middle - 1;
    }
    const part = this.#parts[low];
    if (part === undefined || index < this.firstIndex || index > this.lastIndex) {
      throw new QuorateError(
        'ERR_INTERNAL',
        `group ${this.name} holds ${this.firstIndex} to ${this.lastIndex}, not ${index}`,
      );
    }
    return part;
  }

  partAfter(part: Part): Part | undefined {
    return this.#parts[this.#parts.indexOf(part) + 1];
  }

  epochAt(index: Index): Epoch {
    return this.partOf(index).epochAt(index);
  }

  startOf(index: Index): Index {
    const part = this.partOf(index);
    const block = part.find(index);
    return part.isSolid(block) ? part.first[block]! : index;
  }

  /** Epoch runs of what it holds, in the form that a core starts from. */
  runs(): { from: Index; epoch: Epoch }[] {
    const runs: { from: Index; epoch: Epoch }[] = [];
    for (const part of this.#parts) {
      for (const [i, { from, epoch }] of part.runs.entries()) {
        const next = part.runs[i + 1];
        if (next !== undefined && next.from <= this.firstIndex) continue;
        if (runs.length > 0 && compareEpochs(runs.at(-1)!.epoch, epoch) === 0) continue;
        runs.push({ from: Math.max(from, this.firstIndex), epoch });
      }
    }
    return runs;
  }

  configs(): Index[] {
    return this.#parts.flatMap((part) => part.configs.filter((index) => index >= this.firstIndex));
  }

  /** Adds a block whose first index is at most one after the last held; what is from that index on is replaced. */
  addBlock(
    segment: Segment,
    entries: readonly Entry[],
    from: number,
    to: number,
    offset: number,
    length: number,
  ): void {
    this.revision++;
    const head = entries[from]!;
    const last = lastOf(entries[to - 1]!);
    if (this.lastIndex >= head.index) this.truncate(head.index);
    const part = this.#partIn(segment);
    part.push(head.index, last, offset, length, head.count > 1);
    let epoch: Epoch | undefined;
    for (let i = from; i < to; i++) {
      const entry = entries[i]!;
      if (entry.epoch !== epoch) part.addRun(entry.index, (epoch = entry.epoch));
      if (entry.kind === 'config') part.configs.push(entry.index);
    }
    this.lastIndex = last;
  }

  /** Adds the blocks of a sealed segment as its footer tells them. */
  addPart(part: Part): void {
    this.cutParts(part.firstIndex);
    this.#parts.push(part);
    part.segment.hold(part);
    this.lastIndex = part.last;
  }

  truncate(from: Index): void {
    // The first block may begin before the log does; alone, that beginning is of no use.
    this.cutParts(from <= this.firstIndex ? 0 : from);
    this.lastIndex = from - 1;
  }

  reset(first: Index): void {
    this.cutParts(0);
    this.firstIndex = first;
    this.lastIndex = first - 1;
  }

  compact(first: Index): void {
    this.revision++;
    this.firstIndex = first;
    let gone = 0;
    while (gone < this.#parts.length && !this.#parts[gone]!.cutHead(first)) gone++;
    for (const part of this.#parts.splice(0, gone)) this.#drop(part);
    if (this.lastIndex < first) this.lastIndex = first - 1;
  }

  /** Drops the blocks from `index` on, whatever `lastIndex` says. */
  cutParts(index: Index): void {
    this.revision++;
    while (this.#parts.length > 0) {
      if (this.#parts.at(-1)!.cutTail(index)) return;
      this.#drop(this.#parts.pop()!);
    }
  }

  /** The first index that should be there and is not; undefined when the log is whole. */
  missing(): Index | undefined {
    let next = this.firstIndex;
    for (const part of this.#parts) {
      if (part.firstIndex > next) return next;
      next = part.last + 1;
    }
    return next <= this.lastIndex ? next : undefined;
  }

  #partIn(segment: Segment): Part {
    const newest = this.#parts.at(-1);
    if (newest?.segment === segment) return newest;
    const part = new Part(segment, this.name);
    this.#parts.push(part);
    segment.hold(part);
    return part;
  }

  #drop(part: Part): void {
    part.segment.letGo(part);
    this.#left(part.segment);
  }
}
