/** What the log of one group should hold, by the words of {@link GroupWrite} alone: an oracle, not the code it judges. */
import {
  compareEpochs,
  lastOf,
  type Entry,
  type Epoch,
  type HardState,
} from '../../../consensus/consensus.js';
import type { Index } from '../../../consensus/consensus.js';
import type { GroupWrite } from '../../../storage/storage.js';

export class LogModel {
  /** The first index it holds, or will hold. */
  first: Index = 1;
  hard: HardState | undefined;
  #entries: Entry[] = [];

  /** The last index it holds; `first - 1` when empty. */
  get last(): Index {
    const newest = this.#entries.at(-1);
    return newest === undefined ? this.first - 1 : lastOf(newest);
  }

  get entries(): readonly Entry[] {
    return this.#entries;
  }

  copy(): LogModel {
    const other = new LogModel();
    other.first = this.first;
    other.hard = this.hard;
    other.#entries = this.#entries.slice();
    return other;
  }

  /** The entry that takes this index. */
  at(index: Index): Entry | undefined {
    const place = this.#place(index);
    return place < 0 ? undefined : this.#entries[place];
  }

  epochAt(index: Index): Epoch | undefined {
    return this.at(index)?.epoch;
  }

  /** Whether it holds this very entry, or once did and let a snapshot stand for it. */
  holds({ index, epoch }: { readonly index: Index; readonly epoch: Epoch }): boolean {
    if (index < this.first) return true;
    const own = this.epochAt(index);
    return own !== undefined && compareEpochs(own, epoch) === 0;
  }

  apply({ hard, truncateFrom, install, entries, compactTo }: GroupWrite): void {
    if (hard !== undefined) this.hard = hard;
    if (truncateFrom !== undefined) this.truncate(truncateFrom);
    if (install !== undefined) this.install(install.index, install.epoch);
    if (entries !== undefined) {
      for (const entry of entries) this.#entries.push(entry);
    }
    if (compactTo !== undefined) this.#compact(compactTo);
  }

  truncate(from: Index): void {
    let length = this.#entries.length;
    while (length > 0 && this.#entries[length - 1]!.index >= from) length--;
    this.#entries.length = length;
  }

  /** The log begins anew after a snapshot, unless it agrees with it. */
  install(index: Index, epoch: Epoch): void {
    if (index === this.first - 1) return;
    const own = index < this.first ? undefined : this.epochAt(index);
    if (own !== undefined && compareEpochs(own, epoch) === 0) {
      this.#compact(index);
      return;
    }
    this.#entries = [];
    this.first = index + 1;
  }

  #compact(to: Index): void {
    if (to < this.first) return;
    let gone = 0;
    while (gone < this.#entries.length && lastOf(this.#entries[gone]!) <= to) gone++;
    this.#entries = this.#entries.slice(gone);
    this.first = this.#entries[0]?.index ?? to + 1;
  }

  #place(index: Index): number {
    let low = 0;
    let high = this.#entries.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const entry = this.#entries[middle]!;
      if (index < entry.index) high = middle - 1;
      else if (index > lastOf(entry)) low = middle + 1;
      else return middle;
    }
    return -1;
  }
}
