/** A cluster of real processes over real data channels with real disks, which a test can kill. */
import { fork, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serveSignaling, type SignalingServer } from '../../../lib/mesh/signaling/server.js';
import type { MemberSetup, Reply, Request } from './messages.js';

class Member {
  setup: MemberSetup;
  readonly acknowledged: string[] = [];
  /** What was rejected, in all its lives. */
  readonly failed: string[] = [];
  #child: ChildProcess | undefined;
  #waiting: {
    readonly type: Reply['type'];
    readonly resolve: (reply: Reply) => void;
    readonly reject: (error: Error) => void;
  }[] = [];

  constructor(setup: MemberSetup) {
    this.setup = setup;
  }

  get running(): boolean {
    return this.#child !== undefined;
  }

  async start(): Promise<void> {
    const child = fork(new URL('./member.js', import.meta.url), [JSON.stringify(this.setup)]);
    this.#child = child;
    child.on('message', (reply: Reply) => {
      if (reply.type === 'acknowledged') this.acknowledged.push(reply.id);
      if (reply.type === 'failed') this.failed.push(`${reply.call}: ${reply.message}`);
      const at = this.#waiting.findIndex(({ type }) => type === reply.type);
      if (at >= 0) this.#waiting.splice(at, 1)[0]!.resolve(reply);
    });
    child.on('exit', (code, signal) => {
      if (this.#child === child) this.#child = undefined;
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const { type, reject } of waiting) {
        reject(
          new Error(`member ${this.setup.id} ended (${code ?? signal ?? '?'}) while '${type}' was awaited`),
        );
      }
    });
    await this.expect('open');
  }

  expect<T extends Reply['type']>(type: T): Promise<Extract<Reply, { type: T }>> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ type, resolve: (reply) => resolve(reply as Extract<Reply, { type: T }>), reject });
    });
  }

  send(request: Request): void {
    this.#child?.send(request);
  }

  status(): Promise<Extract<Reply, { type: 'status' }>> {
    const status = this.expect('status');
    this.send({ type: 'status' });
    return status;
  }

  /** Asks for a change of the members, or a transfer; answers the code of the error, empty without one. */
  async ask(request: Extract<Request, { type: 'change' | 'transfer' }>): Promise<string> {
    const done = this.expect('done');
    this.send(request);
    return (await done).code;
  }

  /** The member stops, and what it had on disk is gone. It comes back as one that joins. */
  async wipe(): Promise<void> {
    await this.kill();
    await rm(this.setup.directory, { recursive: true, force: true });
    this.setup = { ...this.setup, members: undefined };
    await this.start();
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (!child) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }

  async close(): Promise<number | null> {
    const child = this.#child;
    if (!child) return 0;
    const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
    this.send({ type: 'close' });
    return ended;
  }
}

export type { Member };

export class Cluster {
  readonly members: readonly Member[];
  readonly #signaling: SignalingServer;
  readonly #directory: string;

  private constructor(members: readonly Member[], signaling: SignalingServer, directory: string) {
    this.members = members;
    this.#signaling = signaling;
    this.#directory = directory;
  }

  static async start(
    ids: readonly string[],
    options: {
      readonly snapshotLogBytes: number;
      readonly founders?: readonly string[];
      readonly witnesses?: readonly string[];
    },
  ): Promise<Cluster> {
    const directory = await mkdtemp(join(tmpdir(), 'quorate-system-'));
    const signaling = await serveSignaling({});
    const secret = randomBytes(32).toString('base64');
    const members = ids.map((id) => {
      const { snapshotLogBytes, founders = ids, witnesses = [] } = options;
      return new Member({
        id,
        members: founders.includes(id) ? founders : undefined,
        witness: witnesses.includes(id),
        signaling: signaling.url,
        secret,
        directory: join(directory, id),
        snapshotLogBytes,
      });
    });
    const cluster = new Cluster(members, signaling, directory);
    await Promise.all(members.filter(({ setup }) => setup.members).map((member) => member.start()));
    return cluster;
  }

  async destroy(): Promise<void> {
    await Promise.all(this.members.map((member) => member.kill()));
    await this.#signaling.close();
    await rm(this.#directory, { recursive: true, force: true });
  }
}
