import { expect } from 'chai';
import type { Consensus, NodeId, TransferRefusal } from '../../../lib/consensus/consensus.js';
import { Requests } from '../../../lib/engine/requests.js';

const to = (id: string) => ({ type: 'transfer', to: id }) as const;

/** The requests of a group over a core that does as the test says. */
class Rig {
  status = { role: 'leader', leader: 'a', transferring: '' };
  answer: TransferRefusal | 'ok' = 'ok';
  reachable = true;
  woken = 0;
  readonly asked: NodeId[] = [];
  readonly said: unknown[] = [];
  readonly requests: Requests;

  constructor() {
    const core: Partial<Consensus> = {
      wake: () => {
        this.woken++;
      },
      transfer: (_now, to) => {
        this.asked.push(to);
        if (this.answer !== 'ok') return { ok: false, why: this.answer };
        if (to !== 'a') this.status = { ...this.status, transferring: to };
        return { ok: true };
      },
    };
    Object.defineProperty(core, 'status', { get: () => this.status });
    this.requests = new Requests(core as Consensus, {
      forward: (...request) => this.reachable && this.said.push(['forward', ...request]) > 0,
      refuse: (...answer) => void this.said.push(['refuse', ...answer]),
      report: (...answer) => void this.said.push(['report', ...answer]),
      tell: (...answer) => void this.said.push(['tell', ...answer]),
    });
  }

  turns(status: Partial<Rig['status']>): unknown[] {
    this.status = { ...this.status, ...status };
    this.requests.statusChanged();
    return this.said.splice(0);
  }
}

describe('requests for the leadership', () => {
  it('of a leader go to its core, and are told of only when they come to nothing', () => {
    const rig = new Rig();
    rig.requests.ask(0, 1, to('b'));
    expect([rig.asked, rig.said]).to.deep.equal([['b'], []]);
    expect(rig.turns({ transferring: '' })).to.deep.equal([['tell', 1, 'gaveUp']]);
    expect(rig.turns({}), 'once').to.deep.equal([]);
    rig.answer = 'lagging';
    rig.requests.ask(0, 2, to('b'));
    expect(rig.said).to.deep.equal([['tell', 2, 'lagging']]);
  });

  it('of other members are answered to them', () => {
    const rig = new Rig();
    rig.requests.heard(0, 'c', 7, to('b'));
    rig.requests.heard(0, 'b', 8, to('b'));
    expect(rig.turns({})).to.deep.equal([]);
    expect(rig.turns({ transferring: '' })).to.deep.equal([
      ['refuse', 'c', 7, 'gaveUp'],
      ['refuse', 'b', 8, 'gaveUp'],
    ]);
    rig.answer = 'notLeader';
    rig.requests.heard(0, 'c', 9, to('b'));
    expect(rig.said).to.deep.equal([['refuse', 'c', 9, 'notLeader']]);
  });

  it('need no answer once this node leads no more', () => {
    const rig = new Rig();
    rig.requests.heard(0, 'c', 7, to('b'));
    expect(rig.turns({ role: 'follower', leader: '', transferring: '' })).to.deep.equal([]);
    expect(rig.turns({ role: 'leader' })).to.deep.equal([]);
  });

  it('need none either for a node that leads already', () => {
    const rig = new Rig();
    rig.requests.heard(0, 'c', 7, to('a'));
    expect(rig.turns({})).to.deep.equal([]);
  });

  it('of a follower are forwarded, if there is anybody to forward them to', () => {
    const rig = new Rig();
    rig.status = { role: 'follower', leader: 'c', transferring: '' };
    rig.requests.ask(0, 1, to('b'));
    rig.reachable = false;
    rig.requests.ask(0, 2, to('b'));
    rig.status = { ...rig.status, leader: '' };
    rig.requests.ask(0, 3, to(''));
    expect(rig.said).to.deep.equal([
      ['forward', 'c', 1, to('b')],
      ['tell', 2, 'notLeader'],
      ['tell', 3, 'notLeader'],
    ]);
    expect(rig.asked).to.deep.equal([]);
    expect(rig.woken, 'a group at rest wakes').to.equal(3);
  });

  it('are remembered up to a number; who comes later asks again', () => {
    const rig = new Rig();
    for (let token = 1; token <= 257; token++) rig.requests.heard(0, `m${token % 10}`, token, to('b'));
    expect(rig.said.splice(0)).to.deep.equal([['refuse', 'm7', 257, 'transferring']]);
    expect(rig.turns({ transferring: '' })).to.have.length(256);
  });

  it('of one member reach the core only so often: each holds up proposals', () => {
    const rig = new Rig();
    rig.answer = 'lagging';
    for (let token = 1; token <= 33; token++) rig.requests.heard(0, 'c', token, to('b'));
    expect(rig.asked).to.have.length(32);
    expect(rig.said.at(-1)).to.deep.equal(['refuse', 'c', 33, 'transferring']);
    rig.requests.heard(0, 'b', 1, to('b'));
    expect(rig.asked).to.have.length(33);
    rig.requests.heard(1000, 'c', 34, to('b'));
    expect(rig.asked).to.have.length(34);
  });
});
