import { expect } from 'chai';
import { metaAt, Rig, settle, sha256 } from './transferRig.js';

const KEEP_MS = 10 * 60_000;
/** What `rig.chunk` sends at these places. */
const chunks = (...offsets: number[]): Uint8Array =>
  Uint8Array.from(offsets.flatMap((offset) => Array<number>(10).fill(offset + 1)));

describe('snapshots that come in part', () => {
  let rig: Rig;

  beforeEach(() => {
    rig = new Rig();
  });

  /** The first twenty bytes of thirty have come, and are written. */
  async function half(): Promise<void> {
    void rig.begin(1, 30);
    await settle();
    await rig.writers[0]!.release();
    await rig.chunk(1, 0);
    await rig.chunk(1, 10);
  }

  const ways: Record<string, () => void> = {
    'whose link broke': () => rig.transfers.lost(rig.group, 'b'),
    'whose sender gave up': () => void rig.end(1, false),
  };
  for (const [what, end] of Object.entries(ways)) {
    for (const peer of ['b', 'c']) {
      it(`one ${what} goes on where it ended, from ${peer === 'b' ? 'the same member' : 'another one'}`, async () => {
        await half();
        end();
        await settle();
        expect(rig.writers[0]!.aborted).to.equal(0);
        void rig.begin(2, 30, { peer, session: 2 });
        expect(rig.resumptions.at(-1)).to.deep.equal({
          peer,
          request: 2,
          offset: 20,
          digest: sha256(chunks(0, 10)),
        });
        await rig.chunk(2, 20, 10, { peer, session: 2 });
        await rig.end(2, true, { peer, session: 2, digest: sha256(chunks(0, 10, 20)) });
        expect(rig.writers).to.have.length(1);
        expect(rig.writers[0]!.committed).to.deep.equal({ meta: metaAt(50), bytes: 30 });
        expect(Buffer.concat(rig.writers[0]!.chunks).equals(chunks(0, 10, 20))).to.equal(true);
        expect(rig.installed).to.deep.equal([metaAt(50)]);
        expect(rig.acks.filter(({ ok }) => ok)).to.deep.equal([{ peer, request: 2, index: 50, ok: true }]);
        expect(rig.timers.size, 'nothing waits to be thrown away').to.equal(0);
      });
    }
  }

  it('chunks that were on their way to the disk when the link broke count, and are written once', async () => {
    void rig.begin(1, 30);
    void rig.chunk(1, 0);
    void rig.chunk(1, 10);
    await settle();
    rig.transfers.lost(rig.group, 'b');
    void rig.begin(2, 30, { session: 2 });
    expect(rig.resumptions.at(-1)).to.deep.include({ offset: 20 });
    void rig.chunk(2, 20, 10, { session: 2 });
    void rig.end(2, true, { session: 2, digest: sha256(chunks(0, 10, 20)) });
    await settle();
    await rig.writers[0]!.release();
    expect(Buffer.concat(rig.writers[0]!.chunks).equals(chunks(0, 10, 20))).to.equal(true);
    expect(rig.acks).to.deep.equal([{ peer: 'b', request: 2, index: 50, ok: true }]);
  });

  const others: Record<string, () => void> = {
    'of another index': () => void rig.begin(2, 30, { index: 51 }),
    'of another size': () => void rig.begin(2, 31),
    'that must begin anew': () => void rig.begin(2, 30, { resume: false }),
  };
  for (const [what, begin] of Object.entries(others)) {
    it(`give way to one ${what}`, async () => {
      await half();
      rig.transfers.lost(rig.group, 'b');
      begin();
      await settle();
      expect(rig.resumptions.at(-1)).to.deep.include({ request: 2, offset: 0, digest: new Uint8Array(0) });
      expect(rig.writers).to.have.length(2);
      expect(rig.writers[0]!.aborted).to.equal(1);
      expect(rig.timers.size).to.equal(0);
    });
  }

  it('a sender that finds another beginning here begins anew under the same number, and is not told that it failed', async () => {
    await half();
    rig.transfers.lost(rig.group, 'b');
    void rig.begin(2, 30, { session: 2 });
    void rig.begin(2, 30, { session: 2, resume: false });
    expect(rig.resumptions.map(({ offset }) => offset)).to.deep.equal([0, 20, 0]);
    await settle();
    await rig.writers[1]!.release();
    for (const offset of [0, 10, 20]) await rig.chunk(2, offset, 10, { session: 2 });
    await rig.end(2, true, { session: 2 });
    expect(rig.writers[1]!.committed).to.deep.equal({ meta: metaAt(50), bytes: 30 });
    expect(rig.acks).to.deep.equal([{ peer: 'b', request: 2, index: 50, ok: true }]);
  });

  it('are thrown away after ten minutes, and when the group ends', async () => {
    await half();
    rig.transfers.lost(rig.group, 'b');
    expect(rig.fire(KEEP_MS)).to.equal(1);
    await settle();
    expect(rig.writers[0]!.aborted).to.equal(1);
    void rig.begin(2, 30, { session: 2 });
    expect(rig.resumptions.at(-1)).to.deep.include({ offset: 0 });
    await settle();
    await rig.writers[1]!.release();
    await rig.chunk(2, 0, 10, { session: 2 });
    rig.transfers.lost(rig.group, 'b');
    rig.transfers.ended(rig.group);
    await settle();
    expect(rig.writers[1]!.aborted).to.equal(1);
    expect(rig.timers.size).to.equal(0);
  });

  it('are kept of eight groups at most: the oldest goes', async () => {
    for (let i = 0; i < 9; i++) {
      const group = rig.makeGroup(20 + i);
      rig.others.set(100 + i, group);
      void rig.receive({
        type: 'begin',
        group: 100 + i,
        request: 1,
        size: 30,
        resume: true,
        meta: metaAt(50),
      });
      await settle();
      const writer = rig.writers.at(-1)!;
      await writer.release();
      await rig.receive({ type: 'chunk', group: 100 + i, request: 1, offset: 0, bytes: chunks(0) });
      rig.transfers.lost(group, 'b');
    }
    await settle();
    expect(rig.writers.map(({ aborted }) => aborted)).to.deep.equal([1, 0, 0, 0, 0, 0, 0, 0, 0]);
    expect(rig.timers.size).to.equal(8);
  });

  it('nothing is kept of one that had not a byte', async () => {
    void rig.begin(1, 30);
    await settle();
    rig.transfers.lost(rig.group, 'b');
    await settle();
    expect([rig.writers[0]!.aborted, rig.timers.size]).to.deep.equal([1, 0]);
  });

  it('one that is not what its sender says at the end is thrown away, with what was kept of it', async () => {
    await half();
    rig.transfers.lost(rig.group, 'b');
    void rig.begin(2, 30, { session: 2 });
    await rig.chunk(2, 20, 10, { session: 2 });
    await rig.end(2, true, { session: 2, digest: sha256(chunks(0, 11, 20)) });
    await settle();
    expect(rig.writers[0]).to.deep.include({ committed: undefined, aborted: 1 });
    expect(rig.installed).to.deep.equal([]);
    expect(rig.acks).to.deep.equal([{ peer: 'b', request: 2, index: 50, ok: false }]);
    void rig.begin(3, 30, { session: 2 });
    expect(rig.resumptions.at(-1)).to.deep.include({ request: 3, offset: 0 });
  });

  it('the newest sender goes on with what another one is bringing, and that one is told', async () => {
    await half();
    void rig.begin(7, 30, { peer: 'c' });
    expect(rig.acks).to.deep.equal([{ peer: 'b', request: 1, index: 0, ok: false }]);
    expect(rig.resumptions.at(-1)).to.deep.include({ peer: 'c', offset: 20 });
    expect(rig.chunk(1, 20), 'a late frame of the other').to.equal(true);
    expect(rig.end(1)).to.equal(true);
    await rig.chunk(7, 20, 10, { peer: 'c' });
    await rig.end(7, true, { peer: 'c', digest: sha256(chunks(0, 10, 20)) });
    expect(rig.writers[0]!.committed).to.deep.equal({ meta: metaAt(50), bytes: 30 });
    expect(rig.acks.at(-1)).to.deep.equal({ peer: 'c', request: 7, index: 50, ok: true });
  });

  it('one whose place a local snapshot took fails once, and then begins anew', async () => {
    await half();
    rig.transfers.lost(rig.group, 'b');
    await rig.group.store.createSnapshot('g');
    void rig.begin(2, 30, { session: 2 });
    await rig.chunk(2, 20, 10, { session: 2 });
    expect(rig.acks).to.deep.equal([{ peer: 'b', request: 2, index: 0, ok: false }]);
    void rig.begin(3, 30, { session: 2 });
    expect(rig.resumptions.at(-1)).to.deep.include({ request: 3, offset: 0 });
  });

  it('need room for what is still to come only', async () => {
    await half();
    rig.transfers.lost(rig.group, 'b');
    rig.headroom = 10;
    void rig.begin(2, 30, { session: 2 });
    expect(rig.resumptions.at(-1)).to.deep.include({ request: 2, offset: 20 });
    rig.transfers.lost(rig.group, 'b');
    rig.headroom = 9;
    void rig.begin(3, 30, { session: 3 });
    expect(rig.acks).to.deep.equal([{ peer: 'b', request: 3, index: 0, ok: false }]);
  });

  it('what is committed here already is acknowledged before a byte of it is sent', () => {
    rig.commitIndex = 50;
    void rig.begin(1, 30);
    expect(rig.acks).to.deep.equal([{ peer: 'b', request: 1, index: 50, ok: true }]);
    expect([rig.writers.length, rig.resumptions.length]).to.deep.equal([0, 0]);
  });
});
