/** Opening a client. */
import { configError, QuorateError } from '../../errors.js';
import { Mesh, onClosing } from '../../mesh/mesh.js';
import type { StateMachine } from '../stateMachine.js';
import { checkClientOptions, type ClientOptions } from './clientTypes.js';
import { deskOf } from './desk.js';
import { GroupClient } from './groupClient.js';

/**
 * Opens a client of a group on a mesh node that is no member of it. It waits for nobody: calls wait, up to their time-outs, for a
 * member that is linked, serves clients (see `clients` of {@link openReplica}) and has a quorum. Whoever is linked holds the
 * cluster's secret, and needs nothing else to be served.
 *
 * Throws {@link QuorateError}: `ERR_CONFIG`, `ERR_CLOSED` (the mesh is), `ERR_ABORTED`.
 *
 * @example
 * ```ts
 * const client = await openClient({ mesh, group: 'settings', stateMachine: keyValue<string>() });
 * await client.submit({ op: 'put', key: 'theme', value: 'dark' }); // exactly once, whatever happens to members on the way
 * await client.query({ op: 'get', key: 'theme' });
 * ```
 */
export async function openClient<M extends StateMachine = StateMachine>(
  options: ClientOptions<M>,
): Promise<GroupClient<M>> {
  const { mesh, signal } = options;
  if (!(mesh instanceof Mesh)) throw configError('mesh', mesh, 'a mesh made by joinMesh');
  const checked = checkClientOptions(options);
  const known = { closed: false };
  void mesh.closed.then(() => (known.closed = true));
  await Promise.resolve(); // so long does a mesh that is closed take to say so
  if (known.closed) throw new QuorateError('ERR_CLOSED', 'the mesh is closed');
  if (signal?.aborted) throw new QuorateError('ERR_ABORTED', 'opening the client was aborted');
  const client = new GroupClient<M>(mesh.id, deskOf(mesh), checked);
  const onAbort = (): void => void client.close();
  const stopListening = onClosing(mesh, () => client.close());
  // A mesh that was closing already asks nobody any more.
  void mesh.closed.then(() => client.close());
  signal?.addEventListener('abort', onAbort, { once: true });
  void client.closed.then(() => {
    stopListening();
    signal?.removeEventListener('abort', onAbort);
  });
  return client;
}
