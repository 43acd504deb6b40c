/** Hosts that cannot reach each other, in all the ways there are: nothing acknowledged is lost, and everything heals. */
import { expect } from 'chai';
import { sleep } from './support/processes.js';
import { labDescribe } from './support/requirements.js';
import { Stage } from './support/stage.js';

const calmMs = 2500;
const cutMs = 6000;
const patience = 30_000;

type Pairs = readonly (readonly [observer: string, peer: string])[];

const across = (left: readonly string[], right: readonly string[]): Pairs =>
  left.flatMap((a) => right.flatMap((b): Pairs => [[a, b], [b, a]])); // prettier-ignore

labDescribe('hosts that are cut off', [], () => {
  let stage: Stage | undefined;
  afterEach(async () => {
    await stage?.close();
    stage = undefined;
  });

  it('symmetric partition, the leader in the minority: the majority goes on, the minority does not', async () => {
    const ids = ['a', 'b', 'c', 'd', 'e'];
    stage = await Stage.open({ scenario: 'partition 2 \\| 3, leader in the minority', ids });
    await stage.calm(calmMs);
    const leader = stage.leader!;
    const minority = [leader, ids.find((id) => id !== leader)!];
    const majority = ids.filter((id) => !minority.includes(id));
    await stage.disturb(() => stage!.lab.partition([minority, majority]));
    await stage.detected(across(minority, majority), patience);
    await sleep(cutMs);
    const since = stage.since(cutMs);
    expect(stage.commitsDuring(minority, since), 'commits in the minority').to.equal(0);
    expect(stage.commitsDuring(majority, since), 'commits in the majority').to.be.above(0);
    await stage.heal(() => stage!.lab.heal());
    await stage.recovered(patience);
    const row = await stage.finish();
    expect(row.elections, 'elections').to.be.at.least(1);
  });

  it('symmetric partition, the leader in the majority: no election', async () => {
    const ids = ['a', 'b', 'c', 'd', 'e'];
    stage = await Stage.open({ scenario: 'partition 3 \\| 2, leader in the majority', ids });
    await stage.calm(calmMs);
    const leader = stage.leader!;
    const majority = [leader, ...ids.filter((id) => id !== leader).slice(0, 2)];
    const minority = ids.filter((id) => !majority.includes(id));
    await stage.disturb(() => stage!.lab.partition([minority, majority]));
    await stage.detected(across(minority, majority), patience);
    await sleep(cutMs);
    expect(stage.commitsDuring(majority, stage.since(cutMs)), 'commits in the majority').to.be.above(0);
    await stage.heal(() => stage!.lab.heal());
    await stage.recovered(patience);
    // The minority asks before it campaigns, so its return disturbs nobody.
    expect((await stage.finish()).elections, 'elections').to.equal(0);
  });

  it('a follower hears nobody, and is heard', async () => {
    const ids = ['a', 'b', 'c'];
    stage = await Stage.open({ scenario: 'one-way cut: a follower hears nobody', ids });
    await stage.calm(calmMs);
    const deaf = ids.find((id) => id !== stage!.leader)!;
    const others = ids.filter((id) => id !== deaf);
    await stage.disturb(async () => {
      for (const id of others) await stage!.lab.cutOneWay(id, deaf);
    });
    await stage.detected(across([deaf], others), patience);
    await sleep(cutMs);
    expect(stage.commitsDuring(others, stage.since(cutMs)), 'commits of the others').to.be.above(0);
    await stage.heal(() => stage!.lab.heal());
    await stage.recovered(patience);
    await stage.finish();
  });

  it('the leader is heard by nobody, and hears', async () => {
    const ids = ['a', 'b', 'c'];
    stage = await Stage.open({ scenario: 'one-way cut: nobody hears the leader', ids });
    await stage.calm(calmMs);
    const mute = stage.leader!;
    const others = ids.filter((id) => id !== mute);
    await stage.disturb(async () => {
      for (const id of others) await stage!.lab.cutOneWay(mute, id);
    });
    await stage.detected(across([mute], others), patience);
    await sleep(cutMs);
    expect(stage.commitsDuring(others, stage.since(cutMs)), 'commits of the others').to.be.above(0);
    expect(stage.commitsDuring([mute], stage.since(cutMs)), 'commits of the old leader').to.equal(0);
    await stage.heal(() => stage!.lab.heal());
    await stage.recovered(patience);
    await stage.finish();
  });

  it('the leader and a follower cannot reach each other, a third reaches both', async () => {
    const ids = ['a', 'b', 'c'];
    stage = await Stage.open({ scenario: 'partial partition: leader and a follower cut', ids });
    await stage.calm(calmMs);
    const leader = stage.leader!;
    const [cut, bridge] = ids.filter((id) => id !== leader) as [string, string];
    await stage.disturb(() => stage!.lab.cut(leader, cut));
    await stage.detected(across([leader], [cut]), patience);
    await sleep(cutMs);
    expect(stage.commitsDuring([leader, bridge], stage.since(cutMs)), 'commits').to.be.above(0);
    if (stage.relayed) {
      expect(stage.commitsDuring([cut], stage.since(cutMs)), 'commits of the one that is cut').to.be.above(0);
    }
    await stage.heal(() => stage!.lab.heal());
    await stage.recovered(patience);
    const { relayed } = stage;
    const row = await stage.finish();
    if (relayed) expect(row.elections, 'elections with a way around').to.equal(0);
  });

  it('two followers cannot reach each other: nobody minds', async () => {
    const ids = ['a', 'b', 'c'];
    stage = await Stage.open({ scenario: 'partial partition: two followers cut', ids });
    await stage.calm(calmMs);
    const [one, other] = ids.filter((id) => id !== stage!.leader) as [string, string];
    await stage.disturb(() => stage!.lab.cut(one, other));
    await stage.detected(across([one], [other]), patience);
    await sleep(cutMs);
    for (const id of ids)
      expect(stage.commitsDuring([id], stage.since(cutMs)), `commits of ${id}`).to.be.above(0);
    await stage.heal(() => stage!.lab.heal());
    await stage.recovered(patience);
    expect((await stage.finish()).elections, 'elections').to.equal(0);
  });

  it('a chain of five: each host reaches its neighbours only', async () => {
    const ids = ['a', 'b', 'c', 'd', 'e'];
    stage = await Stage.open({ scenario: 'chain of five', ids });
    await stage.calm(calmMs);
    // The leader in the middle keeps a majority of direct links: no node has a reason to vote for another.
    const leader = stage.leader!;
    const chain = ids.filter((id) => id !== leader);
    chain.splice(2, 0, leader);
    const apart = chain.flatMap((a, at) => chain.slice(at + 2).map((b) => [a, b] as const));
    await stage.disturb(() => Promise.all(apart.map(([a, b]) => stage!.lab.cut(a, b))));
    await stage.detected(
      apart.flatMap(([a, b]) => across([a], [b])),
      patience,
    );
    await sleep(cutMs);
    if (stage.relayed) {
      for (const id of ids)
        expect(stage.commitsDuring([id], stage.since(cutMs)), `commits of ${id}`).to.be.above(0);
    }
    await stage.heal(() => stage!.lab.heal());
    await stage.recovered(patience);
    const { relayed } = stage;
    const row = await stage.finish();
    if (relayed) expect(row.elections, 'elections with a way around').to.equal(0);
  });
});
