/** Opening a replica. */
import type { EngineSide } from '../engine/door.js';
import { engineOf } from '../engine/engineOf.js';
import { configError, QuorateError } from '../errors.js';
import { Mesh, meshEnvironment, onClosing } from '../mesh/mesh.js';
import { isSoundBatch } from './batch.js';
import { serveClients } from './client/service.js';
import { accompany } from './companion.js';
import { checkOptions, type ReplicaOptions } from './options.js';
import { Replica } from './replica.js';
import type { Room } from './room.js';
import type { StateMachine } from './stateMachine.js';

/**
 * Opens this process's copy of a replicated state machine. Resolves when it is ready locally: the storage is open and its state
 * restored. It waits for nobody; `replica.ready()` does.
 *
 * Throws {@link QuorateError}: `ERR_CONFIG`, `ERR_CLOSED` (the mesh is), `ERR_ABORTED`, `ERR_GROUP_EXISTS`, `ERR_GROUP_UNKNOWN`,
 * `ERR_NOT_A_MEMBER` (this node was removed from the group; `join` enters it again), `ERR_MACHINE_VERSION`, and what the storage throws: `ERR_STORAGE_LOCKED`, `ERR_STORAGE_FOREIGN`, `ERR_STORAGE_CORRUPT`,
 * `ERR_STORAGE_VERSION`, `ERR_STORAGE_FAILED`.
 *
 * @example
 * ```ts
 * const replica = await openReplica({
 *   mesh, group: 'settings', members: ['a', 'b', 'c'], stateMachine: keyValue<string>(), storage: diskStorage('./data/a'),
 * });
 * ```
 */
export async function openReplica<M extends StateMachine>(options: ReplicaOptions<M>): Promise<Replica<M>> {
  const { mesh, stateMachine, storage, signal } = options;
  if (!(mesh instanceof Mesh)) throw configError('mesh', mesh, 'a mesh made by joinMesh');
  const checked = checkOptions(options, mesh.id);
  if (signal?.aborted) throw aborted();
  const replica = new Replica(mesh.id, stateMachine, checked, meshEnvironment(mesh));
  const stopListening = onClosing(mesh, () => replica.close());
  try {
    const connect = (room: Room): Promise<EngineSide> =>
      engineOf(mesh).open({
        name: checked.group,
        wired: checked.wired,
        storage,
        founders: checked.members,
        join: checked.join,
        autopilot: checked.autopilot,
        snapshotLogBytes: checked.snapshotLogBytes,
        keepEntries: checked.keepEntries,
        snapshotBytesPerSecond: checked.snapshotBytesPerSecond,
        app: room,
        soundProposal: isSoundBatch,
      });
    await Replica.open(replica, connect, storage);
  } catch (error) {
    stopListening();
    await replica.close();
    throw error;
  }
  Replica.let(replica, (room) => serveClients(mesh, replica, room, stateMachine, checked));
  accompany(stateMachine, replica as unknown as Replica, mesh, checked.codec);
  const onAbort = (): void => {
    // `close` reports through `closed`; what it waits for cannot be told to anybody here.
    replica.close().catch(() => undefined);
  };
  signal?.addEventListener('abort', onAbort, { once: true });
  void replica.closed.then(() => {
    stopListening();
    signal?.removeEventListener('abort', onAbort);
  });
  if (signal?.aborted) {
    await replica.close();
    throw aborted();
  }
  if (!['running', 'closed'].includes(replica.status().state)) {
    const reason = await replica.closed;
    await replica.close();
    if (reason.type === 'removed')
      throw new QuorateError('ERR_NOT_A_MEMBER', 'this node was removed meanwhile');
    throw reason.type === 'failed'
      ? reason.error
      : new QuorateError('ERR_CLOSED', 'the replica was closed while it opened');
  }
  return replica;
}

function aborted(): QuorateError {
  return new QuorateError('ERR_ABORTED', 'opening the replica was aborted');
}
