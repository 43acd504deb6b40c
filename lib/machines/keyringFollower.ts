/** Puts the replicated allow-list into force on a mesh. */
import { configError } from '../errors.js';
import type { Replica } from '../replica/replica.js';
import type { keyring, KeyringList } from './keyring.js';
import type { KeyringMemory } from './keyringFile.js';

/** What {@link followKeyring} needs of a mesh. */
export interface KeyringMesh {
  readonly identity: {
    /** @internal */
    readonly follow: (list: KeyringList) => void;
    /** @internal */
    readonly warn: (error: Error) => void;
  };
}

/** Options of {@link followKeyring}. */
export interface FollowKeyringOptions {
  /** The mesh to rule: as a rule the one that the replica lives on. */
  readonly mesh: KeyringMesh;
  /** A replica of {@link keyring}. */
  readonly replica: Replica<ReturnType<typeof keyring>>;
  /**
   * Where the list is kept over restarts, such as {@link keyringFile}.
   * @defaultValue nowhere: a node that restarts goes by its own list until it hears of a leader
   */
  readonly memory?: KeyringMemory;
}

/** A keyring being followed. */
export interface KeyringFollower {
  /** Stops following. What is in force stays in force. Safe to call again. */
  close(): void;
  /** Resolves when nothing is followed any more: after `close`, or when the replica has closed. Never rejects. */
  readonly closed: Promise<void>;
}

/**
 * Applies what a {@link keyring} says to a mesh: at once, from what this node remembers, then with each change as it is committed
 * and applied here. Links that are no longer welcome are closed.
 *
 * Where the keyring says nothing of an id, the mesh's own list holds (`identity.peers`); where it does, the keyring wins. A keyring
 * that is older than what the mesh has seen is ignored, with a warning. If the keyring puts out this very node, or lists it with
 * another key, the mesh emits a warning `ERR_PEER_KEY`. If the memory cannot be written, it emits a warning `ERR_STORAGE_FAILED`.
 *
 * @throws QuorateError `ERR_CONFIG`, `ERR_CLOSED` if the replica is closed, and what the memory throws as it is loaded.
 *
 * @example
 * ```ts
 * const ring = await openReplica({ mesh, group: 'keyring', members, storage, stateMachine: keyring() });
 * const follower = followKeyring({ mesh, replica: ring, memory: keyringFile('./data/a/keyring.json') });
 * ```
 */
export function followKeyring(options: FollowKeyringOptions): KeyringFollower {
  const { mesh, replica, memory } = options;
  if (typeof (mesh as Partial<KeyringMesh> | undefined)?.identity?.follow !== 'function')
    throw configError('mesh', mesh, 'a mesh made by joinMesh');
  if (typeof (replica as Partial<typeof replica> | undefined)?.changes !== 'function')
    throw configError('replica', replica, 'a replica of keyring()');
  if (memory !== undefined && (typeof memory.load !== 'function' || typeof memory.save !== 'function'))
    throw configError('memory', memory, 'keyringFile(path), or an object with load and save');
  let latest = memory?.load();
  if (latest !== undefined) mesh.identity.follow(latest);
  const controller = new AbortController();
  // The stream first, so that nothing is missed between reading and listening.
  const changes = replica.changes({ signal: controller.signal });
  const read = (): void => {
    const list: KeyringList = replica.peek({ op: 'list' });
    if (latest !== undefined && list.revision <= latest.revision) return; // nothing new, or still catching up
    latest = list;
    mesh.identity.follow(list);
    try {
      memory?.save(list);
    } catch (error) {
      mesh.identity.warn(error as Error);
    }
  };
  try {
    read();
  } catch (error) {
    controller.abort();
    throw error;
  }
  const run = async (): Promise<void> => {
    for await (const change of changes) {
      if (controller.signal.aborted) return;
      if (change.type === 'reset' || change.ok) read();
    }
  };
  // It can only fail as the replica ends; the list in force stays.
  const closed = run().catch(() => undefined);
  return { close: () => controller.abort(), closed };
}
