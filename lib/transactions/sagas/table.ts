/** The sagas of the replicated state, with what can be derived from them. @internal */
import { CowTable, type Capture } from '../../machines/cowTable.js';
import { FORGET_AT_ONCE } from './limits.js';
import { hasEnded, type SagaRecord } from './record.js';
import { Retention } from './retention.js';
import type { Runners } from './runners.js';
import { Plan, type SagaShape } from './shape.js';

interface Known {
  readonly plan: Plan;
  sagas: number;
}

export class SagaTable {
  readonly #sagas = new CowTable<SagaRecord>();
  /** By fingerprint; forgotten with the last saga. */
  readonly #definitions = new Map<string, Known>();
  /** The fingerprint of a name and a version. */
  readonly #versions = new Map<string, string>();
  /** Those that have not ended, in the order of their starts. */
  readonly #active = new Set<string>();
  readonly #retention = new Retention();
  readonly #runners: Runners;
  #bytes = 0;

  constructor(runners: Runners) {
    this.#runners = runners;
  }

  get size(): number {
    return this.#sagas.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get active(): ReadonlySet<string> {
    return this.#active;
  }

  get shapes(): SagaShape[] {
    return [...this.#definitions.values()].map(({ plan }) => plan.shape);
  }

  get(id: string): SagaRecord | undefined {
    return this.#sagas.get(id);
  }

  ids(): IterableIterator<string> {
    return this.#sagas.keys();
  }

  capture(): Capture<SagaRecord> {
    return this.#sagas.capture();
  }

  plan(saga: Pick<SagaRecord, 'definition'>): Plan {
    return this.#definitions.get(saga.definition)!.plan;
  }

  /** The fingerprint of what the group knows under a name and a version. */
  fingerprint(name: string, version: number): string | undefined {
    return this.#versions.get(`${name}/${version}`);
  }

  define(fingerprint: string, shape: SagaShape): void {
    if (this.#definitions.has(fingerprint)) return;
    this.#definitions.set(fingerprint, { plan: new Plan(shape), sagas: 0 });
    this.#versions.set(`${shape.name}/${shape.version}`, fingerprint);
  }

  /** A new saga, or a new state of one. */
  put(saga: SagaRecord): void {
    const before = this.#sagas.get(saga.id);
    if (before === undefined) this.#definitions.get(saga.definition)!.sagas++;
    this.#runners.count(before?.owner ?? '', -1);
    this.#runners.count(saga.owner, 1);
    this.#bytes += sizeOf(saga) - (before === undefined ? 0 : sizeOf(before));
    this.#sagas.set(saga.id, saga);
    if (!hasEnded(saga.state)) {
      this.#active.add(saga.id);
    } else if (before === undefined || !hasEnded(before.state)) {
      this.#active.delete(saga.id);
      this.#retention.add(saga.ended + saga.retention, saga.index, saga.id);
    }
  }

  /** Forgets some of the ended sagas whose time has come. */
  forget(time: number): void {
    for (const id of this.#retention.take(time, FORGET_AT_ONCE)) {
      const saga = this.#sagas.get(id)!;
      this.#bytes -= sizeOf(saga);
      this.#sagas.delete(id);
      const known = this.#definitions.get(saga.definition)!;
      if (--known.sagas > 0) continue;
      this.#definitions.delete(saga.definition);
      this.#versions.delete(`${saga.name}/${saga.version}`);
    }
  }
}

/** About what a saga takes in memory and in snapshots. */
function sizeOf({ id, name, input, steps }: SagaRecord): number {
  let bytes = 256 + id.length + name.length + input.length;
  for (const { result, error } of steps) {
    bytes += 64 + (result?.length ?? 0);
    if (error !== undefined) bytes += error.message.length + (error.data?.length ?? 0);
  }
  return bytes;
}
