/** A hundred groups in three processes, over real data channels, with real disks. */
import { fork, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { serveSignaling, type SignalingServer } from '../../lib/mesh/signaling/server.js';
import type { Figures, Reply, Request, Setup } from './manyGroupsChild.js';

const ids = ['a', 'b', 'c'];
const GROUPS = 100;

class Member {
  readonly child: ChildProcess;

  constructor(setup: Setup) {
    this.child = fork(new URL('./manyGroupsChild.js', import.meta.url), [JSON.stringify(setup)]);
  }

  async reply<T extends Reply['type']>(type: T): Promise<Extract<Reply, { type: T }>> {
    for (;;) {
      const ended = new AbortController();
      const [message] = (await Promise.race([
        once(this.child, 'message', { signal: ended.signal }),
        once(this.child, 'exit', { signal: ended.signal }).then(() => {
          throw new Error(`a member ended while '${type}' was awaited`);
        }),
      ]).finally(() => ended.abort())) as [Reply];
      if (message.type === type) return message as Extract<Reply, { type: T }>;
    }
  }

  async ask<T extends Reply['type']>(request: Request, type: T): Promise<Extract<Reply, { type: T }>> {
    const answer = this.reply(type);
    this.child.send(request);
    return answer;
  }

  figures(): Promise<Figures> {
    return this.ask({ type: 'figures' }, 'figures');
  }

  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await ended;
  }
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe('many groups in processes of their own', function () {
  this.timeout(180_000);

  let members: Member[] = [];
  let signaling: SignalingServer;
  let directory: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'quorate-groups-'));
    signaling = await serveSignaling({});
    const secret = randomBytes(32).toString('base64');
    members = ids.map(
      (id) =>
        new Member({
          id,
          members: ids,
          signaling: signaling.url,
          secret,
          directory: join(directory, id),
          groups: GROUPS,
        }),
    );
    await Promise.all(members.map((member) => member.reply('open')));
  });

  afterEach(async () => {
    await Promise.all(members.map((member) => member.kill()));
    await signaling.close();
    await rm(directory, { recursive: true, force: true });
  });

  const allFigures = (of = members): Promise<Figures[]> => Promise.all(of.map((member) => member.figures()));

  async function until(
    what: string,
    holds: (figures: Figures[]) => boolean,
    of = members,
  ): Promise<Figures[]> {
    for (let waited = 0; waited < 90_000; waited += 100) {
      const figures = await allFigures(of);
      if (holds(figures)) return figures;
      await sleep(100);
    }
    throw new Error(`in vain waited until ${what}`);
  }

  const atRest = (figures: Figures[]): boolean => figures.every(({ quiet }) => quiet === GROUPS);

  it('say nothing while they rest, wake one by one, and lose no leader but with its node', async () => {
    await until('all rest', atRest);
    // A little gossip of the mesh may be among them. Awake, a member would get twenty heartbeats and as many answers a second.
    const before = await allFigures();
    await sleep(5000);
    const after = await allFigures();
    expect(after.map(({ open, quiet }) => [open, quiet])).to.deep.equal(ids.map(() => [GROUPS, GROUPS]));
    for (const [i, { framesReceived }] of after.entries())
      expect(framesReceived - before[i]!.framesReceived, `frames for ${ids[i]}`).to.be.below(20);
    expect(after.map(({ terms }) => terms)).to.deep.equal(before.map(({ terms }) => terms));

    // One wakes, through whichever member; the others rest on.
    for (const [n, member] of members.entries()) await member.ask({ type: 'put', group: n }, 'put');
    const [woken] = await allFigures();
    expect(woken!.quiet).to.be.at.least(GROUPS - 3);
    expect(woken!.terms).to.deep.equal(after[0]!.terms);

    // A node dies: the groups that it led get another leader, those of others keep theirs. Whoever was there first may lead them all.
    await until('all rest again', atRest);
    const [alive] = await allFigures();
    const victim = alive!.leaders[0]!;
    await members[ids.indexOf(victim)]!.kill();
    const rest = members.filter((_, at) => ids[at] !== victim);
    const figures = await until(
      'every group has a leader that lives',
      (all) =>
        all.every(({ leaders }) => leaders.every((leader) => leader !== undefined && leader !== victim)),
      rest,
    );
    const kept = alive!.leaders.flatMap((leader, group) => (leader === victim ? [] : [group]));
    const ofKept = ({ terms }: Figures): number[] => kept.map((group) => terms[group]!);
    expect(ofKept(figures[0]!)).to.deep.equal(ofKept(alive!));
    await rest[0]!.ask({ type: 'put', group: 0 }, 'put');
    await until('all rest without it', atRest, rest);
  });
});
