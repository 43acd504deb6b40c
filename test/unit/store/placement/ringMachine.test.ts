/** The versions of a ring: one move at a time, each ended by all who get keys, and what a node goes by. */
import { expect } from 'chai';
import fc from 'fast-check';
import { QuorateError } from '../../../../lib/errors.js';
import { RequestType, type Request } from '../../../../lib/store/coordination/wire.js';
import type { StoreTable } from '../../../../lib/store/local/storeTable.js';
import { isStale, RingPlacement } from '../../../../lib/store/placement/ringPlacement.js';
import { ringMachine } from '../../../../lib/store/placement/ringMachine.js';
import {
  decodeRing,
  encodeRing,
  incomingOf,
  NO_RING,
  ringsOf,
  type RingState,
} from '../../../../lib/store/placement/ringState.js';
import { nodeEnvironment } from '../../../../lib/environment.js';

const COPIES = 2;
const PARTITIONS = 16;

class Rejected extends Error {}

function machineOf(): { state: () => RingState; apply: (command: object) => unknown } {
  const machine = ringMachine();
  const reject = (code: string): never => {
    throw new Rejected(code);
  };
  const context = { index: 1, time: 0, origin: 'a', random: () => 0, reject };
  return {
    state: () => machine.query!({ op: 'ring' }) as RingState,
    apply: (command) => {
      try {
        return machine.apply(command as never, context);
      } catch (error) {
        if (error instanceof Rejected) return error.message;
        throw error;
      }
    },
  };
}

function founded(): ReturnType<typeof machineOf> {
  const machine = machineOf();
  machine.apply({ op: 'found', members: ['a', 'b', 'c'], copies: COPIES, partitions: PARTITIONS });
  return machine;
}

const ids = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f');
const commands = fc.oneof(
  fc.record({ op: fc.constant('change'), id: ids, weight: fc.integer({ min: 0, max: 3 }) }),
  fc.record({ op: fc.constant('lost'), id: ids }),
  fc.record({ op: fc.constant('done'), id: ids }),
  fc.record({ op: fc.constant('left'), id: ids }),
);

describe('the versions of a ring', () => {
  it('move from one ring to the next, and end when all who get keys have them, whatever is asked for', () => {
    fc.assert(
      fc.property(fc.array(commands, { maxLength: 40 }), (list) => {
        const { state, apply } = founded();
        for (const command of list) {
          const before = state();
          const { op, id } = command;
          const of = before.progress.find((one) => one.id === id)?.of ?? 0;
          apply(op === 'done' ? { op: 'progress', version: before.version, id, done: of } : command);
          const after = state();
          expect(decodeRing(encodeRing(after))).to.deep.equal(after);
          expect(after.version).to.be.at.least(before.version);
          expect(after.revision - before.revision).to.equal(after === before ? 0 : 1);
          expect((after.next ?? after.members).length).to.be.at.least(COPIES);
          if (after.version > before.version && before.next)
            for (const { id: who, done, of: all } of before.progress)
              expect(done === all || who === id, `${who} did not have all`).to.equal(true);
          if (!after.next) {
            expect(after.queue).to.deep.equal([]);
            expect(after.progress).to.deep.equal([]);
            continue;
          }
          const rings = ringsOf(after);
          for (const { id: who, of: all } of after.progress)
            expect(incomingOf(rings, who, PARTITIONS).length).to.equal(all);
          expect(after.progress.some(({ done, of: all }) => done < all)).to.equal(true);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('can be told also where a move has nothing to move', () => {
    const { state, apply } = founded();
    apply({ op: 'change', id: 'e', weight: 2 });
    const { version, progress } = state();
    for (const { id, of } of progress) apply({ op: 'progress', version, id, done: of });
    expect(apply({ op: 'change', id: 'e', weight: 3 })).to.equal(true);
    expect(state()).to.deep.include({ version: 5, revision: 4, next: undefined, progress: [] });
    expect(decodeRing(encodeRing(state()))).to.deep.equal(state());
  });

  it('begin a move that waited when the one before it ends', () => {
    const { state, apply } = founded();
    expect(apply({ op: 'change', id: 'd', weight: 1 })).to.equal(true);
    expect(apply({ op: 'change', id: 'd', weight: 1 })).to.equal(false);
    expect(apply({ op: 'change', id: 'a', weight: 0 })).to.equal(true);
    const { version, progress, queue } = state();
    expect([version, progress.map(({ id }) => id), queue]).to.deep.equal([
      2,
      ['d'],
      [{ id: 'a', weight: 0 }],
    ]);
    expect(apply({ op: 'progress', version: 1, id: 'd', done: progress[0]!.of })).to.equal(false);
    expect(apply({ op: 'progress', version: 2, id: 'd', done: progress[0]!.of })).to.equal(true);
    const after = state();
    expect(after.version).to.equal(4);
    expect(after.members.map(({ id }) => id)).to.deep.equal(['a', 'b', 'c', 'd']);
    expect(after.next!.map(({ id }) => id)).to.deep.equal(['b', 'c', 'd']);
    for (const { id, of } of after.progress) apply({ op: 'progress', version: 4, id, done: of });
    expect(state()).to.deep.include({ version: 5, next: undefined, leaving: ['a'] });
    expect(apply({ op: 'left', id: 'a' })).to.equal(true);
    expect(apply({ op: 'change', id: 'b', weight: 0 })).to.equal(true);
    expect(apply({ op: 'change', id: 'c', weight: 0 })).to.equal('TOO_FEW');
  });
});

describe('the ring as a node knows it', () => {
  it('holds once it is on the disk, and refuses whoever goes by another version', async () => {
    const waiting: (() => void)[] = [];
    let down: Uint8Array | undefined;
    const keepRing = (ring: Uint8Array, done: () => void): void => {
      waiting.push(() => {
        down = ring;
        done();
      });
    };
    const tree = { leaves: PARTITIONS, leafOf: () => 0 };
    const table = { tree, ring: undefined, keepRing } as unknown as StoreTable;
    const asked: [number, RequestType][] = [];
    let theirs: Uint8Array | undefined;
    const setup = {
      self: 'a',
      copies: COPIES,
      environment: nodeEnvironment,
      punish: () => undefined,
      call: (_peer: string, type: RequestType, _body: Uint8Array, _ms: number, epoch: number) => {
        asked.push([epoch, type]);
        if (type === RequestType.ring) theirs = undefined;
        if (theirs === undefined) return Promise.resolve(new Uint8Array(0));
        const options = { reason: 'STALE', data: theirs };
        return Promise.reject(new QuorateError('ERR_REJECTED', 'stale', options));
      },
    };
    const placement = new RingPlacement({ ...setup, table });
    const request = (epoch: number): Request => ({
      ...{ kind: 'request', store: 's', agreement: '', id: 1, type: RequestType.write },
      ...{ epoch, body: new Uint8Array(0) },
    });
    const machine = founded();
    const first = machine.state();
    const adopted = placement.adopt(first);
    expect(placement.epoch, 'not before the disk has it').to.equal(0);
    waiting.shift()!();
    await adopted;
    expect(placement.epoch).to.equal(1);
    const again = { tree, ring: down, keepRing } as unknown as StoreTable;
    expect(new RingPlacement({ ...setup, table: again }).epoch).to.equal(1);
    expect(placement.answer(request(1))).to.equal(undefined);
    machine.apply({ op: 'change', id: 'd', weight: 1 });
    const second = placement.adopt(machine.state());
    waiting.shift()!();
    await second;
    await placement.adopt(first); // an old one comes late
    expect(placement.epoch).to.equal(2);
    expect(decodeRing(placement.answer(request(1))!)).to.deep.equal(machine.state());
    expect(placement.answer(request(3))).to.not.equal(undefined);
    // Who is behind is told the ring, and asked again.
    theirs = encodeRing(NO_RING);
    await placement.call('b', RequestType.write, new Uint8Array(0), 100, 2);
    expect(asked).to.deep.equal([
      [2, RequestType.write],
      [2, RequestType.ring],
      [2, RequestType.write],
    ]);
    // Who is ahead tells the ring: the call was for the old one.
    machine.apply({ op: 'progress', version: 2, id: 'd', done: machine.state().progress[0]!.of });
    theirs = encodeRing(machine.state());
    const call = placement
      .call('b', RequestType.write, new Uint8Array(0), 100, 2)
      .catch((error: unknown) => error);
    while (waiting.length === 0) await Promise.resolve();
    waiting.shift()!();
    expect(isStale(await call)).to.equal(true);
    expect(placement.epoch).to.equal(3);
    const late = placement.call('b', RequestType.write, new Uint8Array(0), 100, 2);
    expect(isStale(await late.catch((error: unknown) => error))).to.equal(true);
  });
});
