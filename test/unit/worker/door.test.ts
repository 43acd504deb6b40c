/** Batches of the door on their way between two threads. */
import { expect } from 'chai';
import fc from 'fast-check';
import type { AppBatch, EngineBatch, GroupStatus } from '../../../lib/engine/door.js';
import { foundingMembership } from '../../../lib/consensus/membership.js';
import { EnginePacker, EngineUnpacker, packApp, unpackApp } from '../../../lib/engine/thread/batches.js';
import { MAX_BATCHES_UNTAKEN } from '../../../lib/engine/thread/items.js';
import { QuorateError } from '../../../lib/errors.js';
import { packError, unpackError } from '../../../lib/threads/errors.js';
import { until } from '../mesh/support.js';
import { doorRig, lines, nothing } from './rig.js';

const epoch = { config: 0, n: 3, priority: 0, node: 'a' };
const members = foundingMembership(['a', 'b', 'c']);
const status = (membership = members, stable = members): GroupStatus => ({
  ...{ role: 'leader', leader: 'a', epoch, quorum: true, quiet: false, contact: 1, membership, stable },
});

/** As a port would pass it on: cloned, with the buffers handed over. */
function cross<T>({ batch, buffers }: { readonly batch: T; readonly buffers: readonly ArrayBuffer[] }): T {
  return structuredClone(batch, { transfer: [...buffers] });
}

describe('a batch between threads', () => {
  const bytes = fc.uint8Array({ maxLength: 300 });

  it('of the app arrives as it was', () => {
    const proposal = fc.record({ token: fc.nat(), count: fc.integer({ min: 1, max: 9 }), data: bytes });
    fc.assert(
      fc.property(
        fc.array(proposal, { maxLength: 8 }),
        fc.array(fc.nat()),
        bytes,
        (proposals, reads, chunk) => {
          const batch: AppBatch = {
            ...{ proposals, reads, applied: 7 },
            notices: [{ type: 'snapshotChunk', chunk }, { type: 'restorePull' }],
          };
          expect(unpackApp(cross(packApp(batch)))).to.deep.equal(batch);
          // What was handed over is a copy: the app's bytes are still there.
          expect(chunk.buffer.byteLength).to.equal(chunk.length);
        },
      ),
    );
  });

  it('of the engine arrives as it was, errors included', () => {
    const data = fc.array(bytes, { maxLength: 12 });
    fc.assert(
      fc.property(data, fc.nat(), (all, commitIndex) => {
        const entries = all.map((one, at) => ({
          ...{
            index: 10 + at,
            count: 1,
            epoch,
            time: 1_700_000_000_000 + at,
            kind: 'user' as const,
            data: one,
          },
        }));
        const batch: EngineBatch = {
          ...{ entries, commitIndex, reads: [{ context: 4, index: 9 }], readsFailed: [5] },
          refused: [{ token: 6, why: 'notLeader' }],
          status: status(),
          notices: [{ type: 'restoreChunk', chunk: new Uint8Array([1, 2]) }],
        };
        const arrived = new EngineUnpacker().unpack(cross(new EnginePacker().pack(batch)));
        expect(arrived).to.deep.equal(batch);
      }),
    );
  });

  it('has the same membership and the same epoch again where nothing changed', () => {
    const packer = new EnginePacker();
    const unpacker = new EngineUnpacker();
    const pass = (batch: Partial<EngineBatch>): EngineBatch =>
      unpacker.unpack(cross(packer.pack({ ...nothing, ...batch })));
    const entry = { index: 1, count: 1, time: 5, kind: 'user' as const, data: new Uint8Array([1]) };
    const first = pass({ status: status(), entries: [{ ...entry, epoch: { ...epoch } }] });
    const second = pass({ status: status(), entries: [{ ...entry, index: 2, epoch: { ...epoch } }] });
    expect(second.status!.membership).to.equal(first.status!.membership);
    expect(second.status!.stable).to.equal(first.status!.membership);
    expect(second.entries[0]!.epoch).to.equal(first.entries[0]!.epoch);
    const other = foundingMembership(['a', 'b']);
    const third = pass({ status: status(other, members) });
    expect(third.status!.membership).to.deep.equal(other);
    expect(third.status!.stable).to.equal(first.status!.stable);
    const fourth = pass({ status: status(other, other) });
    expect(fourth.status!.stable).to.equal(third.status!.membership);
  });

  it('keeps the class, code and causes of errors', () => {
    const cause = Object.assign(new Error('disk'), { code: 'ENOSPC', errno: -28, syscall: 'write' });
    const error = new QuorateError('ERR_STORAGE_FAILED', 'a write failed', { cause, fate: 'ambiguous' });
    const back = unpackError(structuredClone(packError(error)));
    expect(back).to.be.instanceOf(QuorateError);
    expect(back).to.include({ code: 'ERR_STORAGE_FAILED', fate: 'ambiguous', message: 'a write failed' });
    expect(back.cause).to.be.instanceOf(Error).and.include({ code: 'ENOSPC', syscall: 'write' });
    expect(unpackError(structuredClone(packError('text'))).message).to.equal('text');
    const knot = new Error('knot');
    knot.cause = knot;
    expect(packError(knot).message).to.equal('knot');
  });
});

describe('the door over a line', () => {
  it('brings one batch a turn to the engine, whatever wakes it', async () => {
    const { engine, app, side, near } = await doorRig();
    app.next = { proposals: [], reads: [1, 2], applied: 3, notices: [] };
    side.wake();
    side.wake();
    await until('the batch', () => engine.collected.length > 0);
    expect(engine.collected).to.deep.equal([{ proposals: [], reads: [1, 2], applied: 3, notices: [] }]);
    near.close();
  });

  it('has the engine wait for an app that takes nothing, and wakes it when it does', async () => {
    const { engine, app, near } = await doorRig();
    let given = 0;
    while (engine.app.busy !== true && given < 1000) {
      engine.app.deliver({ ...nothing, commitIndex: ++given });
    }
    expect(given).to.equal(MAX_BATCHES_UNTAKEN);
    const { wakes } = engine;
    await until('what was given', () => app.delivered.length === given);
    await until('room for more', () => engine.app.busy === false);
    expect(engine.wakes).to.be.greaterThan(wakes);
    expect(app.delivered.map(({ commitIndex }) => commitIndex)).to.deep.equal(
      Array.from({ length: given }, (_, i) => i + 1),
    );
    near.close();
  });

  it('delivers nothing after it was closed, and closes once', async () => {
    const { engine, app, side, near } = await doorRig();
    engine.app.deliver({ ...nothing, commitIndex: 1 });
    await Promise.all([side.close(), side.close()]);
    expect(engine.closes).to.equal(1);
    engine.app.deliver({ ...nothing, commitIndex: 2 });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(app.delivered).to.deep.equal([]);
    near.close();
  });

  it('tells each app that the engine is gone, once', async () => {
    const { app, side, far } = await doorRig();
    far.close();
    await until('the last words', () => app.delivered.length > 0);
    expect(app.delivered).to.have.length(1);
    const [notice] = app.delivered[0]!.notices;
    expect(notice).to.have.nested.property('error.code', 'ERR_ENGINE_FAILED');
    await side.close();
  });
});

describe('a line', () => {
  it('keeps the order of all channels, what was said early included, and puts a turn into one message', async () => {
    const { near, far } = lines();
    const heard: unknown[] = [];
    near.channel('x').say(1);
    near.channel('y').say(2);
    near.channel('x').say(3);
    await new Promise((resolve) => setTimeout(resolve, 10));
    far.channel('y').attach({ heard: (item) => heard.push(item) });
    far.channel('x').attach({ heard: (item) => heard.push(item) });
    near.channel('x').say(4);
    near.channel('y').say(5);
    await until('the last', () => heard.length === 5);
    expect(heard).to.deep.equal([2, 1, 3, 4, 5]);
    near.close();
  });

  it('answers, throws as the other end threw, and rejects what is open when it is cut', async () => {
    const { near, far } = lines();
    far.channel('x').attach({
      heard: () => undefined,
      asked: (item) => {
        if (item === 'never') return new Promise(() => undefined);
        if (item === 'bad') throw new QuorateError('ERR_GROUP_EXISTS', 'there is one');
        return [item];
      },
    });
    const channel = near.channel('x');
    expect(await channel.ask(1)).to.deep.equal([1]);
    const code = (error: unknown): unknown => (error as QuorateError).code;
    expect(await channel.ask('bad').catch(code)).to.equal('ERR_GROUP_EXISTS');
    const never = channel.ask('never').catch(code);
    await new Promise((resolve) => setTimeout(resolve, 5));
    far.close();
    expect(await never).to.equal('ERR_CLOSED');
    expect(await channel.ask(2).catch(code)).to.equal('ERR_CLOSED');
    let cut = 0;
    channel.attach({ heard: () => undefined, cut: () => cut++ });
    expect(cut, 'who comes late is told').to.equal(1);
  });
});
