/** What the tests of backups and recoveries share. */
import { expect } from 'chai';
import { joinMesh, keyValue, memoryNetwork, openReplica } from '../../../../lib/index.js';
import type { Mesh, QuorateError, Replica, Storage } from '../../../../lib/index.js';

export type Store = Replica<ReturnType<typeof keyValue<number>>>;

export async function failure(promise: Promise<unknown>): Promise<QuorateError> {
  return promise.then(
    () => expect.fail('it did not fail'),
    (error: unknown) => error as QuorateError,
  );
}

export async function until(what: string, condition: () => boolean, ms = 20_000): Promise<void> {
  const end = Date.now() + ms;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
}

/** Nodes that can meet; closed together. */
export class Cluster {
  readonly #transport = memoryNetwork();
  readonly #meshes = new Map<string, Mesh>();

  async open(
    id: string,
    storage: Storage,
    how: { members?: string[]; join?: boolean; as?: 'voter' | 'learner'; group?: string } = {},
  ): Promise<Store> {
    let mesh = this.#meshes.get(id);
    if (mesh === undefined) {
      const secret = 'a secret of more than sixteen bytes';
      mesh = await joinMesh({ id, cluster: 'c', secret, transport: this.#transport });
      this.#meshes.set(id, mesh);
    }
    return openReplica({ mesh, group: 'g', stateMachine: keyValue<number>(), storage, ...how });
  }

  async leave(id: string): Promise<void> {
    await this.#meshes.get(id)?.close();
    this.#meshes.delete(id);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#meshes.keys()].map((id) => this.leave(id)));
  }
}

export async function bytesOf(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const out: Uint8Array[] = [];
  for await (const chunk of chunks) out.push(chunk);
  return Buffer.concat(out);
}
