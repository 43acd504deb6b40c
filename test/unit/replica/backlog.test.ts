import { expect } from 'chai';
import { lastOf, type Entry } from '../../../lib/consensus/consensus.js';
import { encodeMembership, foundingMembership } from '../../../lib/consensus/membership.js';
import { ByteWriter } from '../../../lib/bytes.js';
import { defineMachine } from '../../../lib/machines/defineMachine.js';
import { encodeBatch, encodeItem, encodeRegistration } from '../../../lib/replica/batch.js';
import { batchCodec, cbor } from '../../../lib/replica/codec.js';
import { noOutbox } from './noOutbox.js';
import { Room } from '../../../lib/replica/room.js';
import { Virtual } from '../support/virtual.js';

/** Time that passes while commands are applied, so that a backlog takes many slices. */
class Busy extends Virtual {
  spent = 0;

  override now(): number {
    return super.now() + this.spent;
  }
}

describe('a backlog', () => {
  // Found by the bench: a member that came back with a snapshot stopped for good, thousands of indexes behind.
  it('is told to the engine to its end, however many slices it takes and though nothing more comes', async () => {
    const environment = new Busy(1);
    const machine = defineMachine({
      version: 1,
      initial: () => ({ n: 0 }),
      commands: {
        add: (state, { by }: { by: string }) => {
          environment.spent += 1;
          return (state.n += by.length);
        },
      },
    });
    const room = new Room({
      self: 'a',
      machine,
      codec: cbor(),
      environment,
      limits: { maxPendingCommands: 10, maxPendingBytes: 1e6, maxCommandBytes: 1e6, submitTimeoutMs: 1000 },
      outbox: { maxEntries: 1, maxBytes: 1024 },
      protocol: 'raft',
      events: {
        outbox: noOutbox,
        status: () => undefined,
        warning: () => undefined,
        failed: () => undefined,
        autopilot: () => undefined,
        removed: () => undefined,
      },
    });
    let told = 0;
    const engine = {
      self: 'a',
      wake: () =>
        environment.defer(() => {
          told = room.collect()?.applied ?? told;
        }),
      close: () => Promise.resolve(),
    };
    void room.open(engine);
    const epoch = { config: 0, n: 1, priority: 0, node: 'b' };
    const entries: Entry[] = [];
    const append = (kind: Entry['kind'], count: number, data: Uint8Array): void => {
      const last = entries.at(-1);
      entries.push({ index: last ? lastOf(last) + 1 : 1, count, epoch, time: 1, kind, data });
    };
    append('config', 1, encodeMembership({ ...foundingMembership(['a', 'b']), genesis: 'g' }));
    append('user', 1, encodeRegistration('b', 'nonce'));
    const codec = batchCodec(cbor());
    for (let i = 0; i < 100; i++) {
      const body = new ByteWriter();
      for (let k = 0; k < 40; k++) encodeItem(body, '', { op: 'add', by: 'x'.repeat(1000) }, codec);
      append('user', 40, encodeBatch(2, 1, 1 + 40 * i, 40, body.take()));
    }
    const last = lastOf(entries.at(-1)!);
    room.deliver({
      entries,
      reads: [],
      readsFailed: [],
      refused: [],
      status: undefined,
      commitIndex: last,
      notices: [],
    });
    await environment.run(10_000);
    expect(room.applier.appliedIndex).to.equal(last);
    expect(told).to.equal(last);
    room.close();
  });
});
