import { QuorateError } from '../../../../lib/errors.js';
import { defineMachine } from '../../../../lib/machines/defineMachine.js';
import { joinMesh } from '../../../../lib/mesh/joinMesh.js';
import { memoryNetwork } from '../../../../lib/mesh/memory/network.js';
import type { Mesh } from '../../../../lib/mesh/mesh.js';
import type { ClientOptions } from '../../../../lib/replica/client/clientTypes.js';
import type { GroupClient } from '../../../../lib/replica/client/groupClient.js';
import { openClient } from '../../../../lib/replica/client/openClient.js';
import { openReplica } from '../../../../lib/replica/openReplica.js';
import type { ReplicaOptions } from '../../../../lib/replica/options.js';
import type { Replica } from '../../../../lib/replica/replica.js';
import { memoryStorage } from '../../../../lib/storage/memoryStorage.js';

export const GROUP = 'counter';
export const members = ['a', 'b', 'c'];

export const counter = () =>
  defineMachine({
    version: 1,
    initial: () => ({ n: 0 }),
    commands: {
      add: (state, { by }: { by: number }, context) => {
        if (by < 0) context.reject('negative', { by });
        if (by === 13) throw new Error('unlucky');
        return (state.n += by);
      },
      blob: (_state, { bytes }: { bytes: number }) => new Uint8Array(bytes),
      nothing: () => undefined,
      take: (_state, { data }: { data: Uint8Array }) => data.length,
    },
    queries: {
      total: (state) => state.n,
      broken: () => {
        throw new Error('broken query');
      },
      blob: (_state, { bytes }: { bytes: number }) => new Uint8Array(bytes),
    },
    validate: (command) => {
      if (command.op === 'add' && command.by === 666) throw new Error('not this one');
    },
  });
export type Counter = ReturnType<typeof counter>;

export async function until(what: string, condition: () => boolean): Promise<void> {
  const end = Date.now() + 20_000;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
}

export async function failure(promise: Promise<unknown>): Promise<QuorateError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof QuorateError) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

/** Members and clients in one process. */
export class World {
  readonly network = memoryNetwork();
  readonly meshes = new Map<string, Mesh>();

  async mesh(id: string): Promise<Mesh> {
    let mesh = this.meshes.get(id);
    if (mesh === undefined) {
      const secret = 'a secret of more than sixteen bytes';
      mesh = await joinMesh({ id, cluster: 'test', secret, transport: this.network });
      this.meshes.set(id, mesh);
    }
    return mesh;
  }

  async member(id: string, options: Partial<ReplicaOptions<Counter>> = {}): Promise<Replica<Counter>> {
    const mesh = await this.mesh(id);
    const storage = memoryStorage();
    return openReplica({ mesh, group: GROUP, members, stateMachine: counter(), storage, ...options });
  }

  async group(options: Partial<ReplicaOptions<Counter>> = {}): Promise<Replica<Counter>[]> {
    const replicas = await Promise.all(members.map((id) => this.member(id, options)));
    await Promise.all(replicas.map((replica) => replica.ready()));
    return replicas;
  }

  async client(options: Partial<ClientOptions<Counter>> = {}, id = 'x'): Promise<GroupClient<Counter>> {
    return openClient<Counter>({ mesh: await this.mesh(id), group: GROUP, ...options });
  }

  async stop(id: string): Promise<void> {
    await this.meshes.get(id)?.close();
    this.meshes.delete(id);
  }

  async close(): Promise<void> {
    await Promise.all([...this.meshes.values()].map((mesh) => mesh.close()));
  }
}

export function leaderOf(replicas: readonly Replica<Counter>[]): Replica<Counter> {
  return replicas.find(
    (replica) => replica.status().state === 'running' && replica.status().role === 'leader',
  )!;
}
