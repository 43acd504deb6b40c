/** Storages that lose their memory: docs/raft.md, "Incarnations and genesis". */
import { expect } from 'chai';
import { decodeMembership, findMember } from '../../../lib/consensus/membership.js';
import { Cluster } from './cluster.js';
import { configEntry, entry, epoch, found, foundEntries, members, Rig } from './rig.js';
import type { Entry } from '../../../lib/consensus/consensus.js';

const trio = members(['a', 'b', 'c']);

function recorded(entries: readonly Entry[], id: string): string {
  const configs = entries.filter((e) => e.kind === 'config');
  return findMember(decodeMembership(configs.at(-1)!.data)!, id)!.incarnation;
}

/** A fresh founder that leads, with b's vote; c may be linked or not. */
function founder(...linked: string[]): Rig {
  return new Rig().link('b', ...linked).lead('b');
}

describe('founding a group', () => {
  it('records who voted and who is there, under a new genesis', () => {
    const rig = founder();
    rig.drain();
    const membership = decodeMembership(rig.fx.append[0]!.data)!;
    expect(membership.genesis).to.equal('G');
    expect(membership.voters).to.deep.equal([
      { id: 'a', incarnation: 'A' },
      { id: 'b', incarnation: 'B' },
      { id: 'c', incarnation: '' },
    ]);
    expect(recorded(founder('c').drain().fx.append, 'c')).to.equal('C');
  });

  // A voter that restarts empty before the founding is written must not take its own place.
  it('records the storage that voted, not the one that came after it', () => {
    const rig = new Rig().link('b').pass(310).drain();
    rig.vote('b', true, 1, true);
    rig.vote('b', true, 1);
    rig.meet('b', { incarnation: 'B2', session: 2 });
    rig.flush();
    expect(rig.status.role).to.equal('leader');
    expect(recorded([...rig.core.entries(1, 1, 1000)], 'b')).to.equal('B');
  });

  it('takes nothing in before the founding is committed', () => {
    const rig = founder().drain();
    expect(rig.propose()).to.deep.equal({ ok: false, why: 'preparing' });
    rig.flush();
    rig.ack('b', 1);
    expect(rig.status.genesis).to.equal('G');
    expect(rig.propose().ok).to.equal(true);
    rig.drain();
    // Whatever disk holds a user entry holds the genesis too.
    expect(rig.fx.hard?.genesis).to.equal('G');
    expect(rig.fx.append.map((e) => e.kind)).to.deep.equal(['user']);
  });

  it('lets a follower write the genesis with the first entry it guards', () => {
    const rig = new Rig({ self: 'c' }).link('a', 'b');
    rig.append('a', {
      term: 1,
      entries: [configEntry(1, 1, { ...trio })].map((e) => ({ ...e, epoch: epoch(1, 'a') })),
    });
    rig.flush();
    expect(rig.status.genesis).to.equal('');
    rig.append('a', {
      term: 1,
      prevIndex: 1,
      prevEpoch: epoch(1, 'a'),
      commit: 1,
      entries: [entry(2, 1, { epoch: epoch(1, 'a') })],
    });
    rig.drain();
    expect(rig.fx.append).to.have.length(1);
    expect(rig.fx.hard?.genesis).to.equal('G');
  });

  it('founds a group of one alone and at once', () => {
    const rig = new Rig({ founders: ['a'] });
    rig.core.tick(0);
    rig.flush();
    expect(rig.status).to.deep.include({ role: 'leader', commitIndex: 1, genesis: 'G' });
    expect(rig.core.nextDeadline()).to.equal(Infinity);
  });

  it('does not count itself before its own disk has it (etcd#14370)', () => {
    const rig = new Rig({ founders: ['a'] });
    rig.core.tick(0);
    rig.drain();
    expect(rig.status.role).to.equal('candidate');
    rig.core.persisted(0, rig.tokens.pop()!);
    rig.drain();
    expect(rig.status).to.deep.include({ role: 'leader', commitIndex: 0 });
    rig.flush();
    expect(rig.status.commitIndex).to.equal(1);
  });
});

describe('storages that lost their memory', () => {
  it('(1) puts a member on record when it is first met, once its own reign is settled', () => {
    const rig = founder().flush();
    rig.meet('c');
    rig.drain();
    expect(rig.status.lastIndex).to.equal(1);
    rig.ack('b', 1);
    rig.drain();
    expect(recorded(rig.fx.append, 'c')).to.equal('C');
    expect(rig.status.lastIndex).to.equal(2);
  });

  it('(1) records one change at a time, each after the one before is committed', () => {
    const some = members(['a', 'b', 'c', 'd', 'e'], ['a', 'b', 'c']);
    const rig = new Rig({ recovered: found(some, [1], { commit: 1 }) }).link('b', 'c').lead('b', 'c').flush();
    for (const id of ['b', 'c']) rig.ack(id, 2);
    rig.meet('d').drain();
    expect(rig.status.lastIndex).to.equal(3);
    rig.meet('e').drain();
    expect(rig.status.lastIndex).to.equal(3);
    rig.flush();
    for (const id of ['b', 'c']) rig.ack(id, 3);
    rig.drain();
    expect(rig.status.lastIndex).to.equal(4);
    expect(rig.status.membership.voters.map((v) => v.incarnation)).to.deep.equal(['A', 'B', 'C', 'D', 'E']);
  });

  it('(1) counts the acknowledgements of a newcomer from its record on, not before', () => {
    const some = members(['a', 'b', 'c', 'd', 'e'], ['a', 'b', 'c']);
    const rig = new Rig({ recovered: found(some, [1], { commit: 1 }) }).link('b', 'c').lead('b', 'c').flush();
    for (const id of ['b', 'c']) rig.ack(id, 2);
    rig.propose();
    rig.meet('d').flush();
    expect(rig.status.lastIndex).to.equal(4);
    // Entry 3 is before the record at 4: with a and b, d would make the quorum.
    rig.ack('b', 3);
    rig.ack('d', 3);
    expect(rig.status.commitIndex).to.equal(2);
    rig.ack('d', 4);
    expect(rig.status.commitIndex).to.equal(3);
    rig.ack('b', 4);
    expect(rig.status.commitIndex).to.equal(4);
  });

  it('(1) counts no acknowledgement of a member that is not on record', () => {
    const some = members(['a', 'b', 'c'], ['a', 'b']);
    const rig = new Rig({ recovered: found(some, [1], { commit: 1 }) }).link('b', 'c').lead('b').flush();
    rig.ack('c', 2);
    expect(rig.status.commitIndex).to.equal(1);
    rig.ack('b', 2);
    expect(rig.status.commitIndex).to.equal(2);
  });

  it('(1) counts no vote of a member that is not on record, except while founding', () => {
    const some = members(['a', 'b', 'c'], ['a', 'b']);
    const rig = new Rig({ recovered: found(some, [1]) }).link('b', 'c').pass(310).drain();
    rig.vote('c', true, 2, true);
    expect(rig.status.epoch.n).to.equal(1);
    rig.vote('b', true, 2, true);
    rig.flush();
    rig.vote('c', true, 2);
    expect(rig.status.role).to.equal('candidate');
    rig.vote('b', true, 2);
    expect(rig.status.role).to.equal('leader');
  });

  it('(1) counts nobody whose storage is unknown', () => {
    const rig = new Rig().meet('b', { incarnation: '' }).pass(310).drain();
    rig.vote('b', true, 1, true);
    expect(rig.status.epoch.n).to.equal(0);
  });

  it('(2) feeds a wiped member but counts neither its acknowledgements, nor its votes, nor its answers', () => {
    const rig = new Rig({ recovered: found(trio, [1], { commit: 1 }) }).link('c');
    rig.meet('b', { incarnation: 'B2' });
    rig.pass(310).drain();
    rig.vote('b', true, 2, true);
    expect(rig.status.epoch.n).to.equal(1);
    rig.vote('c', true, 2, true);
    rig.flush();
    rig.vote('b', true, 2);
    expect(rig.status.role).to.equal('candidate');
    rig.vote('c', true, 2);
    rig.flush();
    expect(rig.take('append', 'b')).to.have.length.above(0);
    rig.ack('b', 2, { round: 1 });
    expect(rig.status.commitIndex).to.equal(1);
    rig.ack('c', 2, { round: 1 });
    expect(rig.status.commitIndex).to.equal(2);
    // A read that only the wiped member confirms is not confirmed.
    rig.core.read(rig.now, 7);
    rig.drain();
    const { round } = rig.take('heartbeat', 'b').at(-1)!;
    rig.ack('b', 2, { round });
    expect(rig.drain().reads).to.deep.equal([]);
    // Nor does it keep the leader in office.
    for (let i = 0; i < 4; i++) rig.pass(100).ack('b', 2, { round });
    expect(rig.status.role).to.equal('follower');
  });

  it('(2) forgets what a member acknowledged when it comes back wiped', () => {
    const rig = new Rig({ recovered: found(trio, [1], { commit: 1 }) }).link('b').lead('b').drain();
    rig.ack('b', 2);
    expect(rig.status.commitIndex).to.equal(1);
    rig.meet('b', { incarnation: 'B2', session: 2 });
    rig.flush();
    expect(rig.status.commitIndex).to.equal(1);
    // It is fed from where it says, though its former self was further.
    rig.ack('b', 0, { conflict: { prevIndex: 2, index: 0, epoch: epoch(0, '') } });
    rig.drain();
    expect(rig.take('append', 'b').at(-1)!.entries[0]!.index).to.equal(1);
  });

  it('(2) does not run when its log has another storage on record for it, nor votes for who has no record of its own', () => {
    const rig = new Rig({ incarnation: 'A2', recovered: found(trio, [1], { commit: 1 }) }).link('b', 'c');
    rig.pass(2000).drain();
    expect(rig.take('vote')).to.deep.equal([]);
    for (const recordedAs of ['A', '']) {
      for (const pre of [true, false]) rig.ask('b', { term: 9, pre, recorded: recordedAs });
    }
    rig.flush();
    expect(rig.take('voteReply', 'b').some((m) => m.granted)).to.equal(false);
    // It follows all the same.
    rig.append('b', { term: 9, prevIndex: 1, prevEpoch: epoch(1), entries: [entry(2, 9)], commit: 2 });
    rig.flush();
    expect(rig.status.commitIndex).to.equal(2);
    expect(rig.take('ack', 'b').at(-1)!.matched).to.equal(2);
  });

  it('(2) votes for who has it on record, though its own log lacks the entry that admitted it again', () => {
    const rig = new Rig({ incarnation: 'A2', recovered: found(trio, [1], { commit: 1 }) }).link('b', 'c');
    for (const pre of [true, false]) rig.ask('b', { term: 9, pre, recorded: 'A2' });
    rig.flush();
    expect(rig.take('voteReply', 'b').map(({ granted }) => granted)).to.deep.equal([true, true]);
    // Once a term, and over a restart, like any voter.
    rig.ask('c', { term: 9, recorded: 'A2' });
    rig.flush();
    expect(rig.take('voteReply', 'c').some(({ granted }) => granted)).to.equal(false);
  });

  it('(2) votes for nobody whose storage is not the one on record', () => {
    const rig = new Rig({ recovered: found(trio, [1]) }).meet('b', { incarnation: 'B2' });
    rig.ask('b', { term: 5 });
    rig.flush();
    expect(rig.take('voteReply', 'b')[0]!.granted).to.equal(false);
  });

  it('(3) never founds once it heard of a genesis, and remembers it', () => {
    const rig = new Rig().link('c');
    rig.meet('b', { genesis: 'other' }).pass(2000).drain();
    expect(rig.take('vote')).to.deep.equal([]);
    expect(rig.status.genesis).to.equal('other');
    expect(rig.fx.hard?.genesis ?? 'other').to.equal('other');
    rig.ask('c', { term: 1, genesis: '', recorded: '', lastIndex: 0, lastTerm: 0 });
    rig.flush();
    expect(rig.take('voteReply', 'c').at(-1)).to.deep.include({ granted: false, genesis: 'other' });
    const hard = { protocol: 'raft', config: 0, epoch: epoch(1, ''), vote: '', commit: 0, genesis: 'other' };
    const again = new Rig({ recovered: { ...foundEntries([]), hard } }).link('b', 'c').pass(2000).drain();
    expect(again.take('vote')).to.deep.equal([]);
  });

  it('(3) hears of it in votes, answers and heartbeats as well', () => {
    for (const hear of [
      (rig: Rig) => rig.ask('b', { term: 2, pre: true, genesis: 'other' }),
      (rig: Rig) =>
        rig.receive('b', { type: 'voteReply', pre: true, granted: false, term: 0, genesis: 'other' }),
      (rig: Rig) => rig.beat('b', 1, { genesis: 'other' }),
    ]) {
      const rig = new Rig().link('b', 'c').pass(310).drain();
      expect(rig.status.role).to.equal('candidate');
      hear(rig);
      expect(rig.status).to.deep.include({ role: 'follower', genesis: 'other' });
    }
  });

  it('(3) steps back from a founding under way when it hears of another one that is committed', () => {
    const rig = founder().flush();
    rig.meet('c', { genesis: 'other' });
    expect(rig.status).to.deep.include({ role: 'follower', genesis: 'other' });
    rig.pass(2000).drain();
    expect(rig.take('vote')).to.deep.equal([]);
    // The group's own log then replaces the founding that came to nothing.
    const theirs = configEntry(1, 5, { ...trio, genesis: 'other' });
    rig.append('b', { term: 5, entries: [theirs], commit: 1 });
    rig.flush();
    expect(rig.status.membership.genesis).to.equal('other');
    expect(rig.status.commitIndex).to.equal(1);
  });

  it('(3) takes no entries of another founding', () => {
    const rig = new Rig({ recovered: found(trio, [1], { commit: 1 }) }).link('b');
    const foreign = configEntry(1, 5, { ...trio, genesis: 'other' });
    expect(rig.append('b', { term: 5, entries: [foreign] })).to.equal(false);
    expect(rig.status.stopped).to.equal(undefined);
    expect(rig.status.lastIndex).to.equal(1);
  });

  it('(3) votes with an empty log only for a candidate that has its storage on record', () => {
    for (const [recordedAs, granted] of [
      ['A', true],
      ['A1', false],
      ['', false],
    ] as const) {
      const rig = new Rig().meet('b', { genesis: 'G' });
      rig.ask('b', { term: 3, recorded: recordedAs, lastIndex: 5 });
      rig.flush();
      expect(rig.take('voteReply', 'b')[0]!.granted, recordedAs).to.equal(granted);
    }
  });

  it('(3) a node that joins has no part in a founding', () => {
    for (const [founders, granted] of [
      [['a', 'b', 'c'], true],
      [[], false],
    ] as const) {
      const rig = new Rig({ founders }).meet('b');
      for (const pre of [true, false])
        rig.ask('b', { term: 1, pre, genesis: '', recorded: '', lastIndex: 0, lastTerm: 0 });
      rig.flush();
      const votes = rig.take('voteReply', 'b').map((reply) => reply.granted);
      expect(votes, `founders: ${founders.join()}`).to.deep.equal([granted, granted]);
    }
  });

  it('(3) a fresh pair next to a founded member does not found', () => {
    const cluster = new Cluster(1, ['a', 'b', 'c']);
    cluster.crash('c');
    expect(
      cluster.runUntil(() => cluster.leader() !== undefined && cluster.watch.committed > 0, 5000),
    ).to.equal(true);
    cluster.propose(cluster.leader()!);
    cluster.run(500);
    const { committed } = cluster.watch;
    expect(committed).to.be.above(1);
    // a loses its memory, c never had one: two of three, and only b knows that there is a group.
    cluster.crash('a');
    cluster.wipe('a');
    cluster.start('a');
    cluster.start('c');
    cluster.run(10_000);
    expect(cluster.leader()).to.equal(undefined);
    expect(cluster.watch.committed).to.equal(committed);
    expect(cluster.nodes.get('b')!.core.status.stopped).to.equal(undefined);
  });

  it('(5) sends nothing to those that are not linked', () => {
    const rig = new Rig({ recovered: found(trio, [1]) }).link('b', 'c').lead('b').flush();
    rig.meet('c', { up: false }).sent = [];
    rig.propose();
    rig.pass(200).flush();
    expect(rig.sent.filter(({ to }) => to === 'c')).to.deep.equal([]);
    expect(rig.sent.filter(({ to }) => to === 'b')).to.have.length.above(0);
  });
});
