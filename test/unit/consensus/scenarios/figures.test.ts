/** The figures of the Raft paper (Ongaro and Ousterhout 2014), played out. */
import { expect } from 'chai';
import { Stage } from './stage.js';

describe('Figure 7 of the paper', () => {
  /** The leader's log, and the followers' (a) to (f). */
  function stage(): Stage {
    const seed = (...log: number[]) => ({ log, term: 7, commit: 3 });
    return new Stage({
      lead: seed(1, 1, 1, 4, 4, 5, 5, 6, 6, 6),
      a: seed(1, 1, 1, 4, 4, 5, 5, 6, 6),
      b: seed(1, 1, 1, 4),
      c: seed(1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6),
      d: seed(1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7),
      e: seed(1, 1, 1, 4, 4, 4, 4),
      f: seed(1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3),
    });
  }

  it('when the leader runs, then those with a newer log refuse, and it still wins', () => {
    const s = stage().elect('lead');
    const granted = s.sent.filter(
      ({ message: m }) => m.type === 'voteReply' && !m.pre && m.granted && m.term === 8,
    );
    expect(granted.map(({ from }) => from).sort()).to.deep.equal(['a', 'b', 'e', 'f']);
    expect(s.at('lead')).to.equal('leader 8: 1 1 1 4 4 5 5 6 6 6 8 (3)');
  });

  it('when it replicates, then each log converges to its own with the least messages', () => {
    const s = stage().elect('lead').deliver();
    // (c) and (d) agree where the leader's log ended; each of the others tells in one answer where to go on.
    for (const [id, appends] of Object.entries({ a: 2, b: 2, c: 1, d: 1, e: 2, f: 2 })) {
      expect(s.sentOf('append', { to: id }).length, id).to.equal(appends);
    }
    s.beat('lead').deliver();
    for (const id of ['a', 'b', 'c', 'd', 'e', 'f'])
      expect(s.at(id)).to.equal('follower 8: 1 1 1 4 4 5 5 6 6 6 8 (11)');
  });
});

describe('Figure 8 of the paper', () => {
  /** Up to (c): b and c have acknowledged the entries of term 2 to a, which leads again; only a holds one of term 4. */
  function untilC(): Stage {
    const seed = { log: [1], commit: 1 };
    const s = new Stage({ a: seed, b: seed, c: seed, d: seed, e: seed }, { options: { maxMessageBytes: 1 } });
    // (a) a leads in term 2 and replicates to b only, and not all.
    s.elect('a', 'b', 'c');
    for (const id of ['c', 'd', 'e']) s.lose({ to: id });
    s.deliver({ among: ['a', 'b'] }).propose('a');
    s.lose();
    expect(s.all('a', 'b', 'c')).to.deep.equal([
      'leader 2: 1 2 2 (1)',
      'follower 2: 1 2 (1)',
      'follower 2: 1 (1)',
    ]);
    // (b) a crashes; e is elected by c and d, and writes something else at index 2.
    s.crash('a').elect('e', 'c', 'd');
    s.lose();
    expect(s.at('e')).to.equal('leader 3: 1 3 (1)');
    // (c) e crashes; a is back, leads again and replicates its old entries to b and c, one by one: now they are on a
    // majority. The entry of term 4 is lost.
    s.crash('e').start('a').elect('a', 'b', 'c');
    s.lose({ to: 'd' });
    for (const [id, rounds] of [
      ['b', 2],
      ['c', 3],
    ] as const) {
      for (let i = 0; i < rounds; i++)
        s.deliverOne({ type: 'append', to: id }).deliverOne({ type: 'ack', from: id });
    }
    const acked = s.sentOf('ack', { to: 'a' }).filter((m) => m.term === 4 && m.matched === 3);
    expect(acked).to.have.length(2);
    return s;
  }

  it('when an entry of an older term is on a majority, then it is not committed', () => {
    const s = untilC();
    expect(s.all('a', 'b', 'c')).to.deep.equal([
      'leader 4: 1 2 2 4 (1)',
      'follower 4: 1 2 2 (1)',
      'follower 4: 1 2 2 (1)',
    ]);
  });

  it('(d) when its leader crashes then, another one may replace it, everywhere', () => {
    const s = untilC();
    s.lose();
    s.crash('a').start('e').elect('e', 'c', 'd').deliver();
    s.start('a').deliver();
    s.beat('e').deliver();
    for (const id of ['a', 'b', 'c', 'd']) expect(s.at(id)).to.match(/^follower \d: 1 3 \d \(3\)$/);
  });

  it('(e) when an entry of its own term is on a majority, then all before it is committed for good', () => {
    const s = untilC();
    // New links, so it begins anew with what is sure.
    s.link('a', 'b')
      .link('a', 'c')
      .deliver({ among: ['a', 'b', 'c'] });
    expect(s.at('a')).to.equal('leader 4: 1 2 2 4 (4)');
    s.crash('a').start('e').elect('e');
    expect(s.node('e').core.status.role).to.not.equal('leader');
    s.elect('c').deliver();
    s.beat('c').deliver();
    for (const id of ['b', 'd', 'e']) expect(s.at(id)).to.match(/^follower \d: 1 2 2 4 \d \(5\)$/);
  });
});
