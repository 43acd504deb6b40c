/** Leases (dissertation §6.4.1), one core at a time; lib/testing/consensus/leases.ts has whole nodes. */
import { expect } from 'chai';
import { configEntry, entry, found, foundEntries, members, Rig } from './rig.js';
import type { NodeId, Recovered } from '../../../lib/consensus/consensus.js';
import type { RaftOptions } from '../../../lib/consensus/raft/options.js';

const trio = members(['a', 'b', 'c']);
const lease: RaftOptions = { lease: { maxDrift: 0 } };

/** A leader in term 2 whose reign is settled at index 3; b and c hold all of it, and have promised nothing yet. */
function leader(
  options: RaftOptions = lease,
  recovered: Recovered = found(trio, [1, 1], { commit: 2 }),
): Rig {
  const rig = new Rig({ recovered, options });
  rig.link('b', 'c').lead('b').flush();
  for (const id of ['b', 'c']) rig.ack(id, 3);
  rig.flush().sent = [];
  return rig;
}

/** Lets the next heartbeat be sent; answers its round. */
function beat(rig: Rig): number {
  rig.sent = [];
  for (let i = 0; i < 10; i++) {
    rig.pass(10).flush();
    const [sent] = rig.take('heartbeat').filter(({ round }) => round > 0);
    if (sent !== undefined) return sent.round;
  }
  throw new Error(`no heartbeat of ${rig.status.role}`);
}

function promise(rig: Rig, from: NodeId, round: number, matched = 3): Rig {
  rig.ack(from, matched, { round, promised: true });
  return rig.flush();
}

let contexts = 0;

/** Whether a read is answered at once. */
function readsAtOnce(rig: Rig): boolean {
  const context = ++contexts;
  expect(rig.core.read(rig.now, context)).to.deep.equal({ ok: true });
  rig.flush();
  return rig.reads.some((read) => read.context === context);
}

/** Of term 2, with leader b. */
function follower(o: { options?: RaftOptions; recovered?: Recovered } = {}): Rig {
  const { options = {}, recovered = found(trio, [1, 1], { term: 2, commit: 2 }) } = o;
  const rig = new Rig({ recovered, options }).link('b', 'c');
  rig.flush().sent = [];
  return rig;
}

/** Whether c gets the vote, or the pre-vote. */
function grants(
  rig: Rig,
  o: { pre?: boolean; transfer?: boolean; to?: NodeId; term?: number } = {},
): boolean {
  rig.sent = [];
  const { pre = false, transfer = false, to = 'c', term = 3 } = o;
  rig.ask(to, { term, pre, transfer });
  rig.flush();
  return rig.take('voteReply', to)[0]!.granted;
}

describe('a lease, at the leader', () => {
  it('answers reads at once, its own and those of followers, and sends nothing for it', () => {
    const rig = leader();
    promise(rig, 'b', beat(rig));
    rig.sent = [];
    expect(readsAtOnce(rig)).to.equal(true);
    expect(rig.reads.at(-1)).to.include({ index: 3 });
    rig.receive('c', { type: 'read', batch: 7 });
    rig.flush();
    expect(rig.sent.map(({ message }) => message)).to.deep.equal([{ type: 'readReply', batch: 7, index: 3 }]);
  });

  it('is off unless it is asked for', () => {
    const rig = leader({});
    const round = beat(rig);
    promise(rig, 'b', round);
    expect(readsAtOnce(rig)).to.equal(false);
    expect(rig.sent.every(({ message }) => message.type !== 'heartbeat' || message.promiseMs === 0)).to.equal(
      true,
    );
  });

  it('needs a promise, not just an answer, of a quorum', () => {
    const rig = leader();
    const round = beat(rig);
    rig.ack('b', 3, { round });
    rig.flush();
    expect(readsAtOnce(rig)).to.equal(false);
    const quintet = members(['a', 'b', 'c', 'd', 'e']);
    const five = new Rig({ recovered: found(quintet, [1, 1], { commit: 2 }), options: lease });
    five.link('b', 'c', 'd', 'e').lead('b', 'c').flush();
    for (const id of ['b', 'c', 'd', 'e']) five.ack(id, 3);
    const asked = beat(five);
    promise(five, 'b', asked);
    expect(readsAtOnce(five)).to.equal(false);
    promise(five, 'e', asked);
    expect(readsAtOnce(five)).to.equal(true);
  });

  // Pitfall 5 (etcd#6005, tikv#964): an answer may be under way for longer than the promise runs.
  it('counts from when the round was sent, not from when it was answered', () => {
    const rig = leader();
    const round = beat(rig);
    const sentAt = rig.now;
    rig.ack('b', 3);
    rig.pass(100).ack('b', 3);
    rig.pass(100).ack('b', 3);
    promise(rig, 'b', round);
    rig.pass(99).ack('b', 3);
    expect(rig.now).to.equal(sentAt + 299);
    expect(readsAtOnce(rig)).to.equal(true);
    rig.now = sentAt + 300;
    expect(readsAtOnce(rig)).to.equal(false);
  });

  it('counts a round that is sent again from when it was sent first', () => {
    const rig = leader();
    const round = beat(rig);
    const sentAt = rig.now;
    rig.now += 20;
    // The commit of a membership is told with a heartbeat of the same round.
    expect(rig.core.changeMembership(rig.now, { addLearners: ['d'] })).to.include({ ok: true });
    rig.flush().sent = [];
    rig.ack('b', 4);
    rig.flush();
    expect(rig.take('heartbeat', 'c').map((m) => m.round)).to.include(round);
    promise(rig, 'b', round, 4);
    rig.now = sentAt + 299;
    expect(readsAtOnce(rig)).to.equal(true);
    rig.now = sentAt + 300;
    expect(readsAtOnce(rig)).to.equal(false);
  });

  it('is shorter than the promise by as much as clocks may part', () => {
    for (const [maxDrift, validMs] of [
      [0.5, 100],
      [0.2, 200],
    ] as const) {
      const rig = leader({ lease: { maxDrift } });
      promise(rig, 'b', beat(rig));
      const sentAt = rig.now;
      rig.now = sentAt + validMs - 1;
      expect(readsAtOnce(rig), `${maxDrift} before`).to.equal(true);
      rig.now = sentAt + validMs;
      expect(readsAtOnce(rig), `${maxDrift} after`).to.equal(false);
    }
  });

  it('goes on as long as heartbeats are answered', () => {
    const rig = leader({ lease: { promiseMs: 120, maxDrift: 0 } });
    promise(rig, 'b', beat(rig));
    for (let i = 0; i < 200; i++) {
      promise(rig, 'b', beat(rig));
      expect(readsAtOnce(rig)).to.equal(true);
    }
    // A later answer to an old round takes nothing back, and brings nothing.
    const old = beat(rig);
    for (let i = 0; i < 20; i++) {
      beat(rig);
      rig.ack('b', 3);
    }
    promise(rig, 'b', old);
    expect(readsAtOnce(rig)).to.equal(false);
  });

  it('does not hold before an entry of the reign is committed', () => {
    const rig = new Rig({ recovered: found(trio, [1, 1], { commit: 2 }), options: lease });
    rig.link('b', 'c').lead('b').flush();
    promise(rig, 'b', beat(rig), 2);
    expect(readsAtOnce(rig)).to.equal(false);
  });

  // Pitfall 4 (tikv#1593, #4688).
  it('ends before another member is told that it may be elected, and does not come back when that is given up', () => {
    const rig = leader();
    promise(rig, 'b', beat(rig));
    expect(readsAtOnce(rig)).to.equal(true);
    rig.core.transfer(rig.now, 'c');
    rig.flush();
    expect(rig.take('timeoutNow')).to.have.length(1);
    expect(rig.core.read(rig.now, ++contexts)).to.include({ ok: false });
    for (let i = 0; i < 10; i++) promise(rig, 'b', beat(rig));
    expect(rig.status).to.include({ role: 'leader', transferring: '' });
    // The word may reach c only now, and b then breaks its promise for c.
    promise(rig, 'b', beat(rig));
    expect(readsAtOnce(rig)).to.equal(false);
    rig.sent = [];
    rig.pass(50).flush();
    expect(rig.take('heartbeat', 'b').at(-1)!.promiseMs, 'nothing is asked for any more').to.equal(0);
    rig.ack('b', 3, { term: 7 });
    rig.flush().lead('b').flush();
    const last = rig.status.lastIndex;
    rig.ack('b', last);
    rig.flush();
    promise(rig, 'b', beat(rig), last);
    expect(readsAtOnce(rig), 'another reign').to.equal(true);
  });

  it('is void after this process stood still together with its clock, until a new round is answered', () => {
    const rig = leader();
    const before = beat(rig);
    promise(rig, 'b', before);
    rig.core.suspended!(rig.now);
    expect(readsAtOnce(rig)).to.equal(false);
    // The read opened a round; an answer to one from before does not help.
    promise(rig, 'b', before);
    expect(readsAtOnce(rig)).to.equal(false);
    promise(rig, 'b', beat(rig));
    expect(readsAtOnce(rig)).to.equal(true);
  });

  it('has run out when this process wakes up late', () => {
    const rig = leader();
    promise(rig, 'b', beat(rig));
    rig.now += 2000;
    expect(readsAtOnce(rig)).to.equal(false);
  });

  it('ends with the reign, and the next one begins without', () => {
    const rig = leader();
    promise(rig, 'b', beat(rig));
    rig.ack('c', 3, { term: 4 });
    rig.flush();
    expect(rig.core.read(rig.now, ++contexts)).to.include({ ok: false });
    rig.lead('c').flush();
    const last = rig.status.lastIndex;
    rig.ack('c', last);
    rig.flush();
    expect(readsAtOnce(rig)).to.equal(false);
  });

  it('is counted by the voters of this moment: a change of the members needs their promises', () => {
    const learners = ['d', 'e'].map((id) => ({ id, incarnation: id.toUpperCase() }));
    const log = [configEntry(1, 1, { ...trio, learners }), entry(2, 1)];
    const rig = leader(lease, foundEntries(log, { commit: 2 })).link('d', 'e');
    rig.flush();
    for (const id of ['b', 'c', 'd', 'e']) rig.ack(id, 3);
    rig.flush();
    promise(rig, 'b', beat(rig));
    expect(rig.status.membership.learners.length).to.equal(2);
    expect(readsAtOnce(rig)).to.equal(true);
    const change = { addVoters: ['d', 'e'], remove: ['b', 'c'] };
    expect(rig.core.changeMembership(rig.now, change)).to.include({ ok: true });
    rig.flush();
    for (const id of ['b', 'c', 'd', 'e']) rig.ack(id, rig.status.lastIndex);
    rig.flush();
    for (const id of ['b', 'c', 'd', 'e']) rig.ack(id, rig.status.lastIndex);
    rig.flush();
    expect(rig.status.membership.voters.map(({ id }) => id)).to.deep.equal(['a', 'd', 'e']);
    expect(readsAtOnce(rig), 'b has promised, but b decides no more').to.equal(false);
    promise(rig, 'd', beat(rig), rig.status.lastIndex);
    expect(readsAtOnce(rig)).to.equal(true);
  });

  it('counts no promise of a storage that is not on record', () => {
    const rig = leader({ ...lease, readmit: false });
    rig.meet('b', { incarnation: 'another', session: 2 }).flush();
    promise(rig, 'b', beat(rig));
    expect(readsAtOnce(rig)).to.equal(false);
  });

  it('keeps the times of few rounds, however many there are', () => {
    const rig = leader();
    let newest = 0;
    for (let i = 0; i < 5000; i++) {
      rig.now += 0.05;
      rig.core.read(rig.now, ++contexts);
      rig.drain();
      newest = rig.take('heartbeat', 'b').at(-1)?.round ?? newest;
      rig.sent = [];
      if (i % 50 === 0) rig.ack('b', 3, { round: newest });
    }
    const sentAt = rig.now;
    promise(rig, 'b', newest);
    rig.now = sentAt + 290;
    expect(readsAtOnce(rig)).to.equal(true);
    rig.now = sentAt + 300;
    expect(readsAtOnce(rig)).to.equal(false);
  });
});

describe('the promise of a lease, at a follower', () => {
  it('is kept whatever becomes of the leader and of the link to it', () => {
    const rig = follower();
    rig.beat('b', 2, { promiseMs: 300 });
    rig.flush();
    rig.meet('b', { up: false });
    rig.now = 299;
    expect(grants(rig, { pre: true })).to.equal(false);
    expect(grants(rig)).to.equal(false);
    expect(rig.status.epoch.n, 'a vote that is refused does not raise the term').to.equal(2);
    rig.now = 300;
    expect(grants(rig)).to.equal(true);
  });

  it('is more than stickiness, which goes with the link', () => {
    const rig = follower();
    rig.beat('b', 2);
    rig.flush();
    rig.meet('b', { up: false });
    expect(grants(rig)).to.equal(true);
  });

  it('does not keep the vote from the leader itself', () => {
    const rig = follower();
    rig.beat('b', 2, { promiseMs: 300 });
    rig.flush();
    expect(grants(rig, { to: 'b' })).to.equal(true);
  });

  it('is set aside for whom the leader chose', () => {
    const rig = follower();
    rig.beat('b', 2, { promiseMs: 300 });
    rig.flush();
    expect(grants(rig, { transfer: true })).to.equal(true);
  });

  it('keeps this member from running too, but for the leader’s wish', () => {
    const rig = follower();
    rig.pass(250);
    rig.beat('b', 2, { promiseMs: 300 });
    rig.flush();
    rig.meet('b', { up: false });
    rig.pass(290).flush();
    expect(rig.status.role).to.equal('follower');
    rig.pass(20).flush();
    expect(rig.status.role).to.equal('candidate');
    const chosen = follower();
    chosen.beat('b', 2, { promiseMs: 300 });
    chosen.flush();
    chosen.receive('b', { type: 'timeoutNow', term: 2 });
    chosen.flush();
    expect(chosen.status.epoch.n).to.equal(3);
  });

  it('is on disk before the leader hears of it', () => {
    const rig = follower();
    rig.beat('b', 2, { round: 5, promiseMs: 200 });
    rig.drain();
    expect(rig.fx.hard?.promiseMs ?? rig.tokens.length).to.not.equal(0);
    expect(rig.take('ack')).to.deep.equal([]);
    rig.flush();
    expect(rig.take('ack').at(-1)).to.include({ round: 5, promised: true });
    rig.beat('b', 2, { round: 6, promiseMs: 200 });
    rig.drain();
    expect(rig.tokens, 'and not written again').to.deep.equal([]);
    expect(rig.take('ack').at(-1)).to.include({ round: 6, promised: true });
  });

  it('is kept after a restart, for as long as it may have been, whatever the options say by then', () => {
    const recovered = found(trio, [1, 1], { term: 2, commit: 2 });
    const hard = { ...recovered.hard!, promiseMs: 900 };
    for (const options of [{}, { electionTimeoutMs: 100, heartbeatMs: 20 }]) {
      const rig = new Rig({ recovered: { ...recovered, hard }, options }).link('b', 'c');
      rig.pass(890).flush();
      expect(rig.status.role).to.equal('follower');
      for (const id of ['b', 'c']) expect(grants(rig, { to: id, pre: true }), id).to.equal(false);
      for (const id of ['b', 'c']) expect(grants(rig, { to: id }), id).to.equal(false);
      expect(rig.core.nextDeadline()).to.be.at.most(900);
      rig.pass(10).flush();
      expect(rig.status.role).to.equal('candidate');
    }
    const rig = new Rig({ recovered: { ...recovered, hard } }).link('b', 'c');
    rig.pass(900);
    expect(grants(rig)).to.equal(true);
  });

  it('is written down as shorter once the longer one has run out', () => {
    const rig = follower({ options: { electionTimeoutMs: 1000 } });
    const written: (number | undefined)[] = [];
    const heard = (promiseMs: number): void => {
      rig.beat('b', 2, { promiseMs });
      rig.core.drain(rig.now, rig.fx);
      if (rig.fx.hard !== undefined) written.push(rig.fx.hard.promiseMs);
      if (rig.fx.io > 0) rig.core.persisted(rig.now, rig.fx.io);
      rig.now += 100;
    };
    heard(900);
    for (let i = 0; i < 9; i++) heard(300);
    expect(written).to.deep.equal([900]);
    for (let i = 0; i < 3; i++) heard(300);
    expect(written).to.deep.equal([900, 300]);
    for (let i = 0; i < 5; i++) heard(0);
    expect(written).to.deep.equal([900, 300, undefined]);
    heard(900);
    expect(written.at(-1)).to.equal(900);
  });

  it('is not given for longer than this member would wait for a leader', () => {
    const rig = follower({ options: { electionTimeoutMs: 200 } });
    rig.beat('b', 2, { promiseMs: 201 });
    rig.flush();
    expect(rig.take('ack').at(-1)).to.include({ promised: false });
    rig.meet('b', { up: false });
    expect(grants(rig)).to.equal(true);
  });

  it('is not wanted by news of a commit, and goes with the round that wanted it', () => {
    const rig = follower();
    expect(rig.beat('b', 2, { round: 0, promiseMs: 300 }), 'cannot be').to.equal(false);
    rig.beat('b', 2, { round: 5, promiseMs: 0 });
    rig.beat('b', 2, { round: 4, promiseMs: 300 });
    rig.flush();
    expect(rig.take('ack').at(-1)).to.include({ round: 5, promised: false });
    rig.beat('b', 2, { round: 6, promiseMs: 300 });
    rig.flush();
    expect(rig.take('ack').at(-1)).to.include({ round: 6, promised: true });
    rig.beat('c', 3, { round: 0 });
    rig.append('c', { term: 3, prevIndex: 2, prevEpoch: { config: 0, n: 1, priority: 0, node: 'b' } });
    rig.flush();
    expect(rig.take('ack').at(-1)).to.include({ term: 3, round: 0, promised: false });
  });
});
