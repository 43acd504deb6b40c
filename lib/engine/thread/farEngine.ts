/** The engine as the app's thread sees it when it lives in another one: the same door, and behind it a line. */
import { describe } from '../../description.js';
import { QuorateError } from '../../errors.js';
import type { Channel, ChannelEnd } from '../../threads/line.js';
import type { AppSide, EngineBatch, EngineDoor, EngineSide } from '../door.js';
import type { OpenGroup } from '../engine.js';
import { EngineUnpacker, packApp } from './batches.js';
import { TAKEN_AT_ONCE, type FromApp, type FromEngine, type OpenOrder } from './items.js';

interface FarGroup {
  readonly app: AppSide;
  readonly unpacker: EngineUnpacker;
  /** Batches that were taken since the engine was told. */
  taken: number;
}

export class FarEngine implements EngineDoor, ChannelEnd {
  readonly #channel: Channel;
  readonly #self: string;
  readonly #groups = new Map<number, FarGroup>();
  /** Groups that have something to hand over. */
  #awake = new Set<number>();
  #numbers = 0;
  #cut: Error | undefined;

  constructor(channel: Channel, self: string) {
    this.#channel = channel;
    this.#self = self;
    channel.attach(this);
  }

  async open(options: OpenGroup): Promise<EngineSide> {
    const { app, name, founders, join, snapshotLogBytes, keepEntries, snapshotBytesPerSecond } = options;
    const { autopilot } = options;
    const number = ++this.#numbers;
    const order: OpenOrder = {
      ...{ type: 'open', group: number, name, founders, join },
      ...{ snapshotLogBytes, keepEntries, snapshotBytesPerSecond, autopilot },
      wired: describe('consensus', options.wired),
      storage: describe('storage', options.storage),
    };
    this.#groups.set(number, { app, unpacker: new EngineUnpacker(), taken: 0 });
    try {
      await this.#channel.ask(order);
    } catch (error) {
      this.#groups.delete(number);
      throw error;
    }
    let closing: Promise<void> | undefined;
    return {
      self: this.#self,
      wake: () => this.#wake(number),
      close: () => (closing ??= this.#close(number)),
    };
  }

  #wake(number: number): void {
    if (!this.#groups.has(number)) return;
    this.#awake.add(number);
    this.#channel.wake();
  }

  async #close(number: number): Promise<void> {
    if (!this.#groups.has(number)) return;
    this.#groups.delete(number);
    this.#awake.delete(number);
    if (this.#cut === undefined) await this.#channel.ask({ type: 'close', group: number });
  }

  /** One batch a group for all that gathered in the turn. */
  leaving(): void {
    const awake = this.#awake;
    this.#awake = new Set();
    for (const group of awake) {
      const batch = this.#groups.get(group)?.app.collect();
      if (batch === undefined) continue;
      const packed = packApp(batch);
      this.#say({ type: 'batch', group, batch: packed.batch }, packed.buffers);
    }
  }

  heard(item: unknown): void {
    const { group, batch } = item as FromEngine;
    const known = this.#groups.get(group);
    if (known === undefined) return; // it was closed here meanwhile
    known.app.deliver(known.unpacker.unpack(batch));
    if (++known.taken < TAKEN_AT_ONCE) return;
    this.#say({ type: 'taken', group, count: known.taken });
    known.taken = 0;
  }

  /** The engine is gone, and with it the replicas of this mesh. */
  cut(error: Error): void {
    this.#cut = error;
    const groups = [...this.#groups.values()];
    this.#groups.clear();
    this.#awake.clear();
    for (const { app } of groups) app.deliver(lastWords(error));
  }

  #say(item: FromApp, buffers?: readonly ArrayBuffer[]): void {
    this.#channel.say(item, buffers);
  }
}

function lastWords(cause: Error): EngineBatch {
  const error =
    cause instanceof QuorateError && cause.code === 'ERR_ENGINE_FAILED'
      ? cause
      : new QuorateError('ERR_ENGINE_FAILED', "the engine's thread has ended", { cause });
  return {
    ...{ entries: [], reads: [], readsFailed: [], refused: [], status: undefined, commitIndex: 0 },
    notices: [{ type: 'failed', error }],
  };
}
