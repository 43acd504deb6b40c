/** Stores on the nodes of a simulation, beside its group: real mesh, real storage on simulated disks, virtual time. */
import { diskStorage } from '../../../../lib/storage/diskStorage.js';
import { openStore } from '../../../../lib/store/coordination/openStore.js';
import type { Store } from '../../../../lib/store/coordination/store.js';
import type { StoreOptions } from '../../../../lib/store/coordination/storeOptions.js';
import { createSimulation, type Simulation } from '../../../../lib/testing/simulation/simulation.js';

export const NODES = ['a', 'b', 'c'];

export class Stage<V, Input, Op> {
  readonly simulation: Simulation;
  readonly stores = new Map<string, Store<V, Input, Op>>();
  readonly #options: () => Partial<StoreOptions<V, Input, Op>>;

  constructor(seed: number, options: () => Partial<StoreOptions<V, Input, Op>>) {
    this.simulation = createSimulation({ seed, nodes: NODES });
    this.#options = options;
  }

  async ready(): Promise<this> {
    await this.simulation.ready();
    for (const id of NODES) await this.open(id);
    await this.simulation.run(1000);
    return this;
  }

  /** Opens the store of a node; after a restart, once its mesh is there. */
  async open(id: string, directory = '/store'): Promise<void> {
    const { simulation } = this;
    await simulation.runUntil(() => meshOf(simulation, id) !== undefined, 10_000);
    const options = {
      mesh: simulation.mesh(id),
      name: 's',
      members: NODES,
      storage: diskStorage(directory, { segmentBytes: 65_536, reserve: 0 }),
      repairIntervalMs: 2000,
      timeout: 1000,
      ...this.#options(),
    };
    this.stores.set(id, await simulation.settle(openStore<V, Input, Op>(options)));
  }

  at(id: string): Store<V, Input, Op> {
    return this.stores.get(id)!;
  }

  crash(id: string): void {
    this.stores.delete(id);
    this.simulation.crash(id);
  }

  async restart(id: string): Promise<void> {
    this.simulation.restart(id);
    await this.open(id);
  }

  settle<T>(promise: Promise<T>): Promise<T> {
    return this.simulation.settle(promise);
  }

  /** Whether all stores hold the same. */
  get converged(): boolean {
    return new Set([...this.stores.values()].map((store) => store.status().root)).size === 1;
  }
}

function meshOf(simulation: Simulation, id: string): unknown {
  try {
    return simulation.mesh(id);
  } catch {
    return undefined;
  }
}
