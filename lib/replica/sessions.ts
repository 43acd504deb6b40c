/**
 * The sessions of a group: the part of the replicated state that makes every submitted command take effect exactly
 * once (Raft dissertation, section 6.3), with sequences that may arrive out of order.
 *
 * A session remembers which of its sequences were applied: all below its floor, and those in a set of ranges above it.
 * It keeps the results of those above the floor, so that a submitter that missed them can still be answered. The limits
 * below are part of the protocol: every member must forget alike.
 */
import { LogAge } from './logAge.js';
import type { Outcome } from './outcome.js';
import { costOf } from './outcome.js';

/** Limits that are the same on all members, for ever; changing one needs a new version of the replicated format. */
export const SESSION_LIMITS = {
  /** A session or request id that was not used for this long, by the age of the log ({@link LogAge}), is forgotten. */
  expiryMs: 3_600_000,
  /** The least recently used is forgotten first. */
  sessions: 4096,
  /** Kept results of one session. */
  results: 65_536,
  resultBytes: 16 * 1024 * 1024,
  /** Remembered request ids of the group. */
  requests: 65_536,
  requestBytes: 64 * 1024 * 1024,
} as const;

/** Results of consecutive sequences. */
interface Block {
  readonly first: number;
  readonly outcomes: readonly Outcome[];
  readonly cost: number;
}

/** One session as a snapshot holds it. */
export interface SessionImage {
  readonly id: number;
  readonly origin: string;
  readonly nonce: string;
  readonly time: number;
  readonly floor: number;
  readonly ranges: readonly (readonly [number, number])[];
  readonly blocks: readonly { readonly first: number; readonly outcomes: readonly Outcome[] }[];
}

/** What became of a sequence: applied with a kept result, applied without, or never applied. */
export type Found =
  { readonly known: true; readonly outcome: Outcome } | { readonly known: false } | undefined;

/** One session. */
export class Session {
  readonly id: number;
  readonly origin: string;
  readonly nonce: string;
  /** The age of the log at its last use. */
  time: number;
  /** Sequences below are settled at the submitter. */
  floor = 1;
  /** Applied sequences at or above the floor: sorted, disjoint, not adjacent, both ends included. */
  #ranges: [number, number][] = [];
  #blocks: Block[] = [];
  #results = 0;
  #cost = 0;

  constructor(id: number, origin: string, nonce: string, time: number) {
    this.id = id;
    this.origin = origin;
    this.nonce = nonce;
    this.time = time;
  }

  static restore(image: SessionImage): Session {
    const session = new Session(image.id, image.origin, image.nonce, image.time);
    session.floor = image.floor;
    session.#ranges = image.ranges.map(([from, to]) => [from, to]);
    for (const block of image.blocks) session.#keep(block.first, block.outcomes);
    return session;
  }

  image(): SessionImage {
    return {
      id: this.id,
      origin: this.origin,
      nonce: this.nonce,
      time: this.time,
      floor: this.floor,
      ranges: this.#ranges.map(([from, to]) => [from, to] as const),
      blocks: [...this.#blocks],
    };
  }

  /** The submitter needs nothing below this sequence any more. */
  raiseFloor(floor: number): void {
    if (floor <= this.floor) return;
    this.floor = floor;
    let gone = 0;
    while (
      gone < this.#blocks.length &&
      this.#blocks[gone]!.first + this.#blocks[gone]!.outcomes.length <= floor
    ) {
      this.#results -= this.#blocks[gone]!.outcomes.length;
      this.#cost -= this.#blocks[gone]!.cost;
      gone++;
    }
    if (gone > 0) this.#blocks.splice(0, gone);
    while (this.#ranges.length > 0 && this.#ranges[0]![1] < floor) this.#ranges.shift();
    if (this.#ranges.length > 0 && this.#ranges[0]![0] < floor) this.#ranges[0]![0] = floor;
  }

  /** Whether none of these sequences was applied, or can have been. */
  isFresh(first: number, count: number): boolean {
    if (first < this.floor) return false;
    const last = first + count - 1;
    for (let i = this.#ranges.length - 1; i >= 0; i--) {
      const [from, to] = this.#ranges[i]!;
      if (from <= last && to >= first) return false;
      if (to < first) break;
    }
    return true;
  }

  /** What became of one sequence. Below the floor everything counts as applied. */
  find(sequence: number): Found {
    if (this.isFresh(sequence, 1)) return undefined;
    for (const block of this.#blocks) {
      const at = sequence - block.first;
      if (at >= 0 && at < block.outcomes.length) return { known: true, outcome: block.outcomes[at] };
    }
    return { known: false };
  }

  /** Records consecutive sequences as applied. */
  record(first: number, outcomes: readonly Outcome[]): void {
    this.#mark(first, first + outcomes.length - 1);
    this.#keep(first, outcomes);
  }

  #mark(first: number, last: number): void {
    const ranges = this.#ranges;
    const newest = ranges[ranges.length - 1];
    if (newest && newest[1] === first - 1) {
      newest[1] = last;
      return;
    }
    let at = ranges.length;
    while (at > 0 && ranges[at - 1]![0] > last) at--;
    ranges.splice(at, 0, [first, last]);
    if (at + 1 < ranges.length && ranges[at + 1]![0] === last + 1) {
      ranges[at]![1] = ranges[at + 1]![1];
      ranges.splice(at + 1, 1);
    }
    if (at > 0 && ranges[at - 1]![1] === first - 1) {
      ranges[at - 1]![1] = ranges[at]![1];
      ranges.splice(at, 1);
    }
  }

  #keep(first: number, outcomes: readonly Outcome[]): void {
    let cost = 0;
    for (const outcome of outcomes) cost += costOf(outcome);
    let at = this.#blocks.length;
    while (at > 0 && this.#blocks[at - 1]!.first > first) at--;
    this.#blocks.splice(at, 0, { first, outcomes, cost });
    this.#results += outcomes.length;
    this.#cost += cost;
    // Beyond its cap a session forgets results, oldest first, but never that the commands were applied.
    while (
      this.#blocks.length > 1 &&
      (this.#results > SESSION_LIMITS.results || this.#cost > SESSION_LIMITS.resultBytes)
    ) {
      const oldest = this.#blocks.shift()!;
      this.#results -= oldest.outcomes.length;
      this.#cost -= oldest.cost;
    }
  }
}

/** A request id that an app chose, and what its command gave. */
export interface RequestImage {
  readonly id: string;
  /** The age of the log when it was recorded. */
  readonly time: number;
  readonly outcome: Outcome;
}

/** The sessions and request ids of a group as a snapshot holds them. */
export interface SessionsImage {
  /** The newest time of the log, and its age then. */
  readonly clock: readonly [time: number, age: number];
  readonly sessions: readonly SessionImage[];
  readonly requests: readonly RequestImage[];
}

interface Remembered {
  readonly time: number;
  readonly outcome: Outcome;
  readonly cost: number;
}

/** All sessions and request ids of a group, least recently used first. */
export class SessionTable {
  readonly #sessions = new Map<number, Session>();
  readonly #requests = new Map<string, Remembered>();
  #clock = new LogAge();
  #requestCost = 0;
  // One iterator goes along with the oldest: a new one would walk over all that was deleted before it, each time.
  #oldestFirst = this.#requests.entries();
  #oldest: readonly [string, Remembered] | undefined;

  get size(): number {
    return this.#sessions.size;
  }

  /** Opens a session. The same nonce twice is the same session. */
  register(index: number, origin: string, nonce: string, time: number): Session {
    const known = this.findByNonce(origin, nonce);
    if (known) return known;
    const session = new Session(index, origin, nonce, this.#clock.at(time));
    this.#sessions.set(index, session);
    this.forget(time);
    return session;
  }

  /** The session that a node registered with this nonce. */
  findByNonce(origin: string, nonce: string): Session | undefined {
    for (const session of this.#sessions.values()) {
      if (session.nonce === nonce && session.origin === origin) return session;
    }
    return undefined;
  }

  /** The session of that id, marked as used; undefined when it is unknown or expired. */
  use(id: number, time: number): Session | undefined {
    this.forget(time);
    const session = this.#sessions.get(id);
    if (!session) return undefined;
    session.time = this.#clock.age;
    if (this.#sessions.size > 1) {
      this.#sessions.delete(id);
      this.#sessions.set(id, session);
    }
    return session;
  }

  /** The session of that id, without marking it. */
  peek(id: number): Session | undefined {
    return this.#sessions.get(id);
  }

  /** What a request id gave, if it is remembered. */
  request(id: string): { readonly outcome: Outcome } | undefined {
    return this.#requests.get(id);
  }

  /** Remembers what a request id gave. */
  recordRequest(id: string, outcome: Outcome, time: number): void {
    const cost = 64 + id.length + costOf(outcome);
    this.#requests.set(id, { time: this.#clock.at(time), outcome, cost });
    this.#requestCost += cost;
    this.forget(time);
  }

  /** Forgets what was not used for too long, and what is above the caps; `time` is the log's. */
  forget(time: number): void {
    const age = this.#clock.at(time);
    for (const session of this.#sessions.values()) {
      if (session.time + SESSION_LIMITS.expiryMs >= age && this.#sessions.size <= SESSION_LIMITS.sessions)
        break;
      this.#sessions.delete(session.id);
    }
    while (this.#requests.size > 0) {
      const [id, request] = (this.#oldest ??= this.#nextOldest());
      const keep =
        request.time + SESSION_LIMITS.expiryMs >= age &&
        this.#requests.size <= SESSION_LIMITS.requests &&
        this.#requestCost <= SESSION_LIMITS.requestBytes;
      if (keep) break;
      this.#requests.delete(id);
      this.#requestCost -= request.cost;
      this.#oldest = undefined;
    }
  }

  #nextOldest(): readonly [string, Remembered] {
    const next = this.#oldestFirst.next();
    if (next.done !== true) return next.value;
    this.#oldestFirst = this.#requests.entries(); // one that came to the end stays there
    return this.#oldestFirst.next().value!;
  }

  /** A copy of what it holds now, cheap because results are never changed once recorded. */
  image(): SessionsImage {
    return {
      clock: [this.#clock.time, this.#clock.age],
      sessions: [...this.#sessions.values()].map((session) => session.image()),
      requests: [...this.#requests].map(([id, { time, outcome }]) => ({ id, time, outcome })),
    };
  }

  /** Replaces everything by an image. */
  restore(image: SessionsImage): void {
    this.#sessions.clear();
    this.#requests.clear();
    this.#requestCost = 0;
    this.#oldestFirst = this.#requests.entries();
    this.#oldest = undefined;
    this.#clock = new LogAge(...image.clock);
    for (const session of image.sessions) this.#sessions.set(session.id, Session.restore(session));
    for (const { id, time, outcome } of image.requests) {
      const cost = 64 + id.length + costOf(outcome);
      this.#requests.set(id, { time, outcome, cost });
      this.#requestCost += cost;
    }
  }
}
