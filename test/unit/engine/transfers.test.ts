import { expect } from 'chai';
import { metaAt, Rig, settle } from './transferRig.js';

describe('snapshot transfers', () => {
  let rig: Rig;

  beforeEach(() => {
    rig = new Rig();
  });

  // A simulated cluster found it: on the bulk lane the first frame came before the hello on the other lane, was thrown away as
  // that of an unknown group, and the sender waited for ever.
  it('begin when the peer is known to have taken our hello', async () => {
    rig.snapshot = { meta: metaAt(50), content: new Uint8Array(10) };
    let take!: (confirmed: boolean) => void;
    rig.confirmed = new Promise((resolve) => (take = resolve));
    rig.transfers.send(rig.group, 'b', 1, 10);
    await settle();
    expect(rig.sent).to.deep.equal([]);
    take(true);
    await settle();
    expect(rig.types()).to.deep.equal(['begin', 'chunk', 'end']);
  });

  it('are given up when contact ends before that', async () => {
    rig.snapshot = { meta: metaAt(50), content: new Uint8Array(10) };
    rig.confirmed = Promise.resolve(false);
    rig.transfers.send(rig.group, 'b', 1, 10);
    await settle();
    expect(rig.sent).to.deep.equal([]);
    expect(rig.done).to.deep.equal([[1, 0, false]]);
  });

  // A simulated cluster found it: who waits for a snapshot writes nothing else, so it went on with a dead storage for ever.
  for (const [when, at] of [
    ['writing', 'chunk'],
    ['committing', 'end'],
  ] as const) {
    it(`fail the replica when its storage fails while ${when} one`, async () => {
      void rig.begin(1, 10);
      await settle();
      const writer = rig.writers[0]!;
      await writer.release();
      if (at === 'end') {
        await rig.chunk(1, 0);
      }
      writer.failing = rig.storageFailed = new Error('EIO');
      await (at === 'chunk' ? rig.chunk(1, 0) : rig.end(1));
      expect(rig.failures).to.deep.equal([rig.storageFailed]);
      expect(rig.acks.map(({ ok }) => ok)).to.deep.equal([false]);
    });
  }

  describe('receiving', () => {
    it('writes what is still queued for a slow disk when the end arrives, and commits it whole', async () => {
      const answers = [rig.begin(1, 30), rig.chunk(1, 0), rig.chunk(1, 10), rig.chunk(1, 20), rig.end(1)];
      await settle();
      expect(rig.writers[0]!.chunks, 'all of it was queued behind the disk').to.have.length(0);
      expect(rig.acks).to.deep.equal([]);
      await rig.writers[0]!.release();
      expect(await Promise.all(answers.map((answer) => Promise.resolve(answer)))).to.deep.equal([
        true,
        true,
        true,
        true,
        true,
      ]);
      expect(rig.writers[0]!.committed).to.deep.equal({ meta: metaAt(50), bytes: 30 });
      expect(Buffer.concat(rig.writers[0]!.chunks)[25]).to.equal(21);
      expect(rig.installed).to.deep.equal([metaAt(50)]);
      expect(rig.acks).to.deep.equal([{ peer: 'b', request: 1, index: 50, ok: true }]);
    });

    it('grants the credit of a chunk when it is written, not before', async () => {
      void rig.begin(1, 20);
      let granted = false;
      void Promise.resolve(rig.chunk(1, 0)).then(() => (granted = true));
      await settle();
      expect(granted).to.equal(false);
      await rig.writers[0]!.release();
      expect(granted).to.equal(true);
    });

    it('fewer bytes than were announced: nothing is committed, and the sender hears so', async () => {
      void rig.begin(1, 40);
      for (const offset of [0, 10, 20]) void rig.chunk(1, offset);
      void rig.end(1);
      await settle();
      await rig.writers[0]!.release();
      expect(rig.writers[0]!.committed).to.equal(undefined);
      expect(rig.writers[0]!.aborted).to.equal(1);
      expect(rig.installed).to.deep.equal([]);
      expect(rig.acks).to.deep.equal([{ peer: 'b', request: 1, index: 50, ok: false }]);
    });

    it('a chunk at a wrong place, or beyond the size, breaks the protocol', async () => {
      void rig.begin(1, 30);
      expect(rig.chunk(1, 10)).to.equal(false);
      void rig.chunk(1, 0);
      expect(rig.chunk(1, 0), 'twice').to.equal(false);
      expect(rig.chunk(1, 10, 21), 'too long').to.equal(false);
      expect(rig.raw(Uint8Array.of(9, 9, 9)), 'no frame at all').to.equal(false);
      await settle();
      await rig.writers[0]!.release();
      expect(rig.writers[0]!.bytes).to.equal(10);
    });

    it('a second transfer from the same peer discards the first', async () => {
      void rig.begin(1, 20);
      void rig.chunk(1, 0);
      await settle();
      void rig.begin(2, 10, { index: 60 });
      void rig.chunk(2, 0);
      expect(rig.chunk(1, 10), 'a late frame of the first').to.equal(true);
      expect(rig.end(1)).to.equal(true);
      void rig.end(2);
      await settle();
      for (const writer of rig.writers) await writer.release();
      await settle();
      expect(rig.writers).to.have.length(2);
      expect(rig.writers[0]).to.deep.include({ committed: undefined, aborted: 1 });
      expect(rig.writers[1]!.committed).to.deep.equal({ meta: metaAt(60), bytes: 10 });
      expect(rig.acks.filter(({ ok }) => ok)).to.deep.equal([{ peer: 'b', request: 2, index: 60, ok: true }]);
    });

    it('is thrown away when the group ends half-way', async () => {
      void rig.begin(1, 20);
      void rig.chunk(1, 0);
      void rig.chunk(1, 10);
      await settle();
      rig.transfers.ended(rig.group);
      expect(rig.end(1)).to.equal(true);
      await rig.writers[0]!.release();
      expect(rig.writers[0]!.chunks.length, 'what was queued is void').to.be.at.most(1);
      expect(rig.writers[0]).to.deep.include({ committed: undefined, aborted: 1 });
      expect(rig.acks).to.deep.equal([]);
      expect(rig.installed).to.deep.equal([]);
      expect(rig.timers.size).to.equal(0);
    });

    it('frames of an older link are ignored', async () => {
      void rig.begin(1, 10);
      expect(
        rig.receive({ type: 'chunk', group: 4, request: 1, offset: 0, bytes: new Uint8Array(10) }, 2),
      ).to.equal(true);
      void rig.end(1);
      await settle();
      await rig.writers[0]!.release();
      expect(rig.acks.map(({ ok }) => ok)).to.deep.equal([false]);
    });

    for (const when of ['chunk', 'commit'] as const) {
      it(`a writer that fails at a ${when} is acknowledged as failed, once`, async () => {
        const answers = [rig.begin(1, 20), rig.chunk(1, 0)];
        await settle();
        const writer = rig.writers[0]!;
        if (when === 'chunk') writer.failing = new Error('no space');
        await writer.release();
        answers.push(rig.chunk(1, 10));
        await settle();
        writer.failing = new Error('no space');
        answers.push(rig.end(1));
        expect(await Promise.all(answers.map((answer) => Promise.resolve(answer)))).to.deep.equal([
          true,
          true,
          true,
          true,
        ]);
        expect(rig.acks.map(({ request, ok }) => [request, ok])).to.deep.equal([[1, false]]);
        expect(rig.installed).to.deep.equal([]);
      });
    }

    it('a local snapshot that takes its place fails the transfer, which may come again', async () => {
      void rig.begin(1, 20);
      void rig.chunk(1, 0);
      await settle();
      await rig.group.store.createSnapshot('g'); // one writer a group
      await rig.writers[0]!.release();
      void rig.chunk(1, 10);
      void rig.end(1);
      await settle();
      expect(rig.acks).to.deep.equal([{ peer: 'b', request: 1, index: 0, ok: false }]);
      void rig.begin(2, 10);
      void rig.chunk(2, 0);
      void rig.end(2);
      await settle();
      await rig.writers[2]!.release();
      expect(rig.acks.at(-1)).to.deep.equal({ peer: 'b', request: 2, index: 50, ok: true });
    });

    it('what this node has committed already is acknowledged without being stored', async () => {
      void rig.begin(1, 10);
      void rig.chunk(1, 0);
      void rig.end(1);
      rig.commitIndex = 50;
      await settle();
      await rig.writers[0]!.release();
      expect(rig.writers[0]).to.deep.include({ committed: undefined, aborted: 1 });
      expect(rig.acks).to.deep.equal([{ peer: 'b', request: 1, index: 50, ok: true }]);
      expect(rig.installed).to.deep.equal([]);
    });

    it('frames for a group that is not here, or is over, cost nobody anything', () => {
      const meta = metaAt(1);
      expect(rig.receive({ type: 'begin', group: 9, request: 1, size: 1, resume: true, meta })).to.equal(
        true,
      );
      rig.over = true;
      expect(rig.begin(1, 10)).to.equal(true);
      expect(rig.writers).to.have.length(0);
    });
  });

  describe('sending', () => {
    const size = 200_000;
    beforeEach(() => {
      rig.snapshot = { meta: metaAt(50), content: new Uint8Array(size).map((_, i) => i % 251) };
    });

    /** Sends, with all that the receiver has to say left out. */
    async function send(request = 3, atLeast = 50, to = 'b'): Promise<void> {
      rig.transfers.send(rig.group, to, request, atLeast);
      await settle();
      await settle();
    }

    it('streams the snapshot on the bulk lane and reports what the receiver says', async () => {
      await send();
      expect(rig.types()).to.deep.equal(['begin', 'chunk', 'chunk', 'chunk', 'chunk', 'end']);
      expect(rig.sent.every(({ options }) => options.lane === 'bulk' && !options.urgent)).to.equal(true);
      const chunks = rig.sent.flatMap(({ frame }) => (frame.type === 'chunk' ? [frame] : []));
      expect(Buffer.concat(chunks.map(({ bytes }) => bytes)).equals(rig.snapshot!.content)).to.equal(true);
      expect(chunks.map(({ offset }) => offset)).to.deep.equal([0, 65536, 131072, 196608]);
      expect(rig.done).to.deep.equal([]);
      rig.transfers.acknowledged(rig.group, 'b', 99, 50, true); // another one
      await settle();
      expect(rig.done).to.deep.equal([]);
      rig.transfers.acknowledged(rig.group, 'b', 3, 50, true);
      await settle();
      expect(rig.done).to.deep.equal([[3, 50, true]]);
      expect(rig.readersOpen).to.equal(0);
    });

    it('pauses while the lane is full', async () => {
      rig.backlog = 1e9;
      await send();
      expect(rig.types()).to.deep.equal(['begin', 'chunk']);
      rig.backlog = 0;
      for (const callback of rig.drained.splice(0)) callback();
      await settle();
      expect(rig.types()).to.deep.equal(['begin', 'chunk', 'chunk', 'chunk', 'chunk', 'end']);
    });

    it('asks the app for a snapshot when the newest is too old, or none is there', async () => {
      for (const before of [undefined, rig.snapshot]) {
        rig.snapshot = before;
        let asked = 0;
        rig.commitIndex = 80;
        rig.request = () => {
          asked++;
          rig.snapshot = { meta: metaAt(80), content: new Uint8Array(10) };
          return Promise.resolve(true);
        };
        rig.sent.length = 0;
        await send(3, 70);
        expect(asked).to.equal(1);
        expect(rig.sent[0]!.frame).to.deep.include({ type: 'begin', size: 10, meta: metaAt(80) });
        rig.transfers.acknowledged(rig.group, 'b', 3, 0, false);
        await settle();
        expect(rig.readersOpen).to.equal(0);
      }
    });

    it('fails when the app has none to give, or only one that is too old', async () => {
      await send(3, 70);
      rig.request = () => Promise.resolve(true);
      await send(4, 70);
      expect(rig.sent).to.deep.equal([]);
      expect(rig.done).to.deep.equal([
        [3, 0, false],
        [4, 0, false],
      ]);
      expect(rig.readersOpen).to.equal(0);
    });

    it('fails without contact, and when a frame is not taken', async () => {
      await send(3, 50, 'nobody');
      rig.sendable = () => rig.sent.length < 2;
      await send(4);
      expect(rig.done).to.deep.equal([
        [3, 0, false],
        [4, 0, false],
      ]);
      expect(rig.readersOpen, 'it may go on').to.equal(1);
    });

    it('a read that fails is reported, and the receiver is told to throw away what it has', async () => {
      let reads = 0;
      rig.readGate = () => (++reads > 2 ? Promise.reject(new Error('bad sector')) : Promise.resolve());
      await send();
      expect(rig.done).to.deep.equal([[3, 0, false]]);
      expect(rig.sent.at(-1)!.frame).to.deep.include({ type: 'end', ok: false });
      expect(rig.readersOpen).to.equal(0);
    });

    it('stops when contact was made anew meanwhile', async () => {
      let go = (): void => undefined;
      rig.readGate = () => new Promise((resolve) => (go = resolve));
      await send();
      rig.sessions.set('b', 2);
      go();
      await settle();
      expect(rig.types()).to.deep.equal(['begin']);
      expect(rig.done).to.deep.equal([[3, 0, false]]);
    });

    for (const how of ['lost', 'ended'] as const) {
      it(`does not wait for a word that cannot come: ${how}; and the next transfers get their turn`, async () => {
        for (const request of [1, 2, 3]) await send(request);
        expect(
          rig.types().filter((type) => type === 'begin'),
          'two at once',
        ).to.have.length(2);
        expect(rig.readersOpen).to.equal(2);
        if (how === 'lost') rig.transfers.lost(rig.group, 'b');
        else {
          rig.over = true;
          rig.transfers.ended(rig.group);
        }
        await settle();
        await settle();
        expect(rig.readersOpen).to.equal(how === 'lost' ? 1 : 0);
        // Another group of the same node.
        rig.over = false;
        const other = rig.makeGroup(8);
        rig.transfers.send(other, 'b', 9, 50);
        await settle();
        expect(rig.sent.at(-1)!.frame).to.deep.include({ type: 'end', group: 8, request: 9 });
        expect(rig.failures).to.deep.equal([]);
      });
    }

    describe('to a peer they keep failing with', () => {
      let request = 100;
      beforeEach(() => {
        rig.sessions.set('c', 1);
      });

      /** Sends, and lets the receiver say how it ended; whether anything was sent at all. */
      async function attempt(ok: boolean, to = 'b', group = rig.group): Promise<boolean> {
        const before = rig.sent.length;
        rig.transfers.send(group, to, ++request, 50);
        await settle();
        await settle();
        rig.transfers.acknowledged(group, to, request, 50, ok);
        await settle();
        expect(rig.done.at(-1)!.slice(0, 1), 'the core is told in any case').to.deep.equal([request]);
        return rig.sent.length > before;
      }

      async function failThrice(to = 'b'): Promise<void> {
        for (let i = 0; i < 3; i++) expect(await attempt(false, to)).to.equal(true);
      }

      it('leave it alone for a while, and longer each time, five seconds at most', async () => {
        await failThrice();
        for (const ms of [1000, 2000, 4000, 5000, 5000]) {
          rig.now += ms - 1;
          expect(await attempt(true), `within ${ms} ms`).to.equal(false);
          expect(rig.done.at(-1)).to.deep.equal([request, 0, false]);
          expect(rig.readersOpen).to.equal(0);
          rig.now += 1;
          expect(await attempt(false), `after ${ms} ms`).to.equal(true);
        }
        rig.now += 5000;
        expect(await attempt(true)).to.equal(true);
        await failThrice(); // forgotten
      });

      it('come to others, and those of other groups to it, as ever', async () => {
        await failThrice();
        expect(await attempt(true)).to.equal(false);
        expect(await attempt(true, 'c')).to.equal(true);
        expect(await attempt(true, 'b', rig.makeGroup(8))).to.equal(true);
      });

      it('forget after one that succeeds', async () => {
        for (let i = 0; i < 5; i++) {
          await attempt(false);
          await attempt(false);
          expect(await attempt(true)).to.equal(true);
        }
        await failThrice();
        expect(await attempt(true)).to.equal(false);
      });

      it('count contact that is lost on the way, and frames that are not taken', async () => {
        for (const how of ['lost', 'lost', 'refused'] as const) {
          if (how === 'refused') rig.sendable = () => false;
          rig.transfers.send(rig.group, 'b', ++request, 50);
          await settle();
          await settle();
          if (how === 'lost') rig.transfers.lost(rig.group, 'b');
          await settle();
        }
        rig.sendable = () => true;
        expect(rig.done).to.have.length(3);
        expect(await attempt(true)).to.equal(false);
      });

      it('do not count against it what is the fault of this node', async () => {
        const { snapshot } = rig;
        for (let i = 0; i < 5; i++) {
          rig.snapshot = undefined; // and the app has none to give
          await attempt(true);
          rig.snapshot = snapshot;
          rig.readGate = () => Promise.reject(new Error('bad sector'));
          await attempt(true);
          rig.readGate = undefined;
          rig.sessions.delete('b');
          await attempt(true);
          rig.sessions.set('b', 1);
        }
        expect(rig.done.every(([, , ok]) => !ok)).to.equal(true);
        expect(await attempt(false)).to.equal(true);
      });

      it('a trial that this node spoils is not spent', async () => {
        await failThrice();
        rig.now += 1000;
        rig.readGate = () => Promise.reject(new Error('bad sector'));
        expect(await attempt(true)).to.equal(true);
        rig.readGate = undefined;
        expect(await attempt(true)).to.equal(true);
      });

      it('are forgotten with the group', async () => {
        await failThrice();
        rig.transfers.ended(rig.group);
        expect(await attempt(true)).to.equal(true);
      });
    });
  });
});
