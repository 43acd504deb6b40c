/** Processes that a test talks to, kills, and starts again, and the rendezvous at which they meet. */
import { fork, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serveSignaling, type SignalingServer } from '../../../lib/mesh/signaling/server.js';

/** What every process of a test is started with. */
export interface Setup {
  readonly id: string;
  readonly signaling: string;
  readonly secret: string;
  readonly directory: string;
}

interface Word {
  readonly type: string;
}

/** A process that can be killed at any time, and may be started again. It says `{ type: 'open' }` when it is at work. */
export class Process<Request extends object, Reply extends Word> {
  readonly setup: Setup;
  readonly #script: URL;
  #child: ChildProcess | undefined;
  #waiting: {
    readonly type: string;
    readonly resolve: (reply: Reply) => void;
    readonly reject: (error: Error) => void;
  }[] = [];
  /** Told of everything that it says. */
  onReply: (reply: Reply) => void = () => undefined;

  constructor(setup: Setup, script: URL) {
    this.setup = setup;
    this.#script = script;
  }

  get running(): boolean {
    return this.#child !== undefined;
  }

  async start(): Promise<void> {
    const child = fork(this.#script, [JSON.stringify(this.setup)]);
    this.#child = child;
    child.on('message', (reply: Reply) => {
      this.onReply(reply);
      const at = this.#waiting.findIndex(({ type }) => type === reply.type);
      if (at >= 0) this.#waiting.splice(at, 1)[0]!.resolve(reply);
    });
    child.on('exit', (code, signal) => {
      if (this.#child === child) this.#child = undefined;
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const { type, reject } of waiting)
        reject(new Error(`${this.setup.id} ended (${code ?? signal ?? '?'}) while '${type}' was awaited`));
    });
    await this.expect('open');
  }

  expect<T extends Reply['type'] | 'open'>(type: T): Promise<Extract<Reply, { type: T }>> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ type, resolve: resolve as (reply: Reply) => void, reject });
    });
  }

  send(request: Request): void {
    this.#child?.send(request, () => undefined); // it may be dead, and then it does not matter
  }

  ask<T extends Reply['type']>(request: Request, type: T): Promise<Extract<Reply, { type: T }>> {
    const reply = this.expect(type);
    this.send(request);
    return reply;
  }

  /** kill -9. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (!child) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }
}

export class Site<Request extends object, Reply extends Word> {
  readonly processes: readonly Process<Request, Reply>[];
  readonly directory: string;
  readonly #signaling: SignalingServer;

  private constructor(
    processes: readonly Process<Request, Reply>[],
    directory: string,
    signaling: SignalingServer,
  ) {
    this.processes = processes;
    this.directory = directory;
    this.#signaling = signaling;
  }

  static async start<Request extends object, Reply extends Word>(
    ids: readonly string[],
    script: URL,
  ): Promise<Site<Request, Reply>> {
    const directory = await mkdtemp(join(tmpdir(), 'quorate-system-'));
    const signaling = await serveSignaling({});
    const secret = randomBytes(32).toString('base64');
    const processes = ids.map(
      (id) =>
        new Process<Request, Reply>(
          { id, signaling: signaling.url, secret, directory: join(directory, id) },
          script,
        ),
    );
    const site = new Site(processes, directory, signaling);
    await Promise.all(processes.map((process) => process.start()));
    return site;
  }

  at(id: string): Process<Request, Reply> {
    return this.processes.find(({ setup }) => setup.id === id)!;
  }

  async destroy(): Promise<void> {
    await Promise.all(this.processes.map((process) => process.kill()));
    await this.#signaling.close();
    await rm(this.directory, { recursive: true, force: true });
  }
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
