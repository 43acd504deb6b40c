/**
 * Replicas of one key that holds a replicated data type, and beside each an oracle that keeps whole histories: of every version all
 * writes it follows from, and which of them count in it. No clocks, no dots.
 */
import {
  compareTimestamps,
  HybridLogicalClock,
  timestampAfter,
  type HybridTimestamp,
} from '../../../../lib/store/causality/hybridClock.js';
import { seenOf } from '../../../../lib/store/causality/context.js';
import { actorOf, compareVersions, type Version } from '../../../../lib/store/causality/version.js';
import { emptySet, join, put, type VersionSet } from '../../../../lib/store/causality/versionSet.js';
import type { CrdtType } from '../../../../lib/store/crdt/crdt.js';
import { cbor } from '../../../../lib/replica/codec.js';

/** What an operation does to the writes that count: those of a place go, and perhaps its own comes. */
export interface Effect {
  /** Undefined: all places. */
  readonly place: string | undefined;
  /** What is there afterwards; undefined: nothing. */
  readonly value?: unknown;
  /** What was there stays. */
  readonly adds?: boolean;
}

interface Event {
  readonly place: string;
  readonly value: unknown;
  readonly stamp: HybridTimestamp;
  readonly actor: string;
}

interface Past {
  /** All writes it follows from, itself among them. */
  readonly history: ReadonlySet<number>;
  /** Those of them that count; undefined for a deletion. */
  readonly counts: ReadonlySet<number> | undefined;
}

export type Command<Op> =
  | {
      readonly kind: 'update';
      readonly at: number;
      readonly operations: readonly Op[];
      readonly wallMs: number;
    }
  | { readonly kind: 'delete'; readonly at: number }
  | { readonly kind: 'sync'; readonly at: number; readonly from: number }
  | { readonly kind: 'loss'; readonly at: number };

export interface Case<State, Value, Op> {
  readonly type: CrdtType<State, Value, Op>;
  readonly effect: (operation: Op) => Effect;
  /** What is to be read; the writes that count stand in the order of their time. */
  readonly expected: (counting: readonly Event[], exists: boolean) => Value;
  /** What counts in one version counts, whatever another one knows. */
  readonly union?: boolean;
}

interface Replica {
  readonly node: string;
  readonly actor: string;
  readonly wall: { ms: number };
  readonly clock: HybridLogicalClock;
  counter: number;
  set: VersionSet<Version>;
  /** By dot. */
  past: Map<string, Past>;
}

const codec = cbor();

export class Cluster<State, Value, Op> {
  readonly #case: Case<State, Value, Op>;
  readonly #events: Event[] = [];
  readonly #replicas: Replica[];
  #incarnations = 0;

  constructor(given: Case<State, Value, Op>, count = 3) {
    this.#case = given;
    this.#replicas = Array.from({ length: count }, (_, i) => this.#born(String.fromCharCode(97 + i)));
  }

  #born(node: string): Replica {
    const wall = { ms: 1000 };
    const incarnation = (++this.#incarnations).toString(16).padStart(16, '0');
    return {
      node,
      actor: actorOf(node, incarnation),
      wall,
      clock: new HybridLogicalClock({ wallClock: () => wall.ms }),
      counter: 0,
      set: emptySet(),
      past: new Map(),
    };
  }

  run(command: Command<Op>): void {
    const replica = this.#replicas[command.at]!;
    if (command.kind === 'loss') this.#replicas[command.at] = this.#born(replica.node);
    else if (command.kind === 'sync') this.#sync(replica, this.#replicas[command.from]!);
    else {
      if (command.kind === 'update') replica.wall.ms += command.wallMs;
      this.#write(replica, command.kind === 'update' ? command.operations : undefined);
    }
  }

  #write(replica: Replica, operations: readonly Op[] | undefined): void {
    const { type, effect } = this.#case;
    const { clock: seen, newest } = seenOf(replica.set);
    const dot = { actor: replica.actor, counter: ++replica.counter };
    let stamp = replica.clock.now();
    if (compareTimestamps(stamp, newest) <= 0) stamp = timestampAfter(newest);
    const history = new Set([...replica.past.values()].flatMap((past) => [...past.history]));
    let counts: Set<number> | undefined;
    let value: Uint8Array | undefined;
    if (operations !== undefined) {
      let state = this.#merged(replica.set.versions);
      counts = new Set(this.#counting(replica.past));
      for (const operation of operations) {
        state = type.apply(state, operation, { dot, seen, stamp });
        const { place, value: written, adds = false } = effect(operation);
        for (const id of counts)
          if (!adds && (place === undefined || this.#events[id]!.place === place)) counts.delete(id);
        const id = this.#events.push({ place: place ?? '', value: written, stamp, actor: replica.actor }) - 1;
        history.add(id);
        if (written !== undefined) counts.add(id);
      }
      value = codec.encode(type.encode(state));
    } else history.add(this.#events.push({ place: '', value: undefined, stamp, actor: replica.actor }) - 1);
    replica.set = put(replica.set, seen, { dot, stamp, value });
    replica.past = new Map([[JSON.stringify(dot), { history, counts }]]);
  }

  #sync(into: Replica, from: Replica): void {
    for (const { stamp } of from.set.versions) into.clock.receive(stamp);
    into.set = join(into.set, from.set);
    const all = new Map([...into.past, ...from.past]);
    const last = ({ history }: Past): number => Math.max(...history);
    for (const [dot, past] of all)
      if (
        [...all.values()].some(
          (other) => other !== past && last(other) !== last(past) && other.history.has(last(past)),
        )
      )
        all.delete(dot);
    into.past = all;
  }

  /** A write counts unless a version that knows of it does not count it. */
  #counting(past: ReadonlyMap<string, Past>): number[] {
    const live = [...past.values()].filter(({ counts }) => counts !== undefined);
    const ids = new Set(live.flatMap(({ counts }) => [...counts!]));
    const { union = false } = this.#case;
    return [...ids].filter(
      (id) => union || live.every(({ counts, history }) => counts!.has(id) || !history.has(id)),
    );
  }

  #merged(versions: readonly Version[]): State {
    const { type } = this.#case;
    return versions
      .filter(({ value }) => value !== undefined)
      .sort((a, b) => compareVersions(b, a))
      .map(({ value }) => type.decode(codec.decode(value!)))
      .reduce((a, b) => type.merge(a, b), type.initial());
  }

  /** What a replica reads, and what it should. */
  read(at: number): { readonly real: Value; readonly expected: Value; readonly states: State[] } {
    const { set, past } = this.#replicas[at]!;
    const { type, expected } = this.#case;
    const counting = this.#counting(past)
      .map((id) => this.#events[id]!)
      .sort((a, b) => compareTimestamps(a.stamp, b.stamp) || (a.actor < b.actor ? -1 : 1));
    const exists = [...past.values()].some(({ counts }) => counts !== undefined);
    const states = set.versions.flatMap(({ value }) =>
      value === undefined ? [] : [type.decode(codec.decode(value))],
    );
    return { real: type.value(this.#merged(set.versions)), expected: expected(counting, exists), states };
  }

  /** Everybody meets everybody. */
  heal(): void {
    for (const into of this.#replicas) for (const from of this.#replicas) this.#sync(into, from);
    for (const into of this.#replicas) for (const from of this.#replicas) this.#sync(into, from);
  }

  sets(): VersionSet<Version>[] {
    return this.#replicas.map(({ set }) => set);
  }
}
