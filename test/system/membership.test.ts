/**
 * Members come and go over real processes, data channels and disks, under load: 1 → 5 → 1, with kill -9 in the middle of changes,
 * and a disk that is lost.
 */
import { expect } from 'chai';
import { Cluster, type Member } from './support/cluster.js';

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const load = { type: 'write', writers: 3 } as const;

describe('members that come and go under load', function () {
  this.timeout(300_000);
  let cluster: Cluster;
  afterEach(() => cluster.destroy());

  const named = (id: string): Member => cluster.members.find(({ setup }) => setup.id === id)!;

  /** Waits until a member knows these as the members, learners in brackets; answers who leads. */
  async function reach(member: Member, members: string): Promise<string> {
    const end = Date.now() + 60_000;
    for (;;) {
      const status = await member.status();
      if (status.members.join(' ') === members && status.leader !== undefined) return status.leader;
      if (Date.now() > end)
        expect(status.members.join(' '), `the members that ${member.setup.id} knows`).to.equal(members);
      await sleep(50);
    }
  }

  async function killAndRestart(member: Member, ms: number): Promise<void> {
    const writes = member.setup.id === 'a';
    await member.kill();
    await sleep(ms);
    await member.start();
    if (writes) member.send(load);
  }

  /** Whether a write that is submitted from now on is acknowledged within `ms`. */
  async function progresses(member: Member, ms: number): Promise<boolean> {
    const before = member.acknowledged.length;
    const end = Date.now() + ms;
    // Those that were under way may have been committed before.
    while (member.acknowledged.length <= before + load.writers) {
      if (Date.now() > end) return false;
      await sleep(20);
    }
    return true;
  }

  async function progress(member: Member): Promise<void> {
    if (!(await progresses(member, 60_000)))
      expect.fail(`no write of ${member.setup.id} was acknowledged for a minute`);
  }

  it('grow from one to five and shrink again; nothing acknowledged is lost, nothing is done twice', async () => {
    cluster = await Cluster.start(['a', 'b', 'c', 'd', 'e'], {
      snapshotLogBytes: 64 * 1024,
      founders: ['a'],
    });
    const [a, b, c, d, e] = ['a', 'b', 'c', 'd', 'e'].map(named) as [Member, Member, Member, Member, Member];
    a.send(load);
    await progress(a);
    await Promise.all([b.start(), c.start()]);
    const leader = await reach(a, 'a b c');
    // The leader is killed while two newcomers learn, or are about to vote.
    await Promise.all([d.start(), e.start()]);
    await sleep(Math.random() * 400);
    await killAndRestart(named(leader), 300);
    await reach(a, 'a b c d e');
    await progress(a);

    // A disk is lost, and another process comes in its place. That it counts again shows when two others are gone.
    const others = [b, c, d, e];
    const wiped = others.splice(Math.floor(Math.random() * others.length), 1)[0]!;
    await wiped.wipe();
    await reach(wiped, 'a b c d e');
    const gone = others.slice(0, 2);
    let counts = false;
    for (let tries = 0; tries < 10 && !counts; tries++) {
      await progress(a);
      await Promise.all(gone.map((member) => member.kill()));
      // Until it is admitted again two of the five are left, and nothing is acknowledged.
      counts = await progresses(a, 5000);
      await Promise.all(gone.map((member) => member.start()));
    }
    expect(counts, 'a member with an empty disk was admitted again, and counts').to.equal(true);
    await progress(a);

    // Asked of a member that goes itself, and killed before anybody knows what became of it.
    const asked = others[2]!;
    asked.send({ type: 'change', remove: [asked.setup.id, gone[0]!.setup.id] });
    await sleep(Math.random() * 200);
    await asked.kill();
    const left = ['a', gone[1]!.setup.id, wiped.setup.id].sort();
    // Whether or not it came about: asking again is no harm.
    expect(await a.ask({ type: 'change', remove: [asked.setup.id, gone[0]!.setup.id] })).to.equal('');
    await reach(a, left.join(' '));
    // The leader goes in the middle of the last change.
    const last = a.ask({ type: 'change', remove: left.filter((id) => id !== 'a') }).catch(() => 'killed');
    await sleep(Math.random() * 100);
    const { leader: now } = await wiped.status();
    if (now !== undefined) await killAndRestart(named(now), 200);
    if ((await last) !== '')
      expect(await a.ask({ type: 'change', remove: left.filter((id) => id !== 'a') })).to.equal('');
    await reach(a, 'a');
    await Promise.all([b, c, d, e].map((member) => member.kill()));
    await progress(a);

    const stopped = a.expect('stopped');
    a.send({ type: 'stop' });
    await stopped;
    expect(a.acknowledged.length).to.be.above(500);
    const checked = a.expect('checked');
    a.send({ type: 'check', ids: a.acknowledged });
    const { odd, doubled } = await checked;
    expect(odd, 'acknowledged writes that are not there exactly once').to.deep.equal([]);
    expect(doubled, 'writes that were applied twice').to.deep.equal([]);
    expect(await a.close()).to.equal(0);
  });
});
