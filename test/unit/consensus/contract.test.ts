import { expect } from 'chai';
import { leader, trio } from './bench.js';
import { Cluster } from './cluster.js';
import { found, Rig } from './rig.js';

describe('the contract', () => {
  it('has nothing to drain when nothing happened', () => {
    const rig = leader();
    rig.core.tick(rig.now);
    rig.drain();
    rig.core.tick(rig.now + 10);
    rig.ack('b', 1, { term: 1 });
    expect(rig.core.dirty).to.equal(false);
  });

  it('makes a fresh status when something but an index changed', () => {
    const rig = leader();
    const { status } = rig;
    rig.propose();
    rig.flush();
    rig.ack('b', 3);
    expect(rig.status).to.equal(status);
    expect(status).to.deep.include({ commitIndex: 3, lastIndex: 3 });
    expect(rig.fx.changed).to.equal(false);
    rig.ack('b', 3, { term: 9 });
    expect(rig.status).to.not.equal(status);
    rig.drain();
    expect(rig.fx.changed).to.equal(true);
  });

  it('recovers term, vote, log, membership and commit', () => {
    const rig = new Rig({ recovered: found(trio, [1, 2, 2], { term: 5, vote: 'c', commit: 2 }) }).link(
      'b',
      'c',
    );
    expect(rig.status).to.deep.include({ commitIndex: 2, lastIndex: 3, genesis: 'G', role: 'follower' });
    expect(rig.status.epoch.n).to.equal(5);
    expect(rig.status.membership.voters).to.deep.equal(trio.voters);
    rig.ask('b', { term: 5 });
    rig.flush();
    expect(rig.take('voteReply', 'b')[0]!.granted).to.equal(false);
  });

  it('hands out entries from memory', () => {
    const rig = leader({ terms: [1, 1, 1] });
    expect(rig.core.entries(2, 4, 1e6).map((e) => e.index)).to.deep.equal([2, 3, 4]);
    expect(rig.core.entries(9, 9, 1e6)).to.deep.equal([]);
  });

  it('keeps a quiet cluster quiet, and a busy one together', () => {
    const cluster = new Cluster(3, ['a', 'b', 'c']);
    expect(cluster.runUntil(() => cluster.settled(), 5000)).to.equal(true);
    const first = cluster.leader()!;
    for (let i = 0; i < 200; i++) {
      cluster.propose(first, 10, 100);
      cluster.run(5);
    }
    cluster.run(3000);
    expect(cluster.leader()).to.equal(first);
    expect(first.core.status.epoch.n).to.equal(1);
    expect(cluster.settled()).to.equal(true);
    expect(cluster.watch.committed).to.be.above(2000);
  });
});
