/**
 * A core's view of the replicated log: where it begins and ends, the epoch of every index (as runs, so a log of millions
 * costs a few objects), and the newest entries themselves. It is the gateway at which the log's invariants are checked: no
 * gap, no epoch that goes back, nothing removed that is gone already.
 */
import { compareEpochs, lastOf, NO_EPOCH } from './consensus.js';
import { LogSizes } from './logSizes.js';
import type { Entry, Epoch, Index } from './consensus.js';

/** Consecutive indexes of one epoch, from `from` until the next run. */
interface Run {
  readonly from: Index;
  readonly epoch: Epoch;
}

/** A position and the epoch found there. @internal */
export interface Position {
  readonly index: Index;
  readonly epoch: Epoch;
}

/** What an entry weighs in a cap: its data, and something for itself, so that empty ones weigh too. @internal */
export function weightOf(entry: Entry): number {
  return entry.data.length + 64;
}

/** The bytes of data in some entries. @internal */
export function bytesOf(entries: readonly Entry[]): number {
  let sum = 0;
  for (const entry of entries) sum += entry.data.length;
  return sum;
}

/** The log as a core sees it. @internal */
export class Log {
  readonly #cap: number;
  /** The index before the first that is held, and its epoch unless that was forgotten with a compaction before a restart. */
  #start: Index = 0;
  #startEpoch: Epoch | undefined = NO_EPOCH;
  #runs: Run[] = [];
  #last: Index = 0;
  #lastTime = 0;
  /** `#cache[#head…]` are the newest entries, without a gap up to `#last`. Before `#head` they are forgotten. */
  #cache: (Entry | undefined)[] = [];
  #head = 0;
  #bytes = 0;
  readonly #sizes = new LogSizes();

  constructor(cacheBytes: number) {
    this.#cap = cacheBytes;
  }

  /** The index before the first one that the log holds. */
  get start(): Index {
    return this.#start;
  }

  get last(): Index {
    return this.#last;
  }

  get lastEpoch(): Epoch {
    const run = this.#runs.at(-1);
    return run?.epoch ?? this.#startEpoch ?? NO_EPOCH;
  }

  /** The time of the newest entry; after a truncation perhaps that of a removed one, never less than the newest. */
  get lastTime(): number {
    return this.#lastTime;
  }

  /** The index of the oldest entry in memory; `last + 1` when there is none. */
  get cachedFrom(): Index {
    return this.#cache[this.#head]?.index ?? this.#last + 1;
  }

  get cachedBytes(): number {
    return this.#bytes;
  }

  /** The epoch at an index; undefined outside the log, and where it is no longer known. */
  epochAt(index: Index): Epoch | undefined {
    if (index === this.#start) return this.#startEpoch;
    if (index < this.#start || index > this.#last) return undefined;
    return this.#runs[this.#runAt(index)]!.epoch;
  }

  /** Takes entries that continue the log; throws, changing nothing, when they do not. */
  append(entries: readonly Entry[]): void {
    let next = this.#last + 1;
    let epoch = this.lastEpoch;
    for (const entry of entries) {
      if (entry.index !== next) throw new Error(`log: entry ${entry.index} does not follow ${next - 1}`);
      if (compareEpochs(entry.epoch, epoch) < 0) {
        throw new Error(`log: entry ${entry.index} of term ${entry.epoch.n} follows one of term ${epoch.n}`);
      }
      epoch = entry.epoch;
      next = lastOf(entry) + 1;
    }
    for (const entry of entries) {
      const run = this.#runs.at(-1);
      if (run === undefined || (run.epoch !== entry.epoch && compareEpochs(run.epoch, entry.epoch) !== 0)) {
        this.#runs.push({ from: entry.index, epoch: entry.epoch });
      }
      this.#cache.push(entry);
      this.#bytes += weightOf(entry);
      this.#sizes.append(lastOf(entry), weightOf(entry));
      this.#lastTime = Math.max(this.#lastTime, entry.time);
    }
    this.#last = next - 1;
  }

  /** Removes everything from `index` on; throws when that is compacted or inside an entry. */
  truncateFrom(index: Index): void {
    if (index <= this.#start) throw new Error(`log: ${index} is compacted, it cannot be removed`);
    if (index > this.#last) return;
    if (this.boundAtMost(index - 1) !== index - 1 && index > this.cachedFrom) {
      throw new Error(`log: ${index} is inside an entry`);
    }
    while (this.#cache.length > this.#head && this.#cache.at(-1)!.index >= index) {
      this.#bytes -= weightOf(this.#cache.pop()!);
    }
    while (this.#runs.length > 0 && this.#runs.at(-1)!.from >= index) this.#runs.pop();
    this.#last = index - 1;
    this.#sizes.truncate(this.#last);
  }

  /**
   * Entries in memory from the one that holds `from`, without a gap, none beyond `to`: at least one, then as many as
   * `maxBytes` allows. Empty when memory does not reach back to `from`.
   */
  slice(from: Index, to: Index, maxBytes: number): Entry[] {
    const out: Entry[] = [];
    if (from < this.cachedFrom || from > this.#last) return out;
    let bytes = 0;
    for (let at = this.#entryAt(from); at < this.#cache.length; at++) {
      const entry = this.#cache[at]!;
      bytes += entry.data.length;
      if (lastOf(entry) > to || (out.length > 0 && bytes > maxBytes)) break;
      out.push(entry);
    }
    return out;
  }

  /** What the entries in memory from the one that holds `from` up to `to` weigh. */
  weigh(from: Index, to: Index): number {
    let sum = 0;
    if (from > to || to < this.cachedFrom) return sum;
    for (let at = this.#entryAt(Math.max(from, this.cachedFrom)); at < this.#cache.length; at++) {
      const entry = this.#cache[at]!;
      if (entry.index > to) break;
      sum += weightOf(entry);
    }
    return sum;
  }

  /** At least so many bytes of entries lie behind an index, in memory or not. What a restart left on disk only does not count. */
  bytesAfter(index: Index): number {
    return this.#sizes.after(index);
  }

  /** The last index of the last entry that ends at or before `index`, as far as memory can tell; may be too low below it. */
  boundAtMost(index: Index): Index {
    if (index >= this.#last) return this.#last;
    if (index <= this.#start) return index;
    const from = this.cachedFrom;
    if (index >= from) {
      const entry = this.#cache[this.#entryAt(index)]!;
      return lastOf(entry) === index ? index : entry.index - 1;
    }
    if (index === from - 1) return index;
    const run = this.#runAt(index);
    return (this.#runs[run + 1]?.from ?? 0) === index + 1 ? index : this.#runs[run]!.from - 1;
  }

  /**
   * The last position at or before `index` whose epoch is not newer than `epoch`: the place for the next probe, which thus
   * skips a whole reign at a time (Raft §5.3, as etcd does it on both sides). At worst the start of the log.
   */
  findConflict(index: Index, epoch: Epoch): Position {
    let at = Math.min(index, this.#last);
    for (let run = at > this.#start ? this.#runAt(at) : -1; run >= 0; run--) {
      const { from, epoch: found } = this.#runs[run]!;
      if (compareEpochs(found, epoch) <= 0) return { index: at, epoch: found };
      at = from - 1;
    }
    at = Math.min(at, this.#start);
    return { index: at, epoch: at === this.#start ? (this.#startEpoch ?? NO_EPOCH) : NO_EPOCH };
  }

  /** Forgets entries up to `index`, which stays as the point before the first. */
  compact(index: Index): void {
    if (index <= this.#start) return;
    if (index > this.#last) throw new Error(`log: cannot compact to ${index}, the log ends at ${this.#last}`);
    this.#startEpoch = this.epochAt(index);
    const run = this.#runAt(index);
    const holds = (this.#runs[run + 1]?.from ?? this.#last + 1) > index + 1;
    const rest = this.#runs.slice(holds ? run : run + 1);
    if (holds) rest[0] = { from: index + 1, epoch: rest[0]!.epoch };
    this.#runs = rest;
    this.#start = index;
    this.#sizes.forget(index);
    while (this.#cache.length > this.#head && lastOf(this.#cache[this.#head]!) <= index) this.#forgetOldest();
    this.#tidy();
  }

  /** Begins anew after a snapshot. */
  reset(index: Index, epoch: Epoch | undefined, time: number): void {
    this.#start = this.#last = index;
    this.#startEpoch = epoch;
    this.#runs = [];
    this.#cache = [];
    this.#head = this.#bytes = 0;
    this.#sizes.reset(index);
    this.#lastTime = Math.max(this.#lastTime, time);
  }

  /** What a storage brought back: the log after `start`. Throws when the parts do not fit together. */
  restore(
    start: Index,
    startEpoch: Epoch | undefined,
    runs: readonly Run[],
    last: Index,
    time: number,
    tail: readonly Entry[],
  ): void {
    this.reset(start, startEpoch, time);
    let before = start;
    let epoch = NO_EPOCH;
    for (const run of runs) {
      const sound =
        before === start ? run.from === start + 1 : run.from > before && compareEpochs(run.epoch, epoch) > 0;
      if (!sound || run.from > last) throw new Error(`log: the run at ${run.from} does not fit`);
      before = run.from;
      epoch = run.epoch;
    }
    if (last < start || (last > start && runs.length === 0)) {
      throw new Error(`log: nothing known of ${start + 1} to ${last}`);
    }
    this.#runs = [...runs];
    this.#last = last;
    let next = tail.at(0)?.index ?? 0;
    for (const entry of tail) {
      const known = this.epochAt(entry.index);
      if (entry.index !== next || known === undefined || compareEpochs(known, entry.epoch) !== 0) {
        throw new Error(`log: entry ${entry.index} does not fit`);
      }
      next = lastOf(entry) + 1;
    }
    if (tail.length > 0 && next !== last + 1)
      throw new Error(`log: entries end at ${next - 1} instead of ${last}`);
    this.#sizes.reset((tail[0]?.index ?? last + 1) - 1);
    for (const entry of tail) {
      this.#cache.push(entry);
      this.#bytes += weightOf(entry);
      this.#sizes.append(lastOf(entry), weightOf(entry));
    }
  }

  /** Lets the oldest entries go until the rest fits the cap; what is above `keepAfter` stays. */
  evict(keepAfter: Index): void {
    while (this.#bytes > this.#cap && this.#head < this.#cache.length) {
      if (lastOf(this.#cache[this.#head]!) > keepAfter) break;
      this.#forgetOldest();
    }
    this.#tidy();
  }

  #forgetOldest(): void {
    this.#bytes -= weightOf(this.#cache[this.#head]!);
    this.#cache[this.#head++] = undefined;
  }

  #tidy(): void {
    if (this.#head > 1024 && this.#head * 2 > this.#cache.length) {
      this.#cache = this.#cache.slice(this.#head);
      this.#head = 0;
    }
  }

  /** The place in the cache of the entry that holds `index`, which memory reaches. */
  #entryAt(index: Index): number {
    let low = this.#head;
    let high = this.#cache.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#cache[middle]!.index <= index) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** The place of the run that holds `index`, which is in (start, last]. */
  #runAt(index: Index): number {
    let low = 0;
    let high = this.#runs.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#runs[middle]!.from <= index) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
