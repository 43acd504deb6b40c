import { expect } from 'chai';
import { NO_EPOCH, type SnapshotMeta } from '../../../lib/consensus/consensus.js';
import { foundingMembership } from '../../../lib/consensus/membership.js';
import type { EngineNotice } from '../../../lib/engine/door.js';
import { LocalSnapshots } from '../../../lib/engine/localSnapshots.js';
import { nodeEnvironment } from '../../../lib/environment.js';
import { QuorateError, type ErrorCode } from '../../../lib/errors.js';
import { memoryStorage } from '../../../lib/storage/memoryStorage.js';
import type { NodeStore, SnapshotWriter } from '../../../lib/storage/storage.js';

const bytes = (text: string): Uint8Array => Buffer.from(text);
const end = new Uint8Array(0);

function metaAt(index: number): SnapshotMeta {
  return { index, epoch: NO_EPOCH, time: 1, membership: foundingMembership(['a']), protocol: 'raft' };
}

/** Local snapshots over a store in memory, with what was said and done. */
class Rig {
  readonly said: EngineNotice[] = [];
  readonly saved: number[] = [];
  readonly restored: number[] = [];
  readonly failures: Error[] = [];
  logBytes = 0;
  /** A peer sends a snapshot. */
  receiving = false;
  /** What ends the compaction of the log behind a snapshot, once it is to take long. */
  held: (() => void)[] | undefined;
  /** Stands between the snapshots and the store's writers. */
  wrap: (writer: SnapshotWriter) => SnapshotWriter = (writer) => writer;
  readonly store: NodeStore;
  readonly snapshots: LocalSnapshots;

  constructor(store: NodeStore) {
    this.store = store;
    const seen: Partial<NodeStore> = {
      logBytes: () => this.logBytes,
      openSnapshot: (group) => store.openSnapshot(group),
      createSnapshot: async (group) => this.wrap(await store.createSnapshot(group)),
    };
    this.snapshots = new LocalSnapshots('g', seen as NodeStore, 1000, {
      tell: (notice) => this.said.push(notice),
      saved: ({ index }, _bytes, done) => {
        this.saved.push(index);
        if (this.held) this.held.push(done);
        else done();
      },
      receiving: () => this.receiving,
      restored: ({ index }) => this.restored.push(index),
      // As the group does.
      failed: (error) => {
        this.failures.push(error);
        this.snapshots.close();
      },
    });
  }

  get types(): string[] {
    return this.said.map(({ type }) => type);
  }

  /** The snapshot that a peer sent is committed. */
  async commitIncoming(index: number, text: string): Promise<void> {
    const writer = await this.store.createSnapshot('g');
    await writer.write(bytes(text));
    await writer.commit(metaAt(index));
  }
}

describe('local snapshots', () => {
  let store: NodeStore;
  let rig: Rig;

  beforeEach(async () => {
    store = await memoryStorage().open({ environment: nodeEnvironment, cluster: 'c', node: 'a' });
    rig = new Rig(store);
  });

  afterEach(() => store.close());

  async function begin(index: number): Promise<void> {
    rig.logBytes += 1000;
    rig.snapshots.consider(index);
    rig.snapshots.take({ type: 'snapshotBegin', meta: metaAt(index) });
    await rig.snapshots.settled();
  }

  it('saves chunk by chunk when the log has grown, and counts from there', async () => {
    rig.logBytes = 999;
    rig.snapshots.consider(5);
    expect(rig.types).to.deep.equal([]);
    await begin(5);
    for (const text of ['one', 'two', '']) {
      rig.snapshots.take({ type: 'snapshotChunk', chunk: bytes(text) });
      await rig.snapshots.settled();
    }
    expect(rig.types).to.deep.equal([
      'snapshotWanted',
      'snapshotPull',
      'snapshotPull',
      'snapshotPull',
      'snapshotDone',
    ]);
    expect(rig.saved).to.deep.equal([5]);
    const reader = await store.openSnapshot('g');
    expect(Buffer.from(await reader!.read(0, 10)).toString()).to.equal('onetwo');
    rig.snapshots.consider(6);
    expect(rig.types).to.have.length(5);
    rig.logBytes += 1000;
    rig.snapshots.consider(7);
    expect(rig.types.at(-1)).to.equal('snapshotWanted');
  });

  it('gives a snapshot up that an incoming one pushed aside, and the replica lives on', async () => {
    await begin(5);
    await rig.commitIncoming(9, 'theirs');
    const asked = rig.snapshots.request();
    rig.snapshots.take({ type: 'snapshotChunk', chunk: bytes('mine') });
    await rig.snapshots.settled();
    expect(rig.failures).to.deep.equal([]);
    expect(rig.said.at(-1)).to.deep.equal({ type: 'snapshotDone', index: 0, ok: false });
    expect(await asked).to.equal(false);
    await begin(10);
    rig.snapshots.take({ type: 'snapshotChunk', chunk: end });
    await rig.snapshots.settled();
    expect(rig.saved).to.deep.equal([10]);
  });

  const codes: [ErrorCode, boolean][] = [
    ['ERR_STORAGE_FULL', false],
    ['ERR_COMPACTED', false],
    ['ERR_STORAGE_FAILED', true],
  ];
  for (const [code, fatal] of codes) {
    for (const call of ['write', 'commit'] as const) {
      it(`${code} in ${call} ${fatal ? 'fails the replica' : 'ends the snapshot only'}`, async () => {
        const refuse = (): Promise<void> => Promise.reject(new QuorateError(code, 'scripted'));
        rig.wrap = (writer) => ({
          write: (chunk) => (call === 'write' ? refuse() : writer.write(chunk)),
          commit: (meta) => (call === 'commit' ? refuse() : writer.commit(meta)),
          abort: () => writer.abort(),
        });
        await begin(5);
        rig.snapshots.take({ type: 'snapshotChunk', chunk: bytes('x') });
        rig.snapshots.take({ type: 'snapshotChunk', chunk: end });
        await rig.snapshots.settled();
        expect(rig.failures).to.have.length(fatal ? 1 : 0);
        expect(rig.saved).to.deep.equal([]);
        if (!fatal) expect(rig.types.at(-1)).to.equal('snapshotDone');
      });
    }
  }

  async function pull(): Promise<EngineNotice | undefined> {
    rig.snapshots.take({ type: 'restorePull' });
    await rig.snapshots.settled();
    return rig.said.at(-1);
  }

  it('restores chunk by chunk', async () => {
    await rig.commitIncoming(9, 'theirs');
    rig.snapshots.restore();
    await rig.snapshots.settled();
    expect(rig.said).to.deep.equal([{ type: 'restoreBegin', meta: metaAt(9) }]);
    expect(await pull()).to.deep.include({ type: 'restoreChunk' });
    expect(await pull()).to.deep.equal({ type: 'restoreChunk', chunk: new Uint8Array(0) });
    expect(rig.restored).to.deep.equal([]);
    rig.snapshots.take({ type: 'restored' });
    await rig.snapshots.settled();
    expect(rig.restored).to.deep.equal([9]);
  });

  it('never takes the end of one restore for that of the next', async () => {
    await rig.commitIncoming(9, 'first');
    rig.snapshots.restore();
    await rig.snapshots.settled();
    await pull();
    await pull();
    // The app's side is done and says so, while a newer snapshot was installed.
    await rig.commitIncoming(20, 'second');
    rig.snapshots.restore();
    rig.snapshots.take({ type: 'restored' });
    await rig.snapshots.settled();
    await rig.snapshots.settled();
    expect(rig.restored, 'the app stands at 9, not at 20').to.deep.equal([]);
    expect(rig.said.at(-1)).to.deep.equal({ type: 'restoreBegin', meta: metaAt(20) });
    const chunk = await pull();
    expect(chunk).to.deep.equal({ type: 'restoreChunk', chunk: Uint8Array.from(bytes('second')) });
    await pull();
    rig.snapshots.take({ type: 'restored' });
    await rig.snapshots.settled();
    expect(rig.restored).to.deep.equal([20]);
  });

  it('a restore ends what was being saved, and answers whoever waits for a snapshot', async () => {
    await begin(5);
    const asked = rig.snapshots.request();
    await rig.commitIncoming(9, 'theirs');
    rig.snapshots.restore();
    await rig.snapshots.settled();
    expect(await asked).to.equal(false);
    const later = rig.snapshots.request();
    expect(rig.types.filter((type) => type === 'snapshotWanted')).to.have.length(1);
    await pull();
    rig.snapshots.take({ type: 'restored' });
    expect(await later).to.equal(true);
    expect(rig.failures).to.deep.equal([]);
  });

  it('close answers who waits, aborts the writer and says nothing more', async () => {
    let aborted = 0;
    rig.wrap = (writer) => ({
      write: (chunk) => writer.write(chunk),
      commit: (meta) => writer.commit(meta),
      abort: () => {
        aborted++;
        return writer.abort();
      },
    });
    await begin(5);
    const asked = rig.snapshots.request();
    const said = rig.said.length;
    rig.snapshots.take({ type: 'snapshotChunk', chunk: bytes('x') });
    rig.snapshots.close();
    await rig.snapshots.settled();
    expect(await asked).to.equal(false);
    expect(await rig.snapshots.request()).to.equal(false);
    expect(aborted).to.equal(1);
    expect(rig.said).to.have.length(said);
    expect(rig.failures).to.deep.equal([]);
  });

  describe('that the app asks for', () => {
    const ask = (token: number, index: number): void => rig.snapshots.take({ type: 'compact', token, index });
    const wanted = (): number => rig.types.filter((type) => type === 'snapshotWanted').length;
    const answers = (): unknown[] =>
      rig.said.flatMap((notice): unknown[] => {
        if (notice.type === 'compacted') return [notice.index];
        if (notice.type !== 'compactFailed') return [];
        const { token, error } = notice;
        return [[token, error instanceof QuorateError ? error.code : error.message]];
      });
    async function start(index: number): Promise<void> {
      rig.snapshots.take({ type: 'snapshotBegin', meta: metaAt(index) });
      await rig.snapshots.settled();
    }
    async function finish(): Promise<void> {
      rig.snapshots.take({ type: 'snapshotChunk', chunk: end });
      await rig.snapshots.settled();
    }

    it('are taken however little the log has grown, and answered when that behind them is gone', async () => {
      rig.held = [];
      ask(1, 5);
      await start(5);
      rig.snapshots.take({ type: 'snapshotChunk', chunk: bytes('x') });
      await finish();
      expect(rig.saved).to.deep.equal([5]);
      rig.snapshots.consider(5);
      expect(wanted(), 'it is done, but for the log').to.equal(1);
      expect(answers()).to.deep.equal([]);
      rig.held[0]!();
      expect(answers()).to.deep.equal([5]);
    });

    it('are there already where the newest covers the index, own or restored, and nothing is taken', async () => {
      ask(1, 5);
      await start(7);
      await finish();
      ask(2, 7);
      expect(answers()).to.deep.equal([7, 7]);
      await rig.commitIncoming(9, 'theirs');
      rig.snapshots.restore();
      await rig.snapshots.settled();
      await pull();
      await pull();
      rig.snapshots.take({ type: 'restored' });
      await rig.snapshots.settled();
      ask(3, 9);
      expect(answers()).to.deep.equal([7, 7, 9]);
      expect(wanted()).to.equal(1);
      ask(4, 10);
      expect(wanted()).to.equal(2);
    });

    it('are taken anew behind one that began before; who asked for less has it first', async () => {
      await begin(5);
      ask(1, 5);
      ask(2, 6);
      await finish();
      expect(answers(), 'for the first').to.deep.equal([5]);
      expect(rig.saved).to.deep.equal([5]);
      rig.snapshots.consider(6);
      expect(wanted()).to.equal(2);
      await start(6);
      await finish();
      expect(answers()).to.deep.equal([5, 6]);
      rig.snapshots.consider(6);
      expect(wanted()).to.equal(2);
    });

    it('share one, and fail together', async () => {
      ask(1, 5);
      ask(2, 6);
      ask(3, 6);
      expect(wanted()).to.equal(1);
      const refuse = (): Promise<void> => Promise.reject(new QuorateError('ERR_STORAGE_FULL', 'scripted'));
      rig.wrap = (writer) => ({ write: refuse, commit: refuse, abort: () => writer.abort() });
      await start(6);
      await finish();
      expect(answers()).to.deep.equal([[3, 'ERR_STORAGE_FULL']]);
      expect(rig.failures).to.deep.equal([]);
      rig.snapshots.consider(6);
      expect(wanted(), 'nobody waits any more').to.equal(1);
      rig.snapshots.take({ type: 'snapshotFailed', message: 'late' });
      expect(answers()).to.have.length(1);
    });

    it('fail where the app has nothing', () => {
      ask(1, 5);
      rig.snapshots.take({ type: 'snapshotFailed', message: 'nothing' });
      expect(answers()).to.deep.equal([[1, 'ERR_NOT_READY']]);
    });

    it('wait behind one that comes in, and are taken when that came to nothing', async () => {
      ask(1, 5);
      await start(5);
      const incoming = await store.createSnapshot('g');
      rig.receiving = true;
      await finish();
      expect(rig.types.at(-1)).to.equal('snapshotDone');
      expect(answers()).to.deep.equal([]);
      rig.snapshots.consider(5);
      expect(wanted()).to.equal(1);
      await incoming.abort();
      rig.receiving = false;
      rig.snapshots.consider(5);
      expect(wanted()).to.equal(2);
      await start(5);
      await finish();
      expect(answers()).to.deep.equal([5]);
    });

    it('are answered by one that came in and is restored', async () => {
      ask(1, 5);
      await rig.commitIncoming(9, 'theirs');
      await start(5);
      await finish();
      rig.snapshots.consider(5);
      expect(wanted(), 'it would be older than what is there').to.equal(1);
      rig.snapshots.restore();
      await rig.snapshots.settled();
      await pull();
      await pull();
      expect(answers()).to.deep.equal([]);
      rig.snapshots.take({ type: 'restored' });
      await rig.snapshots.settled();
      expect(answers()).to.deep.equal([9]);
    });

    it('are forgotten at the end', async () => {
      ask(1, 5);
      rig.snapshots.close();
      rig.snapshots.consider(5);
      await rig.snapshots.settled();
      expect(wanted()).to.equal(1);
      expect(answers()).to.deep.equal([]);
    });
  });
});
