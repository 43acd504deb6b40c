/** Kill -9 under load, over real processes, data channels and disks: nothing acknowledged is lost, nothing is done twice. */
import { expect } from 'chai';
import { Cluster } from './support/cluster.js';

const kills = 20;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe('kill -9 of random members under load', function () {
  this.timeout(300_000);
  let cluster: Cluster;
  afterEach(() => cluster.destroy());

  it(`loses no acknowledged write and applies none twice, through ${kills} kills`, async () => {
    cluster = await Cluster.start(['a', 'b', 'c'], { snapshotLogBytes: 256 * 1024 });
    const { members } = cluster;
    for (const member of members) member.send({ type: 'write', writers: 8 });
    for (let kill = 0; kill < kills; kill++) {
      await sleep(300 + Math.random() * 700);
      const victim = members[Math.floor(Math.random() * members.length)]!;
      await victim.kill();
      await sleep(Math.random() * 800);
      await victim.start();
      victim.send({ type: 'write', writers: 8 });
    }
    await sleep(2000);
    const stopped = members.map((member) => member.expect('stopped'));
    for (const member of members) member.send({ type: 'stop' });
    await Promise.all(stopped);

    const ids = members.flatMap((member) => member.acknowledged);
    expect(ids.length).to.be.greaterThan(1000);
    const checks = members.map((member) => member.expect('checked'));
    for (const member of members) member.send({ type: 'check', ids });
    const results = await Promise.all(checks);
    for (const [at, { odd, doubled }] of results.entries()) {
      expect(
        odd,
        `acknowledged writes that ${members[at]!.setup.id} does not hold exactly once`,
      ).to.deep.equal([]);
      expect(doubled, `writes that ${members[at]!.setup.id} applied twice`).to.deep.equal([]);
    }
    expect(new Set(results.map(({ digest }) => digest)).size, 'different states').to.equal(1);
    expect(await Promise.all(members.map((member) => member.close()))).to.deep.equal([0, 0, 0]);
  });
});
