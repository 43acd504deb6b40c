/** Opening the sites of a node. */
import { Engine } from '../../engine/engine.js';
import { engineOf } from '../../engine/engineOf.js';
import { configError, QuorateError } from '../../errors.js';
import { Mesh, meshEnvironment, onClosing } from '../../mesh/mesh.js';
import { cbor, type Codec } from '../../replica/codec.js';
import type { Storage } from '../../storage/storage.js';
import { checkResources, type TransactionResource } from '../resource.js';
import { siteDeskOf } from './desk.js';
import { SiteRecords } from './records.js';
import { TransactionSites } from './transactionSites.js';

/** Options of {@link openSites}. */
export interface SitesOptions {
  /** The mesh that connects this node with the others. One that runs in a thread of its own cannot be used. */
  readonly mesh: Mesh;
  /**
   * Where this node remembers what it voted for; the same storage may serve groups. A node whose storage is new takes no part in what
   * it took part in before: with {@link memoryStorage} each restart makes it one that is gone for good.
   */
  readonly storage: Storage;
  /**
   * The resources of this node, by name: 1 to 128 characters. A node that only begins transactions needs none.
   *
   * @defaultValue none
   */
  readonly resources?: Readonly<Record<string, TransactionResource<never>>>;
  /**
   * How payloads become bytes, the same on all nodes.
   *
   * @defaultValue `cbor()`
   */
  readonly codec?: Codec;
}

/** No group can have that name. */
const RECORDS = 'sites of three-phase commit';
const opening = new WeakSet<Mesh>();

/**
 * Opens the resources of this node to transactions with `protocol: 'three-phase'`, and lets this node begin such. What was under way
 * before a restart goes on. Waits for no other node.
 *
 * Throws {@link QuorateError}: `ERR_CONFIG`, `ERR_GROUP_EXISTS` (the sites of this mesh are open), and what the storage throws:
 * `ERR_STORAGE_LOCKED`, `ERR_STORAGE_FOREIGN`, `ERR_STORAGE_CORRUPT`, `ERR_STORAGE_VERSION`, `ERR_STORAGE_FAILED`.
 *
 * @example
 * ```ts
 * const sites = await openSites({ mesh, storage: diskStorage('./data/a'), resources: { stock } });
 * await transact(
 *   { stock: sites.at<{ take: number }>('a', 'stock'), payment: sites.at<{ cents: number }>('b', 'payment') },
 *   ({ stock, payment }) => {
 *     stock.enlist({ take: 1 });
 *     payment.enlist({ cents: 1999 });
 *   },
 *   { protocol: 'three-phase' },
 * );
 * ```
 */
export async function openSites(options: SitesOptions): Promise<TransactionSites> {
  const { mesh, storage, codec = cbor() } = options;
  if (!(mesh instanceof Mesh)) throw configError('mesh', mesh, 'a mesh made by joinMesh');
  if (typeof (storage as Partial<Storage> | undefined)?.openRecords !== 'function')
    throw configError('storage', storage, 'a storage that can keep records, as diskStorage() does');
  if (typeof (codec as Partial<Codec>).encode !== 'function' || typeof codec.decode !== 'function')
    throw configError('codec', codec, 'an object with encode and decode');
  const resources = checkResources(options.resources ?? {});
  const engine = engineOf(mesh);
  if (!(engine instanceof Engine)) throw configError('mesh', mesh, "one without thread: 'worker'");
  const desk = siteDeskOf(mesh);
  if (desk.taken || opening.has(mesh))
    throw new QuorateError('ERR_GROUP_EXISTS', 'the sites of this mesh are open already');
  opening.add(mesh);
  try {
    const { store, release } = await engine.borrow(storage);
    try {
      const file = await storage.openRecords!({ environment: meshEnvironment(mesh), group: RECORDS });
      let sites: TransactionSites;
      try {
        const records = new SiteRecords(file);
        const { incarnation } = store;
        sites = new TransactionSites({
          node: mesh.id,
          incarnation,
          desk,
          records,
          resources,
          codec,
          release,
        });
      } catch (error) {
        await file.close();
        throw error;
      }
      sites.onClosed(onClosing(mesh, () => sites.close()));
      return sites;
    } catch (error) {
      await release();
      throw error;
    }
  } finally {
    opening.delete(mesh);
  }
}
