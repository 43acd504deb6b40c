/** The log of a group that is kept in memory. */
import { compareEpochs, lastOf } from '../../consensus/consensus.js';
import type { Entry, Epoch, HardState, Index, Recovered, SnapshotMeta } from '../../consensus/consensus.js';
import type { WritableLog } from '../groupWrite.js';
import { costOf } from '../readRange.js';

const TAIL_BYTES = 4 << 20;

/** @internal */
export class MemoryLog implements WritableLog {
  #entries: Entry[] = [];
  #hard: HardState | undefined;
  firstIndex: Index = 1;
  lastIndex: Index = 0;
  bytes = 0;

  epochAt(index: Index): Epoch {
    return this.#entries[this.#find(index)]!.epoch;
  }

  startOf(index: Index): Index {
    return this.#entries[this.#find(index)]!.index;
  }

  setHard(hard: HardState): void {
    this.#hard = hard;
  }

  truncate(from: Index): void {
    this.#forget(this.#entries.splice(this.#find(from)));
    this.lastIndex = from - 1;
  }

  reset(first: Index): void {
    this.#forget(this.#entries.splice(0));
    this.firstIndex = first;
    this.lastIndex = first - 1;
  }

  append(entries: readonly Entry[]): void {
    for (const entry of entries) {
      this.#entries.push(entry);
      this.bytes += costOf(entry);
      this.lastIndex = lastOf(entry);
    }
  }

  compact(first: Index): void {
    const gone = first > this.lastIndex ? this.#entries.length : this.#find(first);
    this.#forget(this.#entries.splice(0, gone));
    this.firstIndex = first;
  }

  read(from: Index, to: Index, maxBytes: number): Entry[] {
    const start = this.#find(from);
    let end = start + 1;
    let bytes = costOf(this.#entries[start]!);
    while (end < this.#entries.length && lastOf(this.#entries[end]!) <= to) {
      bytes += costOf(this.#entries[end]!);
      if (bytes > maxBytes) break;
      end++;
    }
    return this.#entries.slice(start, end);
  }

  recover(snapshot: SnapshotMeta | undefined): Recovered {
    const entries = this.#entries;
    const runs: { from: Index; epoch: Epoch }[] = [];
    for (const { index, epoch } of entries) {
      if (runs.length === 0 || compareEpochs(runs.at(-1)!.epoch, epoch) !== 0)
        runs.push({ from: index, epoch });
    }
    let start = entries.length;
    let bytes = 0;
    while (start > 0 && (bytes += costOf(entries[start - 1]!)) <= TAIL_BYTES) start--;
    return {
      hard: this.#hard,
      snapshot,
      runs,
      firstIndex: this.firstIndex,
      lastIndex: this.lastIndex,
      lastTime: entries.at(-1)?.time ?? 0,
      configs: entries.filter(({ kind }) => kind === 'config'),
      tail: entries.slice(Math.min(start, Math.max(0, entries.length - 1))),
    };
  }

  #forget(entries: readonly Entry[]): void {
    for (const entry of entries) this.bytes -= costOf(entry);
  }

  /** The place of the entry that takes the index. */
  #find(index: Index): number {
    let low = 0;
    let high = this.#entries.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.#entries[middle]!.index <= index) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
