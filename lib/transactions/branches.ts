/**
 * A group's part in transactions: locks that are held, commands that were rehearsed and wait for the decision. Strict two-phase
 * locking (Bernstein, Hadzilacos, Goodman: "Concurrency Control and Recovery in Database Systems", 1987, chapter 3), wait-die
 * against deadlocks (Rosenkrantz, Stearns, Lewis: "System Level Concurrency Control for Distributed Database Systems", 1978). All of
 * it is replicated state: it changes by the log alone, and goes by log time.
 *
 * @internal
 */
import type { LockRange } from '../replica/rehearsal.js';
import { LIMITS, older, type Age, type StepCommand } from './commands.js';
import { excludes, LockTable, type Claim, type LockMode } from './lockTable.js';

/** A command that was rehearsed, and what its context said: it is applied with the same. */
export interface Step {
  readonly command: unknown;
  readonly index: number;
  readonly time: number;
  readonly origin: string;
  /** Where its random numbers begin, in [0, 1). */
  readonly seed: number;
}

/** What a group knows of a transaction that has locks here. */
export interface Branch {
  readonly id: string;
  readonly age: Age;
  readonly home: string;
  readonly at: number;
  prepared: boolean;
  /** Until then it has the locks if it is not prepared; afterwards whoever wants one throws it out. */
  expires: number;
  readonly steps: Step[];
  bytes: number;
  /** What it holds: by mode, in the order in which it came. */
  readonly locks: Map<string, readonly [LockRange, LockMode]>;
  /** What it waits for; younger ones stand back. */
  wants: Claim | undefined;
}

/** What came of a claim. */
export type Grant =
  | { readonly type: 'granted'; readonly branch: Branch }
  | { readonly type: 'wait'; readonly holders: readonly string[] }
  | { readonly type: 'die' }
  | { readonly type: 'gone' }
  | { readonly type: 'full'; readonly what: string };

/** How many branches are looked at for their end with each step: more than can be added by it. */
const SWEEP = 2;

export class Branches {
  readonly #branches = new Map<string, Branch>();
  #locks = new LockTable();
  #waiting = new Set<Branch>();
  #bytes = 0;

  get size(): number {
    return this.#branches.size;
  }

  get(id: string): Branch | undefined {
    return this.#branches.get(id);
  }

  all(): IterableIterator<Branch> {
    return this.#branches.values();
  }

  /** Takes the locks for a step, or says why not. */
  claim(step: StepCommand, claim: Claim, now: number): Grant {
    this.#sweep(now);
    let branch = this.#branches.get(step.id);
    if (branch === undefined && step.opened) return { type: 'gone' };
    // After its vote nothing may be added to it.
    if (branch?.prepared === true) return { type: 'gone' };
    if (branch === undefined) {
      if (this.#branches.size >= LIMITS.branches)
        return { type: 'full', what: `${LIMITS.branches} transactions` };
      branch = {
        id: step.id,
        age: step.age,
        home: step.home,
        at: step.at,
        prepared: false,
        expires: 0,
        steps: [],
        bytes: 0,
        locks: new Map(),
        wants: undefined,
      };
      this.#branches.set(step.id, branch);
    }
    branch.expires = now + step.leaseMs;
    this.#stopWaiting(branch);
    const blockers = this.#blockers(branch, claim, now);
    if (blockers.length > 0) {
      if (blockers.some((other) => !older(step.age, other.age))) {
        this.#drop(branch);
        return { type: 'die' };
      }
      branch.wants = claim;
      this.#waiting.add(branch);
      return { type: 'wait', holders: blockers.map(({ id }) => id).sort() };
    }
    const many = branch.locks.size + claim.ranges.length > LIMITS.branchLocks;
    if (many || this.#locks.size + claim.ranges.length > LIMITS.locks) {
      if (branch.locks.size === 0) this.#drop(branch);
      return {
        type: 'full',
        what: many ? `${LIMITS.branchLocks} locks of one transaction` : `${LIMITS.locks} locks`,
      };
    }
    for (const range of this.#locks.grant(branch.id, claim))
      branch.locks.set(nameOf(range), [range, claim.mode]);
    return { type: 'granted', branch };
  }

  /** Adds a command that was rehearsed; answers what is too much, if anything. */
  add(branch: Branch, step: Step, bytes: number): string | undefined {
    if (branch.steps.length >= LIMITS.steps) return `${LIMITS.steps} commands of one transaction`;
    if (branch.bytes + bytes > LIMITS.stepBytes) return `${LIMITS.stepBytes} bytes of one transaction`;
    if (this.#bytes + bytes > LIMITS.bytes) return `${LIMITS.bytes} bytes of all transactions`;
    branch.steps.push(step);
    branch.bytes += bytes;
    this.#bytes += bytes;
    return undefined;
  }

  /** Votes: yes if all that was done here is here. From then on only the decision ends it. */
  prepare(id: string, steps: number): boolean {
    const branch = this.#branches.get(id);
    if (branch?.steps.length !== steps) return false;
    this.#stopWaiting(branch);
    branch.prepared = true;
    return true;
  }

  /** Gives back the locks of one that only read here; whether it had them all the time. */
  verify(id: string): boolean {
    const branch = this.#branches.get(id);
    if (branch === undefined || branch.prepared || branch.steps.length > 0) return false;
    this.#drop(branch);
    return true;
  }

  /** Ends a branch, and answers it if it was there. */
  take(id: string): Branch | undefined {
    const branch = this.#branches.get(id);
    if (branch !== undefined) this.#drop(branch);
    return branch;
  }

  /** Those that keep a command of nobody's transaction from being applied. Throws out those whose time is over. */
  against(claim: Claim, now: number): string[] {
    if (this.#branches.size === 0) return [];
    return this.#holders('', claim, now)
      .map(({ id }) => id)
      .sort();
  }

  /** For a snapshot. */
  image(): Branch[] {
    return [...this.#branches.values()];
  }

  restore(branches: readonly Branch[]): void {
    this.#branches.clear();
    this.#locks = new LockTable();
    this.#waiting = new Set();
    this.#bytes = 0;
    for (const branch of branches) {
      this.#branches.set(branch.id, branch);
      this.#bytes += branch.bytes;
      for (const [range, mode] of branch.locks.values())
        this.#locks.grant(branch.id, { ranges: [range], mode });
      if (branch.wants !== undefined) this.#waiting.add(branch);
    }
  }

  /** Who holds what is claimed, or is older and waits for it: else a stream of younger ones would keep it waiting for ever. */
  #blockers(branch: Branch, claim: Claim, now: number): Branch[] {
    const found = this.#holders(branch.id, claim, now);
    for (const other of [...this.#waiting]) {
      if (isOver(other, now)) this.#drop(other);
      else if (older(other.age, branch.age) && excludes(other.wants!, claim)) found.push(other);
    }
    return found;
  }

  #holders(owner: string, claim: Claim, now: number): Branch[] {
    const found: Branch[] = [];
    for (const id of this.#locks.conflicts(owner, claim)) {
      const branch = this.#branches.get(id)!;
      if (isOver(branch, now)) this.#drop(branch);
      else found.push(branch);
    }
    return found;
  }

  #stopWaiting(branch: Branch): void {
    branch.wants = undefined;
    this.#waiting.delete(branch);
  }

  #drop(branch: Branch): void {
    this.#stopWaiting(branch);
    this.#branches.delete(branch.id);
    this.#locks.release(
      branch.id,
      [...branch.locks.values()].map(([range]) => range),
    );
    this.#bytes -= branch.bytes;
  }

  /** Looks at the branches in turn: those that stay go to the end of the Map. */
  #sweep(now: number): void {
    for (let i = Math.min(SWEEP, this.#branches.size); i > 0; i--) {
      const branch = this.#branches.values().next().value!;
      if (isOver(branch, now)) {
        this.#drop(branch);
      } else {
        this.#branches.delete(branch.id);
        this.#branches.set(branch.id, branch);
      }
    }
  }
}

/** A group may give up a transaction by itself only before it has voted. */
function isOver(branch: Branch, now: number): boolean {
  return !branch.prepared && branch.expires <= now;
}

function nameOf(range: LockRange): string {
  return typeof range === 'string' ? `k${range}` : `p${range.prefix}`;
}
