/** Opening a store. */
import { Engine } from '../../engine/engine.js';
import { engineOf } from '../../engine/engineOf.js';
import { configError } from '../../errors.js';
import { Mesh, meshEnvironment, onClosing } from '../../mesh/mesh.js';
import { LocalStore } from '../local/localStore.js';
import { siblings, type Resolution } from '../resolve/resolution.js';
import { RingGroup } from '../placement/ringGroup.js';
import { storeDeskOf } from './desk.js';
import { Store } from './store.js';
import { checkStoreOptions, type StoreOptions } from './storeOptions.js';

/**
 * Opens this node's copy of a multi-primary store: each member takes reads and writes, also while it is cut off from the others, and
 * all come to hold the same. Resolves once what the storage holds is read; it waits for nobody.
 *
 * Throws {@link QuorateError}: `ERR_CONFIG`, `ERR_NOT_A_MEMBER`, `ERR_GROUP_EXISTS` (the mesh runs a store of that name), and what the
 * storage throws: `ERR_STORAGE_LOCKED`, `ERR_STORAGE_FOREIGN`, `ERR_STORAGE_CORRUPT`, `ERR_STORAGE_VERSION`, `ERR_STORAGE_FAILED`.
 *
 * @example
 * ```ts
 * const carts = await openStore({
 *   mesh, name: 'carts', members: ['a', 'b', 'c'], storage: diskStorage('./data/a'), resolve: crdt(orSet<string>()),
 * });
 * await carts.update('cart:7', { op: 'add', value: 'book' });
 * (await carts.get('cart:7')).value; // ['book']
 * ```
 */
export async function openStore<V = unknown[], Input = unknown, Op = never>(
  options: StoreOptions<V, Input, Op>,
): Promise<Store<V, Input, Op>> {
  const { mesh, storage, limits, merkleLeaves, maxClockOffsetMs, codec } = options;
  if (!(mesh instanceof Mesh)) throw configError('mesh', mesh, 'a mesh made by joinMesh');
  const resolve = options.resolve ?? (siblings() as unknown as Resolution<V, Input, Op>);
  const checked = checkStoreOptions(options, resolve, mesh.id);
  const engine = engineOf(mesh);
  if (!(engine instanceof Engine)) throw configError('mesh', mesh, "one without thread: 'worker'");
  const { store, release } = await engine.borrow(storage);
  try {
    const local = await LocalStore.open({
      environment: meshEnvironment(mesh),
      store,
      name: checked.name,
      node: mesh.id,
      resolve,
      limits,
      merkleLeaves,
      maxClockOffsetMs,
      codec,
    });
    let opened: Store<V, Input, Op>;
    let group: RingGroup | undefined;
    try {
      const { name, ring } = checked;
      group = ring && (await RingGroup.open({ mesh, name, storage, founders: ring.founders }));
      opened = new Store(local, storeDeskOf(mesh), checked, release, group);
    } catch (error) {
      await group?.close();
      await local.close();
      throw error;
    }
    const stopListening = onClosing(mesh, () => opened.close());
    opened.onClosed(stopListening);
    return opened;
  } catch (error) {
    await release();
    throw error;
  }
}
