/** Who runs sagas: the members that said so and live, and how many sagas each of them owns. @internal */
import type { RunnerRecord } from './record.js';

export class Runners {
  readonly #records = new Map<string, RunnerRecord>();
  /** How many sagas each owns; derived. */
  readonly #loads = new Map<string, number>();
  #owned = 0;

  /** How many sagas have an owner. */
  get owned(): number {
    return this.#owned;
  }

  get size(): number {
    return this.#records.size;
  }

  get records(): RunnerRecord[] {
    return [...this.#records.values()];
  }

  node(id: string): string | undefined {
    return this.#records.get(id)?.node;
  }

  /** Puts a runner in; the one of the same node that was here is over: its sagas need another owner. */
  enlist(record: RunnerRecord): string | undefined {
    let former: string | undefined;
    for (const { id, node } of this.#records.values())
      if (node === record.node && id !== record.id) former = id;
    if (former !== undefined) this.#records.delete(former);
    this.#records.set(record.id, record);
    return former;
  }

  /** The runner lives; false if it is not known. */
  beat(id: string, time: number): boolean {
    const record = this.#records.get(id);
    if (record === undefined) return false;
    this.#records.set(id, { ...record, expires: time + record.leaseMs });
    return true;
  }

  remove(id: string): boolean {
    return this.#records.delete(id);
  }

  /** Removes those whose lease is over. While nobody owns anything, nobody has to keep a lease. */
  reap(time: number): string[] {
    if (this.#owned === 0) return [];
    const over = this.records.filter(({ expires }) => expires <= time).map(({ id }) => id);
    for (const id of over) this.#records.delete(id);
    return over;
  }

  /**
   * Who should own a saga: of those that can run it the one that owns the fewest, and of those rather the node where it was
   * started, which lives. Undefined if there is none.
   */
  pick(definition: string, origin: string, time: number): string | undefined {
    // While nobody owned anything nobody had to say that it lives. Who does, says so before a lease is over.
    if (this.#owned === 0) for (const { id } of this.records) this.beat(id, time);
    let best: RunnerRecord | undefined;
    for (const record of this.#records.values()) {
      if (!record.definitions.includes(definition)) continue;
      if (best === undefined || this.#isBetter(record, best, origin)) best = record;
    }
    return best?.id;
  }

  #isBetter(a: RunnerRecord, b: RunnerRecord, origin: string): boolean {
    const difference = this.#load(a.id) - this.#load(b.id);
    if (difference !== 0) return difference < 0;
    if ((a.node === origin) !== (b.node === origin)) return a.node === origin;
    return a.id < b.id;
  }

  #load(id: string): number {
    return this.#loads.get(id) ?? 0;
  }

  /** A saga has one owner more or less. */
  count(owner: string, by: 1 | -1): void {
    if (owner === '') return;
    this.#owned += by;
    const load = this.#load(owner) + by;
    if (load === 0) this.#loads.delete(owner);
    else this.#loads.set(owner, load);
  }

  /** As it was when a snapshot was taken; the loads are counted anew. */
  restore(records: readonly RunnerRecord[]): void {
    this.#records.clear();
    this.#loads.clear();
    this.#owned = 0;
    for (const record of records) this.#records.set(record.id, record);
  }
}
