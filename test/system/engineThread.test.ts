/** Engines in threads of their own, over real processes, data channels and disks: an app that stands still costs nobody else. */
import { expect } from 'chai';
import { fork, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serveSignaling, type SignalingServer } from '../../lib/mesh/signaling/server.js';
import type { MemberSetup, Reply, Request } from './engineThreadMessages.js';

const ids = ['a', 'b', 'c'];
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

type ReplyOf<T extends Reply['type']> = Extract<Reply, { readonly type: T }>;

class Member {
  readonly ended: Promise<number | NodeJS.Signals | null>;
  readonly #child: ChildProcess;
  readonly #replies: Reply[] = [];
  #look: () => void = () => undefined;

  constructor(setup: MemberSetup) {
    this.#child = fork(new URL('./engineThreadChild.js', import.meta.url), [JSON.stringify(setup)], {
      serialization: 'advanced',
      silent: true,
    });
    this.#child.on('message', (reply: Reply) => {
      this.#replies.push(reply);
      this.#look();
    });
    this.ended = new Promise((resolve) => this.#child.on('exit', (code, signal) => resolve(code ?? signal)));
  }

  send(request: Request): void {
    this.#child.send(request);
  }

  async next<T extends Reply['type']>(type: T): Promise<ReplyOf<T>> {
    for (;;) {
      const at = this.#replies.findIndex((reply) => reply.type === type);
      if (at >= 0) return this.#replies.splice(at, 1)[0] as ReplyOf<T>;
      await new Promise<void>((resolve) => (this.#look = resolve));
    }
  }

  status(): Promise<ReplyOf<'status'>> {
    this.send({ type: 'status' });
    return this.next('status');
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.ended;
  }
}

describe('engines in threads of their own', function () {
  this.timeout(120_000);
  let server: SignalingServer;
  let directory: string;
  let members: Member[];

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'quorate-threads-'));
    server = await serveSignaling({});
    members = ids.map(
      (id) => new Member({ id, members: ids, signaling: server.url, directory: join(directory, id) }),
    );
    await Promise.all(members.map((member) => member.next('open')));
    await leader();
  });

  afterEach(async () => {
    await Promise.all(members.map((member) => member.kill()));
    await server.close();
    await rm(directory, { recursive: true, force: true });
  });

  /** The member that all say leads. */
  async function leader(): Promise<Member> {
    for (;;) {
      const statuses = await Promise.all(members.map((member) => member.status()));
      const names = new Set(statuses.map(({ status }) => status.leader));
      const [name] = names;
      if (names.size === 1 && name !== undefined && statuses.every(({ status }) => status.quorum))
        return members[ids.indexOf(name)]!;
      await sleep(50);
    }
  }

  it("commit while the leader's app blocks its event loop for five seconds, without an election", async () => {
    const lead = await leader();
    const others = members.filter((member) => member !== lead);
    for (const member of others) member.send({ type: 'write', loops: 4 });
    await sleep(1000);
    const before = await lead.status();
    lead.send({ type: 'block', ms: 5000 });
    const { from, to } = await lead.next('blocked');
    const after = await lead.status();
    expect(after.status.epoch, 'an election').to.equal(before.status.epoch);
    expect(after.status.role).to.equal('leader');
    expect(after.stalls, 'the app stood still, not the node').to.equal(before.stalls);
    for (const member of others) {
      member.send({ type: 'stop' });
      const { acknowledged, failed } = await member.next('stopped');
      expect(failed).to.equal(0);
      // Of each second of the block, so that it was no burst at its end.
      for (let second = 0; second < 5; second++) {
        const begins = from + second * 1000;
        const inSecond = acknowledged.filter((at) => at >= begins && at < Math.min(begins + 1000, to));
        expect(inSecond.length, `commits in second ${second}`).to.be.greaterThan(0);
      }
    }
    // What was committed meanwhile reaches the app.
    const { status } = await others[0]!.status();
    for (let tries = 0; (await lead.status()).status.appliedIndex < status.appliedIndex; tries++) {
      expect(tries).to.be.lessThan(200);
      await sleep(50);
    }
  });

  it('let their processes end by themselves when they are closed', async () => {
    for (const member of members) member.send({ type: 'close' });
    expect(await Promise.all(members.map((member) => member.ended))).to.deep.equal([0, 0, 0]);
  });

  it('let their processes exit with everything open, with the code they want', async () => {
    members[0]!.send({ type: 'exit', code: 7 });
    expect(await members[0]!.ended).to.equal(7);
    members[1]!.send({ type: 'throw', where: 'app' });
    expect(await members[1]!.ended).to.equal(1);
  });

  it('take their replicas along when they crash, and not the process', async () => {
    members[0]!.send({ type: 'throw', where: 'engine' });
    expect((await members[0]!.next('failed')).code).to.equal('ERR_ENGINE_FAILED');
    expect(await members[0]!.ended).to.equal(0);
    members.shift();
    const lead = await members[0]!.status();
    expect(lead.status.state).to.equal('running');
  });
});
