/**
 * The engine's thread of this process, from outside: one worker, shared by all meshes that were joined with `thread: 'worker'`.
 *
 * Native code must be loaded once, in one thread, and be at rest when its thread or the process ends: anything else aborts the
 * process. So a worker that has loaded it is never ended: when its last mesh has closed it rests, keeps nothing alive, and
 * serves the next mesh. A process that exits while meshes are open waits for it to rest.
 *
 * @internal
 */
import { MessageChannel, Worker } from 'node:worker_threads';
import type { Environment } from '../../environment.js';
import { QuorateError } from '../../errors.js';
import { unpackError } from '../../threads/errors.js';
import { Line, type Channel, type LinePort } from '../../threads/line.js';
import { followNetwork } from '../memory/network.js';
import type { Transport } from '../transport.js';
import { claimNative } from '../webrtc/native.js';
import type { JoinPlan, Mirror } from './items.js';
import type { FromThread, ThreadData, ThreadOrder, ToThread } from './orders.js';

/** How long an exiting process waits for native code to come to rest, in milliseconds. */
const REST_MS = 1000;

/** A mesh that was joined in the engine's thread. */
export interface FarJoin {
  readonly line: Line;
  readonly mirror: Mirror;
  /** To be called once the mesh has left. */
  readonly release: () => Promise<void>;
}

let current: EngineThread | undefined;
/** Starting and ending happen one after another. */
let turn: Promise<unknown> = Promise.resolve();
/** A worker with native code has ended for no good reason: no other can load it. */
let burnt: Error | undefined;

/** Joins a mesh in the engine's thread, which is started if need be. */
export async function joinInThread(
  plan: JoinPlan,
  transport: Transport,
  environment: Environment,
): Promise<FarJoin> {
  const native = plan.transport.maker === 'webrtc';
  if (native) claimNative('the worker');
  const thread = await inTurn(() => {
    if (native && burnt)
      throw new QuorateError('ERR_ENGINE_FAILED', 'native code cannot be loaded again in this process', {
        cause: burnt,
      });
    current ??= new EngineThread((ended) => {
      if (current === ended) current = undefined;
    });
    current.enter(native);
    return current;
  });
  const release = (): Promise<void> => inTurn(() => thread.leave());
  try {
    thread.follow(plan.transport.number, transport);
    return { ...(await thread.join(plan, environment)), release };
  } catch (error) {
    await release();
    throw error;
  }
}

function inTurn<T>(work: () => T | Promise<T>): Promise<T> {
  const result = turn.then(work);
  turn = result.catch(() => undefined);
  return result;
}

class EngineThread {
  readonly #worker: Worker;
  readonly #control: Line;
  readonly #channel: Channel;
  readonly #flag: Int32Array;
  readonly #lines = new Set<Line>();
  readonly #followed = new Map<number, () => void>();
  readonly #onEnd: (thread: EngineThread) => void;
  readonly #ended: Promise<void>;
  #meshes = 0;
  #native = false;
  #over = false;

  constructor(onEnd: (thread: EngineThread) => void) {
    this.#onEnd = onEnd;
    const rested = new SharedArrayBuffer(4);
    this.#flag = new Int32Array(rested);
    const workerData: ThreadData = { timeOrigin: performance.timeOrigin, rested };
    this.#worker = new Worker(new URL('../../worker/engineWorker.js', import.meta.url), {
      workerData,
      name: 'quorate engine',
    });
    this.#control = new Line(portOf(this.#worker), (callback) => void setImmediate(callback));
    this.#channel = this.#control.channel('control');
    this.#channel.attach({ heard: (item) => this.#crashed(unpackError((item as FromThread).error)) });
    this.#worker.on('error', (error) => this.#crashed(error));
    this.#ended = new Promise((resolve) => {
      this.#worker.on('exit', (code) => {
        this.#crashed(new Error(`the thread ended with code ${code}`));
        resolve();
      });
    });
  }

  /** One more mesh. */
  enter(native: boolean): void {
    this.#native ||= native;
    if (this.#meshes++ > 0) return;
    this.#worker.ref();
    process.on('exit', this.#onExit);
  }

  /** One mesh less; with the last one the thread ends, or rests. */
  async leave(): Promise<void> {
    if (--this.#meshes > 0) return;
    try {
      for (const stop of this.#followed.values()) stop();
      this.#followed.clear();
      if (this.#over) return;
      await this.#channel.ask({ type: 'park' } satisfies ThreadOrder);
      if (this.#native) {
        this.#worker.unref();
        return;
      }
      this.#over = true;
      this.#onEnd(this);
      this.#say({ type: 'end' });
      await this.#ended;
    } catch {
      // It crashed meanwhile, which was said.
    } finally {
      process.off('exit', this.#onExit);
    }
  }

  async join(plan: JoinPlan, environment: Environment): Promise<Omit<FarJoin, 'release'>> {
    const { port1, port2 } = new MessageChannel();
    const line = new Line(port1, (callback) => environment.defer(callback));
    this.#lines.add(line);
    line.onCut = () => this.#lines.delete(line);
    try {
      const mirror = await this.#channel.ask({ type: 'join', plan, port: port2 } satisfies ThreadOrder, [
        port2,
      ]);
      return { line, mirror: mirror as Mirror };
    } catch (error) {
      line.cut(error as Error);
      throw error;
    }
  }

  /** A network in memory is told there what it is told here. */
  follow(number: number, transport: Transport): void {
    if (this.#followed.has(number)) return;
    const tell =
      (call: 'cut' | 'heal' | 'setLatency') =>
      (...args: readonly unknown[]): void =>
        this.#say({ type: 'network', number, call, args });
    const stop = followNetwork(transport, {
      cut: tell('cut'),
      heal: tell('heal'),
      setLatency: tell('setLatency'),
    });
    if (stop) this.#followed.set(number, stop);
  }

  #say(item: ToThread): void {
    this.#channel.say(item);
  }

  /** Everything that lives there is lost, and nothing else. */
  #crashed(cause: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#onEnd(this);
    const text = `the engine's thread has ended: ${cause.message}`;
    const error = new QuorateError('ERR_ENGINE_FAILED', text, { cause });
    if (this.#native) burnt = error;
    for (const line of [...this.#lines]) line.cut(error);
    this.#control.cut(error);
  }

  /** Native code that runs while its thread is torn down aborts the process, whatever code it wanted to exit with. */
  readonly #onExit = (): void => {
    if (!this.#native || this.#over) return;
    this.#worker.postMessage([{ on: 'control', say: { type: 'exit' } satisfies ToThread }]);
    Atomics.wait(this.#flag, 0, 0, REST_MS);
  };
}

/** A worker as the port of a line: only it ends itself. */
function portOf(worker: Worker): LinePort {
  return {
    postMessage: (message, transfer) => worker.postMessage(message, transfer),
    on: (event: string, listener: (value: never) => void) => {
      if (event !== 'close') worker.on(event as 'message', listener as (value: unknown) => void);
      return worker;
    },
    close: () => undefined,
  };
}
