/**
 * The search for a linearization of one part of a history.
 *
 * Wing and Gong, "Testing and verifying concurrent objects" (1993): an operation may come next if no other
 * that is still to come returned before it was called. Lowe, "Testing for linearizability" (2017): no
 * configuration (operations done, state) is looked at twice. @internal
 */
import { nodeEnvironment } from '../../environment.js';
import type { Operation } from './model.js';
import { REFUSED, type States } from './states.js';

/** Why a search ended. `reordered`: the states must be told apart more finely, start again. */
export type SearchResult = 'found' | 'exhausted' | 'timeout' | 'memory' | 'reordered';

// A configuration in the arena: these fields, then the words of required operations done, then those of optional ones.
const NEXT = 0; // in its hash chain
const PARENT = 1;
const OPERATION = 2; // the one that led here, as an index of #operations
const STATE = 3;
const COUNT = 4; // required operations done; complemented once another configuration makes this one needless
const BASE = 5; // all words of required operations before this one are full
const LENGTH = 6; // words of required operations that are kept
const HEADER = 7;

const ROOT = 1;
const STEPS_A_CLOCK_READING = 64;

/**
 * Operations of unknown outcome are optional. They make a search explode, so they get four rules, each sound for
 * any model: they are tried after all others; one that changes nothing is left out; of several that are equal the
 * earliest goes first; and a configuration is needless if another has the same required operations, the same state and a
 * subset of its optional ones, since whatever the one can still do, the other can.
 */
export class Search<S, I, O> {
  readonly #states: States<S, I, O>;
  /** Required ones by time of call, then optional ones by time of call. */
  readonly #operations: readonly Operation<I, O>[];
  readonly #required: number;
  readonly #kinds: Int32Array;
  /** Of each optional operation: the one of its kind called before it, or -1. */
  readonly #twins: Int32Array;
  readonly #optionalWords: number;
  readonly #memoryLimit: number;
  readonly #choice: Int32Array;
  readonly #chosenAt: Int32Array;

  #arena = new Int32Array(4096);
  #tail = ROOT;
  #buckets = new Int32Array(1024);
  #records = 0;
  /** Configurations to expand; negative: those whose optional operations are still to be tried. */
  readonly #stack: number[] = [];
  #candidates: number[] = [];
  #lastReturn = 0;
  #expansions = 0;
  #ticks = 0;
  #best = ROOT;
  #full = false;

  constructor(states: States<S, I, O>, operations: readonly Operation<I, O>[], memoryLimit: number) {
    this.#states = states;
    this.#operations = operations;
    this.#kinds = states.kinds;
    this.#memoryLimit = memoryLimit;
    const firstOptional = operations.findIndex((operation) => operation.return === Infinity);
    this.#required = firstOptional < 0 ? operations.length : firstOptional;
    const optional = operations.length - this.#required;
    this.#optionalWords = (optional + 31) >>> 5;
    this.#twins = new Int32Array(optional);
    const latest = new Map<number, number>();
    for (let i = 0; i < optional; i++) {
      const kind = this.#kinds[this.#required + i]!;
      this.#twins[i] = latest.get(kind) ?? -1;
      latest.set(kind, i);
    }
    const kindCount = this.#kinds.reduce((most, kind) => Math.max(most, kind + 1), 0);
    this.#choice = new Int32Array(kindCount);
    this.#chosenAt = new Int32Array(kindCount);
  }

  /** The order in which operations were put in the configuration that holds most of them. */
  get order(): Operation<I, O>[] {
    const order: Operation<I, O>[] = [];
    for (let at = this.#best; at !== ROOT; at = this.#arena[at + PARENT]!) {
      order.push(this.#operations[this.#arena[at + OPERATION]!]!);
    }
    return order.reverse();
  }

  /** The operations one of which would have to come next there. */
  get stuck(): Operation<I, O>[] {
    this.#findCandidates(this.#best);
    return this.#candidates.map((index) => this.#operations[index]!);
  }

  get state(): S {
    return this.#states.value(this.#arena[this.#best + STATE]!);
  }

  /** Looks until the deadline, by the environment's monotonic clock. */
  run(deadline: number): SearchResult {
    const root = this.#reserve();
    if (root < 0) return 'memory';
    this.#arena[root + STATE] = this.#states.initial();
    this.#insert();
    if (this.#required === 0) return 'found';
    this.#stack.push(ROOT);
    for (let at = this.#stack.pop(); at !== undefined; at = this.#stack.pop()) {
      if (this.#ticks >= STEPS_A_CLOCK_READING) {
        this.#ticks = 0;
        if (nodeEnvironment.now() >= deadline) return 'timeout';
      }
      if (at < 0) this.#expandOptional(-at);
      else this.#expandRequired(at);
      if (this.#states.orderMatters) return 'reordered';
      if (this.#arena[this.#best + COUNT] === this.#required) return 'found';
      if (this.#full) return 'memory';
    }
    return 'exhausted';
  }

  #expandRequired(at: number): void {
    this.#ticks++;
    if (this.#arena[at + COUNT]! < 0) return;
    if (this.#optionalWords > 0) this.#stack.push(-at);
    this.#findCandidates(at);
    const state = this.#arena[at + STATE]!;
    // What is called first is tried first, and so pushed last.
    for (let i = this.#candidates.length - 1; i >= 0; i--) {
      const index = this.#candidates[i]!;
      const kind = this.#kinds[index]!;
      if (this.#choice[kind] !== index) continue;
      this.#ticks++;
      const next = this.#states.step(state, kind);
      if (next !== REFUSED) this.#add(at, index, next);
    }
  }

  /**
   * Lists what may come next, in the order of calls, and chooses one of each kind: of equal operations the one that
   * returns first may as well go first. A call at the moment of a return counts as concurrent with it.
   */
  #findCandidates(at: number): void {
    const arena = this.#arena;
    const stamp = ++this.#expansions;
    const base = arena[at + BASE]!;
    const length = arena[at + LENGTH]!;
    const candidates: number[] = [];
    let firstReturn = Infinity;
    scan: for (let word = base; word << 5 < this.#required; word++) {
      const done = word - base < length ? arena[at + HEADER + word - base]! : 0;
      for (let left = ~done; left !== 0; left &= left - 1) {
        const index = (word << 5) + 31 - Math.clz32(left & -left);
        if (index >= this.#required) break scan;
        const operation = this.#operations[index]!;
        if (operation.call > firstReturn) break scan;
        candidates.push(index);
        if (operation.return < firstReturn) firstReturn = operation.return;
        const kind = this.#kinds[index]!;
        if (this.#chosenAt[kind] !== stamp) {
          this.#chosenAt[kind] = stamp;
          this.#choice[kind] = index;
        } else if (operation.return < this.#operations[this.#choice[kind]!]!.return) {
          this.#choice[kind] = index;
        }
      }
    }
    this.#candidates = candidates;
    this.#lastReturn = firstReturn;
  }

  #expandOptional(at: number): void {
    if (this.#arena[at + COUNT]! < 0) return;
    this.#findCandidates(at);
    const state = this.#arena[at + STATE]!;
    const bits = at + HEADER + this.#arena[at + LENGTH]!;
    let end = this.#required;
    while (end < this.#operations.length && this.#operations[end]!.call <= this.#lastReturn) end++;
    for (let index = end - 1; index >= this.#required; index--) {
      const optional = index - this.#required;
      if (this.#isSet(bits, optional)) continue;
      const twin = this.#twins[optional]!;
      if (twin >= 0 && !this.#isSet(bits, twin)) continue;
      this.#ticks++;
      const next = this.#states.step(state, this.#kinds[index]!);
      if (next !== REFUSED && next !== state) this.#add(at, index, next);
    }
  }

  #isSet(bits: number, index: number): boolean {
    return (this.#arena[bits + (index >>> 5)]! & (1 << (index & 31))) !== 0;
  }

  /** Adds the configuration that follows `from` by one operation, unless there is one that makes it needless. */
  #add(from: number, index: number, state: number): void {
    const at = this.#reserve();
    if (at < 0) return;
    const arena = this.#arena;
    const required = index < this.#required;
    const base = arena[from + BASE]!;
    const length = arena[from + LENGTH]!;
    const word = required ? (index >>> 5) - base : -1;
    const total = Math.max(length, word + 1);
    let skip = 0; // words at the front that are full now
    let kept = 0;
    for (let i = 0; i < total; i++) {
      let bits = i < length ? arena[from + HEADER + i]! : 0;
      if (i === word) bits |= 1 << (index & 31);
      if (bits === -1 && skip === i) skip++;
      else arena[at + HEADER + kept++] = bits;
    }
    arena[at + PARENT] = from;
    arena[at + OPERATION] = index;
    arena[at + STATE] = state;
    arena[at + COUNT] = arena[from + COUNT]! + (required ? 1 : 0);
    arena[at + BASE] = base + skip;
    arena[at + LENGTH] = kept;
    const bits = at + HEADER + kept;
    for (let i = 0; i < this.#optionalWords; i++) arena[bits + i] = arena[from + HEADER + length + i]!;
    if (!required) {
      const optional = index - this.#required;
      arena[bits + (optional >>> 5)]! |= 1 << (optional & 31);
    }
    if (!this.#insert()) return;
    if (arena[at + COUNT]! > arena[this.#best + COUNT]!) this.#best = at;
    this.#stack.push(at);
  }

  /** Room for the largest configuration at the tail, its header zeroed; -1 if there is no more memory. */
  #reserve(): number {
    const at = this.#tail;
    const words = HEADER + ((this.#required + 31) >>> 5) + 1 + this.#optionalWords;
    if (at + words > this.#arena.length) {
      const length = Math.max(2 * this.#arena.length, at + 2 * words);
      // Growing needs the old and the new one for a moment; a bucket and a place on the stack belong to each record.
      const used = 4 * (length + this.#arena.length) + 24 * this.#records + this.#states.size;
      if (used > this.#memoryLimit) {
        this.#full = true;
        return -1;
      }
      const arena = new Int32Array(length);
      arena.set(this.#arena);
      this.#arena = arena;
    }
    this.#arena.fill(0, at, at + words);
    return at;
  }

  /** Puts the configuration at the tail into the table; false if it is needless. */
  #insert(): boolean {
    const arena = this.#arena;
    const at = this.#tail;
    const head = this.#hash(at) & (this.#buckets.length - 1);
    for (let other = this.#buckets[head]!; other !== 0; other = arena[other + NEXT]!) {
      if (!this.#alike(at, other)) continue;
      const bits = at + HEADER + arena[at + LENGTH]!;
      const otherBits = other + HEADER + arena[other + LENGTH]!;
      if (this.#isSubset(otherBits, bits)) return false;
      if (arena[other + COUNT]! >= 0 && other !== this.#best && this.#isSubset(bits, otherBits)) {
        arena[other + COUNT]! ^= -1;
      }
    }
    arena[at + NEXT] = this.#buckets[head]!;
    this.#buckets[head] = at;
    this.#tail = at + HEADER + arena[at + LENGTH]! + this.#optionalWords;
    if (++this.#records > this.#buckets.length) this.#rehash();
    return true;
  }

  #alike(a: number, b: number): boolean {
    const arena = this.#arena;
    if (arena[a + STATE] !== arena[b + STATE] || arena[a + BASE] !== arena[b + BASE]) return false;
    const length = arena[a + LENGTH]!;
    if (length !== arena[b + LENGTH]) return false;
    for (let i = HEADER; i < HEADER + length; i++) if (arena[a + i] !== arena[b + i]) return false;
    return true;
  }

  #isSubset(a: number, b: number): boolean {
    for (let i = 0; i < this.#optionalWords; i++) {
      if ((this.#arena[a + i]! & ~this.#arena[b + i]!) !== 0) return false;
    }
    return true;
  }

  /** Of state and required operations: configurations that differ in optional ones must meet. */
  #hash(at: number): number {
    const arena = this.#arena;
    let hash = Math.imul(arena[at + STATE]! + 1, 0x9e3779b1) ^ Math.imul(arena[at + BASE]! + 1, 0x85ebca6b);
    const end = at + HEADER + arena[at + LENGTH]!;
    for (let i = at + HEADER; i < end; i++) {
      hash = Math.imul(hash ^ arena[i]!, 0x01000193);
      hash ^= hash >>> 15;
    }
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
    return hash ^ (hash >>> 13);
  }

  #rehash(): void {
    const buckets = new Int32Array(2 * this.#buckets.length);
    const arena = this.#arena;
    let at = ROOT;
    for (let i = 0; i < this.#records; i++) {
      const head = this.#hash(at) & (buckets.length - 1);
      arena[at + NEXT] = buckets[head]!;
      buckets[head] = at;
      at += HEADER + arena[at + LENGTH]! + this.#optionalWords;
    }
    this.#buckets = buckets;
  }
}
