/** A command was sent, its process died, and the others went on for longer than sessions and request ids are remembered. */
import { expect } from 'chai';
import { ByteWriter } from '../../../lib/bytes.js';
import { defineMachine } from '../../../lib/machines/defineMachine.js';
import { encodeItem } from '../../../lib/replica/batch.js';
import { batchCodec, cbor } from '../../../lib/replica/codec.js';
import { MOST_STEP_MS } from '../../../lib/replica/logAge.js';
import { OutboxQueue } from '../../../lib/replica/outbox/outboxQueue.js';
import { encodeWhole, Entry, readRecords } from '../../../lib/replica/outbox/outboxRecords.js';
import type { OutboxEntry } from '../../../lib/replica/outbox/outboxTypes.js';
import { Replay } from '../../../lib/replica/outbox/replay.js';
import type { Reads } from '../../../lib/replica/reads.js';
import type { Replica } from '../../../lib/replica/replica.js';
import type { SequenceId } from '../../../lib/replica/requestId.js';
import { SESSION_LIMITS, SessionTable } from '../../../lib/replica/sessions.js';
import type { Replayed, Submitter } from '../../../lib/replica/submitter.js';
import { memoryStorage } from '../../../lib/storage/memoryStorage.js';
import { createSimulation, type Simulation } from '../../../lib/testing/simulation/simulation.js';

import { Virtual } from '../support/virtual.js';

const nodes = ['a', 'b', 'c'];

const list = () =>
  defineMachine({
    version: 1,
    initial: () => ({ items: [] as string[] }),
    commands: { push: (state, { item }: { item: string }) => state.items.push(item) },
    queries: { items: (state) => state.items },
  });
type List = ReturnType<typeof list>;

describe('a command of the outbox that was sent', () => {
  let simulation: Simulation<List>;

  const a = (): Replica<List> => simulation.replica('a');
  const b = (): Replica<List> => simulation.replica('b');
  const stateOf = (): string | undefined => a().outbox.entries()[0]?.state;
  const applied = (): boolean =>
    ['b', 'c'].some((id) => simulation.replica(id).peek({ op: 'items' }).includes('x'));

  async function until(predicate: () => boolean): Promise<void> {
    expect(await simulation.runUntil(predicate, 60_000)).to.equal(true);
  }

  /** A cluster whose node a has a command in its outbox, and no quorum. */
  async function begin(): Promise<void> {
    const snapshot = { logBytes: 2 ** 30 };
    simulation = createSimulation({ seed: 3, nodes, stateMachine: list, onNoQuorum: 'queue', snapshot });
    await simulation.ready();
    simulation.partition([['a'], ['b', 'c']]);
    await until(() => !a().status().quorum && b().status().quorum);
    a()
      .submit({ op: 'push', item: 'x' }, { requestId: 'the command' })
      .catch(() => undefined);
    await until(() => stateOf() === 'queued');
  }

  /** It is applied, and node a dies before it hears of it. */
  async function sendAndDie(): Promise<void> {
    simulation.heal();
    await until(() => stateOf() === 'sent' && applied());
    simulation.crash('a', { power: false });
  }

  /** The log's time goes on, so that every session and request id of before is forgotten. */
  async function goOn(bytes: number): Promise<void> {
    for (let ms = 0; ms < 2 * SESSION_LIMITS.expiryMs; ms += MOST_STEP_MS) {
      for (const id of ['b', 'c']) simulation.shiftClock(id, MOST_STEP_MS);
      await simulation.settle(b().submit({ op: 'push', item: `${ms} ${'.'.repeat(bytes)}` }));
      await simulation.run(50);
    }
  }

  async function count(): Promise<number> {
    const items = await simulation.settle(a().query({ op: 'items' }));
    return items.filter((item) => item === 'x').length;
  }

  it('is settled by the sessions as long as they remember it', async () => {
    await begin();
    await sendAndDie();
    simulation.restart('a');
    await until(() => simulation.state('a') === 'up');
    const told: unknown[] = [];
    a().on('outbox:replayed', ({ requestId, result }) => told.push([requestId, result]));
    await until(() => a().outbox.size === 0);
    expect(told).to.deep.equal([['the command', 1]]);
    expect(await count()).to.equal(1);
  });

  it('is settled by the log, long after its session has expired', async () => {
    await begin();
    await sendAndDie();
    await goOn(10);
    simulation.restart('a');
    await until(() => simulation.state('a') === 'up' && a().outbox.size === 0);
    expect(await count()).to.equal(1);
  });

  it('is sent anew when it was lost on its way, its session has expired and the log shows that it never arrived', async () => {
    await begin();
    simulation.heal();
    await until(() => stateOf() === 'sent');
    simulation.partition([['a'], ['b', 'c']]);
    await simulation.run(200);
    expect(applied()).to.equal(false);
    simulation.crash('a');
    await goOn(3000);
    simulation.heal();
    simulation.restart('a');
    await until(() => simulation.state('a') === 'up' && a().status().quorum && a().outbox.size === 0);
    expect(await count()).to.equal(1);
  });

  it('is reported, kept and not sent again when its session has expired and a part of the log was not seen', async () => {
    for (const [after, seenFrom, expected] of [
      [50, 51, 'unknown'],
      [50, 50, 'replayed'],
    ] as const) {
      const environment = new Virtual(1);
      const storage = memoryStorage();
      await storage.open({ environment, cluster: 'c', node: 'a' });
      const codec = batchCodec(cbor());
      const writer = new ByteWriter();
      encodeItem(writer, 'the command', { op: 'push', item: 'x' }, codec);
      const entry = new Entry(1, 'the command', writer.take(), 5);
      Object.assign(entry, { state: 'sent', session: 7, sequence: 3, after });
      const file = await storage.openRecords!({ environment, group: 'g' });
      file.append(encodeWhole(entry), true, () => undefined);
      const told: string[] = [];
      const tell =
        (kind: string) =>
        (outcome: OutboxEntry): void =>
          void told.push(`${kind} ${outcome.requestId} ${outcome.state}`);
      const limits = { maxEntries: 10, maxBytes: 1e6, maxCommandBytes: 1e6 };
      const queue = new OutboxQueue(environment, codec, limits, {
        queued: tell('queued'),
        replayed: tell('replayed'),
        unknown: tell('unknown'),
        drained: () => told.push('drained'),
        changed: () => undefined,
        failed: (error) => told.push(error.message),
      });
      const sessions = new SessionTable();
      const submitter = {
        pendingCommands: 0,
        openSession: (opened: (id: number) => void) =>
          opened(sessions.register(60, 'a', 'nonce', environment.wallClock()).id),
        replay: (id: SequenceId, _floor: number, commands: readonly Replayed[]) => {
          told.push(`sent ${id.session}:${id.sequence}`);
          for (const { waiter } of commands) waiter.resolve('done');
        },
      };
      const replay = new Replay({
        environment,
        queue,
        submitter: submitter as unknown as Submitter,
        reads: { add: (run: () => void) => run() } as unknown as Reads,
        sessions,
        appliedIndex: () => seenFrom,
        failed: (error) => told.push(error.message),
      });
      queue.attach(await storage.openRecords!({ environment, group: 'g' }));
      replay.attached();
      replay.statusChanged(true);
      await environment.run(1000);
      const wanted = {
        unknown: ['unknown the command unknown', 'drained'],
        replayed: ['sent 60:1', 'replayed the command sent', 'drained'],
      };
      expect(told).to.deep.equal(wanted[expected]);
      expect(queue.entries().map(({ state }) => state)).to.deep.equal(
        expected === 'unknown' ? ['unknown'] : [],
      );
      if (expected === 'replayed') continue;
      // It outlives the process, until somebody has dealt with it.
      const again = await storage.openRecords!({ environment, group: 'g' });
      expect(readRecords(again.records).entries.map(({ state }) => state)).to.deep.equal(['unknown']);
      expect(await queue.cancel('the command')).to.equal(true);
      expect(
        readRecords((await storage.openRecords!({ environment, group: 'g' })).records).entries,
      ).to.deep.equal([]);
    }
  });
});
