/** The door over a line, both ends in one thread. */
import { MessageChannel } from 'node:worker_threads';
import { nodeEnvironment } from '../../../lib/environment.js';
import type { AppBatch, AppSide, EngineBatch, EngineDoor, EngineSide } from '../../../lib/engine/door.js';
import type { OpenGroup } from '../../../lib/engine/engine.js';
import { EngineServer } from '../../../lib/engine/thread/engineServer.js';
import { FarEngine } from '../../../lib/engine/thread/farEngine.js';
import { raft } from '../../../lib/replica/consensus.js';
import { memoryStorage } from '../../../lib/storage/memoryStorage.js';
import { Line } from '../../../lib/threads/line.js';

/** An engine that does what the test says. */
export class FakeEngine implements EngineDoor {
  app!: AppSide;
  wakes = 0;
  closes = 0;
  readonly collected: AppBatch[] = [];

  open({ app }: OpenGroup): Promise<EngineSide> {
    this.app = app;
    return Promise.resolve({
      self: 'a',
      wake: () => {
        this.wakes++;
        const batch = app.collect();
        if (batch) this.collected.push(batch);
      },
      close: () => {
        this.closes++;
        return Promise.resolve();
      },
    });
  }
}

/** An app that keeps what it is given. */
export class FakeApp implements AppSide {
  readonly delivered: EngineBatch[] = [];
  next: AppBatch | undefined;

  collect(): AppBatch | undefined {
    const batch = this.next;
    this.next = undefined;
    return batch;
  }

  deliver(batch: EngineBatch): void {
    this.delivered.push(batch);
  }
}

export function lines(): { near: Line; far: Line } {
  const { port1, port2 } = new MessageChannel();
  const near = new Line(port1, (callback) => nodeEnvironment.defer(callback));
  return { near, far: new Line(port2, queueMicrotask) };
}

export interface DoorRig {
  readonly engine: FakeEngine;
  readonly app: FakeApp;
  readonly side: EngineSide;
  readonly near: Line;
  readonly far: Line;
}

export async function doorRig(): Promise<DoorRig> {
  const { near, far } = lines();
  const engine = new FakeEngine();
  const made = new Map<string, object>();
  new EngineServer(
    engine,
    far.channel('engine'),
    <T extends object>({ maker }: { readonly maker: string }) => (made.get(maker) ?? {}) as T,
    () => true,
  );
  const app = new FakeApp();
  const side = await new FarEngine(near.channel('engine'), 'a').open({
    ...{ name: 'g', wired: raft().wired, storage: memoryStorage(), founders: ['a'] },
    ...{ snapshotLogBytes: 4096, keepEntries: 0, app },
  });
  return { engine, app, side, near, far };
}

export const nothing: EngineBatch = {
  ...{ entries: [], reads: [], readsFailed: [], refused: [], notices: [] },
  ...{ status: undefined, commitIndex: 0 },
};
