import { expect } from 'chai';
import { found, members, Rig } from './rig.js';
import type { RaftOptions } from '../../../lib/consensus/raft/options.js';

const trio = members(['a', 'b', 'c']);

/** A leader in term 3 with everything durable, to whom b and c answer. */
function leader(options: RaftOptions = {}, ids: readonly string[] = ['a', 'b', 'c']): Rig {
  const membership = ids.length === 3 ? trio : members(ids);
  const rig = new Rig({
    options: { diskStallMs: 1000, ...options },
    founders: ids,
    recovered: found(membership, [1, 1], { term: 2 }),
  });
  for (const id of ids) if (id !== 'a') rig.link(id);
  if (ids.length > 1) rig.lead('b');
  else rig.pass(700).flush();
  rig.flush();
  alive(rig, 0, ids);
  return rig;
}

/** Time passes while the others answer, and hold all but what is told. */
function alive(rig: Rig, ms: number, ids: readonly string[] = ['a', 'b', 'c'], lacking = 0): void {
  const answer = (): void => {
    for (const id of ids)
      if (id !== 'a' && rig.status.role === 'leader') rig.ack(id, rig.status.lastIndex - lacking);
    rig.drain();
  };
  answer();
  for (let past = 0; past < ms; past += 50) {
    rig.pass(50).drain();
    answer();
  }
}

// Pitfall 22 (hashicorp/raft#503): a leader that heartbeats and whose disk hangs.
describe('a leader whose disk does not answer', () => {
  it('hands over once a write has taken longer than the bound', () => {
    const rig = leader();
    rig.propose();
    rig.drain();
    alive(rig, 950);
    expect(rig.status.role).to.equal('leader');
    expect(rig.take('timeoutNow')).to.deep.equal([]);
    expect(rig.status.commitIndex, 'the others hold it').to.equal(rig.status.lastIndex);
    alive(rig, 100);
    expect(rig.take('timeoutNow')).to.have.length.above(0);
  });

  it('counts from the oldest write, not from the newest', () => {
    const rig = leader();
    for (let n = 0; n < 11; n++) {
      rig.propose();
      rig.drain();
      alive(rig, 100);
    }
    expect(rig.status.transferring).to.not.equal('');
  });

  it('falls silent when the one that was to take over does not', () => {
    const rig = leader();
    rig.propose();
    rig.drain();
    alive(rig, 1050);
    expect(rig.status.role).to.equal('leader');
    alive(rig, 350);
    expect([rig.status.role, rig.status.leader]).to.deep.equal(['follower', '']);
    rig.sent = [];
    rig.pass(2000).drain();
    expect(rig.take('heartbeat')).to.deep.equal([]);
  });

  it('falls silent at once when nobody could take over', () => {
    const rig = leader();
    rig.propose();
    rig.drain();
    alive(rig, 900);
    rig.meet('b', { up: false });
    rig.meet('c', { up: false });
    rig.pass(150);
    expect(rig.status.role).to.equal('follower');
  });

  it('does not run before the disk has answered', () => {
    const rig = leader();
    rig.propose();
    rig.drain();
    alive(rig, 1500);
    const { n } = rig.status.epoch;
    rig.sent = [];
    rig.pass(5000).drain();
    expect(rig.take('vote')).to.deep.equal([]);
    expect(rig.status.epoch.n).to.equal(n);
    // Nor when it is asked to.
    rig.beat('b', n + 1);
    rig.receive('b', { type: 'timeoutNow', term: n + 1 });
    rig.drain();
    expect(rig.status.epoch.n).to.equal(n + 1);
    rig.flush().pass(500).drain();
    expect(rig.take('vote')).to.have.length(2);
  });

  it('stays when its disk is only slow', () => {
    const rig = leader();
    for (let n = 0; n < 20; n++) {
      rig.propose();
      rig.drain();
      alive(rig, 900);
      rig.flush();
      expect(rig.status.role).to.equal('leader');
    }
  });

  it('stays when it is told to, and where there is nobody else', () => {
    const rig = leader({ diskStallMs: 0 });
    rig.propose();
    rig.drain();
    alive(rig, 60_000);
    expect(rig.status).to.include({ role: 'leader', transferring: '' });
    const alone = leader({}, ['a']);
    alone.propose();
    alone.drain();
    alone.pass(60_000).drain();
    expect(alone.status.role).to.equal('leader');
  });
});
