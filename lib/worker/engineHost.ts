/** The engine's thread from inside: joins meshes, each with an engine and a line of its own. */
import type { MessagePort } from 'node:worker_threads';
import { Remaker } from '../description.js';
import { Engine } from '../engine/engine.js';
import { EngineServer } from '../engine/thread/engineServer.js';
import { nodeEnvironment, type Environment } from '../environment.js';
import type { FailureDetector } from '../failure/failureDetector.js';
import { assembleMesh } from '../mesh/assemble.js';
import { Credentials } from '../mesh/credentials.js';
import type { MemoryNetworkControls } from '../mesh/memory/network.js';
import type { JoinPlan, Mirror } from '../mesh/thread/items.js';
import { MeshServer } from '../mesh/thread/meshServer.js';
import type { FromThread, ThreadData, ThreadOrder, ToThread } from '../mesh/thread/orders.js';
import type { Transport } from '../mesh/transport.js';
import { restNative } from '../mesh/webrtc/native.js';
import { isSoundBatch } from '../replica/batch.js';
import { packError } from '../threads/errors.js';
import { Line, type Channel, type ChannelEnd } from '../threads/line.js';
import { makers } from './makers.js';

/** How long meshes may take to leave when the thread has to end, in milliseconds. */
const LEAVE_MS = 500;

export class EngineHost implements ChannelEnd {
  readonly #channel: Channel;
  readonly #control: MessagePort;
  readonly #environment: Environment;
  readonly #rested: Int32Array;
  readonly #remaker = new Remaker(makers);
  readonly #meshes = new Set<MeshServer>();
  /** What networks were told before they were made here. */
  #early: Extract<ToThread, { type: 'network' }>[] = [];
  #ending = false;

  constructor(control: MessagePort, { timeOrigin, rested }: ThreadData) {
    this.#control = control;
    this.#rested = new Int32Array(rested);
    // One clock for both threads: what a partition view says of times is read in the other one.
    const shift = performance.timeOrigin - timeOrigin;
    this.#environment = { ...nodeEnvironment, now: () => performance.now() + shift };
    this.#channel = new Line(control, queueMicrotask).channel('control');
    this.#channel.attach(this);
  }

  asked(item: unknown): Promise<Mirror | undefined> {
    const order = item as ThreadOrder;
    return order.type === 'join' ? this.#join(order.plan, order.port) : this.#park();
  }

  heard(item: unknown): void {
    const said = item as ToThread;
    if (said.type === 'end') process.exit(0);
    else if (said.type === 'exit') void this.#rest();
    else this.#toNetwork(said);
  }

  #toNetwork({ number, call, args }: Extract<ToThread, { type: 'network' }>): void {
    const network = this.#remaker.get(number) as MemoryNetworkControls | undefined;
    const controls = network as Record<string, (...values: readonly unknown[]) => void> | undefined;
    if (controls !== undefined) controls[call]!(...args);
    else this.#early.push({ type: 'network', number, call, args });
  }

  async #join(plan: JoinPlan, port: MessagePort): Promise<Mirror> {
    const { id, cluster, secret, identity, intervalMs, relay, limits } = plan;
    const credentials = await Credentials.resolve({ id, cluster, secret, identity });
    const transport = this.#remaker.make<Transport>(plan.transport);
    const early = this.#early;
    this.#early = [];
    for (const told of early) this.#toNetwork(told);
    const detector = this.#remaker.make<FailureDetector>(plan.detector);
    const environment = this.#environment;
    const parts = await assembleMesh({
      ...{ id, cluster, credentials, transport, intervalMs, detector, relay, limits, environment },
    });
    // In a microtask: what a turn of the engine hands over leaves when the turn ends.
    const line = new Line(port, queueMicrotask);
    const engine = new EngineServer(
      new Engine(parts.port, environment),
      line.channel('engine'),
      (description) => this.#remaker.make(description),
      isSoundBatch,
    );
    const mesh: MeshServer = new MeshServer(
      { ...parts, identity: credentials },
      line.channel('mesh'),
      async () => {
        await engine.close();
        this.#meshes.delete(mesh);
      },
    );
    this.#meshes.add(mesh);
    return { peers: parts.peers(), partition: parts.partition(), metrics: parts.metrics() };
  }

  /** The last mesh has left: nothing stays but the thread. */
  async #park(): Promise<undefined> {
    this.#remaker.clear();
    await restNative();
    return undefined;
  }

  /** Something threw that nobody caught: no mesh here can be trusted any more. */
  async crashed(error: unknown): Promise<void> {
    if (this.#ending) return; // that of an end is not worth another
    const said: FromThread = { type: 'crashed', error: packError(error) };
    this.#control.postMessage([{ on: 'control', say: said }]);
    await this.#rest();
    process.exit(1);
  }

  /** Leaves every mesh, and has native code rest. */
  async #rest(): Promise<void> {
    if (this.#ending) return;
    this.#ending = true;
    const left = Promise.allSettled([...this.#meshes].map((mesh) => mesh.close()));
    await Promise.race([
      left,
      new Promise<void>((resolve) => void this.#environment.setTimer(LEAVE_MS, resolve)),
    ]);
    try {
      await restNative();
    } finally {
      Atomics.store(this.#rested, 0, 1);
      Atomics.notify(this.#rested, 0);
    }
  }
}
