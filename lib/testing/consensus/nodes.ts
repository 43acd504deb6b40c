/** Nodes in one process, over a network in memory and with real timers: for what the simulator does not let a test choose. */
import assert from 'node:assert/strict';
import { joinMesh } from '../../mesh/joinMesh.js';
import { memoryNetwork, type MemoryNetwork } from '../../mesh/memory/network.js';
import type { Mesh } from '../../mesh/mesh.js';
import type { ConsensusOption } from '../../replica/consensus.js';
import { openReplica } from '../../replica/openReplica.js';
import type { ReplicaOptions } from '../../replica/options.js';
import type { Replica } from '../../replica/replica.js';
import { memoryStorage } from '../../storage/memoryStorage.js';
import type { Storage } from '../../storage/storage.js';
import type { ConsensusSettings } from '../consensus.js';
import { ledger, type Ledger } from './ledger.js';

const WAIT_MS = 30_000;

/** @internal */
export class Nodes {
  network: MemoryNetwork = memoryNetwork();
  readonly #consensus: (settings?: ConsensusSettings) => ConsensusOption;
  readonly #meshes = new Map<string, Promise<Mesh>>();
  /** Whatever is being opened: what a test that failed left behind has to be closed too. */
  readonly #opening = new Set<Promise<unknown>>();
  readonly #storages = new Map<string, Storage>();

  constructor(consensus: (settings?: ConsensusSettings) => ConsensusOption) {
    this.#consensus = consensus;
  }

  #mesh(id: string): Promise<Mesh> {
    const known = this.#meshes.get(id);
    if (known !== undefined) return known;
    const secret = 'a secret of more than sixteen bytes';
    const mesh = joinMesh({ id, cluster: 'conformance', secret, transport: this.network });
    this.#meshes.set(id, mesh);
    return mesh;
  }

  /** The storage of a node, which outlives its processes until it is {@link Nodes.wipe}d. */
  storage(id: string): Storage {
    const known = this.#storages.get(id);
    if (known !== undefined) return known;
    const storage = memoryStorage();
    this.#storages.set(id, storage);
    return storage;
  }

  wipe(id: string): void {
    this.#storages.delete(id);
  }

  open(id: string, options: Partial<ReplicaOptions<Ledger>> = {}): Promise<Replica<Ledger>> {
    const opening = this.#open(id, options);
    this.#opening.add(opening);
    return opening;
  }

  async #open(id: string, options: Partial<ReplicaOptions<Ledger>>): Promise<Replica<Ledger>> {
    const mesh = await this.#mesh(id);
    const founded = options.join === true ? {} : { members: ['a', 'b', 'c'] };
    return openReplica({
      mesh,
      group: 'ledger',
      stateMachine: ledger(),
      storage: this.storage(id),
      consensus: this.#consensus(),
      ...founded,
      ...options,
    });
  }

  /** The process of a node ends: its mesh and all that lives on it. */
  async stop(id: string): Promise<void> {
    await (await this.#meshes.get(id))?.close();
    this.#meshes.delete(id);
  }

  async until(what: string, condition: () => boolean): Promise<void> {
    const end = Date.now() + WAIT_MS;
    while (!condition()) {
      assert.ok(Date.now() < end, `waited in vain for ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 3));
    }
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#opening);
    await Promise.all([...this.#meshes.values()].map(async (mesh) => (await mesh).close()));
    this.#meshes.clear();
  }
}
