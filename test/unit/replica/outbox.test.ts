/** Commands that wait for a quorum, on the real mesh and the real disk. What crashes do to them: outboxSimulation.test.ts. */
import { expect } from 'chai';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { QuorateError } from '../../../lib/errors.js';
import { defineMachine } from '../../../lib/machines/defineMachine.js';
import { joinMesh } from '../../../lib/mesh/joinMesh.js';
import { memoryNetwork, type MemoryNetwork } from '../../../lib/mesh/memory/network.js';
import type { Mesh } from '../../../lib/mesh/mesh.js';
import { openReplica } from '../../../lib/replica/openReplica.js';
import type { ReplicaOptions } from '../../../lib/replica/options.js';
import type { Replica } from '../../../lib/replica/replica.js';
import type { OutboxOutcome } from '../../../lib/replica/outbox/outboxTypes.js';
import { diskStorage } from '../../../lib/storage/diskStorage.js';
import { memoryStorage } from '../../../lib/storage/memoryStorage.js';

const ids = ['a', 'b', 'c'];

const list = () =>
  defineMachine({
    version: 1,
    initial: () => ({ items: [] as string[] }),
    commands: {
      push: (state, { item }: { item: string }, context) => {
        if (item === 'bad') context.reject('BAD', { item });
        return state.items.push(item);
      },
    },
    queries: { items: (state) => state.items },
  });
type List = ReturnType<typeof list>;

async function until(what: string, condition: () => boolean): Promise<void> {
  const end = Date.now() + 15_000;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
}

async function failure(promise: Promise<unknown>): Promise<QuorateError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof QuorateError) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

const push = (item: string) => ({ op: 'push', item }) as const;

describe('the outbox', () => {
  let network: MemoryNetwork;
  let meshes: Map<string, Mesh>;
  let directory: string;

  beforeEach(async () => {
    network = memoryNetwork();
    meshes = new Map();
    directory = await mkdtemp(join(tmpdir(), 'quorate-outbox-'));
  });

  afterEach(async () => {
    await Promise.all([...meshes.values()].map((mesh) => mesh.close()));
    await rm(directory, { recursive: true, force: true });
  });

  const disk = (id: string) => diskStorage(join(directory, id), { segmentBytes: 65_536 });

  async function open(id: string, options: Partial<ReplicaOptions<List>> = {}): Promise<Replica<List>> {
    const mesh =
      meshes.get(id) ??
      (await joinMesh({
        id,
        cluster: 'test',
        secret: 'a secret of more than sixteen bytes',
        transport: network,
      }));
    meshes.set(id, mesh);
    return openReplica({
      mesh,
      group: 'list',
      members: ids,
      stateMachine: list(),
      storage: disk(id),
      onNoQuorum: 'queue',
      ...options,
    });
  }

  async function stop(id: string): Promise<void> {
    await meshes.get(id)?.close();
    meshes.delete(id);
  }

  /** Two members with a leader; the third is opened later, or never. */
  async function majority(): Promise<Replica<List>[]> {
    const replicas = [await open('b'), await open('c')];
    await Promise.all(replicas.map((replica) => replica.ready()));
    return replicas;
  }

  const ignore = (promise: Promise<unknown>): void => void promise.catch(() => undefined);
  const queuedCount = (replica: Replica<List>): number =>
    replica.outbox.entries().filter(({ state }) => state === 'queued').length;

  it('keeps commands while nobody answers, and replays them in order when somebody does', async () => {
    const alone = await open('a');
    const told: string[] = [];
    let drained = 0;
    alone.on('outbox:queued', ({ command }) => told.push(`queued ${(command as { item: string }).item}`));
    alone.on('outbox:replayed', ({ command, result, error }) =>
      told.push(`${(command as { item: string }).item}: ${error ? 'failed' : String(result)}`),
    );
    alone.on('outbox:drained', () => drained++);
    const results = ['x', 'y', 'z'].map((item) => alone.submit(push(item)));
    const bad = failure(alone.submit(push('bad'), { requestId: 'the bad one' }));
    await until('the disk', () => queuedCount(alone) === 4);
    expect(told).to.deep.equal(['queued x', 'queued y', 'queued z', 'queued bad']);
    expect(alone.status().outbox.size).to.equal(4);
    expect(alone.status().outbox.bytes).to.equal(alone.outbox.bytes).and.to.be.greaterThan(20);
    expect(alone.outbox.oldest).to.equal(alone.outbox.entries()[0]!.queuedAt);
    await open('b');
    expect(await Promise.all(results)).to.deep.equal([1, 2, 3]);
    expect(await bad).to.include({ code: 'ERR_REJECTED', reason: 'BAD', requestId: 'the bad one' });
    expect(told.slice(4)).to.deep.equal(['x: 1', 'y: 2', 'z: 3', 'bad: failed']);
    await until('the end', () => alone.outbox.size === 0 && drained === 1);
    expect(await alone.query({ op: 'items' })).to.deep.equal(['x', 'y', 'z']);
    expect(alone.status().outbox).to.deep.equal({ size: 0, bytes: 0 });
    expect(alone.outbox.oldest).to.equal(undefined);
    // And from now on straight to the log.
    expect(await alone.submit(push('w'))).to.equal(4);
    expect(told).to.have.length(8);
  });

  it('replays after a restart, with the members it missed', async () => {
    const first = await open('a');
    const left = Promise.allSettled([first.submit(push('x')), first.submit(push('y'))]);
    await until('the disk', () => queuedCount(first) === 2);
    await stop('a');
    for (const each of await left) {
      expect(each.status).to.equal('rejected');
      expect((each as PromiseRejectedResult).reason).to.include({ code: 'ERR_CLOSED', fate: 'ambiguous' });
    }
    const [b] = await majority();
    await b!.submit(push('before'));
    const again = await open('a');
    const replayed: OutboxOutcome[] = [];
    again.on('outbox:replayed', (outcome) => replayed.push(outcome));
    const third = again.submit(push('z'));
    await until('the replay', () => again.outbox.size === 0);
    expect(await third).to.equal(4);
    expect(await again.query({ op: 'items' })).to.deep.equal(['before', 'x', 'y', 'z']);
    expect(replayed.map(({ result }) => result)).to.deep.equal([2, 3, 4]);
    await stop('a');
    const once = await open('a');
    await once.ready();
    expect(once.outbox.size).to.equal(0);
    expect(await once.query({ op: 'items' })).to.deep.equal(['before', 'x', 'y', 'z']);
  });

  it('cancels what was not sent, for good', async () => {
    const alone = await open('a');
    const controller = new AbortController();
    const aborted = failure(alone.submit(push('aborted'), { signal: controller.signal }));
    const cancelled = failure(alone.submit(push('cancelled'), { requestId: 'c' }));
    ignore(alone.submit(push('stays'), { requestId: 's' }));
    controller.abort();
    expect(await aborted).to.include({ code: 'ERR_ABORTED', name: 'AbortError', fate: 'refused' });
    expect(await alone.outbox.cancel('nothing of that name')).to.equal(false);
    expect(await alone.outbox.cancel('c')).to.equal(true);
    expect(await alone.outbox.cancel('c')).to.equal(false);
    expect(await cancelled).to.include({ code: 'ERR_ABORTED', fate: 'refused' });
    await stop('a');
    const again = await open('a');
    expect(again.outbox.entries()).to.have.length(1);
    expect(again.outbox.entries()[0]).to.include({ requestId: 's', state: 'queued' });
    const more = failure(again.submit(push('more')));
    expect(await again.outbox.cancelAll()).to.equal(2);
    expect((await more).fate).to.equal('refused');
    expect(again.outbox.size).to.equal(0);
    await open('b');
    await until('a quorum', () => again.status().quorum);
    expect(await again.query({ op: 'items' })).to.deep.equal([]);
  });

  it('outlives the time-out of a call, which can be waited for again under its request id', async () => {
    const alone = await open('a');
    const late = await failure(alone.submit(push('x'), { timeout: 20 }));
    expect(late).to.include({ code: 'ERR_TIMEOUT', fate: 'ambiguous' });
    expect(alone.outbox.entries().map(({ requestId }) => requestId)).to.deep.equal([late.requestId]);
    const waiting = alone.submit(push('x'), { requestId: late.requestId! });
    expect(alone.outbox.size).to.equal(1);
    await open('b');
    expect(await waiting).to.equal(1);
    expect(await alone.submit(push('x'), { requestId: late.requestId! })).to.equal(1);
    expect(await alone.query({ op: 'items' })).to.deep.equal(['x']);
  });

  it('waits without end for a call that sets no time-out', async () => {
    const alone = await open('a', { timeout: 30 });
    let settled = false;
    const call = alone.submit(push('x')).finally(() => (settled = true));
    await until('the disk', () => queuedCount(alone) === 1);
    await new Promise((resolve) => setTimeout(resolve, 120));
    expect(settled).to.equal(false);
    await open('b');
    expect(await call).to.equal(1);
  });

  it('holds no more than it may', async () => {
    const alone = await open('a', { outbox: { maxEntries: 2 } });
    ignore(alone.submit(push('x')));
    ignore(alone.submit(push('y')));
    const full = await failure(alone.submit(push('z')));
    expect(full).to.include({ code: 'ERR_OUTBOX_FULL', fate: 'refused' });
    expect(full.message).to.match(/2 commands/);
    await stop('a');
    const again = await open('a', { outbox: { maxBytes: 1024 } });
    expect(again.outbox.size).to.equal(2);
    expect((await failure(again.submit(push('z'.repeat(900))))).code).to.equal('ERR_OUTBOX_FULL');
    ignore(again.submit(push('z')));
    expect(again.outbox.size).to.equal(3);
  });

  it('queues when the quorum is lost, and a command in flight comes before those in the outbox', async () => {
    const [b, c] = await majority();
    const leader = b!.status().role === 'leader' ? b! : c!;
    network.cut('b', 'c');
    const inFlight = leader.submit(push('in flight'));
    await until('the loss', () => !leader.status().quorum);
    const queued = leader.submit(push('queued'));
    await until('the disk', () => queuedCount(leader) === 1);
    expect(leader.status().pending.commands).to.equal(1);
    network.heal();
    expect(await Promise.all([inFlight, queued])).to.deep.equal([1, 2]);
  });

  it('retries an ambiguous command through the outbox, once', async () => {
    const [b, c] = await majority();
    const leader = b!.status().role === 'leader' ? b! : c!;
    await leader.submit(push('w'));
    network.cut('b', 'c');
    const first = await failure(leader.submit(push('x'), { timeout: 30 }));
    expect(first.fate).to.equal('ambiguous');
    await until('the loss', () => !leader.status().quorum);
    const again = leader.submit(push('x'), { requestId: first.requestId! });
    const next = leader.submit(push('y'));
    await until('the disk', () => leader.outbox.entries().every(({ state }) => state !== 'writing'));
    expect(await leader.outbox.cancel(first.requestId!)).to.equal(false);
    network.heal();
    expect(await Promise.all([again, next])).to.deep.equal([2, 3]);
    expect(await leader.query({ op: 'items' })).to.deep.equal(['w', 'x', 'y']);
  });

  it('keeps what waits in memory with the memory storage, as long as that lives', async () => {
    const storage = memoryStorage();
    const first = await open('a', { storage });
    ignore(first.submit(push('x')));
    expect(first.outbox.entries()[0]!.state).to.equal('queued');
    await stop('a');
    const again = await open('a', { storage });
    await open('b', { storage: memoryStorage() });
    await until('the replay', () => again.outbox.size === 0);
    expect(await again.query({ op: 'items' })).to.deep.equal(['x']);
  });

  it('sends thousands in batches, in order, and leaves a short file', async () => {
    const alone = await open('a');
    const items = Array.from({ length: 3000 }, (_, i) => `item ${i} ${'.'.repeat(50)}`);
    const calls = items.map((item) => alone.submit(push(item)));
    await open('b');
    expect(await Promise.all(calls)).to.deep.equal(items.map((_, i) => i + 1));
    expect(await alone.query({ op: 'items' })).to.deep.equal(items);
    await until('the end', () => alone.outbox.size === 0);
    expect(alone.status().commitIndex).to.be.lessThan(3100); // indexes count commands; sessions and elections are few
  });

  it('checks its options', async () => {
    for (const [options, what] of [
      [{ outbox: { maxEntries: 0 } }, 'outbox.maxEntries'],
      [{ outbox: { maxBytes: 1023 } }, 'outbox.maxBytes'],
      [{ onNoQuorum: 'wait', outbox: {} }, 'outbox'],
      [{ storage: { kind: 'mine', open: async () => Promise.reject(new Error()) } }, 'storage'],
    ] as const) {
      const error = await failure(open('a', options));
      expect(error.code).to.equal('ERR_CONFIG');
      expect(error.message).to.contain(what);
    }
    const other = await open('a', { onNoQuorum: 'wait' });
    expect(other.outbox.entries()).to.deep.equal([]);
    expect(await other.outbox.cancelAll()).to.equal(0);
  });
});
