/** Linearizable reads across elections (dissertation §6.4). */
import { expect } from 'chai';
import { Stage } from './stage.js';

function led(): Stage {
  const seed = { log: [1], commit: 1 };
  const s = new Stage({ a: seed, b: seed, c: seed }).elect('a').deliver();
  return s.beat('a').deliver().forget();
}

describe('reads across elections', () => {
  it('when a leader was replaced without knowing it, then it answers no read', () => {
    const s = led().isolate('a').elect('b', 'c').deliver();
    s.propose('b');
    s.deliver();
    expect(s.node('a').core.status.role).to.equal('leader');
    const stale = s.read('a');
    expect(stale).to.be.above(0);
    s.wait(100, 'a');
    expect(s.answers).to.deep.equal([]);
    s.heal().deliver().beat('a').deliver();
    expect(s.failures).to.deep.equal([{ id: 'a', context: stale }]);
    const fresh = s.read('b');
    s.deliver();
    expect(s.answers).to.deep.equal([{ id: 'b', context: fresh, index: 4 }]);
  });

  // Pitfall 1 (etcd#7331, #7332, tikv#9239): b holds what was committed but does not know that it is.
  it('when a new leader does not know yet what is committed, then a read waits until it does', () => {
    const s = led();
    s.propose('a', 2);
    s.deliver({ type: 'append' }).deliver({ type: 'ack' });
    s.crash('a').elect('b');
    s.lose();
    expect(s.all('b', 'c')).to.deep.equal(['leader 3: 1 2 2 2 3 (2)', 'follower 3: 1 2 2 2 (2)']);
    const context = s.read('b');
    s.beat('b').deliver({ type: 'heartbeat' }).deliver({ type: 'ack' });
    expect(s.answers).to.deep.equal([]);
    s.link('b', 'c').deliver();
    s.beat('b').deliver();
    expect(s.answers).to.deep.equal([{ id: 'b', context, index: 5 }]);
  });

  // Pitfall 2 (etcd#20418, #21399, raft#397): answers to heartbeats from before the read.
  it('when answers from before a read arrive after it, then they do not confirm it', () => {
    const s = led().beat('a');
    s.deliver({ type: 'heartbeat' });
    const late = s.lose({ type: 'ack' });
    expect(late).to.have.length(2);
    const context = s.read('a');
    s.lose();
    s.inject(late);
    s.isolate('a').elect('b', 'c').deliver();
    s.inject(late);
    expect(s.answers).to.deep.equal([]);
    s.heal().deliver().beat('b').deliver();
    expect(s.failures).to.deep.equal([{ id: 'a', context }]);
  });

  // Pitfall 3 (etcd#11483): a question or its answer is lost, the leader is gone, or there is none.
  it('when the leader goes while followers wait for it, then each of their reads ends once', () => {
    const s = led();
    const [one, two] = [s.read('b'), s.read('c')];
    s.lose({ from: 'c' });
    s.deliver({ type: 'read' }).crash('a');
    expect(s.failures.map(({ context }) => context).sort()).to.deep.equal([one, two]);
    expect(s.read('b')).to.equal(0);
    s.elect('b').deliver();
    const three = s.read('c');
    s.deliver();
    expect(s.answers).to.deep.equal([{ id: 'c', context: three, index: 3 }]);
  });

  it('when a follower reads while it lags, then the index is that of the leader', () => {
    const s = led().hold('a', 'c');
    s.propose('a', 3);
    s.deliver();
    const context = s.read('c');
    s.deliver().release().deliver();
    expect(s.answers).to.deep.equal([{ id: 'c', context, index: 5 }]);
  });

  // Pitfall 5 (etcd#6005, tikv#964): it stood still for 2 s, and another one led meanwhile.
  it('when a leader wakes after a stall, then it answers no read from what it remembers', () => {
    const s = led();
    s.elect('b', 'c');
    const votes = s.lose();
    expect(votes.length).to.be.above(0);
    s.isolate('a').link('b', 'c').deliver();
    s.propose('b');
    s.deliver();
    const a = s.node('a');
    a.now += 2000;
    s.read('a');
    s.wait(10, 'a');
    expect(s.answers).to.deep.equal([]);
    expect(s.failures).to.deep.equal([]);
    // It has asked who is still there, and nobody answers.
    s.wait(310, 'a');
    expect(s.answers).to.deep.equal([]);
    expect(a.core.status.role).to.equal('follower');
    expect(s.failures).to.have.length(1);
  });
});
