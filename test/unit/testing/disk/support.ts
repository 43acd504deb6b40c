/** A disk of its own clock, for tests of the disk. */
import type { Environment } from '../../../../lib/environment.js';
import type { FileHandle, FileSystem } from '../../../../lib/files.js';
import { SimDisk } from '../../../../lib/testing/simulation/disk/disk.js';
import type { DiskSettings } from '../../../../lib/testing/simulation/disk/settings.js';
import { Process } from '../../../../lib/testing/simulation/process.js';
import { Random } from '../../../../lib/testing/simulation/random.js';
import { Scheduler } from '../../../../lib/testing/simulation/scheduler.js';
import { Trace } from '../../../../lib/testing/simulation/trace.js';
import { diskStorage } from '../../../../lib/storage/diskStorage.js';
import type { DiskStorageOptions } from '../../../../lib/storage/diskStorage.js';
import type { NodeStore } from '../../../../lib/storage/storage.js';

/** A promise of something in virtual time: unsettled when no event is left. */
export type Outcome<T> =
  | { readonly is: 'value'; readonly value: T }
  | { readonly is: 'error'; readonly error: Error & { code?: string } }
  | { readonly is: 'pending' };

export class World {
  readonly scheduler = new Scheduler();
  readonly trace: Trace;
  readonly random: Random;
  readonly disk: SimDisk;
  process: Process;

  constructor(seed: number | string, settings: DiskSettings = {}, keep = 0) {
    this.random = new Random(`test ${seed}`);
    this.trace = new Trace(keep);
    const { scheduler, random, trace } = this;
    this.disk = new SimDisk({ node: 'a', scheduler, random: random.stream('disk'), trace, settings });
    this.process = this.#begin(1);
  }

  get files(): FileSystem {
    return this.process.files;
  }

  /** The process ends, so or so, and another one begins. */
  restart(how: 'kill' | 'crash' | 'wipe'): void {
    this.process.alive = false;
    this.disk[how]();
    this.process = this.#begin(this.process.life + 1);
  }

  /** Lets time pass until that is settled or nothing is left to happen, at most `steps` events. */
  async outcome<T>(promise: Promise<T>, steps = Infinity): Promise<Outcome<T>> {
    const seen: { outcome?: Outcome<T> } = {};
    promise.then(
      (value) => (seen.outcome = { is: 'value', value }),
      (error: unknown) => (seen.outcome = { is: 'error', error: error as Error }),
    );
    await settled();
    for (let i = 0; i < steps && seen.outcome === undefined; i++) {
      if (!this.scheduler.step(Infinity)) break;
      await settled();
    }
    return seen.outcome ?? { is: 'pending' };
  }

  /** What that comes to. */
  async run<T>(promise: Promise<T>): Promise<T> {
    const outcome = await this.outcome(promise);
    if (outcome.is === 'error') throw outcome.error;
    if (outcome.is === 'pending') throw new Error('nothing is left to happen, and it is not settled');
    return outcome.value;
  }

  /** The code of the error that it comes to. */
  async code(promise: Promise<unknown>): Promise<string | undefined> {
    const outcome = await this.outcome(promise);
    return outcome.is === 'error' ? outcome.error.code : outcome.is;
  }

  openStore(options: DiskStorageOptions = {}): Promise<NodeStore> {
    return openStore(this.process, options);
  }

  #begin(life: number): Process {
    const clock = { rate: 1, wallClock: 1e12 };
    const random = this.random.stream(`process ${life}`);
    return new Process('a', life, this.scheduler, random, clock, (process) => this.disk.files(process));
  }
}

export const DIRECTORY = '/data/a';

export function openStore(environment: Environment, options: DiskStorageOptions = {}): Promise<NodeStore> {
  const storage = diskStorage(DIRECTORY, { segmentBytes: 65536, reserve: 0, ...options });
  return storage.open({ environment, cluster: 'c', node: 'a' });
}

export function settled(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}

export function put(handle: FileHandle, text: string | Uint8Array, position: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const bytes = typeof text === 'string' ? Buffer.from(text) : text;
    handle.write([bytes], position, (error) => (error ? reject(error) : resolve()));
  });
}

export function flush(handle: FileHandle): Promise<void> {
  return new Promise((resolve, reject) => handle.sync((error) => (error ? reject(error) : resolve())));
}

export async function textOf(world: World, path: string): Promise<string> {
  const handle = await world.run(world.files.open(path, 'read'));
  const bytes = await world.run(handle.read(0, 1e9));
  await world.run(handle.close());
  return Buffer.from(bytes).toString('latin1');
}
