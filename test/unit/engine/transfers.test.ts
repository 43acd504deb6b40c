import { expect } from 'chai';
import { NO_EPOCH, type SnapshotMeta } from '../../../lib/consensus/consensus.js';
import { foundingMembership } from '../../../lib/consensus/membership.js';
import type { Group } from '../../../lib/engine/group.js';
import { decodeTransfer, encodeTransfer, type TransferFrame } from '../../../lib/engine/transferWire.js';
import { Transfers } from '../../../lib/engine/transfers.js';
import { FrameKind, type MeshPort, type SendOptions } from '../../../lib/mesh/port.js';
import type { SnapshotReader, SnapshotWriter } from '../../../lib/storage/storage.js';

function metaAt(index: number): SnapshotMeta {
  const membership = { ...foundingMembership(['a', 'b']), genesis: 'g' };
  return { index, epoch: NO_EPOCH, time: 1, membership, protocol: 'raft' };
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A writer that does nothing until it is let; a second one of a group discards the first, as storages do. */
class SlowWriter implements SnapshotWriter {
  readonly chunks: Uint8Array[] = [];
  readonly waiting: (() => void)[] = [];
  committed: { readonly meta: SnapshotMeta; readonly bytes: number } | undefined;
  aborted = 0;
  discarded = false;
  failing: Error | undefined;
  slow = true;

  async write(chunk: Uint8Array): Promise<void> {
    await this.#turn();
    this.chunks.push(chunk);
  }

  async commit(meta: SnapshotMeta): Promise<void> {
    await this.#turn();
    this.committed = { meta, bytes: this.bytes };
  }

  abort(): Promise<void> {
    this.aborted++;
    return Promise.resolve();
  }

  get bytes(): number {
    return this.chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  }

  /** Lets everything through, now and later. */
  async release(): Promise<void> {
    this.slow = false;
    for (const go of this.waiting.splice(0)) go();
    await settle();
  }

  async #turn(): Promise<void> {
    if (this.slow) await new Promise<void>((resolve) => this.waiting.push(resolve));
    if (this.failing) throw this.failing;
    if (this.discarded) throw new Error('discarded');
  }
}

interface Ack {
  readonly peer: string;
  readonly request: number;
  readonly index: number;
  readonly ok: boolean;
}

/** A group, a storage and a mesh that do as the test says. */
class Rig {
  readonly sent: { readonly peer: string; readonly frame: TransferFrame; readonly options: SendOptions }[] =
    [];
  readonly acks: Ack[] = [];
  readonly writers: SlowWriter[] = [];
  readonly installed: SnapshotMeta[] = [];
  readonly done: [request: number, index: number, ok: boolean][] = [];
  /** Contact sessions of the group, by peer. */
  readonly sessions = new Map<string, number>([['b', 1]]);
  /** Whether the peer has taken our hello. */
  confirmed: Promise<boolean> = Promise.resolve(true);
  storageFailed: Error | undefined;
  sendable = (): boolean => true;
  backlog = 0;
  drained: (() => void)[] = [];
  commitIndex = 0;
  over = false;
  snapshot: { meta: SnapshotMeta; content: Uint8Array } | undefined;
  readersOpen = 0;
  readGate: (() => Promise<void>) | undefined;
  /** What the app does when a snapshot is asked of it. */
  request: () => Promise<boolean> = () => Promise.resolve(false);
  readonly failures: Error[] = [];
  readonly timers = new Set<() => void>();
  now = 0;
  readonly group: Group;
  readonly transfers: Transfers;
  #handler!: (peer: string, session: number, frame: Uint8Array) => boolean | Promise<boolean>;

  constructor() {
    const port: Partial<MeshPort> = {
      handle: (kind, handler) => {
        expect(kind).to.equal(FrameKind.snapshot);
        this.#handler = handler;
      },
      send: (peer, _kind, bytes, options) => {
        if (!this.sendable()) return false;
        this.sent.push({ peer, frame: decodeTransfer(bytes), options });
        return true;
      },
      backlog: () => this.backlog,
      whenDrained: (_peer, _lane, callback) => void this.drained.push(callback),
    };
    this.group = this.makeGroup(7);
    this.transfers = new Transfers(port as MeshPort, {
      now: () => this.now,
      setTimer: (_delayMs, callback) => {
        this.timers.add(callback);
        return { cancel: () => void this.timers.delete(callback) };
      },
      groupOf: (_peer, number) => (number === 4 ? this.group : undefined),
      acknowledge: (_group, peer, request, index, ok) => this.acks.push({ peer, request, index, ok }),
      schedule: () => undefined,
    });
  }

  makeGroup(number: number): Group {
    // eslint-disable-next-line @typescript-eslint/no-this-alias -- getters of the group look at the rig
    const rig = this;
    const group = {
      name: 'g',
      number,
      get over() {
        return rig.over;
      },
      contacts: {
        get: (peer: string) => (this.sessions.has(peer) ? { session: this.sessions.get(peer) } : undefined),
        confirmed: () => this.confirmed,
      },
      snapshots: { request: () => this.request() },
      store: {
        get failed() {
          return rig.storageFailed;
        },
        headroom: () => 1e9,
        createSnapshot: () => {
          for (const writer of this.writers) writer.discarded = true;
          const writer = new SlowWriter();
          this.writers.push(writer);
          return Promise.resolve(writer);
        },
        openSnapshot: () => Promise.resolve(this.#open()),
      },
      core: {
        get status() {
          return { commitIndex: rig.commitIndex, epoch: { n: 1 }, genesis: '', role: 'follower' };
        },
        install: (_now: number, _from: string, meta: SnapshotMeta) => this.installed.push(meta) > 0,
        snapshotDone: (_now: number, request: number, index: number, ok: boolean) =>
          this.done.push([request, index, ok]),
      },
      fail: (error: Error) => this.failures.push(error),
    };
    return group as unknown as Group;
  }

  #open(): SnapshotReader | undefined {
    if (!this.snapshot) return undefined;
    const { meta, content } = this.snapshot;
    this.readersOpen++;
    return {
      meta,
      size: content.length,
      read: async (offset, length) => {
        await this.readGate?.();
        return content.slice(offset, offset + length);
      },
      close: () => {
        this.readersOpen--;
        return Promise.resolve();
      },
    };
  }

  receive(frame: TransferFrame, session = 1): boolean | Promise<boolean> {
    return this.#handler('b', session, encodeTransfer(frame));
  }

  raw(bytes: Uint8Array): boolean | Promise<boolean> {
    return this.#handler('b', 1, bytes);
  }

  /** A transfer of `chunks` chunks of ten bytes, up to its end. */
  begin(request: number, size: number, index = 50): boolean | Promise<boolean> {
    return this.receive({ type: 'begin', group: 4, request, size, meta: metaAt(index) });
  }

  chunk(request: number, offset: number, length = 10): boolean | Promise<boolean> {
    return this.receive({
      type: 'chunk',
      group: 4,
      request,
      offset,
      bytes: new Uint8Array(length).fill(offset + 1),
    });
  }

  end(request: number, ok = true): boolean | Promise<boolean> {
    return this.receive({ type: 'end', group: 4, request, ok });
  }

  types(): string[] {
    return this.sent.map(({ frame }) => frame.type);
  }
}

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

    for (const [what, size, sent] of [
      ['fewer bytes than were announced', 40, true],
      ['an end that says it failed', 30, false],
    ] as const) {
      it(`${what}: nothing is committed, and the sender hears so`, async () => {
        void rig.begin(1, size);
        for (const offset of [0, 10, 20]) void rig.chunk(1, offset);
        void rig.end(1, sent);
        await settle();
        await rig.writers[0]!.release();
        expect(rig.writers[0]!.committed).to.equal(undefined);
        expect(rig.writers[0]!.aborted).to.equal(1);
        expect(rig.installed).to.deep.equal([]);
        expect(rig.acks).to.deep.equal([{ peer: 'b', request: 1, index: 50, ok: false }]);
      });
    }

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
      void rig.begin(2, 10, 60);
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

    for (const how of ['lost', 'ended'] as const) {
      it(`is thrown away when ${how === 'lost' ? 'contact is lost' : 'the group ends'} half-way`, async () => {
        void rig.begin(1, 20);
        void rig.chunk(1, 0);
        void rig.chunk(1, 10);
        await settle();
        if (how === 'lost') rig.transfers.lost(rig.group, 'b');
        else rig.transfers.ended(rig.group);
        expect(rig.end(1)).to.equal(true);
        await rig.writers[0]!.release();
        expect(rig.writers[0]!.chunks.length, 'what was queued is void').to.be.at.most(1);
        expect(rig.writers[0]).to.deep.include({ committed: undefined, aborted: 1 });
        expect(rig.acks).to.deep.equal([]);
        expect(rig.installed).to.deep.equal([]);
      });
    }

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
      expect(rig.receive({ type: 'begin', group: 9, request: 1, size: 1, meta: metaAt(1) })).to.equal(true);
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
        rig.request = () => {
          asked++;
          rig.snapshot = { meta: metaAt(80), content: new Uint8Array(10) };
          return Promise.resolve(true);
        };
        rig.sent.length = 0;
        await send(3, 70);
        expect(asked).to.equal(1);
        expect(rig.sent[0]!.frame).to.deep.include({ type: 'begin', size: 10, meta: metaAt(80) });
        rig.transfers.lost(rig.group, 'b');
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
      expect(rig.readersOpen).to.equal(0);
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
