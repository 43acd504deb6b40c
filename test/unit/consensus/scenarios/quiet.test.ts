/** A group that rests: who may, what wakes it, and what if the words that make it rest, or wake, are lost. */
import { expect } from 'chai';
import { Stage } from './stage.js';
import type { RaftOptions } from '../../../../lib/consensus/raft/options.js';

const trio = ['a', 'b', 'c'];
const QUIET_MS = 500;

/** Three with the same log; a leads in term 2. */
function led(options: RaftOptions = {}): Stage {
  const seed = { log: [1], commit: 1 };
  const s = new Stage({ a: seed, b: seed, c: seed }, { options: { quietAfterMs: QUIET_MS, ...options } });
  s.elect('a').deliver();
  return s.run(100).forget();
}

const rests = (s: Stage, ...ids: string[]): boolean[] =>
  (ids.length > 0 ? ids : trio).map((id) => s.node(id).core.status.quiet);

/** Time passes until the leader asks whether all have nothing to do. */
function asks(s: Stage): void {
  for (let i = 0; i < 200 && !s.has({ type: 'quiet' }); i++) {
    for (const type of ['heartbeat', 'ack'] as const) s.deliver({ type });
    s.wait(10, 'a');
  }
}

function resting(): Stage {
  const s = led().run(QUIET_MS + 100);
  expect(rests(s)).to.deep.equal([true, true, true]);
  return s.forget();
}

/** Whatever happened: one leads in the end, a proposal goes through, all agree, and the group rests again. */
function well(s: Stage): void {
  s.heal().release();
  for (const id of trio) if (!s.nodes.has(id)) s.start(id);
  s.run(3000);
  const leaders = trio.filter((id) => s.node(id).core.status.role === 'leader');
  expect(leaders).to.have.length(1);
  expect(s.propose(leaders[0]!)).to.include({ ok: true });
  s.run(300);
  const ends = trio.map((id) => s.at(id).replace(/^\w+ /, ''));
  expect(new Set(ends).size, ends.join('; ')).to.equal(1);
  s.run(QUIET_MS + 500);
  expect(rests(s), 'rests in the end').to.deep.equal([true, true, true]);
}

describe('a group in which nothing happens', () => {
  it('says nothing at all, wants no ticks, and stays what it is', () => {
    const s = resting();
    for (const id of trio) expect(s.node(id).core.nextDeadline()).to.equal(Infinity);
    s.run(60_000);
    expect(s.sent).to.have.length(0);
    expect(s.all(...trio)).to.deep.equal(['leader 2: 1 2 (2)', 'follower 2: 1 2 (2)', 'follower 2: 1 2 (2)']);
    well(s);
  });

  it('commits what is proposed without waiting for anybody', () => {
    const s = resting().run(10_000);
    expect(s.propose('a')).to.include({ ok: true });
    s.deliver();
    expect(s.node('a').core.status.commitIndex).to.equal(3);
    expect(rests(s)).to.deep.equal([false, false, false]);
    well(s);
  });

  for (const at of ['a', 'b'])
    it(`answers what is read at ${at === 'a' ? 'its leader' : 'a follower'}, and all wake`, () => {
      const s = resting().run(10_000);
      const context = s.read(at);
      s.deliver();
      expect(s.answers).to.deep.equal([{ id: at, context, index: 2 }]);
      expect(rests(s)).to.deep.equal([false, false, false]);
      s.run(200);
      expect(s.sentOf('vote')).to.have.length(0);
      well(s);
    });

  it('wakes when a follower is told that somebody waits', () => {
    const s = resting();
    const { core, now } = s.node('c');
    core.wake(now);
    s.wait(10, 'c').deliver();
    expect(rests(s)).to.deep.equal([false, false, false]);
    expect(s.sentOf('wake')).to.have.length(1);
    well(s);
  });

  it('changes its members', () => {
    const s = resting().run(10_000);
    expect(s.change('a', { remove: ['c'] })).to.equal('ok');
    s.run(500);
    expect(s.parts('a')).to.equal('ab');
  });

  it('hands its leadership over', () => {
    const s = resting().run(10_000);
    const { core, now } = s.node('a');
    expect(core.transfer(now, 'b')).to.deep.equal({ ok: true });
    s.wait(10, 'a').deliver();
    expect(s.at('b')).to.match(/^leader 3:/);
    well(s);
  });

  it('bears it that all stand still at once for an hour', () => {
    const s = resting().wait(10, ...trio);
    for (const id of trio) s.node(id).now += 3_600_000;
    expect(s.propose('a')).to.include({ ok: true });
    s.deliver();
    expect(s.at('a')).to.equal('leader 2: 1 2 2 (3)');
    well(s);
  });
});

describe('a group rests only', () => {
  const never = (s: Stage): void => {
    s.run(3000);
    expect(rests(s).filter(Boolean)).to.have.length(0);
  };

  it('when it was left alone for as long as it was told', () => {
    const s = led();
    for (let i = 0; i < 10; i++) {
      s.propose('a');
      s.run(QUIET_MS - 100);
      expect(rests(s)).to.deep.equal([false, false, false]);
    }
    for (let i = 0; i < 10; i++) {
      s.read(trio[i % 3]!);
      s.run(QUIET_MS - 100);
      expect(rests(s)).to.deep.equal([false, false, false]);
    }
  });

  it('when it may', () => never(led({ quietAfterMs: Infinity })));

  it('when every member that is there agrees', () => {
    const s = led();
    s.read('b');
    s.lose({ type: 'read' });
    // The question is under way, as far as b knows, for twice an election time-out.
    s.run(QUIET_MS + 60);
    expect(rests(s)).to.deep.equal([false, false, false]);
    expect(s.sentOf('quietReply', { from: 'b' })[0]).to.include({ ok: false });
    s.run(2000);
    expect(rests(s)).to.deep.equal([true, true, true]);
  });

  it('when all have acknowledged all of it', () => {
    const s = led().slow('c');
    s.propose('a');
    never(s);
    expect(s.sentOf('quiet')).to.have.length(0);
    s.fast('c').run(QUIET_MS + 200);
    expect(rests(s)).to.deep.equal([true, true, true]);
  });

  it('when what is proposed while it asks is committed, too', () => {
    const s = led();
    asks(s);
    s.propose('a');
    s.deliver();
    s.run(100);
    expect(rests(s)).to.deep.equal([false, false, false]);
    expect(s.at('b')).to.equal('follower 2: 1 2 2 (3)');
    well(s);
  });

  it('when nobody is about to take over', () => {
    const s = led();
    asks(s);
    const { core, now } = s.node('a');
    expect(core.transfer(now, 'b')).to.deep.equal({ ok: true });
    s.wait(10, 'a').lose({ type: 'timeoutNow' });
    s.deliver({ type: 'quiet' }).deliver({ type: 'quietReply' });
    expect(core.status).to.include({ transferring: 'b', quiet: false });
    well(s);
  });

  it('when nothing came while it asked, even if that is settled by now', () => {
    const s = led();
    asks(s);
    s.deliver({ type: 'quiet' }).deliver({ type: 'quietReply', from: 'b' });
    const answer = s.lose({ type: 'quietReply', from: 'c' });
    s.propose('a');
    s.deliver();
    s.inject(answer);
    expect(rests(s)).to.deep.equal([false, false, false]);
    well(s);
  });

  for (const quietAfterMs of [QUIET_MS, 20])
    it(`with a quorum of those that decide, after ${quietAfterMs} ms`, () => {
      const s = led({ quietAfterMs }).crash('b').unlink('a', 'c');
      s.run(2000);
      expect(rests(s, 'a', 'c')).to.deep.equal([false, false]);
      expect(s.node('a').core.status.role).to.not.equal('leader');
    });

  it('when nobody is waited for who is to vote', () => {
    const s = led();
    expect(s.change('a', { addVoters: ['d'] })).to.equal('ok');
    expect(s.parts('a')).to.equal('abc +d ⇒ abcd');
    never(s);
  });

  it('when nobody is there who would rather lead', () => {
    const seed = { log: [1], commit: 1 };
    const s = new Stage({ a: seed, b: seed, c: seed }, { options: { quietAfterMs: QUIET_MS } });
    s.elect('a').deliver();
    const { core, now } = s.node('a');
    core.link(now, 'b', 1000, true, { incarnation: 'B', genesis: 'G', priority: 7 });
    s.node('b').sessions.set('a', 1000);
    s.node('a').sessions.set('b', 1000);
    s.run(QUIET_MS + 1000);
    expect(s.sentOf('quiet')).to.have.length(0);
  });
});

describe('a group that rests', () => {
  it('rests without a member that is not there, and wakes when it comes', () => {
    const s = resting().crash('c');
    expect(rests(s, 'a', 'b'), 'the leader looks who is left').to.deep.equal([false, true]);
    s.run(QUIET_MS + 200);
    expect(rests(s, 'a', 'b')).to.deep.equal([true, true]);
    s.run(10_000).forget().start('c').deliver();
    expect(rests(s, 'a')).to.deep.equal([false]);
    s.run(200);
    expect(s.at('c')).to.equal('follower 2: 1 2 (2)');
    expect(s.sentOf('vote')).to.have.length(0);
    well(s);
  });

  it('elects another leader when the link to its leader ends', () => {
    const s = resting().run(10_000).crash('a');
    s.run(2500);
    expect(['b', 'c'].map((id) => s.node(id).core.status.role)).to.include('leader');
    well(s);
  });

  it('does so in its time, and sooner when somebody waits', () => {
    const after = (ask: boolean): number => {
      const s = resting().crash('a');
      for (let ms = 0; ms < 3000; ms += 10) {
        if (ask) for (const id of ['b', 'c']) s.node(id).core.wake(s.node(id).now);
        s.run(10);
        if (['b', 'c'].some((id) => s.node(id).core.status.role === 'leader')) return ms;
      }
      return Infinity;
    };
    expect(after(true)).to.be.below(250);
    expect(after(false)).to.be.within(500, 2000);
  });

  it('wakes its leader when one that misses it asks for votes, and nobody is deposed', () => {
    const s = resting();
    s.isolate('c', ['a']).unlink('a', 'c');
    // a has noticed, and rests again with b.
    for (let ms = 0; ms < QUIET_MS + 100; ms += 10) s.wait(10, 'a', 'b').deliver({ among: ['a', 'b'] });
    expect(rests(s, 'a', 'b')).to.deep.equal([true, true]);
    s.timeout('c').deliver();
    expect(rests(s, 'a', 'b')).to.deep.equal([false, false]);
    s.run(2000);
    expect(s.at('a')).to.match(/^leader 2:/);
    s.heal().link('a', 'c');
    well(s);
  });

  it('finds another leader when the one it rests with leads no more, without a word', () => {
    const s = resting();
    // As if it had been deposed by one that nobody else hears.
    s.cut('a', 'b').cut('a', 'c');
    const { core, now } = s.node('a');
    core.receive(now, 'c', {
      type: 'ack',
      term: 9,
      matched: 0,
      round: 0,
      promised: false,
      conflict: undefined,
    });
    s.wait(10, 'a').deliver();
    s.heal();
    s.run(3000);
    well(s);
  });

  it('is woken by its leader before that one follows another', () => {
    const s = resting();
    const { core, now } = s.node('a');
    core.receive(now, 'c', {
      type: 'ack',
      term: 9,
      matched: 0,
      round: 0,
      promised: false,
      conflict: undefined,
    });
    s.wait(10, 'a').deliver();
    expect(rests(s)).to.deep.equal([false, false, false]);
    well(s);
  });

  it('restarts with its leader', () => {
    const s = resting().restart('a').deliver();
    expect(rests(s)).to.deep.equal([false, false, false]);
    well(s);
  });

  it('notices that its leader came back over a new link, with no end of the old one', () => {
    const s = resting();
    // The end is not told; the next contact tells it.
    const old = s.node('a');
    old.alive = false;
    s.nodes.delete('a');
    s.start('a').deliver();
    expect(rests(s)).to.deep.equal([false, false, false]);
    well(s);
  });

  it('goes on when the disk of its leader fails', () => {
    const s = resting().fail('a');
    expect(rests(s, 'a')).to.deep.equal([false]);
    // The driver says goodbye.
    s.crash('a').run(2500);
    expect(['b', 'c'].map((id) => s.node(id).core.status.role)).to.include('leader');
    well(s);
  });
});

describe('when a word is lost', () => {
  it('that asks, the leader asks again', () => {
    const s = led();
    asks(s);
    s.lose({ type: 'quiet', to: 'b' });
    s.deliver();
    expect(rests(s)).to.deep.equal([false, false, false]);
    s.run(1000);
    expect(rests(s)).to.deep.equal([true, true, true]);
  });

  it('that answers, the leader asks again, and takes no old answer for a new one', () => {
    const s = led();
    asks(s);
    s.deliver({ type: 'quiet' }).deliver({ type: 'quietReply', from: 'b' });
    const old = s.lose({ type: 'quietReply', from: 'c' });
    asks(s);
    s.inject(old);
    expect(rests(s, 'a'), 'an old answer').to.deep.equal([false]);
    s.deliver({ type: 'quiet' }).deliver({ type: 'quietReply', from: 'b' });
    expect(rests(s, 'a'), 'c has not answered the new question').to.deep.equal([false]);
    s.deliver();
    expect(rests(s)).to.deep.equal([true, true, true]);
  });

  it('that tells a follower to rest, then it misses the leader, which shows itself', () => {
    const s = led();
    for (let i = 0; i < 200 && !s.sentOf('quiet').some(({ begins }) => begins); i++) {
      s.wait(10, ...trio);
      while (s.has({}) && !s.sentOf('quiet').some(({ begins }) => begins)) s.deliverOne();
    }
    s.lose({ type: 'quiet', to: 'b' });
    s.deliver();
    expect(rests(s)).to.deep.equal([true, false, true]);
    s.run(700);
    expect(s.sentOf('vote').every(({ pre }) => pre)).to.equal(true);
    expect(s.at('a')).to.match(/^leader 2:/);
    well(s);
  });

  it('that wakes the leader, then what is asked wakes it', () => {
    const s = resting();
    s.read('c');
    s.lose({ type: 'wake' });
    s.deliver();
    expect(s.answers).to.have.length(1);
    expect(rests(s)).to.deep.equal([false, false, false]);
    s.run(900);
    expect(s.sentOf('vote')).to.have.length(0);
    well(s);
  });

  it('that wakes the leader, then the follower asks for votes, and it wakes', () => {
    const s = resting();
    const { core, now } = s.node('c');
    core.wake(now);
    s.wait(10, 'c').lose({ type: 'wake' });
    expect(rests(s)).to.deep.equal([true, true, false]);
    s.run(800);
    expect(s.at('a')).to.match(/^leader 2:/);
    well(s);
  });

  it('or comes late, then it makes nobody rest for good', () => {
    const s = led();
    for (let i = 0; i < 200 && !s.sentOf('quiet').some(({ begins }) => begins); i++) {
      s.wait(10, ...trio);
      while (s.has({}) && !s.sentOf('quiet').some(({ begins }) => begins)) s.deliverOne();
    }
    const late = s.lose({ type: 'quiet', to: 'b' });
    s.propose('a');
    s.deliver();
    s.inject(late);
    expect(rests(s, 'b'), 'its log has gone on').to.deep.equal([false]);
    well(s);
    s.read('a');
    s.deliver();
    s.inject(late);
    s.run(100);
    expect(rests(s)).to.deep.equal([false, false, false]);
    well(s);
  });
});
