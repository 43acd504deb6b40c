import { expect } from 'chai';
import { metaAt, Rig, settle } from './transferRig.js';

const KEEP_MS = 60_000;
const RETRY_MS = 1000;
const empty = new Uint8Array(0);

describe('snapshots whose transfer broke off', () => {
  let rig: Rig;

  beforeEach(() => {
    rig = new Rig();
    rig.snapshot = { meta: metaAt(50), content: new Uint8Array(200_000) };
  });

  async function rest(): Promise<void> {
    for (let i = 0; i < 3; i++) await settle();
  }

  async function send(request: number, atLeast = 40): Promise<void> {
    rig.transfers.send(rig.group, 'b', request, atLeast);
    await rest();
  }

  /** A transfer that breaks off after its first chunk, while a newer snapshot takes the place of this one. */
  async function breakOff(request = 1): Promise<void> {
    rig.backlog = 1e9;
    await send(request);
    rig.transfers.lost(rig.group, 'b');
    await rest();
    rig.backlog = 0;
    rig.snapshot = { meta: metaAt(80), content: new Uint8Array(10) };
    rig.sent.length = 0;
  }

  it('stay open, and are what the peer is sent the next time', async () => {
    await breakOff();
    expect(rig.readersOpen).to.equal(1);
    expect([...rig.timers.values()]).to.deep.equal([KEEP_MS]);
    await send(2);
    expect(rig.sent[0]!.frame).to.deep.include({ type: 'begin', meta: metaAt(50) });
    rig.transfers.acknowledged(rig.group, 'b', 2, 50, true);
    await rest();
    expect([rig.readersOpen, rig.timers.size]).to.deep.equal([0, 0]);
    rig.sent.length = 0;
    await send(3);
    expect(rig.sent[0]!.frame).to.deep.include({ type: 'begin', meta: metaAt(80) });
  });

  it('keep the log behind them', async () => {
    await breakOff();
    expect(rig.transfers.holds.keepFrom(rig.group, rig.now)).to.equal(51);
  });

  it('are closed after a minute, when they are too old, and with the group', async () => {
    await breakOff(1);
    expect(rig.fire(KEEP_MS)).to.equal(1);
    await rest();
    expect(rig.readersOpen).to.equal(0);
    rig.snapshot = { meta: metaAt(50), content: new Uint8Array(200_000) };
    await breakOff(2);
    await send(3, 60);
    expect(rig.sent[0]!.frame).to.deep.include({ meta: metaAt(80) });
    rig.transfers.acknowledged(rig.group, 'b', 3, 80, true);
    await rest();
    expect(rig.readersOpen).to.equal(0);
    rig.snapshot = { meta: metaAt(90), content: new Uint8Array(200_000) };
    await breakOff(4);
    expect(rig.readersOpen).to.equal(1);
    rig.over = true;
    rig.transfers.ended(rig.group);
    await rest();
    expect([rig.readersOpen, rig.timers.size]).to.deep.equal([0, 0]);
  });

  it('are four at most', async () => {
    const peers = ['c', 'd', 'e', 'f', 'g', 'h'];
    for (const [i, peer] of peers.entries()) {
      rig.sessions.set(peer, 1);
      rig.backlog = 1e9;
      rig.transfers.send(rig.group, peer, 10 + i, 40);
      await rest();
      rig.transfers.lost(rig.group, peer);
      await rest();
    }
    expect([rig.readersOpen, rig.timers.size]).to.deep.equal([4, 4]);
  });

  for (const [what, spoil] of [
    ['nothing was sent of', (r: Rig) => void (r.resumes = () => undefined)],
    ['could not be read', (r: Rig) => void (r.readGate = () => Promise.reject(new Error('bad sector')))],
  ] as const) {
    it(`one that ${what} is closed`, async () => {
      spoil(rig);
      await send(1);
      rig.transfers.lost(rig.group, 'b');
      await rest();
      expect([rig.readersOpen, rig.timers.size]).to.deep.equal([0, 0]);
    });
  }

  describe('that another member sent', () => {
    beforeEach(() => {
      rig.sessions.set('c', 1);
    });

    async function fire(): Promise<void> {
      expect(rig.fire(RETRY_MS), 'after a second').to.equal(1);
      await rest();
    }

    /** It says how far it got, and then that it failed. */
    async function fails(offset: number): Promise<void> {
      if (offset > 0) rig.transfers.resumed(rig.group, 'c', 1, { offset, digest: empty });
      rig.transfers.acknowledged(rig.group, 'c', 1, 0, false);
      await rest();
    }

    it('are asked of it again, five times, before the leader sends its own', async () => {
      rig.transfers.send(rig.group, 'b', 1, 40, ['c']);
      await rest();
      await fails(70_000);
      for (let i = 0; i < 5; i++) {
        expect(rig.sent).to.deep.equal([]);
        await fire();
        await fails(i === 2 ? 70_000 : 0);
      }
      expect(rig.asked).to.have.length(6);
      expect(rig.sent[0]!.frame).to.deep.include({ type: 'begin', request: 1 });
      expect(rig.timers.size).to.equal(1); // for the receiver's word
    });

    it('are asked of it for as long as it gets further', async () => {
      rig.transfers.send(rig.group, 'b', 1, 40, ['c']);
      await rest();
      await fails(1);
      for (let offset = 2; offset < 20; offset++) {
        await fire();
        await fails(offset);
      }
      await fire();
      rig.transfers.acknowledged(rig.group, 'c', 1, 50, true);
      await rest();
      expect(rig.done).to.deep.equal([[1, 50, true]]);
      expect(rig.sent).to.deep.equal([]);
    });

    it('are not waited for when contact with the receiver is lost', async () => {
      rig.transfers.send(rig.group, 'b', 1, 40, ['c']);
      await rest();
      await fails(70_000);
      rig.sessions.delete('b');
      await fire();
      expect(rig.done).to.deep.equal([[1, 0, false]]);
      expect(rig.asked).to.have.length(1);
      expect(rig.timers.size).to.equal(0);
    });
  });
});
