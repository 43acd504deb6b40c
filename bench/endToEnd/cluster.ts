/** Three members in processes of their own, over WebRTC data channels. */
import { join } from 'node:path';
import { serveSignaling } from 'quorate';
import type { ReplicaStatus } from 'quorate';
import { Worker } from '../lib/processes.js';
import type { OpenArgs } from './member.js';

export const ids = ['a', 'b', 'c'];

export class BenchCluster {
  readonly members = new Map<string, Worker>();
  readonly #dir: string | undefined;
  readonly #extra: Partial<OpenArgs>;
  #signaling = '';

  /** Without a directory the members keep everything in memory. */
  constructor(dir: string | undefined, extra: Partial<OpenArgs> = {}) {
    this.#dir = dir;
    this.#extra = extra;
  }

  /** Runs a body with the cluster, and ends it whatever comes. */
  async run<T>(body: (cluster: BenchCluster) => Promise<T>): Promise<T> {
    const server = await serveSignaling({});
    this.#signaling = server.url;
    try {
      await Promise.all(ids.map((id) => this.start(id)));
      await Promise.all([...this.members.values()].map((member) => member.call('ready')));
      return await body(this);
    } finally {
      await Promise.all([...this.members.values()].map((member) => member.kill()));
      await server.close();
    }
  }

  async start(id: string): Promise<Worker> {
    const member = new Worker(new URL('./member.js', import.meta.url));
    this.members.set(id, member);
    const dir = this.#dir === undefined ? undefined : join(this.#dir, id);
    const args: OpenArgs = { id, members: ids, signaling: this.#signaling, dir, ...this.#extra };
    await member.call('open', args);
    return member;
  }

  async kill(id: string): Promise<void> {
    await this.members.get(id)?.kill();
    this.members.delete(id);
  }

  async status(id: string): Promise<ReplicaStatus> {
    return this.members.get(id)!.call<ReplicaStatus>('status');
  }

  /** The leader and a follower. */
  async roles(): Promise<{ leader: Worker; follower: Worker; leaderId: string; followerId: string }> {
    for (;;) {
      for (const id of this.members.keys()) {
        if ((await this.status(id)).role !== 'leader') continue;
        const followerId = [...this.members.keys()].find((other) => other !== id)!;
        return {
          leader: this.members.get(id)!,
          follower: this.members.get(followerId)!,
          leaderId: id,
          followerId,
        };
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
