/** The engine's end of its channel: opens groups for the app's thread, and stands for the app towards each of them. */
import type { Description } from '../../description.js';
import { QuorateError } from '../../errors.js';
import type { Storage } from '../../storage/storage.js';
import type { Channel, ChannelEnd } from '../../threads/line.js';
import type { WiredProtocol } from '../codec.js';
import type { AppBatch, AppSide, EngineBatch, EngineDoor, EngineSide } from '../door.js';
import type { SoundProposal } from '../proposals.js';
import { EnginePacker, unpackApp, type PackedAppBatch } from './batches.js';
import {
  MAX_BATCHES_UNTAKEN,
  type EngineOrder,
  type FromApp,
  type FromEngine,
  type OpenOrder,
} from './items.js';

/** The app of one group, in the engine's thread. */
class FarApp implements AppSide {
  readonly #group: number;
  readonly #channel: Channel;
  readonly #packer = new EnginePacker();
  #arrived: AppBatch[] = [];
  /** Batches on their way to the app. */
  #untaken = 0;
  #engine: EngineSide | undefined;

  constructor(group: number, channel: Channel) {
    this.#group = group;
    this.#channel = channel;
  }

  set engine(engine: EngineSide) {
    this.#engine = engine;
    if (this.#arrived.length > 0) engine.wake();
  }

  get busy(): boolean {
    return this.#untaken >= MAX_BATCHES_UNTAKEN;
  }

  collect(): AppBatch | undefined {
    const [first, ...rest] = this.#arrived;
    this.#arrived = [];
    return rest.length === 0 ? first : merge([first!, ...rest]);
  }

  deliver(batch: EngineBatch): void {
    this.#untaken++;
    const packed = this.#packer.pack(batch);
    this.#channel.say({ group: this.#group, batch: packed.batch } satisfies FromEngine, packed.buffers);
  }

  heard(batch: PackedAppBatch): void {
    this.#arrived.push(unpackApp(batch));
    this.#engine?.wake();
  }

  taken(count: number): void {
    const wasBusy = this.busy;
    this.#untaken -= count;
    if (wasBusy) this.#engine?.wake();
  }
}

/** What several turns of the app handed over. */
function merge(batches: readonly AppBatch[]): AppBatch {
  return {
    proposals: batches.flatMap(({ proposals }) => proposals),
    reads: batches.flatMap(({ reads }) => reads),
    applied: batches[batches.length - 1]!.applied,
    notices: batches.flatMap(({ notices }) => notices),
  };
}

export class EngineServer implements ChannelEnd {
  readonly #engine: EngineDoor;
  readonly #channel: Channel;
  readonly #make: <T extends object>(description: Description) => T;
  readonly #soundProposal: SoundProposal;
  readonly #apps = new Map<number, FarApp>();
  readonly #sides = new Map<number, EngineSide>();

  constructor(
    engine: EngineDoor,
    channel: Channel,
    make: <T extends object>(description: Description) => T,
    soundProposal: SoundProposal,
  ) {
    this.#engine = engine;
    this.#channel = channel;
    this.#make = make;
    this.#soundProposal = soundProposal;
    channel.attach(this);
  }

  heard(item: unknown): void {
    const said = item as FromApp;
    const app = this.#apps.get(said.group);
    if (said.type === 'batch') app?.heard(said.batch);
    else app?.taken(said.count);
  }

  async asked(item: unknown): Promise<void> {
    const order = item as EngineOrder;
    if (order.type === 'open') await this.#open(order);
    else await this.#close(order.group);
  }

  async #open(order: OpenOrder): Promise<void> {
    const { group, snapshotBytesPerSecond, autopilot } = order;
    const app = new FarApp(group, this.#channel);
    this.#apps.set(group, app);
    const open = this.#engine.open({
      name: order.name,
      wired: this.#make<WiredProtocol>(order.wired),
      storage: this.#make<Storage>(order.storage),
      founders: order.founders,
      join: order.join,
      snapshotLogBytes: order.snapshotLogBytes,
      keepEntries: order.keepEntries,
      ...(snapshotBytesPerSecond !== undefined && { snapshotBytesPerSecond }),
      ...(autopilot && { autopilot }),
      app,
      soundProposal: this.#soundProposal,
    });
    try {
      const side = await open;
      this.#sides.set(group, side);
      app.engine = side;
    } catch (error) {
      this.#apps.delete(group);
      throw error;
    }
  }

  async #close(group: number): Promise<void> {
    const side = this.#sides.get(group);
    if (side === undefined) throw new QuorateError('ERR_INTERNAL', `no group ${group} is open`);
    this.#sides.delete(group);
    this.#apps.delete(group);
    await side.close();
  }

  /** Ends all groups: the app's thread has gone, or the mesh closes. */
  async close(): Promise<void> {
    const sides = [...this.#sides.values()];
    this.#sides.clear();
    this.#apps.clear();
    await Promise.allSettled(sides.map((side) => side.close()));
  }
}
