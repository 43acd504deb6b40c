/** Virtual time. */

interface Item {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/** What is to happen, soonest first; at the same time in the order it was asked for. A binary heap. */
export class Queue {
  readonly #heap: Item[] = [];
  #order = 0;

  /** When the next thing happens; Infinity if nothing does. */
  get next(): number {
    return this.#heap[0]?.at ?? Infinity;
  }

  push(time: number, run: () => void): void {
    const heap = this.#heap;
    const item = { at: time, order: this.#order++, run };
    let at = heap.push(item) - 1;
    while (at > 0) {
      const up = (at - 1) >> 1;
      if (before(heap[up]!, item)) break;
      heap[at] = heap[up]!;
      at = up;
    }
    heap[at] = item;
  }

  pop(): Item {
    const heap = this.#heap;
    const first = heap[0]!;
    const last = heap.pop()!;
    if (heap.length > 0) {
      let at = 0;
      for (;;) {
        let down = at * 2 + 1;
        if (down >= heap.length) break;
        if (down + 1 < heap.length && before(heap[down + 1]!, heap[down]!)) down++;
        if (before(last, heap[down]!)) break;
        heap[at] = heap[down]!;
        at = down;
      }
      heap[at] = last;
    }
    return first;
  }
}

function before(a: Item, b: Item): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
