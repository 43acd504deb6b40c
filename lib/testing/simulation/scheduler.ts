/** Virtual time: one queue of events for all nodes, the disks and the network. */
import type { Process } from './process.js';

/**
 * What comes first at one moment. As in an event loop that wakes up late: timers that are due, then what came in, then what
 * was deferred to the end of the turn.
 */
export const Phase = { fault: 0, timer: 1, io: 2, deferred: 3 } as const;
export type Phase = (typeof Phase)[keyof typeof Phase];

/** An event to come. */
export class Event {
  time: number;
  /** Orders what happens at one moment before the phase does: when it was due, or the moment itself. */
  rank: number;
  readonly phase: Phase;
  order: number;
  /** Whose event it is: dropped when that process is dead, put off while it is paused. Undefined: the world's own. */
  readonly owner: Process | undefined;
  run: (() => void) | undefined;

  constructor(time: number, phase: Phase, order: number, owner: Process | undefined, run: () => void) {
    this.time = this.rank = time;
    this.phase = phase;
    this.order = order;
    this.owner = owner;
    this.run = run;
  }

  /** It does not happen; harmless when it has. */
  cancel(): void {
    this.run = undefined;
  }
}

export class Scheduler {
  /** Milliseconds since the simulation began. */
  now = 0;
  /** How many events happened. */
  events = 0;
  /** An event threw: what would have ended a real process. */
  onThrow: ((owner: Process | undefined, error: unknown) => void) | undefined;
  readonly #heap: Event[] = [];
  #order = 0;

  /** Something happens `delayMs` from now. */
  after(delayMs: number, phase: Phase, owner: Process | undefined, run: () => void): Event {
    const event = new Event(this.now + Math.max(0, delayMs), phase, this.#order++, owner, run);
    this.#push(event);
    return event;
  }

  /** Lets the next event happen if it is due at `until` or before; `false`: there is none. */
  step(until: number): boolean {
    for (;;) {
      const event = this.#heap[0];
      if (event === undefined || event.time > until) return false;
      this.#pop();
      const { run, owner } = event;
      if (run === undefined || owner?.alive === false) continue;
      if (owner !== undefined && owner.pausedUntil > event.time) {
        event.time = owner.pausedUntil;
        if (!owner.wakesInOrder) event.rank = event.time;
        this.#push(event);
        continue;
      }
      this.now = event.time;
      this.events++;
      event.run = undefined;
      try {
        run();
      } catch (error) {
        if (this.onThrow === undefined) throw error;
        this.onThrow(owner, error);
      }
      return true;
    }
  }

  /** Nothing more is due before `time`. */
  advance(time: number): void {
    this.now = Math.max(this.now, time);
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(event, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}

function before(a: Event, b: Event): boolean {
  if (a.time !== b.time) return a.time < b.time;
  if (a.rank !== b.rank) return a.rank < b.rank;
  if (a.phase !== b.phase) return a.phase < b.phase;
  return a.order < b.order;
}
