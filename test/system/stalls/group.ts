/** A group of real processes, and all that they said. */
import { fork, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serveSignaling, type SignalingServer } from '../../../lib/mesh/signaling/server.js';
import {
  now,
  sleep,
  type MemberSetup,
  type RecordedOperation,
  type Reply,
  type Request,
  type Status,
  type Told,
} from './messages.js';

type ReplyOf<T extends Reply['type']> = Extract<Reply, { readonly type: T }>;

interface Waiting {
  readonly type: Reply['type'];
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: Error) => void;
}

export class Member {
  readonly id: string;
  readonly #setup: MemberSetup;
  readonly #group: Pick<Group, 'told' | 'operations'>;
  #child: ChildProcess | undefined;
  #waiting: Waiting[] = [];

  constructor(setup: MemberSetup, group: Pick<Group, 'told' | 'operations'>) {
    this.id = setup.id;
    this.#setup = setup;
    this.#group = group;
  }

  async start(): Promise<void> {
    const child = fork(new URL('./member.js', import.meta.url), [JSON.stringify(this.#setup)]);
    this.#child = child;
    child.on('message', (reply: Reply) => this.#heard(reply));
    child.on('exit', (code, signal) => {
      if (this.#child === child) this.#child = undefined;
      for (const { type, reject } of this.#waiting.splice(0))
        reject(new Error(`${this.id} ended (${code ?? signal ?? '?'}) while '${type}' was awaited`));
    });
    await this.#expect('open');
  }

  send(request: Request): void {
    this.#child?.send(request);
  }

  async status(): Promise<Status> {
    const reply = this.#expect('status');
    this.send({ type: 'status' });
    return (await reply).status;
  }

  async unload(): Promise<void> {
    const reply = this.#expect('unloaded');
    this.send({ type: 'unload' });
    await reply;
  }

  /** Blocks its event loop; resolves when it runs again. */
  async stall(ms: number, kind: 'spin' | 'sleep'): Promise<ReplyOf<'stalled'>> {
    const reply = this.#expect('stalled');
    this.send({ type: 'stall', ms, kind });
    return reply;
  }

  /** Has the operating system suspend or wake it, or kill it. Returns when that was. */
  signal(signal: 'SIGSTOP' | 'SIGCONT' | 'SIGKILL'): number {
    const at = now();
    if (this.#child?.kill(signal) !== true) throw new Error(`${this.id} does not run`);
    return at;
  }

  async ended(): Promise<void> {
    const child = this.#child;
    if (child) await new Promise((resolve) => child.once('exit', resolve));
  }

  async destroy(): Promise<void> {
    const ended = this.ended();
    this.#child?.kill('SIGKILL');
    await ended;
  }

  /** Closes its mesh; the code that the process ends with by itself. */
  async close(): Promise<number | null> {
    const child = this.#child;
    if (!child) return null;
    const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
    this.send({ type: 'close' });
    return ended;
  }

  #expect<T extends Reply['type']>(type: T): Promise<ReplyOf<T>> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ type, resolve: (reply) => resolve(reply as ReplyOf<T>), reject });
    });
  }

  #heard(reply: Reply): void {
    if (reply.type === 'told') this.#group.told.push(reply.told);
    else if (reply.type === 'operation') {
      const { operation } = reply;
      this.#group.operations.push({
        ...operation,
        return: operation.return ?? Infinity,
        output: operation.output,
      });
    } else {
      const at = this.#waiting.findIndex(({ type }) => type === reply.type);
      if (at >= 0) this.#waiting.splice(at, 1)[0]!.resolve(reply);
    }
  }
}

export class Group {
  readonly members: readonly Member[];
  /** All that the members said, in the order in which it was heard here. */
  readonly told: Told[] = [];
  readonly operations: RecordedOperation[] = [];
  readonly #signaling: SignalingServer;
  readonly #directory: string;

  private constructor(ids: readonly string[], signaling: SignalingServer, directory: string) {
    const secret = randomBytes(32).toString('base64');
    this.#signaling = signaling;
    this.#directory = directory;
    this.members = ids.map(
      (id) =>
        new Member(
          { id, members: ids, signaling: signaling.url, secret, directory: join(directory, id) },
          this,
        ),
    );
  }

  /** Resolves when all are linked to all, and agree on a leader. */
  static async start(ids: readonly string[] = ['a', 'b', 'c']): Promise<Group> {
    const directory = await mkdtemp(join(tmpdir(), 'quorate-stalls-'));
    const group = new Group(ids, await serveSignaling({}), directory);
    try {
      await Promise.all(group.members.map((member) => member.start()));
      await group.settled();
    } catch (error) {
      await group.destroy();
      throw error;
    }
    return group;
  }

  statuses(): Promise<Status[]> {
    return Promise.all(this.members.map((member) => member.status()));
  }

  /** Waits until every member has a direct link to every other and all name one leader. */
  async settled(timeoutMs = 60_000): Promise<Status[]> {
    const giveUp = now() + timeoutMs;
    for (;;) {
      const statuses = await this.statuses();
      const linked = statuses.every(
        ({ peers }) =>
          peers.filter(({ state, path }) => state === 'up' && path === 'direct').length ===
          this.members.length - 1,
      );
      const [first] = statuses;
      if (
        linked &&
        first?.leader !== undefined &&
        statuses.every(({ leader, epoch }) => leader === first.leader && epoch === first.epoch)
      )
        return statuses;
      if (now() > giveUp) throw new Error(`not settled within ${timeoutMs} ms: ${JSON.stringify(statuses)}`);
      await sleep(25);
    }
  }

  async leader(): Promise<Member> {
    const [status] = await this.settled();
    return this.members.find(({ id }) => id === status!.leader)!;
  }

  async follower(): Promise<Member> {
    const leader = await this.leader();
    return this.members.find((member) => member !== leader)!;
  }

  load(clients: number, pauseMs: number, recorded: boolean): void {
    for (const member of this.members) member.send({ type: 'load', clients, pauseMs, recorded });
  }

  /** Stops the clients once their operations are over. */
  async unload(): Promise<void> {
    await Promise.all(this.members.map((member) => member.unload()));
  }

  /** Waits for something that a member says; undefined if it does not. */
  async heard(fits: (told: Told) => boolean, timeoutMs: number): Promise<Told | undefined> {
    const giveUp = now() + timeoutMs;
    for (;;) {
      const found = this.told.find(fits);
      if (found !== undefined || now() > giveUp) return found;
      await sleep(10);
    }
  }

  /** Closes all in good order; the codes that the processes end with. */
  async close(): Promise<(number | null)[]> {
    return Promise.all(this.members.map((member) => member.close()));
  }

  async destroy(): Promise<void> {
    await Promise.all(this.members.map((member) => member.destroy()));
    await this.#signaling.close();
    await rm(this.#directory, { recursive: true, force: true });
  }
}
