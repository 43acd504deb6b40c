import { expect } from 'chai';
import { found, members, Rig } from './rig.js';

const trio = members(['a', 'b', 'c']);

function elected(): Rig {
  return new Rig({ recovered: found(trio, [1, 1], { commit: 2 }) }).link('b', 'c').lead('b').flush();
}

/** A leader whose reign is settled at index 3. */
function leader(): Rig {
  const rig = elected();
  for (const id of ['b', 'c']) rig.ack(id, 3);
  rig.drain().sent = [];
  return rig;
}

function follower(): Rig {
  const rig = new Rig({ recovered: found(trio, [1], { term: 2, commit: 1 }) }).link('b', 'c');
  rig.beat('b', 2);
  rig.flush().sent = [];
  return rig;
}

describe('reads', () => {
  it('are confirmed together, by one round that a quorum answers', () => {
    const rig = leader();
    for (const context of [1, 2, 3]) expect(rig.core.read(rig.now, context)).to.deep.equal({ ok: true });
    rig.drain();
    const [beat, ...more] = rig.take('heartbeat', 'b');
    expect(more).to.deep.equal([]);
    expect(rig.reads).to.deep.equal([]);
    rig.ack('b', 3, { round: beat!.round });
    rig.drain();
    expect(rig.reads).to.deep.equal([1, 2, 3].map((context) => ({ context, index: 3 })));
    rig.ack('c', 3, { round: beat!.round });
    rig.drain();
    expect(rig.reads).to.have.length(3);
  });

  // Pitfall 2 (etcd#20418): the answer to an older heartbeat says nothing of a newer read.
  it('are not confirmed by the answer to an older round', () => {
    const rig = leader();
    rig.core.read(rig.now, 1);
    rig.drain();
    const old = rig.take('heartbeat', 'b')[0]!.round;
    rig.core.read(rig.now, 2);
    rig.drain();
    const fresh = rig.take('heartbeat', 'b')[0]!.round;
    expect(fresh).to.be.above(old);
    rig.ack('b', 3, { round: old });
    rig.drain();
    expect(rig.reads.map((r) => r.context)).to.deep.equal([1]);
    rig.ack('b', 3, { round: fresh });
    rig.drain();
    expect(rig.reads.map((r) => r.context)).to.deep.equal([1, 2]);
  });

  // Pitfall 1 (etcd#7331): before an entry of its own term is committed, the commit index may be behind what was acknowledged.
  it('wait at a new leader until an entry of its reign is committed', () => {
    const rig = elected();
    rig.core.read(rig.now, 1);
    rig.drain();
    const round = Math.max(...rig.take('heartbeat', 'b').map((m) => m.round), 1);
    rig.ack('b', 0, { round });
    rig.drain();
    expect(rig.reads).to.deep.equal([]);
    rig.ack('b', 3);
    rig.drain();
    const next = rig.take('heartbeat', 'b').find((m) => m.round > round)!;
    rig.ack('b', 3, { round: next.round });
    rig.drain();
    expect(rig.reads).to.deep.equal([{ context: 1, index: 3 }]);
  });

  it('are answered at once where there is nobody to ask', () => {
    const rig = new Rig({ founders: ['a'] });
    rig.core.tick(0);
    rig.flush();
    rig.core.read(0, 1);
    rig.drain();
    expect(rig.reads).to.deep.equal([{ context: 1, index: 1 }]);
  });

  it('fail, each once, when the leader steps down', () => {
    const rig = leader();
    rig.core.read(rig.now, 1);
    rig.receive('c', { type: 'read', batch: 9 });
    rig.drain();
    rig.core.read(rig.now, 2);
    rig.ack('b', 3, { term: 8 });
    rig.drain();
    expect(rig.failed).to.deep.equal([1, 2]);
    expect(rig.take('readReply', 'c')).to.deep.equal([{ type: 'readReply', batch: 9, index: 0 }]);
    rig.ack('b', 3, { round: 5, term: 2 });
    rig.pass(1000).drain();
    expect([rig.failed.length, rig.reads.length]).to.deep.equal([2, 0]);
  });

  it('of a follower go to the leader, those of a turn in one message', () => {
    const rig = follower();
    for (const context of [1, 2]) rig.core.read(rig.now, context);
    rig.drain();
    const asks = rig.take('read', 'b');
    expect(asks).to.have.length(1);
    rig.receive('c', { type: 'readReply', batch: asks[0]!.batch, index: 5 });
    rig.receive('b', { type: 'readReply', batch: asks[0]!.batch + 1, index: 5 });
    expect(rig.drain().reads).to.deep.equal([]);
    rig.receive('b', { type: 'readReply', batch: asks[0]!.batch, index: 7 });
    rig.receive('b', { type: 'readReply', batch: asks[0]!.batch, index: 9 });
    rig.drain();
    expect(rig.reads).to.deep.equal([1, 2].map((context) => ({ context, index: 7 })));
  });

  it('of a follower are answered by the leader like its own', () => {
    const rig = leader();
    rig.receive('c', { type: 'read', batch: 77 });
    rig.drain();
    const { round } = rig.take('heartbeat', 'b')[0]!;
    expect(rig.take('readReply')).to.deep.equal([]);
    rig.ack('b', 3, { round });
    rig.drain();
    expect(rig.take('readReply', 'c')).to.deep.equal([{ type: 'readReply', batch: 77, index: 3 }]);
  });

  // A simulated cluster found them open for ever: heartbeats put off every other deadline.
  it('of a follower whose leader is heard all the time still end when the answer is lost', () => {
    const rig = follower();
    rig.core.read(rig.now, 1);
    rig.drain();
    for (let i = 0; i < 20; i++) {
      rig.now += 50;
      rig.beat('b', 2);
      rig.drain();
      if (rig.core.nextDeadline() <= rig.now) rig.core.tick(rig.now);
      rig.drain();
    }
    expect(rig.failed).to.deep.equal([1]);
  });

  it('are refused by who does not lead', () => {
    const rig = follower();
    rig.receive('c', { type: 'read', batch: 3 });
    rig.drain();
    expect(rig.take('readReply', 'c')[0]!.index).to.equal(0);
    const alone = new Rig({ recovered: found(trio, [1]) });
    expect(alone.core.read(0, 1)).to.deep.equal({ ok: false, why: 'notLeader' });
  });

  // Pitfall 3 (etcd#11483): reads dropped in silence.
  for (const [what, lose] of [
    [
      'the leader says no',
      (rig: Rig, batch: number) => rig.receive('b', { type: 'readReply', batch, index: 0 }),
    ],
    ['the leader changes', (rig: Rig) => rig.beat('c', 3)],
    ['the link is new', (rig: Rig) => rig.meet('b', { session: 2 })],
    ['the link breaks', (rig: Rig) => rig.meet('b', { up: false })],
    [
      'the answer is lost',
      (rig: Rig) => {
        for (let i = 0; i < 8; i++) {
          rig.pass(100);
          rig.beat('b', 2);
        }
      },
    ],
    ['the leader is silent', (rig: Rig) => rig.pass(700)],
  ] as const) {
    it(`of a follower fail when ${what}`, () => {
      const rig = follower();
      rig.core.read(rig.now, 1);
      rig.drain();
      const { batch } = rig.take('read', 'b')[0]!;
      rig.core.read(rig.now, 2);
      lose(rig, batch);
      rig.drain();
      expect(rig.failed).to.include(1);
      rig.receive('b', { type: 'readReply', batch, index: 9 });
      rig.drain();
      expect(rig.reads.map((r) => r.context)).to.not.include(1);
      expect(rig.failed.filter((context) => context === 1)).to.have.length(1);
    });
  }

  it('are bounded in number', () => {
    const rig = new Rig({
      recovered: found(trio, [1], { commit: 1 }),
      options: { maxPendingReads: 2 },
    })
      .link('b', 'c')
      .lead('b')
      .flush();
    rig.ack('b', 2);
    rig.core.read(rig.now, 1);
    rig.drain();
    rig.core.read(rig.now, 2);
    expect(rig.core.read(rig.now, 3)).to.deep.equal({ ok: false, why: 'quota' });
    rig.receive('c', { type: 'read', batch: 5 });
    rig.drain();
    expect(rig.take('readReply', 'c')[0]!.index).to.equal(0);
    rig.ack('b', 2, { round: 3 });
    rig.drain();
    expect(rig.reads).to.have.length(2);
    expect(rig.core.read(rig.now, 4)).to.deep.equal({ ok: true });
  });
});
