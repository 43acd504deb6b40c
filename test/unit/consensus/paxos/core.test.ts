/** The Paxos core on a bench: what it promises, accepts, takes over and decides. */
import { expect } from 'chai';
import { compareEpochs } from '../../../../lib/consensus/consensus.js';
import { ballot, configured, entry, found, foundEntries, founding, Rig, stop } from './rig.js';
import type { Epoch } from '../../../../lib/consensus/consensus.js';
import type { PaxosMessage } from '../../../../lib/consensus/paxos/messages.js';

const none = ballot(0, '', 0);
const one = ballot(1, 'b');
const two = ballot(2, 'c');
const high = ballot(5, 'b');

function prepare(term = high, more: { chosenBy?: Epoch; genesis?: string } = {}): PaxosMessage {
  return { type: 'prepare', term, genesis: 'G', chosenBy: undefined, ...more };
}

describe('a Paxos acceptor', () => {
  it('promises when that is on disk, with the end of its log', () => {
    const rig = new Rig(found([one, one])).link('b', 'c');
    rig.quick = false;
    rig.give('b', prepare());
    expect(rig.take('promise')).to.deep.equal([]);
    expect(rig.fx.hard?.epoch).to.deep.equal(high);
    rig.flush().drain();
    expect(rig.take('promise', 'b')).to.deep.equal([
      {
        ...{ type: 'promise', granted: true, term: high, lastEpoch: one, lastIndex: 3 },
        ...{ commit: 1, genesis: 'G' },
      },
    ]);
  });

  it('refuses older ballots than it promised, and says which one that was; also after a restart', () => {
    for (const recovered of [undefined, found([one], { promised: high })]) {
      const rig = new Rig(recovered ?? found([one])).link('b', 'c');
      if (recovered === undefined) rig.give('b', prepare());
      rig.take('promise');
      rig.give('c', prepare(ballot(4, 'c')));
      expect(rig.take('promise', 'c').map(({ granted, term }) => [granted, term])).to.deep.equal([
        [false, high],
      ]);
    }
  });

  it('promises nothing to a founding when it joins', () => {
    for (const [founders, granted] of [
      [['a', 'b', 'c'], true],
      [[], false],
    ] as const) {
      const rig = new Rig(undefined, {}, 'a', founders);
      rig.core.link(rig.now, 'b', 1, true, { incarnation: 'B', genesis: '' });
      rig.give('b', prepare(ballot(1, 'b', 0), { genesis: '' }));
      expect(rig.take('promise', 'b')[0]!.granted, `founders: ${founders.join()}`).to.equal(granted);
    }
  });

  it('orders ballots of one number by priority and node', () => {
    const rig = new Rig(found([one])).link('b', 'c');
    rig.give('b', prepare(ballot(5, 'b')));
    rig.give('c', prepare(ballot(5, 'c')));
    expect(rig.take('promise', 'c')[0]!.granted).to.equal(true);
    expect(rig.fx.hard?.epoch ?? ballot(5, 'c')).to.deep.equal(ballot(5, 'c'));
    rig.append('b', ballot(5, 'b'), entry(2, one), [entry(3, ballot(5, 'b'))]);
    expect(rig.log, 'of the lower one').to.deep.equal(['1.1b']);
    rig.give('b', prepare(ballot(5, 'b', 1, 1)));
    expect(rig.take('promise', 'b').at(-1)!.granted).to.equal(true);
  });

  it('accepts nothing of an older ballot than it promised, and says so', () => {
    const rig = new Rig(found([one])).link('b', 'c');
    rig.give('b', prepare());
    rig.append('c', two, entry(2, one), [entry(3, two)]);
    expect(rig.log).to.deep.equal(['1.1b']);
    expect(rig.take('ack', 'c').map(({ term, matched }) => [term, matched])).to.deep.equal([[high, 0]]);
  });

  it('accepts of a newer ballot without having promised it, and promises with that', () => {
    const rig = new Rig(found([one])).link('b', 'c');
    rig.append('b', high, entry(2, one), [entry(3, high)]);
    expect(rig.log).to.deep.equal(['1.1b', '1.5b']);
    expect(rig.take('ack', 'b').at(-1)).to.include({ matched: 3 });
    rig.give('c', prepare(ballot(4, 'c')));
    expect(rig.take('promise', 'c')[0]!.granted).to.equal(false);
  });

  it('accepts nothing behind a gap, and nothing whose past it does not have', () => {
    const rig = new Rig(found([one])).link('b', 'c');
    rig.append('b', high, entry(5, high), [entry(6, high)]);
    rig.append('b', high, entry(2, two), [entry(3, high)]);
    rig.wait(100);
    expect(rig.log).to.deep.equal(['1.1b']);
    const acks = rig.take('ack', 'b');
    expect(acks.every(({ matched }) => matched === 0)).to.equal(true);
    expect(acks.at(-1)!.conflict).to.not.equal(undefined);
  });

  it('takes ballots from nobody but their owners', () => {
    const rig = new Rig(found([one])).link('b', 'c');
    expect(rig.give('c', prepare(high))).to.equal(false);
    expect(rig.append('c', high, entry(2, one), [])).to.equal(false);
    expect(rig.give('c', { type: 'timeoutNow', term: high })).to.equal(false);
    const none = { round: 0, genesis: '', promiseMs: 0 };
    expect(rig.give('c', { type: 'heartbeat', term: high, commit: 1, ...none })).to.equal(false);
  });

  it('withholds promises for as long as it said to a leader with a lease, also after a restart', () => {
    const rig = new Rig(found([one])).link('b', 'c');
    const beat = { type: 'heartbeat', commit: 1, round: 1, genesis: '' } as const;
    rig.give('b', { ...beat, term: high, promiseMs: 200 });
    expect(rig.take('ack', 'b').at(-1)!.promised).to.equal(true);
    expect(rig.fx.hard?.promiseMs ?? 200).to.equal(200);
    rig.give('c', prepare(ballot(6, 'c')));
    expect(rig.take('promise', 'c')).to.deep.equal([]);
    rig.wait(200);
    rig.give('c', prepare(ballot(6, 'c')));
    expect(rig.take('promise', 'c')[0]!.granted).to.equal(true);

    const back = found([one]);
    const again = new Rig({ ...back, hard: { ...back.hard!, promiseMs: 200 } }).link('b', 'c');
    again.give('c', prepare(ballot(6, 'c')));
    expect(again.take('promise', 'c')).to.deep.equal([]);
    again.wait(200);
    again.give('c', prepare(ballot(6, 'c')));
    expect(again.take('promise', 'c')[0]!.granted).to.equal(true);
  });

  it('promises one that its leader chose, whatever it said to that leader', () => {
    const rig = new Rig(found([one])).link('b', 'c');
    rig.give('b', { ...{ type: 'heartbeat', commit: 1, round: 1, genesis: '' }, term: high, promiseMs: 200 });
    rig.give('c', prepare(ballot(6, 'c'), { chosenBy: high }));
    expect(rig.take('promise', 'c')[0]!.granted).to.equal(true);
  });

  it('does not promise one that an earlier leader chose, as long as a newer one counts on it', () => {
    const rig = new Rig(found([one])).link('b', 'c');
    rig.give('b', { ...{ type: 'heartbeat', commit: 1, round: 1, genesis: '' }, term: high, promiseMs: 200 });
    rig.give('c', prepare(ballot(6, 'c'), { chosenBy: ballot(4, 'a') }));
    expect(rig.take('promise', 'c')).to.deep.equal([]);
  });
});

describe('a Paxos candidate', () => {
  it('takes over when it hears a quorum in which nobody is happy, and asks when its own promise is on disk', () => {
    const rig = new Rig(found([one])).link('b', 'c');
    rig.quick = false;
    rig.wait(100);
    for (let i = 0; i < 20 && rig.core.status.role !== 'candidate'; i++) {
      for (const { round } of rig.take('ping', 'b')) {
        const nobody = { config: 1, ballot: none, leader: none, happy: false };
        rig.give('b', { type: 'pong', round, ...nobody });
      }
      rig.wait(20);
    }
    expect(rig.core.status.role).to.equal('candidate');
    expect(rig.take('prepare')).to.deep.equal([]);
    rig.flush().drain();
    expect(rig.take('prepare').map(({ term }) => term.n)).to.deep.equal([2, 2]);
  });

  it('after a restart runs with a newer ballot than all that it used or promised', () => {
    const rig = new Rig(found([one], { promised: ballot(7, 'a') })).link('b', 'c');
    expect(rig.runs('b')).to.deep.equal(ballot(8, 'a'));
  });

  it('does not run alone', () => {
    const rig = new Rig(found([one])).link('b', 'c');
    rig.wait(3000);
    expect(rig.take('prepare')).to.deep.equal([]);
  });

  it('takes over the log of the newest ballot, not the longest', () => {
    const rig = new Rig(found([one, one, one], { promised: high })).link('b', 'c');
    const term = rig.runs('b', 'c');
    rig.promise('b', term, two, 2);
    const [asked] = rig.take('fetch', 'b');
    expect(asked).to.include({ whole: true, prevIndex: 2 });
    rig.give('b', {
      ...{ type: 'suffix', term, whole: true, prevIndex: 2, prevEpoch: one, entries: [], commit: 1 },
      conflict: { prevIndex: 2, index: 1, epoch: founding().epoch },
    });
    expect(rig.take('fetch', 'b')[0]).to.include({ whole: true, prevIndex: 1 });
    expect(rig.core.status.role).to.equal('candidate');
    rig.give('b', {
      ...{ type: 'suffix', term, whole: true, prevIndex: 1, prevEpoch: founding().epoch },
      ...{ entries: [entry(2, two)], commit: 1, conflict: undefined },
    });
    expect(rig.core.status.role).to.equal('leader');
    expect(rig.log).to.deep.equal(['1.2c', `1.${term.n}a`]);
  });

  it('of five, the newest among all that promised', () => {
    const five = ['a', 'b', 'c', 'd', 'e'];
    const rig = new Rig(found([one, one, one, one], { founders: five, promised: high })).link(
      'b',
      'c',
      'd',
      'e',
    );
    const term = rig.runs('b', 'c', 'd');
    rig.promise('b', term, one, 3);
    rig.promise('c', term, two, 3);
    const [asked] = rig.take('fetch');
    expect(asked).to.include({ prevIndex: 3 });
    // There the logs part.
    rig.give('c', {
      ...{ type: 'suffix', term, whole: true, prevIndex: 3, prevEpoch: asked!.prevEpoch, entries: [] },
      ...{ commit: 1, conflict: { prevIndex: 3, index: 2, epoch: one } },
    });
    expect(rig.take('fetch', 'c').map(({ prevIndex }) => prevIndex)).to.deep.equal([2]);
    rig.give('c', {
      ...{ type: 'suffix', term, whole: true, prevIndex: 2, prevEpoch: one, entries: [entry(3, two)] },
      ...{ commit: 1, conflict: undefined },
    });
    expect(rig.log).to.deep.equal(['1.1b', '1.2c', `1.${term.n}a`]);
  });

  it('asks again for what gets lost, and gives up in the end', () => {
    const rig = new Rig(found([one])).link('b', 'c');
    rig.runs('b', 'c');
    rig.wait(200);
    expect(rig.take('prepare', 'b').length).to.be.within(3, 5);
    rig.wait(1000);
    expect(rig.core.status.role).to.equal('follower');
  });

  it('counts nobody twice, nobody with another storage, and no learner', () => {
    const rig = new Rig(found([one], { founders: ['a', 'b', 'c', 'd', 'e'] })).link('b', 'c', 'd');
    const term = rig.runs('b', 'c', 'd');
    rig.core.link(rig.now, 'c', 2, true, { incarnation: 'another', genesis: 'G' });
    rig.promise('b', term, one, 2);
    rig.promise('b', term, one, 2);
    rig.promise('c', term, one, 2);
    expect(rig.core.status.role).to.equal('candidate');
    rig.promise('d', term, one, 2);
    expect(rig.core.status.role).to.equal('leader');
  });

  it('takes no promise whose log is newer than its ballot', () => {
    const rig = new Rig(found([one])).link('b', 'c');
    const term = rig.runs('b', 'c');
    expect(rig.promise('b', term, ballot(9, 'c'), 2)).to.equal(false);
  });

  it('steps back for a newer ballot', () => {
    const rig = new Rig(found([one])).link('b', 'c');
    rig.runs('b', 'c');
    rig.give('b', {
      ...{ type: 'promise', granted: false, term: ballot(9, 'c'), lastEpoch: one, lastIndex: 2 },
      ...{ commit: 1, genesis: 'G' },
    });
    expect(rig.core.status).to.include({ role: 'follower', leader: '' });
  });
});

describe('a Paxos leader', () => {
  it('decides entries of older ballots only together with one of its own', () => {
    const rig = new Rig(found([one, one])).link('b', 'c');
    const term = rig.leads();
    rig.ack('b', term, 3);
    expect(rig.core.status.commitIndex).to.equal(1);
    rig.ack('b', term, 4);
    expect(rig.core.status.commitIndex).to.equal(4);
  });

  it('counts no answer of another ballot', () => {
    const rig = new Rig(found([one, one])).link('b', 'c');
    const term = rig.leads();
    rig.ack('b', ballot(term.n - 1, 'c'), 4);
    expect(rig.core.status.commitIndex).to.equal(1);
  });

  it('proposes nothing behind a stop-sign, and holds who proposes', () => {
    const rig = new Rig(found([])).link('b', 'c', 'd');
    const term = rig.leads();
    rig.ack('b', term, 2);
    expect(rig.core.changeMembership(rig.now, { addLearners: ['d'] })).to.include({ ok: true, index: 3 });
    expect(rig.core.propose(rig.now, 1, Uint8Array.of(1), 1)).to.deep.equal({
      ok: false,
      why: 'transferring',
    });
    expect(rig.core.changeMembership(rig.now, { remove: ['c'] })).to.deep.equal({
      ok: false,
      why: 'configPending',
    });
  });

  it('begins the next configuration when the stop-sign is decided, first of all, with a newer ballot', () => {
    const rig = new Rig(found([])).link('b', 'c', 'd');
    const term = rig.leads();
    rig.ack('b', term, 2);
    rig.core.changeMembership(rig.now, { addLearners: ['d'] });
    rig.drain();
    expect(rig.core.status.membership.config).to.equal(1);
    rig.wait(100);
    expect(rig.take('prepare').filter(({ term: { config } }) => config > 1)).to.deep.equal([]);
    rig.ack('b', term, 3);
    expect(rig.core.status).to.include({ role: 'candidate', commitIndex: 3 });
    expect(rig.core.status.membership).to.include({ config: 2 });
    expect(rig.take('prepare', 'b')[0]!.term).to.deep.equal(ballot(term.n + 1, 'a', 2));
    expect(rig.fx.hard ?? { commit: 3, config: 2 }).to.include({ commit: 3, config: 2 });
  });

  it('which takes over a stop-sign decides that, and nothing behind it', () => {
    const next = stop(2, one, configured(['a', 'b', 'c'], 2));
    const rig = new Rig(foundEntries([founding(), next], { promised: one })).link('b', 'c');
    const term = rig.leads();
    expect(rig.log).to.deep.equal(['1.1b', `1.${term.n}a`]);
    rig.ack('b', term, 3);
    expect(rig.core.status.commitIndex).to.equal(2);
    expect(rig.core.status.membership.config).to.equal(2);
    expect(rig.take('prepare', 'b').at(-1)!.term).to.deep.equal(ballot(term.n + 1, 'a', 2));
  });

  it('takes no witnesses', () => {
    const rig = new Rig(found([])).link('b', 'c', 'd');
    rig.ack('b', rig.leads(), 2);
    const answer = rig.core.changeMembership(rig.now, { addWitnesses: ['d'] });
    expect(answer).to.deep.equal({ ok: false, why: 'invalid' });
  });

  it('answers a read when a quorum answered a round that began after it', () => {
    const rig = new Rig(found([])).link('b', 'c');
    const term = rig.leads();
    rig.core.read(rig.now, 7);
    rig.drain();
    rig.ack('b', term, 2);
    const { round } = rig.take('heartbeat', 'b').at(-1)!;
    expect(rig.reads).to.deep.equal([]);
    rig.ack('b', term, 2, { round: round - 1 });
    expect(rig.reads).to.deep.equal([]);
    rig.ack('b', term, 2, { round });
    expect(rig.reads).to.deep.equal([{ context: 7, index: 2 }]);
  });
});

describe('a Paxos node of an older configuration', () => {
  const next = stop(2, one, configured(['a', 'b', 'c'], 2));
  const later = ballot(3, 'b', 2);

  it('takes of a newer one what is committed, and then takes part', () => {
    const rig = new Rig(found([])).link('b', 'c');
    rig.append('b', later, founding(), [next, entry(3, later)], 2);
    expect(rig.core.status.membership.config).to.equal(2);
    expect(rig.log).to.deep.equal(['1.1b', '2.3b']);
    expect(rig.take('ack', 'b').at(-1)).to.include({ matched: 3 });
    expect(rig.fx.hard ?? { epoch: later })
      .to.have.property('epoch')
      .that.deep.equals(later);
  });

  it('takes nothing else of it', () => {
    const rig = new Rig(found([])).link('b', 'c');
    rig.append('b', ballot(4, 'b', 3), founding(), [next, entry(3, later)], 2);
    expect(rig.core.status.membership.config).to.equal(2);
    expect(rig.log, 'and behind it nothing').to.deep.equal(['1.1b']);
    expect(rig.take('ack', 'b').at(-1)).to.include({ matched: 2 });
  });

  it('promises nothing there before it knows how its own one ended, and asks for that', () => {
    const rig = new Rig(found([])).link('b', 'c');
    rig.give('b', prepare(later));
    expect(rig.take('promise')).to.deep.equal([]);
    const [asked] = rig.take('fetch', 'b');
    expect(asked).to.include({ whole: false, prevIndex: 1 });
    rig.give('b', { ...asked!, type: 'suffix', entries: [next], commit: 2, conflict: undefined });
    expect(rig.core.status.membership.config).to.equal(2);
    rig.give('b', prepare(later));
    expect(rig.take('promise', 'b')[0]).to.include({ granted: true, lastIndex: 2 });
  });

  it('has its promises of the older one end with that, on disk as well', () => {
    const rig = new Rig(found([], { promised: high })).link('b', 'c');
    rig.give('b', prepare(later));
    const [asked] = rig.take('fetch', 'b');
    rig.quick = false;
    rig.give('b', { ...asked!, type: 'suffix', entries: [next], commit: 2, conflict: undefined });
    expect(rig.fx.hard).to.include({ config: 2, commit: 2 });
    expect(compareEpochs(rig.fx.hard!.epoch, high)).to.be.above(0);
    rig.flush().drain();
    rig.give('c', prepare(ballot(9, 'c')));
    expect(rig.take('promise', 'c').at(-1)).to.include({ granted: false });
  });

  it('tells no stranger what is committed, and a member all of it', () => {
    const rig = new Rig(found([one])).link('b', 'x');
    const ask = { type: 'fetch', term: none, whole: false, prevIndex: 0, prevEpoch: none } as const;
    rig.give('x', ask);
    expect(rig.take('suffix')).to.deep.equal([]);
    rig.give('b', ask);
    expect(rig.take('suffix', 'b')[0]!.entries.map(({ index }) => index)).to.deep.equal([1]);
  });

  it('learns from those who know, where nobody leads and it has no vote', () => {
    const learning = { ...configured(['b', 'c']), learners: [{ id: 'a', incarnation: 'A' }] };
    const rig = new Rig(foundEntries([stop(1, ballot(1, 'a', 0), learning)])).link('b', 'c');
    rig.wait(300);
    const [asked] = rig.take('ping', 'b').slice(-1);
    rig.give('b', { type: 'pong', round: asked!.round, config: 2, ballot: none, leader: none, happy: false });
    expect(rig.take('fetch', 'b')[0]).to.include({ whole: false });
  });
});

describe('a transfer in Paxos', () => {
  it('makes the target run at once, past who is happy', () => {
    const rig = new Rig(found([one])).link('b', 'c');
    rig.append('b', high, entry(2, one), []);
    rig.give('b', { type: 'timeoutNow', term: high });
    const asked = rig.take('prepare', 'c');
    expect(asked[0]).to.deep.include({ term: ballot(6, 'a'), chosenBy: high });
    expect(rig.core.status.quorum).to.equal(true);
  });

  it('is no word of anybody else, and none of another reign', () => {
    const rig = new Rig(found([one])).link('b', 'c');
    rig.append('b', high, entry(2, one), []);
    rig.give('b', { type: 'timeoutNow', term: ballot(4, 'b') });
    rig.give('c', { type: 'timeoutNow', term: ballot(6, 'c') });
    expect(rig.take('prepare')).to.deep.equal([]);
  });
});
