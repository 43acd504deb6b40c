import { expect } from 'chai';
import { entry, epoch, found, foundEntries, configEntry, members, Rig } from './rig.js';

const trio = members(['a', 'b', 'c']);
const five = members(['a', 'b', 'c', 'd', 'e']);

/** A follower of b in term 2, with a log of terms 1, 1. */
function follower(o: { term?: number; commit?: number } = {}): Rig {
  const rig = new Rig({ recovered: found(trio, [1, 1], { term: o.term ?? 2, commit: o.commit ?? 2 }) });
  return rig.link('b', 'c');
}

describe('elections', () => {
  it('asks before it runs, and runs only with a quorum that would follow', () => {
    const rig = follower().pass(290).drain();
    expect(rig.sent).to.deep.equal([]);
    rig.pass(20).drain();
    expect(rig.status.role).to.equal('candidate');
    const asks = rig.take('vote');
    expect(asks).to.have.length(2);
    expect(asks[0]).to.deep.include({ pre: true, term: 3, lastIndex: 2, lastTerm: 1 });
    expect(rig.status.epoch.n).to.equal(2);
    // Nobody would follow: the term stays as it is, so that nobody is disturbed on its return.
    rig.vote('b', false, 2, true);
    rig.vote('c', false, 2, true);
    expect([rig.status.role, rig.status.epoch.n]).to.deep.equal(['follower', 2]);
    rig.pass(400).drain();
    rig.vote('b', true, 3, true);
    expect([rig.status.role, rig.status.epoch.n]).to.deep.equal(['candidate', 3]);
  });

  it('draws its patience anew each time, from one to one and a third time-outs', () => {
    const rig = follower();
    rig.random = 0.999;
    rig.beat('b', 2);
    rig.pass(390).drain();
    expect(rig.take('vote')).to.deep.equal([]);
    rig.pass(20).drain();
    expect(rig.take('vote')).to.have.length(2);
  });

  // Pitfall 6 (etcd#8501, raft-rs#84): with pre-vote and check-quorum nodes can wait for each other for ever.
  it('forgets its leader when it asks for pre-votes, and answers a late leader with the newer term', () => {
    const rig = follower();
    rig.beat('b', 2);
    expect(rig.status.leader).to.equal('b');
    rig.pass(310).drain();
    expect([rig.status.leader, rig.status.quorum]).to.deep.equal(['', false]);
    rig.flush();
    rig.sent = [];
    rig.append('c', { term: 1 });
    rig.beat('c', 1);
    rig.drain();
    expect(rig.take('ack', 'c').map((m) => m.term)).to.deep.equal([2, 2]);
    rig.ask('c', { term: 1, pre: true, lastTerm: 0 });
    rig.drain();
    expect(rig.take('voteReply', 'c')).to.deep.equal([
      { type: 'voteReply', pre: true, granted: false, term: 2, genesis: 'G' },
    ]);
  });

  // Pitfall 7 (openraft#1796): {longer log, lower term} against {shorter log, higher term}: neither could ever win.
  it('spreads its term with a refused pre-vote', () => {
    const shorter = follower({ term: 7 });
    shorter.ask('b', { term: 4, pre: true, lastIndex: 9, lastTerm: 3 });
    shorter.drain();
    expect(shorter.take('voteReply', 'b')[0]).to.deep.include({ granted: false, term: 7 });
    const longer = follower({ term: 3 }).pass(310).drain();
    longer.vote('b', false, 7, true);
    expect([longer.status.role, longer.status.epoch.n]).to.deep.equal(['follower', 7]);
    shorter.ask('b', { term: 8, pre: true, lastIndex: 9, lastTerm: 3 });
    shorter.drain();
    expect(shorter.take('voteReply', 'b')[0]).to.deep.include({ granted: true, term: 8 });
  });

  it('keeps its term and its vote when it is only asked', () => {
    const rig = follower();
    rig.ask('b', { term: 9, pre: true }).pre;
    rig.flush();
    expect(rig.status.epoch.n).to.equal(2);
    expect(rig.take('voteReply', 'b')[0]).to.deep.include({ pre: true, granted: true, term: 9 });
    rig.ask('c', { term: 9, pre: true });
    rig.flush();
    expect(rig.take('voteReply', 'c')[0]!.granted).to.equal(true);
  });

  // Dissertation §4.2.3: who hears a leader lets nobody disturb it.
  it('refuses votes, and the newer term with them, while it hears a leader', () => {
    const rig = follower();
    rig.beat('b', 2);
    rig.flush();
    for (const pre of [true, false]) {
      rig.ask('c', { term: 9, pre });
      rig.flush();
      expect(rig.take('voteReply', 'c')[0]).to.deep.include({ granted: false, term: 2 });
    }
    expect([rig.status.epoch.n, rig.status.leader]).to.deep.equal([2, 'b']);
    rig.now += 299;
    rig.ask('c', { term: 9 });
    expect(rig.status.epoch.n).to.equal(2);
    rig.now += 2;
    rig.ask('c', { term: 9 });
    expect(rig.status.epoch.n).to.equal(9);
  });

  it('sticks to no leader whose link broke, and looks for another one soon', () => {
    const rig = follower();
    rig.random = 0.5;
    rig.beat('b', 2);
    rig.flush();
    rig.meet('b', { up: false });
    rig.ask('c', { term: 3, pre: true });
    rig.flush();
    expect(rig.take('voteReply', 'c')[0]!.granted).to.equal(true);
    rig.pass(140).drain();
    expect(rig.take('vote', 'c')).to.have.length(1);
  });

  // Pitfall 29: a vote that is not on disk can be given twice.
  it('gives its vote only when it is on disk', () => {
    const rig = follower();
    rig.ask('b', { term: 3 });
    rig.drain();
    expect(rig.fx.hard).to.deep.include({ vote: 'b', epoch: epoch(3, '') });
    expect(rig.take('voteReply')).to.deep.equal([]);
    rig.flush();
    expect(rig.take('voteReply', 'b')).to.have.length(1);
  });

  it('writes a vote of the current term as well', () => {
    const rig = follower({ term: 3 });
    rig.ask('b', { term: 3 });
    rig.drain();
    expect(rig.fx.hard).to.deep.include({ vote: 'b', epoch: epoch(3, '') });
    expect(rig.take('voteReply')).to.deep.equal([]);
  });

  // A refusal with the term that was asked for would make the candidate take that term: pre-vote would disturb after all.
  it('refuses a pre-vote with its own term', () => {
    const rig = follower();
    rig.ask('b', { term: 9, pre: true, lastTerm: 0, lastIndex: 1 });
    rig.flush();
    expect(rig.take('voteReply', 'b')[0]).to.deep.include({ granted: false, term: 2 });
  });

  it('holds the answer to a repeated question back as well', () => {
    const rig = follower();
    rig.ask('b', { term: 3 });
    rig.drain();
    rig.ask('b', { term: 3 });
    rig.drain();
    expect(rig.take('voteReply')).to.deep.equal([]);
    rig.flush();
    expect(rig.take('voteReply', 'b').map((m) => m.granted)).to.deep.equal([true]);
  });

  it('gives one vote a term, also after a restart', () => {
    const rig = follower();
    rig.ask('b', { term: 3 });
    rig.ask('c', { term: 3 });
    rig.flush();
    expect(rig.take('voteReply', 'b')[0]!.granted).to.equal(true);
    expect(rig.take('voteReply', 'c')[0]!.granted).to.equal(false);
    const again = new Rig({ recovered: found(trio, [1, 1], { term: 3, vote: 'b' }) }).link('b', 'c');
    again.ask('c', { term: 3 });
    again.ask('b', { term: 3 });
    again.flush();
    expect(again.take('voteReply', 'c')[0]!.granted).to.equal(false);
    expect(again.take('voteReply', 'b')[0]!.granted).to.equal(true);
  });

  it('votes for no log that is older than its own', () => {
    for (const [lastTerm, lastIndex, granted] of [
      [1, 1, false],
      [1, 2, true],
      [2, 1, true],
      [0, 9, false],
    ] as const) {
      const rig = follower();
      rig.ask('b', { term: 3, lastTerm, lastIndex });
      rig.flush();
      expect(rig.take('voteReply', 'b')[0]!.granted, `${lastTerm}/${lastIndex}`).to.equal(granted);
    }
  });

  it('asks for votes, and counts its own, only when its own is on disk', () => {
    const rig = new Rig({ recovered: found(trio, [1], { term: 2 }) }).link('b', 'c').pass(310).drain();
    rig.take('vote');
    rig.vote('b', true, 3, true);
    rig.drain();
    expect(rig.take('vote')).to.deep.equal([]);
    // Even a vote that came by magic does not suffice without the own one.
    rig.vote('b', true, 3);
    expect(rig.status.role).to.equal('candidate');
    rig.flush();
    expect(rig.status.role).to.equal('leader');
  });

  it('counts a vote once, and none of another term, kind or stranger', () => {
    const rig = new Rig({ founders: [], recovered: found(five, [1]) }).link('b', 'c', 'd', 'e', 'z');
    rig.pass(310).drain();
    for (const id of ['b', 'c']) rig.vote(id, true, 2, true);
    rig.flush();
    expect(rig.status.epoch.n).to.equal(2);
    rig.vote('b', true, 2);
    rig.vote('b', true, 2);
    rig.vote('z', true, 2);
    rig.vote('c', true, 1);
    rig.vote('c', true, 2, true);
    rig.vote('d', false, 2);
    expect(rig.status.role).to.equal('candidate');
    rig.vote('e', true, 2);
    expect(rig.status.role).to.equal('leader');
  });

  // Pitfall 22: a leader that has lost its quorum must not go on leading.
  it('steps down when no quorum has answered within a time-out', () => {
    const rig = follower().lead('b').flush();
    for (let i = 0; i < 5; i++) {
      rig.pass(200);
      rig.ack('b', 0, { round: 1 });
    }
    expect(rig.status.role).to.equal('leader');
    rig.pass(290);
    expect(rig.status.role).to.equal('leader');
    rig.pass(50);
    expect([rig.status.role, rig.status.quorum]).to.deep.equal(['follower', false]);
  });

  // Pitfall 5: after a stall the leader knows nothing of its quorum.
  it('steps down a time-out after a stall in which nobody answered, if nobody answers then', () => {
    const rig = follower()
      .lead('b')
      .flush()
      .pass(310 - 50);
    rig.ack('b', 0, { round: 1 });
    rig.flush();
    rig.take('heartbeat');
    rig.now += 2000;
    rig.core.tick(rig.now);
    rig.drain();
    expect(rig.status.role).to.equal('leader');
    expect(rig.take('heartbeat'), 'it asks who is still there, at once').to.have.length(2);
    rig.pass(290);
    expect(rig.status.role).to.equal('leader');
    rig.pass(20);
    expect(rig.status.role).to.equal('follower');
  });

  it('steps down at the first tick after a second stall, when nobody answered since the first', () => {
    const rig = follower().lead('b').flush();
    for (const role of ['leader', 'follower']) {
      rig.now += 2000;
      rig.core.tick(rig.now);
      expect(rig.status.role).to.equal(role);
    }
    const heard = follower().lead('b').flush();
    for (let n = 0; n < 3; n++) {
      heard.now += 2000;
      heard.core.tick(heard.now);
      expect(heard.status.role).to.equal('leader');
      heard.ack('b', 0, { round: 1 });
    }
  });

  it('stays leader over a stall when answers were waiting', () => {
    const rig = follower().lead('b').flush().pass(200);
    rig.now += 2000;
    rig.ack('b', 0, { round: 1 });
    rig.core.tick(rig.now);
    expect(rig.status.role).to.equal('leader');
  });

  it('does not run at once after it was stalled itself, but does not wait for ever', () => {
    const rig = follower();
    rig.beat('b', 2);
    rig.flush();
    rig.now += 5000;
    rig.core.tick(rig.now);
    rig.drain();
    expect(rig.take('vote')).to.deep.equal([]);
    rig.now += 5000;
    rig.core.tick(rig.now);
    rig.drain();
    expect(rig.take('vote')).to.have.length(2);
  });

  it('asks for ticks often enough to tell silence from a stall', () => {
    const rig = follower();
    rig.random = 0.9;
    rig.beat('b', 2);
    rig.flush();
    expect(rig.core.nextDeadline() - rig.now).to.be.at.most(150);
    for (let ticks = 0; rig.take('vote').length === 0; ticks++) {
      expect(ticks).to.be.below(10);
      rig.now = rig.core.nextDeadline() + 40;
      rig.core.tick(rig.now);
      rig.drain();
    }
  });

  it('follows a leader of its own term when it was a candidate', () => {
    const rig = follower().pass(310).drain();
    rig.vote('b', true, 3, true);
    rig.flush();
    rig.beat('c', 3);
    expect([rig.status.role, rig.status.leader]).to.deep.equal(['follower', 'c']);
  });

  it('takes the newer term from any answer', () => {
    const rig = follower().lead('b').flush();
    rig.ack('c', 0, { term: 9 });
    expect([rig.status.role, rig.status.epoch.n, rig.status.leader]).to.deep.equal(['follower', 9, '']);
  });

  // Two leaders of one term can only come from lost memory; nobody may follow both.
  it('follows no second leader in a term', () => {
    const rig = follower();
    rig.beat('b', 2);
    expect(rig.beat('c', 2)).to.equal(false);
    expect(rig.status.leader).to.equal('b');
    const leader = follower().lead('b').flush();
    expect(leader.beat('c', leader.status.epoch.n)).to.equal(false);
    expect(leader.status.role).to.equal('leader');
    // Not after a restart either: the log tells who led.
    const again = new Rig({ recovered: found(trio, [1, 2], { term: 2 }) }).link('b', 'c');
    expect(again.beat('c', 2)).to.equal(false);
    expect(again.beat('b', 2)).to.equal(true);
  });

  // Pitfall 8 (etcd#10998): a promoted learner that does not know it yet must still vote. Pitfall 9: a learner never runs.
  it('lets a learner vote but not run', () => {
    const learner = { ...members(['b', 'c']), learners: [{ id: 'a', incarnation: 'A' }] };
    const rig = new Rig({ recovered: found(learner, [1]) }).link('b', 'c');
    expect(rig.status.role).to.equal('learner');
    rig.pass(2000).drain();
    expect(rig.take('vote')).to.deep.equal([]);
    rig.ask('b', { term: 3, recorded: 'A' });
    rig.flush();
    expect(rig.take('voteReply', 'b')[0]!.granted).to.equal(true);
  });

  it('needs both halves of a joint membership', () => {
    const half = members(['a', 'd', 'e']);
    const joint = { ...trio, outgoing: half.voters };
    const log = [configEntry(1, 1, joint)];
    const rig = new Rig({ recovered: foundEntries(log, { commit: 1 }) })
      .link('b', 'c', 'd', 'e')
      .pass(310)
      .drain();
    expect(rig.take('vote')).to.have.length(4);
    rig.vote('b', true, 2, true);
    rig.vote('c', true, 2, true);
    expect(rig.status.epoch.n).to.equal(1);
    rig.vote('d', true, 2, true);
    expect(rig.status.epoch.n).to.equal(2);
  });

  it('asks nobody who is not linked, and whoever is linked while it asks', () => {
    const rig = new Rig({ recovered: found(trio, [1]) }).meet('b').pass(310).drain();
    expect(rig.sent.map(({ to }) => to)).to.deep.equal(['b']);
    rig.meet('c').drain();
    expect(rig.take('vote', 'c')).to.have.length(1);
  });

  it('refuses what is malformed and stays as it is', () => {
    const rig = follower();
    const before = { ...rig.status };
    const bad = [
      {
        type: 'vote',
        pre: false,
        term: 3 + 2 ** 41,
        lastIndex: 1,
        lastTerm: 1,
        genesis: '',
        recorded: '',
        transfer: false,
      },
      {
        type: 'vote',
        pre: false,
        term: 3,
        lastIndex: -1,
        lastTerm: 1,
        genesis: '',
        recorded: '',
        transfer: false,
      },
      {
        type: 'vote',
        pre: false,
        term: 3,
        lastIndex: 1,
        lastTerm: 3,
        genesis: '',
        recorded: '',
        transfer: false,
      },
      {
        type: 'vote',
        pre: 1,
        term: 3,
        lastIndex: 1,
        lastTerm: 1,
        genesis: '',
        recorded: '',
        transfer: false,
      },
      { type: 'voteReply', pre: false, granted: true, term: 0.5, genesis: '' },
      { type: 'heartbeat', term: Number.NaN, commit: 0, round: 1, genesis: '', promiseMs: 0 },
      { type: 'heartbeat', term: 3, commit: 0, round: 1, genesis: 'x'.repeat(1000), promiseMs: 0 },
      { type: 'ack', term: 2, matched: 2 ** 60, round: 0, promised: false, conflict: undefined },
      {
        type: 'ack',
        term: 2,
        matched: 0,
        round: 0,
        promised: false,
        conflict: { prevIndex: 1, index: 2, epoch: epoch(1) },
      },
      { type: 'append', term: 3, prevIndex: 2, prevEpoch: epoch(1), commit: 0, entries: [entry(4, 2)] },
      {
        type: 'append',
        term: 3,
        prevIndex: 2,
        prevEpoch: epoch(1),
        commit: 0,
        entries: [entry(3, 2), entry(5, 2)],
      },
      { type: 'append', term: 3, prevIndex: 2, prevEpoch: epoch(2), commit: 0, entries: [entry(3, 1)] },
      { type: 'append', term: 3, prevIndex: 2, prevEpoch: epoch(1), commit: 0, entries: [entry(3, 4)] },
      {
        type: 'append',
        term: 3,
        prevIndex: 2,
        prevEpoch: epoch(1),
        commit: 0,
        entries: [entry(3, 2, { count: 0 })],
      },
      { type: 'append', term: 3, prevIndex: 2, prevEpoch: epoch(1), commit: 0, entries: [undefined] },
      {
        type: 'append',
        term: 3,
        prevIndex: 2,
        prevEpoch: epoch(1),
        commit: 0,
        entries: [{ ...entry(3, 2), data: 'x' }],
      },
      {
        type: 'append',
        term: 3,
        prevIndex: 2,
        prevEpoch: epoch(1),
        commit: 0,
        entries: [{ ...entry(3, 2), kind: 'x' }],
      },
      { type: 'append', term: 3, prevIndex: 2, prevEpoch: null, commit: 0, entries: [] },
      { type: 'append', term: 3, prevIndex: 0, prevEpoch: epoch(0), commit: 0, entries: 'none' },
      { type: 'read', batch: -1 },
      { type: 'readReply', batch: 1, index: '1' },
      { type: 'timeoutNow', term: 0 },
      { type: 'timeoutNow' },
      { type: 'quiet', term: 0, index: 1, attempt: 1, begins: true },
      { type: 'quiet', term: 3, index: -1, attempt: 1, begins: true },
      { type: 'quiet', term: 3, index: 1, attempt: 0, begins: true },
      { type: 'quiet', term: 3, index: 1, attempt: 1, begins: 1 },
      { type: 'quietReply', term: 3, attempt: 1 },
      { type: 'wake', term: '3' },
      {
        type: 'vote',
        pre: true,
        term: 3,
        lastIndex: 1,
        lastTerm: 1,
        genesis: '',
        recorded: '',
        transfer: true,
      },
      { type: 'vote', pre: false, term: 3, lastIndex: 1, lastTerm: 1, genesis: '', recorded: '' },
      { type: 'nonsense' },
    ];
    for (const message of bad)
      expect(rig.receive('b', message as never), JSON.stringify(message)).to.equal(false);
    expect({ ...rig.status }).to.deep.equal(before);
    expect(rig.drain().sent).to.deep.equal([]);
  });

  it('ignores those it has no contact with', () => {
    const rig = follower();
    rig.beat('z', 9);
    rig.meet('b', { up: false });
    rig.beat('b', 9);
    expect(rig.status.epoch.n).to.equal(2);
  });
});

describe('elections and what is measured', () => {
  const adaptive = { electionTimeoutMs: 250, maxElectionTimeoutMs: 2000 };
  const adaptiveFollower = (): Rig =>
    new Rig({ options: adaptive, recovered: found(trio, [1, 1], { term: 2, commit: 2 }) }).link('b', 'c');
  /** How long the silence of b is borne from now on. */
  const borne = (rig: Rig): number => {
    const since = rig.now;
    rig.sent = [];
    while (rig.take('vote').length === 0) {
      rig.pass(10).drain();
      expect(rig.now - since).to.be.below(10_000);
    }
    return rig.now - since;
  };
  const hear = (rig: Rig, silences: readonly number[], term = 2): void => {
    for (const silence of silences) {
      rig.pass(silence);
      rig.beat('b', term);
      rig.flush();
    }
  };

  it('bears a leader longer that was silent for long before, within the bounds', () => {
    const rig = adaptiveFollower();
    hear(rig, [0, 50, 50, 50]);
    expect(borne(rig)).to.equal(250);
    const rare = adaptiveFollower();
    hear(rare, [0, 50, 200, 50]);
    expect(borne(rare)).to.equal(400);
    const bad = adaptiveFollower();
    bad.random = 0.999;
    for (let n = 0; n < 8; n++) hear(bad, [n === 0 ? 0 : 300 * n]);
    bad.random = 0;
    hear(bad, [50]);
    expect(borne(bad)).to.equal(2000);
  });

  it('does not take the time without a leader for a silence of the next one', () => {
    const rig = adaptiveFollower();
    hear(rig, [0, 50]);
    rig.pass(900);
    hear(rig, [0, 50, 50], 3);
    expect(borne(rig)).to.equal(250);
  });

  it('bears a leader longer that it gave up and that lives: it goes on, or what it said as a leader comes late', () => {
    const rig = adaptiveFollower();
    hear(rig, [0, 50]);
    rig.pass(700);
    expect(rig.status.role).to.equal('candidate');
    hear(rig, [0, 50]);
    expect(borne(rig)).to.equal(1400);
    const deposed = adaptiveFollower();
    hear(deposed, [0, 50]);
    deposed.pass(300);
    deposed.beat('c', 3);
    deposed.pass(200);
    deposed.beat('b', 2);
    deposed.flush();
    expect(deposed.status.leader).to.equal('c');
    hear(deposed, [0, 50], 4);
    expect(borne(deposed)).to.equal(1000);
    // A new contact is a new path, or a new process.
    const anew = adaptiveFollower();
    hear(anew, [0, 50]);
    anew.pass(700);
    anew.meet('b', { session: 2 });
    hear(anew, [0, 50]);
    expect(borne(anew)).to.equal(250);
  });

  it('bears a leader longer that says that it stalled', () => {
    const rig = adaptiveFollower();
    hear(rig, [0, 50]);
    rig.vitals.set('b', { rttMs: 1, stalledMs: 600 });
    hear(rig, [50]);
    expect(borne(rig)).to.be.within(650, 750);
    const over = adaptiveFollower();
    over.vitals.set('b', { rttMs: 1, stalledMs: 600 });
    hear(over, [0, 50]);
    over.vitals.set('b', { rttMs: 1, stalledMs: 0 });
    hear(over, [50, 50]);
    expect(borne(over)).to.equal(250);
  });

  it('refuses votes for as long as it bears the silence', () => {
    const rig = adaptiveFollower();
    rig.vitals.set('b', { rttMs: 1, stalledMs: 600 });
    hear(rig, [0, 50]);
    rig.now += 400;
    rig.ask('c', { term: 9 });
    expect(rig.status.epoch.n).to.equal(2);
    rig.now += 400;
    rig.ask('c', { term: 9 });
    expect(rig.status.epoch.n).to.equal(9);
  });

  it('waits for votes as long as three round trips, and longer each time that it comes to nothing', () => {
    const rig = adaptiveFollower();
    for (const id of ['b', 'c']) rig.vitals.set(id, { rttMs: 300, stalledMs: 0 });
    const waits: number[] = [];
    for (let n = 0; n < 4; n++) {
      borne(rig);
      rig.vote('b', true, rig.status.epoch.n + 1, true);
      rig.flush();
      rig.sent = [];
      const since = rig.now;
      while (!rig.take('vote').some(({ pre }) => pre)) rig.pass(10).drain();
      waits.push(rig.now - since);
    }
    expect(waits).to.deep.equal([900, 1800, 2000, 2000]);
  });

  it('does not stand against one to whom it granted a pre-vote, for the time of a round trip', () => {
    const rig = adaptiveFollower().pass(240);
    rig.ask('b', { term: 3, pre: true, lastIndex: 2, lastTerm: 1 });
    rig.flush();
    expect(rig.take('voteReply')[0]!.granted).to.equal(true);
    rig.pass(70).drain();
    expect(rig.take('vote')).to.deep.equal([]);
    rig.pass(30).drain();
    expect(rig.take('vote'), 'that one does not come').to.have.length(2);
  });

  it('goes first, with the smaller id, when two ask at the same time; and only then', () => {
    const asked = (
      self: string,
      other: string,
      o: { later?: number; lastIndex?: number } = {},
    ): [boolean, string] => {
      const rig = new Rig({
        self,
        options: adaptive,
        recovered: found(trio, [1, 1], { term: 2, commit: 2 }),
      });
      rig
        .link(...['a', 'b', 'c'].filter((id) => id !== self))
        .pass(260)
        .drain();
      expect(rig.status.role).to.equal('candidate');
      rig.pass(o.later ?? 0);
      rig.ask(other, {
        term: 3,
        pre: true,
        lastIndex: o.lastIndex ?? 2,
        lastTerm: 1,
        recorded: self.toUpperCase(),
      });
      rig.flush();
      return [rig.take('voteReply')[0]!.granted, rig.status.role];
    };
    expect(asked('a', 'b')).to.deep.equal([false, 'candidate']);
    expect(asked('b', 'a')).to.deep.equal([true, 'follower']);
    expect(asked('a', 'b', { lastIndex: 3 }), 'the longer log goes before').to.deep.equal([true, 'follower']);
    expect(asked('a', 'b', { later: 100 }), 'it had its chance').to.deep.equal([true, 'follower']);
  });

  it('does not miss its followers before an answer could be there', () => {
    const rig = adaptiveFollower();
    for (const id of ['b', 'c']) rig.vitals.set(id, { rttMs: 400, stalledMs: 0 });
    rig.lead('b').flush();
    rig.pass(1100);
    expect(rig.status.role).to.equal('leader');
    rig.pass(200);
    expect(rig.status.role).to.equal('follower');
  });
});
