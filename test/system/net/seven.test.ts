/** Seven hosts: a full mesh, and any three deaths. */
import { expect } from 'chai';
import { long } from './support/long.js';
import { sleep } from './support/processes.js';
import { labDescribe } from './support/requirements.js';
import { Stage } from './support/stage.js';

const ids = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
const calmMs = 2500;
const patience = 60_000;

labDescribe('seven hosts', [], function () {
  this.timeout(long ? 3_600_000 : 180_000);
  let stage: Stage | undefined;
  afterEach(async () => {
    await stage?.close();
    stage = undefined;
  });

  /** Kills three at once, sees the rest go on, and has them back. */
  async function killThree(stage: Stage, victims: readonly string[]): Promise<void> {
    const rest = ids.filter((id) => !victims.includes(id));
    await stage.disturb(() => Promise.all(victims.map((id) => stage.member(id).kill())));
    await stage.detected(
      rest.flatMap((id) => victims.map((victim) => [id, victim] as const)),
      patience,
    );
    await sleep(4000);
    expect(stage.commitsDuring(rest, stage.since(2000)), `commits without ${victims.join(' ')}`).to.be.above(
      0,
    );
    await stage.heal(() => Promise.all(victims.map((id) => stage.restart(id))));
    await stage.recovered(patience);
  }

  it('form a full mesh, and survive the death of the leader and two more', async () => {
    stage = await Stage.open({ scenario: 'seven: leader and two followers killed, restarted', ids });
    await stage.calm(calmMs);
    const leader = stage.leader!;
    await killThree(stage, [leader, ...ids.filter((id) => id !== leader).slice(0, 2)]);
    expect((await stage.finish()).elections, 'elections').to.be.at.least(1);
  });

  it('survive the death of three followers', async () => {
    stage = await Stage.open({ scenario: 'seven: three followers killed, restarted', ids });
    await stage.calm(calmMs);
    await killThree(stage, ids.filter((id) => id !== stage!.leader).slice(-3));
    expect((await stage.finish()).elections, 'elections').to.equal(0);
  });

  (long ? it : it.skip)('survive every three deaths there are (QUORATE_LAB_LONG=1)', async () => {
    stage = await Stage.open({ scenario: 'seven: all 35 triples killed, one after the other', ids });
    await stage.calm(calmMs);
    for (const [i, one] of ids.entries())
      for (const [j, two] of ids.slice(i + 1).entries())
        for (const three of ids.slice(i + j + 2)) await killThree(stage, [one, two, three]);
    await stage.finish();
  });
});
