/** Hosts in awkward places: behind NATs, on the move, without a rendezvous. */
import { expect } from 'chai';
import { sleep, until } from './support/processes.js';
import { labDescribe } from './support/requirements.js';
import { Stage } from './support/stage.js';

const calmMs = 2500;
const patience = 60_000;
const ids = ['a', 'b', 'c'];

labDescribe('awkward places', [], () => {
  let stage: Stage | undefined;
  afterEach(async () => {
    await stage?.close();
    stage = undefined;
  });

  it('the leader changes network', async () => {
    stage = await Stage.open({ scenario: "the leader's address changes", ids });
    await stage.calm(calmMs);
    const mover = stage.leader!;
    const others = ids.filter((id) => id !== mover);
    await stage.disturb(() => stage!.lab.setAddress(mover, 123));
    // A mesh that watches its addresses may be quicker than anybody's detector.
    await stage
      .detected(
        others.flatMap((id) => [[id, mover] as const, [mover, id] as const]),
        10_000,
      )
      .catch(() => undefined);
    await stage.whole(patience);
    await stage.selfHealed();
    await stage.recovered(patience);
    await stage.finish();
  });

  it('a link is lost while the rendezvous is gone for good', async () => {
    stage = await Stage.open({ scenario: 'rendezvous gone, then two followers cut', ids });
    await stage.calm(calmMs);
    const [one, other] = ids.filter((id) => id !== stage!.leader) as [string, string];
    await stage.rendezvous.kill();
    await sleep(500);
    await stage.disturb(() => stage!.lab.cut(one, other));
    await stage.detected(
      [
        [one, other],
        [other, one],
      ],
      patience,
    );
    await sleep(3000);
    for (const id of ids)
      expect(stage.commitsDuring([id], stage.since(3000)), `commits of ${id}`).to.be.above(0);
    await stage.heal(() => stage!.lab.heal());
    // Members that share no rendezvous find each other again through the mesh, where the mesh can do that.
    if (stage.seesPartitions) await stage.recovered(patience);
    else await stage.served(patience);
    expect((await stage.finish()).elections, 'elections').to.equal(0);
  });
});

labDescribe('behind NATs', ['turnserver'], () => {
  let stage: Stage | undefined;
  afterEach(async () => {
    await stage?.close();
    stage = undefined;
  });

  it('two nodes behind different NATs form a group with a third, with STUN alone', async () => {
    const hosts = { a: { nat: 'port-preserving' }, b: { nat: 'port-preserving' } } as const;
    stage = await Stage.open({ scenario: 'two NATs that keep ports', ids, hosts, turn: true });
    await stage.calm(calmMs);
    await stage.disturb(() => stage!.turn!.kill());
    await sleep(4000);
    await stage.heal(async () => undefined);
    await stage.recovered(patience);
    const row = await stage.finish();
    expect(row.linksLost, 'links that needed the server').to.equal(0);
  });

  it('two nodes behind different NATs form a group with a third, through a TURN server', async () => {
    const hosts = { a: { nat: 'random' }, b: { nat: 'random' } } as const;
    stage = await Stage.open({
      scenario: 'two symmetric NATs and TURN; TURN dies and returns',
      ids,
      hosts,
      turn: true,
    });
    const before = await stage.lab.received('turn');
    await stage.calm(calmMs);
    expect(await stage.lab.received('turn'), 'packets at the TURN server').to.be.above(before + 20);
    await stage.disturb(() => stage!.turn!.kill());
    await stage.detected(
      [
        ['a', 'b'],
        ['b', 'a'],
      ],
      patience,
    );
    await sleep(3000);
    expect(stage.commitsDuring(['c'], stage.since(3000)), 'commits of the one that reaches both').to.be.above(
      0,
    );
    await stage.heal(() => stage!.restartTurn());
    await stage.recovered(patience);
    await until('traffic at the TURN server', () => stage!.turn!.end === undefined, patience);
    await stage.finish();
  });

  it('nodes that take nothing but relayed paths form a group, and again when the TURN server was gone', async () => {
    stage = await Stage.open({
      scenario: 'relayed paths only; TURN dies and returns',
      ids,
      turn: true,
      relayOnly: true,
    });
    const before = await stage.lab.received('turn');
    await stage.calm(calmMs);
    expect(await stage.lab.received('turn'), 'packets at the TURN server').to.be.above(before + 100);
    await stage.disturb(() => stage!.turn!.kill());
    await stage.detected(
      ids.flatMap((id) => ids.filter((other) => other !== id).map((other) => [id, other] as const)),
      patience,
    );
    await stage.heal(() => stage!.restartTurn());
    await stage.recovered(patience);
    await stage.finish();
  });
});
