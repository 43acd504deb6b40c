/** Paths that are bad and not broken: lossy, slow, narrow, flapping. */
import { expect } from 'chai';
import { long } from './support/long.js';
import { now, sleep } from './support/processes.js';
import { labDescribe } from './support/requirements.js';
import { Stage } from './support/stage.js';

const calmMs = 2500;
const patience = 60_000;
const spoiltMs = long ? 300_000 : 15_000;
const flapMs = long ? 600_000 : 60_000;
const ids = ['a', 'b', 'c'];

labDescribe('bad paths', ['cc'], function () {
  this.timeout(long ? 1_800_000 : 180_000);
  let stage: Stage | undefined;
  afterEach(async () => {
    await stage?.close();
    stage = undefined;
  });

  const shaped = { hosts: { a: { shaped: true }, b: { shaped: true }, c: { shaped: true } } };

  it('5 % loss, 20 to 100 ms of delay, with jitter', async () => {
    stage = await Stage.open({ scenario: '5 % loss, 20–100 ms delay and jitter', ids, ...shaped });
    await stage.calm(calmMs);
    // A path is two hosts' links: 1 - 0.975² is 4.9 %; its delay is the sum of two, jitter included 20 to 100 ms.
    const delays = { a: 20, b: 30, c: 40 };
    await stage.disturb(async () => {
      for (const [id, delayMs] of Object.entries(delays))
        await stage!.lab.shape(id, { delayMs, jitterMs: 15, lossPercent: 2.5 });
    });
    await sleep(spoiltMs);
    const lost = await Promise.all(ids.map(async (id) => (await stage!.lab.counts(id, 'up')).lost));
    expect(Math.min(...lost), 'frames that the forwarder lost').to.be.above(0);
    for (const id of ids)
      expect(stage.commitsDuring([id], stage.since(spoiltMs)), `commits of ${id}`).to.be.above(0);
    await stage.heal(async () => {
      for (const id of ids) await stage!.lab.shape(id, { delayMs: 0, jitterMs: 0, lossPercent: 0 });
    });
    await stage.recovered(patience);
    await stage.finish();
  });

  it('1 Mbit/s', async () => {
    const load = { clients: 16, keys: 64, pauseMs: 0 };
    stage = await Stage.open({ scenario: '1 Mbit/s, 16 clients a node', ids, ...shaped, load });
    await stage.calm(calmMs);
    await stage.disturb(async () => {
      for (const id of ids) await stage!.lab.shape(id, { bitsPerSecond: 1_000_000 });
    });
    await sleep(spoiltMs);
    for (const id of ids)
      expect(stage.commitsDuring([id], stage.since(spoiltMs)), `commits of ${id}`).to.be.above(0);
    await stage.heal(async () => {
      for (const id of ids) await stage!.lab.shape(id, { bitsPerSecond: 0 });
    });
    await stage.recovered(patience);
    await stage.finish();
  });

  it('a link that flaps each second', async () => {
    stage = await Stage.open({ scenario: `leader's link flaps each second, ${flapMs / 1000} s`, ids });
    await stage.calm(calmMs);
    const leader = stage.leader!;
    const other = ids.find((id) => id !== leader)!;
    await stage.disturb(async () => {
      const end = now() + flapMs;
      for (let cut = true; now() < end; cut = !cut) {
        await (cut ? stage!.lab.cut(leader, other) : stage!.lab.heal(leader, other));
        await sleep(1000);
      }
    });
    for (const id of ids)
      expect(stage.commitsDuring([id], stage.since(flapMs)), `commits of ${id}`).to.be.above(0);
    await stage.heal(() => stage!.lab.heal());
    await stage.recovered(patience);
    await stage.finish();
  });
});
