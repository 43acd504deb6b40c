/** When ended sagas are forgotten: by the clock of the log, alike on all members. @internal */

interface Due {
  readonly at: number;
  readonly index: number;
  readonly id: string;
}

export class Retention {
  /** Latest first, so that what is due next is at the end. */
  readonly #queue: Due[] = [];

  add(at: number, index: number, id: string): void {
    let low = 0;
    for (let high = this.#queue.length; low < high;) {
      const middle = (low + high) >>> 1;
      const other = this.#queue[middle]!;
      if (other.at > at || (other.at === at && other.index > index)) low = middle + 1;
      else high = middle;
    }
    this.#queue.splice(low, 0, { at, index, id });
  }

  /** Takes out what is due, at most `max`. */
  take(time: number, max: number): string[] {
    const due: string[] = [];
    while (due.length < max && (this.#queue.at(-1)?.at ?? Infinity) <= time) due.push(this.#queue.pop()!.id);
    return due;
  }
}
