/** A storage that forgets everything when its process ends. */
import { described } from '../description.js';
import { randomId } from '../environment.js';
import type { Environment } from '../environment.js';
import { checkName, QuorateError } from '../errors.js';
import { MemoryRecords } from './memory/records.js';
import { MemoryStore, type Content } from './memory/store.js';
import type { NodeStore, RecordFile, Storage } from './storage.js';

/**
 * Keeps everything in memory: for tests, and for groups that can afford to lose a member's memory when its process ends. It has a
 * new incarnation with each call, so a member that restarts with a new one neither votes nor counts until it is admitted again.
 * The same object opened again after `close` still holds what it held.
 *
 * @example
 * ```ts
 * const replica = await openReplica({ mesh, group: 'cache', stateMachine, storage: memoryStorage() });
 * ```
 */
export function memoryStorage(): Storage {
  return described(new MemoryStorage(), 'memoryStorage', []);
}

class MemoryStorage implements Storage {
  readonly kind = 'memory';
  #content: Content | undefined;
  /** Apart from the rest: where the engine is in another thread the records are in the app's. */
  readonly #records = new Map<string, Uint8Array[]>();
  #open = false;

  // eslint-disable-next-line @typescript-eslint/require-await -- what is thrown must come as a rejection
  async open(binding: {
    readonly environment: Environment;
    readonly cluster: string;
    readonly node: string;
  }): Promise<NodeStore> {
    const { environment, cluster, node } = binding;
    checkName('cluster', cluster);
    checkName('node', node);
    if (this.#open) throw new QuorateError('ERR_STORAGE_LOCKED', 'this memory storage is open already');
    const incarnation = this.#content?.incarnation ?? randomId(environment);
    const content = (this.#content ??= {
      incarnation,
      cluster,
      node,
      logs: new Map(),
      snapshots: new Map(),
    });
    if (content.cluster !== cluster || content.node !== node) {
      const owner = `node ${content.node} of cluster ${content.cluster}`;
      throw new QuorateError(
        'ERR_STORAGE_FOREIGN',
        `this memory storage belongs to ${owner}, not to node ${node} of cluster ${cluster}`,
      );
    }
    this.#open = true;
    return new MemoryStore(content, () => (this.#open = false));
  }

  openRecords({ group }: { readonly group: string }): Promise<RecordFile> {
    return Promise.resolve(new MemoryRecords(this.#records, group));
  }
}
