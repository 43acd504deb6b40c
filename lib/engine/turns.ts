/**
 * The turns of an engine: what groups have to do is done together, so that all that arrived in a turn of the event loop becomes one
 * write with one flush for each storage.
 * @internal
 */
import type { Environment, Timer } from '../environment.js';
import { SuspendDetector } from '../failure/suspendDetector.js';
import type { GroupWrite, NodeStore } from '../storage/storage.js';
import { Deadlines } from './deadlines.js';
import type { Group } from './group.js';
import type { Outbox } from './outbox.js';

/** Rounds of drain within one turn, for storages that are durable at once. */
const ROUNDS = 4;

export class Turns {
  readonly #environment: Environment;
  readonly #outbox: Outbox;
  readonly #groups: () => Iterable<Group>;
  readonly #suspends = new SuspendDetector();
  readonly #deadlines = new Deadlines();
  /** Groups with something to do in the next turn. */
  #awake = new Set<Group>();
  #scheduled = false;
  #inTurn = false;
  #timer: Timer | undefined;
  #timerAt = Infinity;
  #tickDue = false;

  /** `groups`: all that are open. */
  constructor(environment: Environment, outbox: Outbox, groups: () => Iterable<Group>) {
    this.#environment = environment;
    this.#outbox = outbox;
    this.#groups = groups;
  }

  /** The group is closed. */
  forget(group: Group): void {
    this.#awake.delete(group);
    this.#deadlines.forget(group);
  }

  /** No group is open: nothing is waited for. */
  rest(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#timerAt = Infinity;
  }

  /** There is something to do for the group in the next turn. */
  schedule(group: Group): void {
    this.#awake.add(group);
    if (this.#scheduled || this.#inTurn) return;
    this.#scheduled = true;
    this.#environment.defer(this.#turn);
  }

  readonly #turn = (): void => {
    this.#scheduled = false;
    this.#inTurn = true;
    const now = this.#environment.now();
    // Before anything is decided by this clock.
    if (this.#suspends.observe(now, this.#environment.wallClock()))
      for (const group of this.#groups()) if (!group.over) group.core.suspended?.(now);
    if (this.#tickDue) {
      this.#tickDue = false;
      for (const group of this.#deadlines.due(now)) {
        if (group.over || group.core.nextDeadline() > now) continue;
        attempt(group, () => group.core.tick(now));
        this.#awake.add(group);
      }
    }
    const groups = this.#awake;
    this.#awake = new Set();
    for (const group of groups) attempt(group, () => group.collect(now));
    for (let round = 0; round < ROUNDS && this.#drain(now, groups); round++);
    this.#outbox.flush();
    for (const group of groups) attempt(group, () => group.deliver());
    this.#inTurn = false;
    for (const group of groups) if (!group.over && group.core.dirty) this.#awake.add(group);
    if (this.#awake.size > 0) {
      this.#scheduled = true;
      this.#environment.defer(this.#turn);
    }
    this.#armTimer(groups);
  };

  /** One round: every dirty core's effects, one write a storage. `false`: nothing was dirty. */
  #drain(now: number, groups: ReadonlySet<Group>): boolean {
    let dirty = false;
    const batches = new Map<
      NodeStore,
      { writes: GroupWrite[]; tokens: { group: Group; token: number; installed: boolean }[] }
    >();
    for (const group of groups) {
      if (group.over || !group.core.dirty) continue;
      dirty = true;
      let batch = batches.get(group.store);
      if (!batch) batches.set(group.store, (batch = { writes: [], tokens: [] }));
      const before = batch.writes.length;
      let token = 0;
      try {
        token = group.drain(now, batch.writes);
      } catch (error) {
        const written = batch.writes.length > before;
        batch.writes.length = before;
        if (written) group.written(now, 0, false, asError(error));
        else group.fail(asError(error));
      }
      if (batch.writes.length > before) {
        batch.tokens.push({ group, token, installed: batch.writes[before]!.install !== undefined });
      }
    }
    for (const [store, { writes, tokens }] of batches) {
      if (writes.length === 0) continue;
      const done = (error?: Error): void => {
        const at = this.#environment.now();
        for (const { group, token, installed } of tokens) group.written(at, token, installed, error);
      };
      try {
        store.write(writes, done);
      } catch (error) {
        done(asError(error)); // it refused a write that makes no sense
      }
    }
    return dirty;
  }

  /** `touched`: the groups to which something happened; the deadlines of the others are what they were. */
  #armTimer(touched: ReadonlySet<Group>): void {
    let next = Infinity;
    for (const group of touched) next = Math.min(next, this.#deadlines.note(group));
    if (this.#timerAt === Infinity) next = this.#deadlines.earliest();
    if (next >= this.#timerAt) return;
    this.#timer?.cancel();
    this.#timerAt = next;
    const delay = Math.max(0, next - this.#environment.now());
    this.#timer = this.#environment.setTimer(delay, () => {
      this.#timerAt = Infinity;
      this.#tickDue = true;
      // After a stall the frames that queued up meanwhile are heard before a time-out is believed.
      if (!this.#scheduled) {
        this.#scheduled = true;
        this.#environment.defer(this.#turn);
      }
    });
  }
}

/** A step that throws is a fault of its group; the others, and the turn, go on. */
function attempt(group: Group, work: () => void): void {
  try {
    work();
  } catch (error) {
    group.fail(asError(error));
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
