/** Stores whose keys are placed on a ring, on the nodes of a simulation: real mesh, group and storage, virtual time. */
import { diskStorage } from '../../../../lib/storage/diskStorage.js';
import { openStore } from '../../../../lib/store/coordination/openStore.js';
import type { Store } from '../../../../lib/store/coordination/store.js';
import type { StoreOptions } from '../../../../lib/store/coordination/storeOptions.js';
import { Ring } from '../../../../lib/store/placement/ring.js';
import { MerkleTree } from '../../../../lib/store/local/merkleTree.js';
import { createSimulation, type Simulation } from '../../../../lib/testing/simulation/simulation.js';

export const LEAVES = 64;

export class RingStage<V, Input = V, Op = never> {
  readonly simulation: Simulation;
  readonly stores = new Map<string, Store<V, Input, Op>>();
  readonly founders: readonly string[];
  readonly nodes: readonly string[];
  readonly copies: number;
  readonly #options: () => Partial<StoreOptions<V, Input, Op>>;
  readonly #directories = new Map<string, string>();
  readonly #leaves = new MerkleTree(LEAVES);

  constructor(
    seed: number,
    founders: number,
    nodes: number,
    options: () => Partial<StoreOptions<V, Input, Op>>,
    copies = 3,
  ) {
    this.nodes = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].slice(0, nodes);
    this.founders = this.nodes.slice(0, founders);
    this.copies = copies;
    this.simulation = createSimulation({ seed, nodes: [...this.nodes] });
    this.#options = options;
  }

  /** Opens the stores of the founders. */
  async ready(): Promise<this> {
    await this.simulation.ready();
    for (const id of this.founders) await this.open(id);
    for (const id of this.founders) await this.simulation.runUntil(() => this.version(id) > 0, 20_000);
    await this.simulation.run(500);
    return this;
  }

  async open(id: string, directory?: string): Promise<void> {
    const { simulation } = this;
    await simulation.runUntil(() => meshOf(simulation, id) !== undefined, 10_000);
    if (directory) this.#directories.set(id, directory);
    const options: StoreOptions<V, Input, Op> = {
      mesh: simulation.mesh(id),
      name: 's',
      ...(this.founders.includes(id) ? { members: this.founders } : { join: true }),
      n: this.copies,
      placement: 'ring',
      storage: diskStorage(this.#directories.get(id) ?? '/store', { segmentBytes: 65_536, reserve: 0 }),
      merkleLeaves: LEAVES,
      repairIntervalMs: 2000,
      timeout: 1000,
      ...this.#options(),
    };
    this.stores.set(id, await simulation.settle(openStore<V, Input, Op>(options)));
  }

  at(id: string): Store<V, Input, Op> {
    return this.stores.get(id)!;
  }

  version(id: string): number {
    return this.stores.get(id)?.status().placement?.version ?? 0;
  }

  crash(id: string): void {
    this.stores.delete(id);
    this.simulation.crash(id);
  }

  async restart(id: string): Promise<void> {
    this.simulation.restart(id);
    await this.open(id);
  }

  settle<T>(promise: Promise<T>, maxMs?: number): Promise<T> {
    return this.simulation.settle(promise, maxMs);
  }

  /** Whether all stores are on the ring and know the same one, nothing moves, and each holds what it owns and nothing else. */
  settled(keys: readonly string[]): boolean {
    const placements = [...this.stores.values()].map((store) => store.status().placement!);
    const [first] = placements;
    if (placements.some(({ version, rebalancing }) => version !== first!.version || rebalancing))
      return false;
    if ([...this.stores.keys()].some((id) => !first!.members.some((one) => one.id === id))) return false;
    const ring = new Ring(first!.members, this.copies, LEAVES);
    const owners = new Map(keys.map((key) => [key, ring.ownersOf(this.#leaves.leafOf(key))]));
    return [...this.stores].every(([id, store]) => {
      const owned = keys.filter((key) => owners.get(key)!.includes(id)).length;
      return store.status().keys === owned;
    });
  }

  /** How many of these keys each member owns, on a ring of these members. */
  ownersWith(keys: readonly string[], members: readonly string[]): Map<string, number> {
    const ring = new Ring(
      members.map((id) => ({ id, weight: 1 })),
      this.copies,
      LEAVES,
    );
    const owned = new Map(members.map((id) => [id, 0]));
    for (const key of keys)
      for (const id of ring.ownersOf(this.#leaves.leafOf(key))) owned.set(id, owned.get(id)! + 1);
    return owned;
  }

  /** The owners of a key, by the ring as one node knows it. */
  ownersOf(key: string, id: string): readonly string[] {
    const { members } = this.at(id).status().placement!;
    return new Ring(members, this.copies, LEAVES).ownersOf(this.#leaves.leafOf(key));
  }
}

function meshOf(simulation: Simulation, id: string): unknown {
  try {
    return simulation.mesh(id);
  } catch {
    return undefined;
  }
}
