/**
 * How many bytes of log lie behind an index: running totals at marks some way apart, so that a log of millions of entries costs a
 * few thousand numbers. Answers are lower bounds: what lies between an index and the next mark, and what was in the log before a
 * restart and is no longer in memory, does not count.
 */
import type { Index } from './consensus.js';

/** Bytes between two marks, and how many of them there may be: then every other one goes, and new ones are twice as far apart. */
const STEP_BYTES = 16 * 1024;
const MAX_MARKS = 4096;

interface Mark {
  readonly index: Index;
  /** Bytes that were appended up to `index`. */
  readonly total: number;
}

/** The bytes of a log by index. @internal */
export class LogSizes {
  #marks: Mark[] = [{ index: 0, total: 0 }];
  #total = 0;
  #step = STEP_BYTES;

  /** An entry that ends at `last` came to the log. */
  append(last: Index, bytes: number): void {
    this.#total += bytes;
    if (this.#total - this.#marks.at(-1)!.total < this.#step) return;
    this.#marks.push({ index: last, total: this.#total });
    if (this.#marks.length <= MAX_MARKS) return;
    this.#marks = this.#marks.filter((_, at) => at % 2 === 0);
    this.#step *= 2;
  }

  /** Entries behind `last` are gone from the log's end. */
  truncate(last: Index): void {
    while (this.#marks.length > 1 && this.#marks.at(-1)!.index > last) this.#marks.pop();
    this.#total = this.#marks.at(-1)!.total;
  }

  /** Entries up to `index` are gone from the log's beginning. */
  forget(index: Index): void {
    const first = this.#firstFrom(index);
    if (first > 0)
      this.#marks = first < this.#marks.length ? this.#marks.slice(first) : this.#marks.slice(-1);
  }

  /** The log begins anew behind `index`. */
  reset(index: Index): void {
    this.#marks = [{ index, total: 0 }];
    this.#total = 0;
    this.#step = STEP_BYTES;
  }

  /** At least so many bytes of entries lie behind `index`. */
  after(index: Index): number {
    const mark = this.#marks[this.#firstFrom(index)];
    return mark === undefined ? 0 : this.#total - mark.total;
  }

  /** The place of the first mark at or behind an index; the number of marks when there is none. */
  #firstFrom(index: Index): number {
    let low = 0;
    let high = this.#marks.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#marks[middle]!.index < index) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
