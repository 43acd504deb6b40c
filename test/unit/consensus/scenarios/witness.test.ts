/** Witnesses: they vote, and keep the log without what it carries. */
import { expect } from 'chai';
import { Stage } from './stage.js';

/** a and b, led by a in term 2, and w, which is no member yet and keeps no data. All are linked. */
function pair(...witnesses: string[]): Stage {
  const seed = { log: [1], commit: 1 };
  const others = Object.fromEntries(witnesses.map((id) => [id, { log: [] }]));
  const s = new Stage({ a: seed, b: seed, ...others }, { witnesses });
  s.elect('a', 'b').deliver();
  s.beat('a').deliver();
  expect(s.at('a')).to.equal('leader 2: 1 2 (2)');
  return s.forget();
}

/** The same with w as a witness. */
function group(): Stage {
  const s = pair('w');
  expect(s.change('a', { addWitnesses: ['w'] })).to.equal('ok');
  s.deliver().run(200);
  expect(s.parts('a')).to.equal('abw');
  return s.forget();
}

const bytes = (s: Stage, id: string): number[] =>
  s
    .node(id)
    .disk.written.entries.filter(({ kind }) => kind === 'user')
    .map(({ data }) => data.length);

describe('a witness', () => {
  it('when it is let in, then it learns first, and votes from the joint membership on', () => {
    const s = group();
    expect(s.node('w').core.status.role).to.equal('witness');
    const { voters } = s.node('a').core.status.membership;
    expect(voters.map(({ id, witness }) => [id, witness])).to.deep.equal([
      ['a', undefined],
      ['b', undefined],
      ['w', true],
    ]);
    expect(s.parts('w')).to.equal('abw');
  });

  it('when a member that holds data is away, then it makes the quorum, and keeps nothing but what entries are', () => {
    const s = group().isolate('b');
    s.propose('a', 3);
    s.deliver().beat('a').deliver();
    expect(s.node('a').core.status.commitIndex).to.equal(s.node('a').core.status.lastIndex);
    expect(bytes(s, 'a')).to.deep.equal([4, 4, 4]);
    expect(bytes(s, 'w')).to.deep.equal([0, 0, 0]);
    s.heal().run(3000);
    expect(bytes(s, 'b')).to.deep.equal([4, 4, 4]);
    expect(s.at('w')).to.equal(s.at('b').replace('follower', 'witness'));
  });

  it('when the leader is gone, then it votes for who has as much of the log, and never runs', () => {
    const s = group();
    s.propose('a');
    s.deliver().crash('a');
    expect(() => s.timeout('w')).to.throw('w never runs');
    s.elect('b').deliver();
    expect(s.node('b').core.status.role).to.equal('leader');
  });

  it('when it alone holds a commit beside a leader that is gone, then nobody leads until that one is back', () => {
    const s = group().isolate('b');
    s.propose('a');
    s.deliver().beat('a').deliver();
    s.crash('a').heal();
    s.run(5000);
    expect(['b', 'w'].map((id) => s.node(id).core.status.leader)).to.deep.equal(['', '']);
    s.start('a').run(5000);
    const led = s.node('w').core.status.leader;
    expect(led).to.equal('a');
    expect(bytes(s, 'b')).to.deep.equal([4]);
  });

  it('when a leader that is removed has more than the others, then it does not get ahead of who may lead', () => {
    const s = group();
    expect(s.change('a', { addLearners: ['a'] })).to.equal('ok');
    while (s.parts('a') !== 'bw +a') s.deliverOne();
    s.cut('a', 'b');
    s.propose('a', 3);
    s.deliver({ to: 'w' }).crash('a').heal();
    s.elect('b', 'w').deliver();
    expect(s.node('b').core.status.role).to.equal('leader');
  });

  it('when the leadership is to go to it, then that is refused, and so it is by priority', () => {
    const s = group();
    const { core, now } = s.node('a');
    expect(core.transfer(now, 'w')).to.deep.equal({ ok: false, why: 'notVoter' });
    s.crash('b');
    expect(core.transfer(now, '').ok).to.equal(false);
  });

  it('when it lacks what the log has no longer, then it gets a snapshot without the state, from the leader', () => {
    const s = group().isolate('w');
    s.propose('a', 5);
    s.deliver();
    s.compact('a').heal();
    s.run(400);
    const { bare, sources, to } = s.streams.at(-1)!;
    expect([to, bare, sources]).to.deep.equal(['w', true, []]);
  });

  it('when a member lags, then a witness is not asked for a snapshot', () => {
    const s = group().isolate('b');
    s.propose('a', 5);
    s.deliver().beat('a').deliver();
    s.compact('a').heal();
    s.run(400);
    const { bare, sources, to } = s.streams.at(-1)!;
    expect([to, bare, sources]).to.deep.equal(['b', false, []]);
  });

  it('when its disk is lost, then it learns again, and is admitted again', () => {
    const s = group();
    s.propose('a');
    s.deliver().wipe('w').run(3000);
    expect(s.parts('a')).to.equal('abw');
    expect(s.node('a').core.status.membership.voters.find(({ id }) => id === 'w')).to.deep.equal({
      id: 'w',
      incarnation: 'W2',
      witness: true,
    });
  });

  it('when it would have to hold data, or a member that holds some would hold none, then that is refused', () => {
    const s = group();
    expect(s.change('a', { addVoters: ['w'] })).to.equal('invalid');
    expect(s.change('a', { addLearners: ['w'] })).to.equal('invalid');
    expect(s.change('a', { addWitnesses: ['b'] })).to.equal('invalid');
    expect(s.change('a', { addWitnesses: ['w'] }), 'it is one').to.equal('ok');
  });

  it('when witnesses could be a quorum, then that is refused', () => {
    const s = pair('v', 'w');
    expect(s.change('a', { addWitnesses: ['v'], remove: ['b'] }), 'both are needed').to.equal('ok');
    const t = pair('v', 'w');
    expect(t.change('a', { addWitnesses: ['v', 'w'], remove: ['b'] })).to.equal('invalid');
    expect(t.change('a', { addWitnesses: ['v', 'w'] }), 'of four three decide').to.equal('ok');
    t.deliver().run(200);
    expect(t.change('a', { remove: ['b'] })).to.equal('invalid');
    expect(t.change('a', { remove: ['b', 'v'] })).to.equal('ok');
  });

  it('when a node comes as another kind of member than it is, then it is not fed', () => {
    const s = group();
    const { core, now } = s.node('a');
    core.link(now, 'w', 1000, true, { incarnation: 'W', genesis: core.status.genesis, witness: false });
    s.forget().propose('a');
    expect(s.sentOf('append', { from: 'a', to: 'w' })).to.deep.equal([]);
  });

  it('when it starts again, then its disk says what it is', () => {
    const s = group();
    expect(s.disks.get('w')!.durable.hard?.protocol).to.equal('raft/witness');
    expect(s.disks.get('b')!.durable.hard?.protocol).to.equal('raft');
    s.restart('w').run(500);
    expect(s.node('w').core.status.role).to.equal('witness');
  });
});
