import { expect } from 'chai';
import { TransferPace } from '../../../lib/engine/transferPace.js';
import { metaAt, Rig, settle, sha256 } from './transferRig.js';

const STALL_MS = 30_000;
const empty = new Uint8Array(0);

describe('sending a snapshot', () => {
  const size = 200_000;
  const content = new Uint8Array(size).map((_, i) => i % 251);
  let rig: Rig;

  beforeEach(() => {
    rig = new Rig();
    rig.snapshot = { meta: metaAt(50), content };
  });

  async function send(request = 3): Promise<void> {
    rig.transfers.send(rig.group, 'b', request, 50);
    for (let i = 0; i < 3; i++) await settle();
  }

  const offsets = (): number[] =>
    rig.sent.flatMap(({ frame }) => (frame.type === 'chunk' ? [frame.offset] : []));
  const sentBytes = (): number =>
    rig.sent.reduce((sum, { frame }) => sum + (frame.type === 'chunk' ? frame.bytes.length : 0), 0);

  it('waits for the word of the receiver before the first byte', async () => {
    rig.resumes = () => undefined;
    await send();
    expect(rig.types()).to.deep.equal(['begin']);
    rig.transfers.resumed(rig.group, 'b', 3, { offset: 0, digest: empty });
    await settle();
    expect(rig.types()).to.deep.equal(['begin', 'chunk', 'chunk', 'chunk', 'chunk', 'end']);
    expect(rig.sent.at(-1)!.frame).to.deep.include({ ok: true, digest: sha256(content) });
  });

  it('gives up a receiver that says nothing', async () => {
    rig.resumes = () => undefined;
    await send();
    expect(rig.fire(STALL_MS)).to.equal(1);
    await settle();
    expect(rig.done).to.deep.equal([[3, 0, false]]);
    expect(rig.readersOpen).to.equal(0);
    expect(rig.timers.size).to.equal(0);
  });

  it('goes on behind what the receiver has, with the digest of the whole at the end', async () => {
    rig.resumes = () => ({ offset: 150_000, digest: sha256(content.subarray(0, 150_000)) });
    await send();
    expect(offsets()).to.deep.equal([150_000]);
    expect(sentBytes()).to.equal(50_000);
    expect(rig.sent[0]!.frame).to.deep.include({ type: 'begin', resume: true });
    expect(rig.sent.at(-1)!.frame).to.deep.include({ type: 'end', ok: true, digest: sha256(content) });
  });

  it('sends nothing but the end to one that has it all', async () => {
    rig.resumes = () => ({ offset: size, digest: sha256(content) });
    await send();
    expect(rig.types()).to.deep.equal(['begin', 'end']);
  });

  for (const [what, offset, digest] of [
    ['of another beginning', 1000, sha256(content.subarray(0, 999))],
    ['that is longer', size + 1, sha256(content, Uint8Array.of(1))],
    ['without a digest', 1000, empty],
  ] as const) {
    it(`begins anew where the receiver has something ${what}`, async () => {
      rig.resumes = (resume) => (resume ? { offset, digest } : { offset: 0, digest: empty });
      await send();
      expect(rig.sent.flatMap(({ frame }) => (frame.type === 'begin' ? [frame.resume] : []))).to.deep.equal([
        true,
        false,
      ]);
      expect(sentBytes()).to.equal(size);
      expect(rig.sent.at(-1)!.frame).to.deep.include({ type: 'end', ok: true, digest: sha256(content) });
    });
  }

  it('gives up a receiver that does not begin anew when it is asked to', async () => {
    rig.resumes = () => ({ offset: 1000, digest: empty });
    await send();
    expect(sentBytes()).to.equal(0);
    expect(rig.done).to.deep.equal([[3, 0, false]]);
  });

  it('stops at the receiver’s no, before it and in the middle', async () => {
    rig.resumes = () => undefined;
    await send();
    rig.transfers.acknowledged(rig.group, 'b', 3, 0, false);
    await settle();
    expect(rig.types()).to.deep.equal(['begin']);
    rig.resumes = () => ({ offset: 0, digest: empty });
    rig.backlog = 1e9;
    await send(4);
    expect(offsets()).to.deep.equal([0]);
    rig.transfers.acknowledged(rig.group, 'b', 4, 0, false);
    await settle();
    expect(rig.types()).to.deep.equal(['begin', 'begin', 'chunk']);
    expect(rig.done).to.deep.equal([
      [3, 0, false],
      [4, 0, false],
    ]);
    expect(rig.readersOpen).to.equal(0);
  });

  it('gives up a lane that takes nothing, but not one that is slow', async () => {
    rig.backlog = 2e6;
    await send();
    for (let i = 0; i < 3; i++) {
      rig.backlog -= 1;
      rig.fire(STALL_MS);
      await settle();
      expect(rig.done).to.deep.equal([]);
    }
    rig.fire(STALL_MS);
    await settle();
    expect(rig.done).to.deep.equal([[3, 0, false]]);
    expect(rig.sent.at(-1)!.frame).to.deep.include({ type: 'end', ok: false });
  });

  describe('at a pace', () => {
    const RATE = 40_000;

    /** Lets `ms` pass in the steps of the timers that are set. */
    async function pass(ms: number): Promise<void> {
      const end = rig.now + ms;
      for (;;) {
        await settle();
        const [next] = [...rig.timers.values()].filter((delay) => delay < STALL_MS).sort((a, b) => a - b);
        if (next === undefined || rig.now + next > end) break;
        rig.now += next;
        rig.fire(next);
      }
      rig.now = end;
    }

    beforeEach(() => {
      rig.pace = new TransferPace(RATE, 0);
    });

    it('sends no more than it may: a burst of a quarter of a second, then the rate', async () => {
      await send();
      for (const second of [1, 2, 3, 4]) {
        await pass(1000);
        expect(sentBytes()).to.be.within(RATE * second, RATE * second + 20_000);
      }
      await pass(2000);
      expect(sentBytes()).to.equal(size);
      expect(rig.types().at(-1)).to.equal('end');
    });

    it('shares it among all transfers of the group', async () => {
      rig.sessions.set('c', 1);
      rig.transfers.send(rig.group, 'c', 9, 50);
      await send();
      await pass(2000);
      expect(sentBytes()).to.be.within(2 * RATE, 2 * RATE + 30_000);
      const to = (peer: string): number => rig.sent.filter((one) => one.peer === peer).length;
      expect(Math.abs(to('b') - to('c')), 'fairly').to.be.at.most(1);
    });

    it('goes no faster for whatever the receiver says', async () => {
      await send();
      const before = sentBytes();
      for (let i = 0; i < 50; i++) {
        rig.transfers.resumed(rig.group, 'b', 3, { offset: 0, digest: empty });
        await settle();
      }
      expect(sentBytes()).to.equal(before);
    });

    it('ends at once when contact is lost meanwhile', async () => {
      await send();
      rig.transfers.lost(rig.group, 'b');
      await settle();
      expect(rig.done).to.deep.equal([[3, 0, false]]);
      expect([...rig.timers.values()], 'for the snapshot that is kept open').to.deep.equal([60_000]);
    });

    it('does not count what the receiver has already', async () => {
      rig.resumes = () => ({ offset: 195_000, digest: sha256(content.subarray(0, 195_000)) });
      await send();
      expect(rig.types()).to.deep.equal(['begin', 'chunk', 'end']);
    });

    it('sends small chunks over a thin uplink, large ones without a limit', () => {
      const sizeAt = (rate: number): number => new TransferPace(rate, 0).chunkBytes;
      expect([1024, 40_000, 1e9, Infinity].map(sizeAt)).to.deep.equal([1024, 10_000, 65_536, 65_536]);
      expect(new TransferPace(Infinity, 0).spent(1e12, 0)).to.equal(0);
    });
  });
});
