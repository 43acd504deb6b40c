/**
 * Two processes that hold the data and a witness, over real data channels and disks: any one of the three may be killed, and what
 * the leader acknowledged with the witness alone is never lost to the member that lacks it.
 */
import { expect } from 'chai';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Cluster, type Member } from './support/cluster.js';

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const load = { type: 'write', writers: 4 } as const;
/** How long to look for a leader where there must be none: several elections. */
const IN_VAIN_MS = 4000;

describe('a group of two and a witness', function () {
  this.timeout(300_000);
  let cluster: Cluster;
  afterEach(() => cluster.destroy());

  async function reach(member: Member, members: string): Promise<void> {
    const end = Date.now() + 60_000;
    for (;;) {
      const status = await member.status();
      if (status.members.join(' ') === members && status.leader !== undefined) return;
      if (Date.now() > end) expect(status.members.join(' ')).to.equal(members);
      await sleep(50);
    }
  }

  /** Waits until writes that were submitted from now on are acknowledged. */
  async function progress(member: Member): Promise<void> {
    const before = member.acknowledged.length;
    const end = Date.now() + 60_000;
    while (member.acknowledged.length <= before + load.writers) {
      if (Date.now() > end) expect.fail(`no write of ${member.setup.id} was acknowledged for a minute`);
      await sleep(20);
    }
  }

  /** Waits until `other` has what `member` has. Before that it may miss what was acknowledged with the witness. */
  async function evened(member: Member, other: Member): Promise<void> {
    const { appliedIndex } = await member.status();
    const end = Date.now() + 60_000;
    while ((await other.status()).appliedIndex < appliedIndex) {
      if (Date.now() > end) expect.fail(`${other.setup.id} did not catch up within a minute`);
      await sleep(20);
    }
  }

  async function stop(member: Member): Promise<void> {
    const stopped = member.expect('stopped');
    member.send({ type: 'stop' });
    await stopped;
  }

  it('bears the loss of any one, and never goes on without what was acknowledged', async () => {
    cluster = await Cluster.start(['a', 'b', 'w'], {
      snapshotLogBytes: 64 * 2 ** 20,
      founders: ['a', 'b'],
      witnesses: ['w'],
    });
    const [a, b, w] = cluster.members as [Member, Member, Member];
    await w.start();
    await reach(a, '<w> a b');
    a.send(load);
    await progress(a);

    // Each of the others in turn, under the load of a.
    for (const other of [w, b]) {
      await other.kill();
      await progress(a);
      await other.start();
      await progress(a);
    }
    await stop(a);
    await evened(a, b);
    await a.kill();
    b.send(load);
    await progress(b);
    await stop(b);
    await a.start();
    await reach(a, '<w> a b');
    await evened(b, a);

    // What a and the witness have alone, b may not miss: w gives it no vote.
    await b.kill();
    a.send(load);
    await progress(a);
    await stop(a);
    await a.kill();
    await b.start();
    await sleep(IN_VAIN_MS);
    expect((await b.status()).role).to.not.equal('leader');
    expect((await w.status()).role).to.equal('witness');
    await a.start();
    b.send(load);
    await progress(b);
    await stop(b);

    const ids = [...a.acknowledged, ...b.acknowledged];
    for (const member of [a, b]) {
      const checked = member.expect('checked');
      member.send({ type: 'check', ids });
      const { odd, doubled } = await checked;
      expect(odd, 'acknowledged writes that are not there exactly once').to.deep.equal([]);
      expect(doubled, 'writes that were applied twice').to.deep.equal([]);
    }
    expect(ids.length).to.be.above(200);
    expect(await diskBytes(w), 'bytes of the disk of the witness').to.be.below((await diskBytes(a)) / 4);
    for (const member of [w, b, a]) expect(await member.close()).to.equal(0);
  });
});

/** What a member takes of its disk. */
async function diskBytes({ setup }: Member): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(setup.directory, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name))).blocks * 512;
  return bytes;
}
