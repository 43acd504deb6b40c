/** Leadership transfer (dissertation §3.10), one core at a time; scenarios/transfer.test.ts has several. */
import { expect } from 'chai';
import { configEntry, entry, found, foundEntries, members, Rig } from './rig.js';
import type { NodeId } from '../../../lib/consensus/consensus.js';
import type { RaftOptions } from '../../../lib/consensus/raft/options.js';

const trio = members(['a', 'b', 'c']);

/** A leader in term 2 whose reign is settled at index 3; b and c hold all of it. */
function leader(options: RaftOptions = {}): Rig {
  const rig = new Rig({ recovered: found(trio, [1, 1], { commit: 2 }), options });
  rig.link('b', 'c').lead('b').flush();
  for (const id of ['b', 'c']) rig.ack(id, 3);
  rig.flush().sent = [];
  return rig;
}

/** A follower of b in term 2. */
function follower(): Rig {
  const rig = new Rig({ recovered: found(trio, [1, 1], { term: 2, commit: 2 }) }).link('b', 'c');
  rig.beat('b', 2);
  rig.flush().sent = [];
  return rig;
}

function transfer(rig: Rig, to: NodeId): unknown {
  const answer = rig.core.transfer(rig.now, to);
  rig.flush();
  return answer.ok ? 'ok' : answer.why;
}

/** Time passes at a leader that both followers answer. */
function serve(rig: Rig, ms: number, ids: readonly NodeId[] = ['b', 'c']): Rig {
  for (const end = rig.now + ms; rig.now < end;) {
    rig.pass(Math.min(50, end - rig.now));
    for (const id of ids) rig.ack(id, rig.status.lastIndex);
    rig.flush();
  }
  return rig;
}

const told = (rig: Rig): NodeId[] =>
  rig.sent.filter(({ message }) => message.type === 'timeoutNow').map(({ to }) => to);

describe('a transfer of the leadership, at the leader', () => {
  it('tells a target that has everything to campaign at once', () => {
    const rig = leader();
    expect(transfer(rig, 'b')).to.equal('ok');
    expect(rig.take('timeoutNow')).to.deep.equal([{ type: 'timeoutNow', term: 2 }]);
    expect(rig.status).to.include({ role: 'leader', transferring: 'b' });
  });

  it('brings the target up to date first, on its disk', () => {
    const rig = leader();
    rig.propose();
    rig.flush();
    expect(transfer(rig, 'b')).to.equal('ok');
    rig.ack('c', 4);
    rig.flush();
    expect(told(rig), 'c has it, b does not').to.deep.equal([]);
    expect(rig.take('append', 'b')).to.have.length(1);
    rig.ack('b', 4);
    rig.flush();
    expect(told(rig)).to.deep.equal(['b']);
  });

  // Pitfall 25 (hashicorp#487, #581): what is taken in meanwhile the target may lack.
  it('takes no proposals until it is over', () => {
    const rig = leader();
    rig.propose();
    transfer(rig, 'b');
    expect(rig.propose()).to.deep.equal({ ok: false, why: 'transferring' });
    rig.ack('b', 4);
    rig.flush();
    expect(rig.propose()).to.deep.equal({ ok: false, why: 'transferring' });
    expect(rig.status.lastIndex).to.equal(4);
  });

  // Pitfall 4 (tikv#1593, #4688): whoever was told to campaign may lead, and have committed more.
  it('takes no reads once the target was told to campaign, and ends those it took', () => {
    const rig = leader();
    rig.propose();
    transfer(rig, 'b');
    expect(rig.core.read(rig.now, 1), 'not told yet').to.deep.equal({ ok: true });
    rig.ack('b', 4);
    rig.flush();
    expect(rig.core.read(rig.now, 2)).to.deep.equal({ ok: false, why: 'transferring' });
    rig.receive('c', { type: 'read', batch: 7 });
    rig.flush();
    expect(rig.take('readReply', 'c')).to.deep.equal([{ type: 'readReply', batch: 7, index: 0 }]);
    rig.ask('b', { term: 3, transfer: true });
    rig.flush();
    expect([rig.reads, rig.failed]).to.deep.equal([[], [1]]);
  });

  it('lets reads that came in just before wait for how it ends', () => {
    const rig = leader();
    rig.core.read(rig.now, 1);
    rig.core.transfer(rig.now, 'b');
    rig.flush();
    const asked = rig.take('heartbeat').filter(({ round }) => round > 0);
    expect(asked, 'no round is opened').to.deep.equal([]);
    serve(rig, 310);
    expect(rig.status.transferring).to.equal('');
    const { round } = rig.take('heartbeat', 'c').at(-1)!;
    rig.ack('c', 3, { round });
    rig.flush();
    expect(rig.reads).to.deep.equal([{ context: 1, index: 3 }]);
  });

  // Pitfall 25 (hashicorp#696): a transfer that nobody ends would block the group for ever.
  it('is given up after an election time-out, and then it serves again', () => {
    const rig = leader();
    transfer(rig, 'b');
    serve(rig, 290);
    expect(rig.propose()).to.include({ ok: false });
    serve(rig, 20);
    expect(rig.status).to.include({ role: 'leader', transferring: '' });
    expect(rig.propose()).to.include({ ok: true });
    expect(rig.core.read(rig.now, 1)).to.deep.equal({ ok: true });
    serve(rig, 50);
    expect(transfer(rig, 'c'), 'another one may begin').to.equal('ok');
  });

  it('wants its next tick no later than that', () => {
    const rig = leader({ heartbeatMs: 150 });
    rig.pass(140);
    for (const id of ['b', 'c']) rig.ack(id, 3);
    transfer(rig, 'b');
    const begun = rig.now;
    const deadlines: number[] = [];
    for (let i = 0; i < 10 && rig.status.transferring !== ''; i++) {
      rig.now = rig.core.nextDeadline();
      deadlines.push(rig.now);
      rig.core.tick(rig.now);
      for (const id of ['b', 'c']) rig.ack(id, 3);
      rig.flush();
    }
    expect(deadlines.at(-1)).to.equal(begun + 300);
  });

  for (const [how, relink] of Object.entries({
    breaks: (rig: Rig) => rig.meet('b', { up: false }),
    'was made anew': (rig: Rig) => rig.meet('b', { session: 2 }),
  }))
    it(`is given up when the link to its target ${how}`, () => {
      const rig = leader();
      transfer(rig, 'b');
      rig.meet('c', { session: 2 });
      expect(rig.status.transferring).to.equal('b');
      relink(rig);
      expect(rig.status).to.include({ role: 'leader', transferring: '' });
      expect(rig.propose()).to.include({ ok: true });
    });

  // Pitfall 25 (hashicorp#696): the flag leaks into the next reign of the same node.
  it('does not outlive the reign', () => {
    const rig = leader();
    transfer(rig, 'b');
    rig.ack('c', 0, { term: 7 });
    rig.flush();
    expect(rig.status).to.include({ role: 'follower', transferring: '' });
    rig.sent = [];
    rig.lead('c').flush();
    for (const id of ['b', 'c']) rig.ack(id, 4);
    rig.flush();
    expect(rig.propose()).to.include({ ok: true });
    rig.ack('b', 5);
    rig.flush();
    expect(told(rig)).to.deep.equal([]);
    expect(rig.core.read(rig.now, 1)).to.deep.equal({ ok: true });
    rig.pass(10).flush();
    expect(rig.core.nextDeadline()).to.be.above(rig.now);
  });

  it('ends with an I/O error, like everything', () => {
    const rig = leader();
    transfer(rig, 'b');
    rig.core.ioFailed(new Error('disk'));
    expect(rig.status).to.include({ role: 'follower', transferring: '' });
    expect(rig.core.transfer(rig.now, 'b')).to.deep.equal({ ok: false, why: 'stopped' });
  });

  it('says it again with later answers, for it may get lost', () => {
    const rig = leader();
    transfer(rig, 'b');
    rig.ack('b', 3);
    rig.flush();
    expect(told(rig), 'not at once').to.deep.equal(['b']);
    serve(rig, 100);
    expect(told(rig)).to.deep.equal(['b', 'b', 'b']);
  });

  it('votes for its target, and follows it', () => {
    const rig = leader();
    transfer(rig, 'b');
    rig.ask('b', { term: 3, lastIndex: 3, lastTerm: 2, transfer: true });
    rig.flush();
    expect(rig.take('voteReply', 'b')).to.deep.equal([
      { type: 'voteReply', pre: false, granted: true, term: 3, genesis: 'G' },
    ]);
    expect(rig.status).to.include({ role: 'follower', leader: '', quorum: true, transferring: '' });
    rig.beat('b', 3);
    expect(rig.status).to.include({ role: 'follower', leader: 'b', quorum: true });
  });

  describe('is refused', () => {
    const refused = (name: string, why: string, to: NodeId, prepare: () => Rig): void => {
      it(name, () => {
        const rig = prepare();
        rig.sent = [];
        expect(transfer(rig, to)).to.equal(why);
        expect(rig.status.transferring).to.equal('');
        expect(told(rig)).to.deep.equal([]);
      });
    };
    refused('by who does not lead', 'notLeader', 'c', follower);
    refused('for who is no member', 'notVoter', 'z', () => leader().link('z'));
    refused('for a member without a link', 'notLinked', 'b', () => leader().meet('b', { up: false }));
    // Pitfall 9 (NuRaft#553, redpanda#8495).
    refused('for a learner', 'notVoter', 'l', () => {
      const learners = [{ id: 'l', incarnation: 'L' }];
      const log = [configEntry(1, 1, { ...trio, learners }), entry(2, 1)];
      const rig = new Rig({ recovered: foundEntries(log, { commit: 2 }) }).link('b', 'c', 'l');
      rig.lead('b').flush();
      for (const id of ['b', 'c', 'l']) rig.ack(id, 3);
      return rig.flush();
    });
    refused('for a member that lost its storage', 'notVoter', 'b', () => {
      const rig = leader({ readmit: false }).meet('b', { incarnation: 'another', session: 2 });
      rig.ack('b', 3);
      return rig.flush();
    });
    // Pitfall 25 (redpanda#2592): the group would stand still until it has caught up.
    refused('for who is far behind', 'lagging', 'b', () => {
      const rig = leader({ maxMessageBytes: 1024, maxInflightBytes: 2048 });
      for (let i = 0; i < 4; i++) rig.propose(1, 1000);
      rig.flush().ack('c', 7);
      return rig.flush();
    });
    refused('for who lacks what only the disk has', 'lagging', 'b', () => {
      const rig = leader({ cacheBytes: 0 });
      rig.propose();
      rig.flush().ack('c', 4);
      return rig.flush();
    });
    refused('for who does not answer', 'lagging', 'b', () => serve(leader(), 400, ['c']));
    refused('for who is looked for in the log', 'lagging', 'b', () => leader().meet('b', { session: 2 }));
    refused('before the reign is settled', 'preparing', 'b', () =>
      new Rig({ recovered: found(trio, [1, 1], { commit: 2 }) }).link('b', 'c').lead('b').flush(),
    );
    // Pitfall 10 (etcd#7280): who is about to be elected must not do so by a membership that may go back.
    refused('while a change of the membership is not committed', 'configPending', 'b', () => {
      const partly = members(['a', 'b', 'c'], ['a', 'b']);
      const rig = new Rig({ recovered: found(partly, [1, 1], { commit: 2 }) }).link('b').lead('b').flush();
      rig.ack('b', 3);
      rig.flush().meet('c');
      expect(rig.status.lastIndex, "c's record").to.equal(4);
      return rig;
    });
    refused('while the membership is joint', 'configPending', 'b', () => {
      const log = [configEntry(1, 1, { ...trio, outgoing: trio.voters })];
      const rig = new Rig({ recovered: foundEntries(log, { commit: 1 }) }).link('b', 'c').lead('b').flush();
      for (const id of ['b', 'c']) rig.ack(id, 2);
      return rig.flush();
    });
    refused('where nobody else votes', 'notVoter', '', () => {
      const rig = new Rig({ founders: ['a'] });
      rig.core.tick(0);
      return rig.flush();
    });

    it('while another one is under way; the same one is not', () => {
      const rig = leader();
      expect(transfer(rig, 'b')).to.equal('ok');
      expect(transfer(rig, 'c')).to.equal('transferring');
      expect(transfer(rig, 'b')).to.equal('ok');
      expect(transfer(rig, '')).to.equal('ok');
      expect(rig.status.transferring).to.equal('b');
    });

    it('never for itself: there is nothing to do', () => {
      const rig = leader();
      expect(transfer(rig, 'a')).to.equal('ok');
      expect([rig.status.transferring, told(rig)]).to.deep.equal(['', []]);
    });
  });

  describe('to whom it may concern', () => {
    it('goes to the voter that has most of the log', () => {
      const rig = leader();
      rig.propose();
      rig.flush().ack('c', 4);
      rig.flush();
      expect(transfer(rig, '')).to.equal('ok');
      expect(rig.status.transferring).to.equal('c');
    });

    it('of several to the one that would rather lead', () => {
      const rig = leader({ priority: 9 });
      rig.meet('c', { session: 2, priority: 5 });
      rig.ack('c', 3);
      rig.flush();
      expect(transfer(rig, '')).to.equal('ok');
      expect(rig.status.transferring).to.equal('c');
    });

    it('goes to nobody who could not, and says what is nearest', () => {
      const rig = leader().meet('b', { up: false });
      rig.meet('c', { up: false });
      expect(transfer(rig, '')).to.equal('notLinked');
      rig.meet('b', { session: 3 });
      expect(transfer(rig, '')).to.equal('lagging');
    });
  });
});

describe('a transfer of the leadership, at its target', () => {
  it('campaigns at once, without asking beforehand', () => {
    const rig = follower();
    rig.receive('b', { type: 'timeoutNow', term: 2 });
    expect(rig.status).to.include({ role: 'candidate', leader: '', quorum: true });
    expect(rig.status.epoch.n).to.equal(3);
    rig.drain();
    expect(rig.take('vote'), 'not before the own vote is on disk').to.deep.equal([]);
    rig.flush();
    for (const id of ['b', 'c']) {
      const recorded = id.toUpperCase();
      expect(rig.take('vote', id)).to.deep.equal([
        {
          type: 'vote',
          pre: false,
          term: 3,
          lastIndex: 2,
          lastTerm: 1,
          genesis: 'G',
          recorded,
          transfer: true,
        },
      ]);
    }
    rig.vote('b', true, 3);
    expect(rig.status.role).to.equal('leader');
  });

  it('has no quorum to show once its disk failed', () => {
    const rig = follower();
    rig.receive('b', { type: 'timeoutNow', term: 2 });
    rig.core.ioFailed(new Error('disk'));
    expect(rig.status).to.include({ role: 'follower', leader: '', quorum: false });
  });

  it('campaigns once, however often it is told', () => {
    const rig = follower();
    for (let i = 0; i < 3; i++) {
      rig.receive('b', { type: 'timeoutNow', term: 2 });
      rig.flush();
    }
    expect(rig.status.epoch.n).to.equal(3);
    expect(rig.take('vote')).to.have.length(2);
  });

  it('asks in the ordinary way the next time', () => {
    const rig = follower();
    rig.receive('b', { type: 'timeoutNow', term: 2 });
    rig.flush().sent = [];
    rig.pass(310).flush();
    expect(rig.status).to.include({ role: 'candidate', quorum: false });
    expect(rig.take('vote', 'c')).to.deep.include.members([
      {
        type: 'vote',
        pre: true,
        term: 4,
        lastIndex: 2,
        lastTerm: 1,
        genesis: 'G',
        recorded: 'C',
        transfer: false,
      },
    ]);
    rig.vote('c', true, 4, true);
    rig.flush();
    expect(rig.take('vote', 'c').map(({ pre, transfer: flag }) => [pre, flag])).to.deep.equal([
      [false, false],
    ]);
  });

  it('has no quorum to show once the vote is lost', () => {
    const rig = follower();
    rig.receive('b', { type: 'timeoutNow', term: 2 });
    rig.flush();
    for (const id of ['b', 'c']) rig.vote(id, false, 3);
    expect(rig.status).to.include({ role: 'follower', leader: '', quorum: false });
  });

  const ignored: Record<string, (rig: Rig) => void> = {
    'of an older term': (rig) => void rig.receive('b', { type: 'timeoutNow', term: 1 }),
    'of a newer term': (rig) => void rig.receive('b', { type: 'timeoutNow', term: 3 }),
    'from who does not lead': (rig) => void rig.receive('c', { type: 'timeoutNow', term: 2 }),
    'from a leader whose successor is known': (rig) => {
      rig.beat('c', 3);
      rig.receive('b', { type: 'timeoutNow', term: 2 });
    },
  };
  for (const [what, receive] of Object.entries(ignored))
    it(`ignores a word ${what}`, () => {
      const rig = follower();
      receive(rig);
      rig.flush();
      expect(rig.status.role).to.equal('follower');
      expect(rig.status.leader).to.not.equal('');
      expect(rig.take('vote')).to.deep.equal([]);
    });

  // Pitfall 9: and a storage that lost its memory, which nobody may count.
  it('does not campaign as a learner, nor with a storage that is not on record', () => {
    const learners = [{ id: 'a', incarnation: 'A' }];
    const pair = { ...members(['b', 'c']), learners };
    for (const [membership, incarnation] of [
      [pair, 'A'],
      [trio, 'another'],
    ] as const) {
      const log = foundEntries([configEntry(1, 1, membership)], { term: 2, commit: 1 });
      const rig = new Rig({ recovered: log, incarnation }).link('b', 'c');
      rig.beat('b', 2);
      rig.receive('b', { type: 'timeoutNow', term: 2 });
      rig.flush();
      expect(rig.status.epoch.n).to.equal(2);
      expect(rig.take('vote')).to.deep.equal([]);
    }
  });

  it('does not say the word of a leader itself, and does not hear its own', () => {
    const rig = leader();
    rig.receive('b', { type: 'timeoutNow', term: 2 });
    rig.flush();
    expect(rig.status).to.include({ role: 'leader' });
  });
});

describe('a transfer of the leadership, at a voter', () => {
  it('votes although it hears the leader, for whom that leader chose', () => {
    const rig = follower();
    rig.ask('c', { term: 3, transfer: true });
    rig.flush();
    expect(rig.take('voteReply', 'c')[0]).to.deep.include({ granted: true, term: 3 });
    expect(rig.status).to.include({ leader: '', quorum: true });
  });

  it('sticks to its leader without that flag', () => {
    const rig = follower();
    rig.ask('c', { term: 3 });
    rig.flush();
    expect(rig.take('voteReply', 'c')[0]).to.deep.include({ granted: false, term: 2 });
  });

  it('looks at everything else as ever: the log, the record, its own vote', () => {
    for (const [what, o] of Object.entries({
      'an older log': { lastIndex: 1, lastTerm: 1 },
      'no record of this storage': { recorded: 'another' },
      'another founding': { genesis: 'another' },
    })) {
      const rig = follower();
      rig.ask('c', { term: 3, transfer: true, ...o });
      rig.flush();
      expect(rig.take('voteReply', 'c')[0], what).to.deep.include({ granted: false, term: 3 });
    }
    const rig = follower();
    rig.ask('c', { term: 3, transfer: true });
    rig.ask('b', { term: 3, transfer: true });
    rig.flush();
    expect(rig.take('voteReply', 'b')[0]!.granted).to.equal(false);
  });

  it('is no longer sure of a quorum when nobody leads after an election time-out', () => {
    const rig = follower();
    rig.ask('c', { term: 3, transfer: true });
    rig.flush().pass(310);
    expect(rig.status).to.include({ role: 'candidate', quorum: false });
  });
});

describe('priorities', () => {
  const preferred = (own: number, b: number, c: number): Rig => {
    const rig = leader({ priority: own });
    rig.meet('b', { session: 2, priority: b }).meet('c', { session: 2, priority: c });
    return serve(rig, 10);
  };

  it('move the leadership upwards, to a voter that could have had it for ten election time-outs', () => {
    const rig = preferred(1, 2, 3);
    serve(rig, 2900);
    expect(told(rig)).to.deep.equal([]);
    serve(rig, 200);
    expect(new Set(told(rig))).to.deep.equal(new Set(['c']));
  });

  it('never move it sideways or down', () => {
    for (const [b, c] of [
      [0, 5],
      [5, 5],
    ] as const)
      expect(told(serve(preferred(5, b, c), 8000))).to.deep.equal([]);
  });

  it('wait anew when the link was made anew', () => {
    const rig = preferred(0, 0, 1);
    serve(rig, 2500);
    rig.meet('c', { session: 3, priority: 1 });
    rig.ack('c', 3);
    rig.flush();
    serve(rig, 2500);
    expect(told(rig)).to.deep.equal([]);
    serve(rig, 700);
    expect(new Set(told(rig))).to.deep.equal(new Set(['c']));
  });

  it('wait anew when it lagged', () => {
    const rig = preferred(0, 0, 1);
    serve(rig, 2500);
    serve(rig, 400, ['b']);
    serve(rig, 2500);
    expect(told(rig)).to.deep.equal([]);
  });

  it('try once in that time when it comes to nothing', () => {
    const rig = preferred(0, 0, 1);
    const begun: number[] = [];
    let under = '';
    for (const end = rig.now + 12_500; rig.now < end;) {
      serve(rig, 50);
      const { transferring } = rig.status;
      if (transferring !== '' && under === '') begun.push(rig.now);
      under = transferring;
    }
    expect(begun).to.have.length(4);
    for (let i = 1; i < begun.length; i++) expect(begun[i]! - begun[i - 1]!).to.be.at.least(3000);
  });
});
