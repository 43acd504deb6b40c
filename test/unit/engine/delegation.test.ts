import { expect } from 'chai';
import { metaAt, Rig, settle } from './transferRig.js';

const SILENCE_MS = 15_000;
const empty = new Uint8Array(0);

describe('snapshots that another member sends', () => {
  let rig: Rig;

  beforeEach(() => {
    rig = new Rig();
    rig.snapshot = { meta: metaAt(50), content: new Uint8Array(200_000) };
    for (const peer of ['c', 'd']) rig.sessions.set(peer, 1);
  });

  async function rest(): Promise<void> {
    for (let i = 0; i < 3; i++) await settle();
  }

  describe('at the leader', () => {
    /** `b` needs a snapshot, `c` and `d` may have one. */
    async function send(sources = ['c'], request = 4): Promise<void> {
      rig.transfers.send(rig.group, 'b', request, 40, sources);
      await rest();
    }

    it('are asked for, and cost it no byte', async () => {
      await send();
      expect(rig.asked).to.deep.equal([{ source: 'c', request: 4, to: 'b', atLeast: 40 }]);
      expect(rig.sent).to.deep.equal([]);
      expect(rig.transfers.holds.keepFrom(rig.group, 0), 'the log behind stays').to.equal(41);
      rig.transfers.acknowledged(rig.group, 'c', 4, 45, true);
      await rest();
      expect(rig.done).to.deep.equal([[4, 45, true]]);
      expect(rig.transfers.holds.keepFrom(rig.group, 0), 'for a while').to.equal(41);
      expect([rig.sent.length, rig.timers.size, rig.readersOpen]).to.deep.equal([0, 0, 0]);
    });

    it('are asked of one after another, not always of the same one first, two at most', async () => {
      await send(['c', 'd'], 4);
      await send(['c', 'd'], 5);
      expect(rig.asked.map(({ source }) => source)).to.deep.equal(['c', 'd']);
      rig.transfers.acknowledged(rig.group, 'c', 4, 0, false);
      await rest();
      expect(rig.asked.at(-1)).to.deep.include({ source: 'd', request: 4 });
      rig.sessions.set('e', 1);
      rig.asked.length = 0;
      await send(['c', 'd', 'e'], 9);
      for (const source of ['c', 'd', 'e']) rig.transfers.acknowledged(rig.group, source, 9, 0, false);
      await rest();
      for (const source of ['d', 'e']) rig.transfers.acknowledged(rig.group, source, 9, 0, false);
      await rest();
      expect(rig.asked).to.have.length(2);
      expect(rig.sent[0]!.frame).to.deep.include({ type: 'begin', request: 9 });
    });

    const failures: Record<string, () => void> = {
      'that says no': () => rig.transfers.acknowledged(rig.group, 'c', 4, 0, false),
      'that says nothing': () => void rig.fire(SILENCE_MS),
      'to which contact is lost': () => {
        rig.sessions.delete('c');
        rig.transfers.lost(rig.group, 'c');
      },
      'whose snapshot was too old': () => rig.transfers.acknowledged(rig.group, 'c', 4, 39, true),
    };
    for (const [what, fail] of Object.entries(failures)) {
      it(`are replaced by its own for a member ${what}`, async () => {
        await send();
        fail();
        await rest();
        expect(rig.types()[0]).to.equal('begin');
        expect(rig.types().at(-1)).to.equal('end');
        rig.transfers.acknowledged(rig.group, 'b', 4, 50, true);
        await rest();
        expect(rig.done).to.deep.equal([[4, 50, true]]);
        expect(rig.timers.size).to.equal(0);
      });
    }

    it('are waited for as long as there are words of them', async () => {
      await send();
      for (let i = 0; i < 5; i++) {
        rig.transfers.resumed(rig.group, 'c', 4, { offset: i * 1000, digest: empty });
        await settle();
      }
      expect([...rig.timers.values()], 'the silence is counted from the last word').to.deep.equal([
        SILENCE_MS,
      ]);
      expect(rig.sent).to.deep.equal([]);
    });

    for (const end of ['lost', 'ended'] as const) {
      it(`end when ${end === 'lost' ? 'contact with the receiver is lost' : 'the group is over'}`, async () => {
        await send(['c', 'd']);
        if (end === 'lost') {
          rig.sessions.delete('b');
          rig.transfers.lost(rig.group, 'b');
        } else {
          rig.over = true;
          rig.transfers.ended(rig.group);
        }
        await rest();
        expect(rig.asked, 'nobody else is asked').to.have.length(1);
        expect(rig.sent).to.deep.equal([]);
        expect(rig.done).to.deep.equal(end === 'lost' ? [[4, 0, false]] : []);
        expect(rig.transfers.holds.keepFrom(rig.group, 0)).to.equal(Infinity);
        expect(rig.timers.size).to.equal(0);
      });
    }

    it('take none of the places for its own', async () => {
      for (const request of [2, 4, 6]) await send(['c'], request);
      rig.transfers.send(rig.group, 'd', 11, 40);
      await rest();
      expect(rig.sent[0]).to.deep.include({ peer: 'd' });
    });
  });

  describe('at the member that sends', () => {
    beforeEach(() => {
      rig.leader = 'c';
    });

    async function delegated(request = 4, to = 'b', atLeast = 50, leader = 'c'): Promise<void> {
      rig.transfers.delegated(rig.group, leader, { request, to, atLeast });
      await rest();
    }

    it('go out under a number of its own, and the leader hears the receiver’s word', async () => {
      await delegated();
      const begin = rig.sent[0]!.frame;
      expect(begin).to.deep.include({ type: 'begin', size: 200_000, meta: metaAt(50) });
      expect(begin.request).to.be.greaterThan(2 ** 40);
      expect(rig.acks).to.deep.equal([]);
      rig.transfers.acknowledged(rig.group, 'b', begin.request, 50, true);
      await rest();
      expect(rig.acks).to.deep.equal([{ peer: 'c', request: 4, index: 50, ok: true }]);
      expect(rig.readersOpen).to.equal(0);
      expect(rig.done, 'its own core asked for nothing').to.deep.equal([]);
    });

    it('are told of to the leader, once a second', async () => {
      rig.backlog = 1e9;
      await delegated();
      const told = (): number[] =>
        rig.resumptions.filter(({ peer }) => peer === 'c').map(({ offset }) => offset);
      expect(told()).to.deep.equal([65_536]);
      for (const now of [999, 1000, 1001]) {
        rig.now = now;
        for (const callback of rig.drained.splice(0)) callback();
        await rest();
      }
      expect(told()).to.deep.equal([65_536, 196_608]);
      expect(rig.resumptions.at(-1)).to.deep.include({ request: 4, digest: empty });
    });

    let made = 0;
    const refusals: Record<string, () => Promise<void>> = {
      'to one that does not lead': () => delegated(4, 'b', 50, 'd'),
      'to one that is no member': () => {
        rig.sessions.set('x', 1);
        return delegated(4, 'x');
      },
      'to one without contact': () => {
        rig.sessions.delete('b');
        return delegated();
      },
      'to one that has not taken its hello': () => {
        rig.contactConfirmed = false;
        return delegated();
      },
      'when it has not that much, and none is made in vain': () => {
        rig.commitIndex = 54;
        rig.request = () => {
          made++;
          return Promise.resolve(true);
        };
        return delegated(4, 'b', 55);
      },
      'when the newest is too old, and none can be made': () => {
        rig.commitIndex = 60;
        return delegated(4, 'b', 51);
      },
      'when there is none': () => {
        rig.snapshot = undefined;
        return delegated();
      },
    };
    for (const [what, ask] of Object.entries(refusals)) {
      it(`are refused ${what}`, async () => {
        await ask();
        while (rig.fire(100) > 0) await rest();
        expect(rig.sent).to.deep.equal([]);
        expect(rig.acks.map(({ request, index, ok }) => [request, index, ok])).to.deep.equal([[4, 0, false]]);
        expect([rig.readersOpen, made]).to.deep.equal([0, 0]);
      });
    }

    it('are made where the newest is too old', async () => {
      rig.commitIndex = 60;
      rig.request = () => {
        rig.snapshot = { meta: metaAt(60), content: new Uint8Array(10) };
        return Promise.resolve(true);
      };
      await delegated(4, 'b', 55);
      expect(rig.sent[0]!.frame).to.deep.include({ type: 'begin', meta: metaAt(60) });
    });

    it('wait two seconds for contact with the receiver, and begin when it is there', async () => {
      rig.sessions.delete('b');
      await delegated();
      for (let i = 0; i < 19; i++) {
        expect(rig.fire(100)).to.equal(1);
        await rest();
      }
      expect(rig.acks).to.deep.equal([]);
      rig.sessions.set('b', 2);
      rig.fire(100);
      await rest();
      expect(rig.types()[0]).to.equal('begin');
      expect(rig.timers.size, 'for the word of the receiver').to.equal(1);
    });

    it('wait for so many only', async () => {
      rig.sessions.delete('b');
      for (let i = 0; i < 20; i++) await delegated(100 + i);
      expect(rig.acks.map(({ request }) => request)).to.deep.equal([116, 117, 118, 119]);
    });

    it('are refused while it has two under way', async () => {
      for (const request of [4, 5]) await delegated(request);
      expect(rig.acks).to.deep.equal([]);
      await delegated(6);
      expect(rig.acks).to.deep.equal([{ peer: 'c', request: 6, index: 0, ok: false }]);
    });

    it('fail with the disk, the link and the group, and the leader hears of it', async () => {
      rig.readGate = () => Promise.reject(new Error('bad sector'));
      await delegated(4);
      rig.readGate = undefined;
      rig.backlog = 1e9;
      await delegated(5);
      rig.transfers.lost(rig.group, 'b');
      await rest();
      expect(rig.acks.map(({ request, ok }) => [request, ok])).to.deep.equal([
        [4, false],
        [5, false],
      ]);
      await delegated(6);
      rig.over = true;
      rig.transfers.ended(rig.group);
      await rest();
      expect(rig.acks, 'a group that is over says no more').to.have.length(2);
      expect(rig.readersOpen).to.equal(0);
      expect(rig.failures).to.deep.equal([]);
    });
  });
});
