/** The disk of a simulated node: it outlives the node's processes, and what was flushed outlives the loss of power. */
import type { FileSystem } from '../../../files.js';
import { checkNumber } from '../../../errors.js';
import type { Process } from '../process.js';
import type { Random } from '../random.js';
import type { Scheduler } from '../scheduler.js';
import type { Trace } from '../trace.js';
import type { SectorFates } from './content.js';
import { flipBit } from './flip.js';
import type { FlippedBit } from './flip.js';
import { SimFileSystem } from './fileSystem.js';
import type { Operation } from './operation.js';
import { completeDiskSettings } from './settings.js';
import type { CompleteDiskSettings, DiskLatency, DiskOperation, DiskSettings } from './settings.js';
import { diskError, Tree } from './tree.js';
import type { File } from './tree.js';

/** What a {@link SimDisk} is made with. */
export interface SimDiskSetup {
  /** Whose it is, for the trace. */
  readonly node: string;
  readonly scheduler: Scheduler;
  /** Only streams of it are drawn from. */
  readonly random: Random;
  readonly trace: Trace;
  /** @defaultValue a quick disk that never fails */
  readonly settings?: DiskSettings | undefined;
}

/**
 * A disk in virtual time. A run of the node's process works on it through `files`; what it asked for ends with
 * {@link kill} or {@link crash}, one of which belongs to the end of each run, and comes to nothing from then on.
 *
 * Directories right under the root are where it is mounted: they need no flush. All other names do.
 *
 * @example
 * ```ts
 * simulation.disk('a').settings = { errors: { sync: 0.001 }, stall: 0.0001, stallMs: 3000 };
 * simulation.disk('b').stall(2000);
 * ```
 */
export class SimDisk {
  /** How often what happened: operations by name, `write failed`, `write short`, `full`, `stall`, `sector lost` and the like. */
  readonly counts = new Map<string, number>();
  /** Runs of the node's process so far. @internal */
  life = 0;
  /** @internal */
  readonly tree = new Tree();
  /** Who holds the lock of a directory. @internal */
  readonly locks = new Map<string, Process>();
  readonly #node: string;
  readonly #scheduler: Scheduler;
  readonly #trace: Trace;
  readonly #latencies: Random;
  readonly #faults: Random;
  readonly #ends: Random;
  readonly #flips: Random;
  readonly #underWay = new Set<Operation>();
  #settings: CompleteDiskSettings;
  #stalledUntil = 0;
  #usedBytes = 0;

  constructor({ node, scheduler, random, trace, settings = {} }: SimDiskSetup) {
    this.#node = node;
    this.#scheduler = scheduler;
    this.#trace = trace;
    this.#latencies = random.stream('latency');
    this.#faults = random.stream('faults');
    this.#ends = random.stream('ends');
    this.#flips = random.stream('flips');
    this.#settings = completeDiskSettings(settings);
  }

  /** How it behaves; holds for what it is asked for from now on. Throws ERR_CONFIG. */
  get settings(): DiskSettings {
    return this.#settings;
  }

  set settings(settings: DiskSettings) {
    this.#settings = completeDiskSettings(settings);
  }

  /** Bytes that its files take. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Whether bits of it were changed, or power losses leave garbage. */
  get damaged(): boolean {
    return this.#settings.crashGarbage > 0 || (this.counts.get('flip') ?? 0) > 0;
  }

  /** Whether something was asked of it that has not ended. */
  get busy(): boolean {
    return this.#underWay.size > 0;
  }

  /** Bytes that may still be written. */
  get freeBytes(): number {
    return Math.max(0, this.#settings.capacityBytes - this.#usedBytes);
  }

  /** The file system of a run of the node's process. An earlier run that was not ended is: it was killed. @internal */
  files(process: Process): FileSystem {
    if (this.#underWay.size > 0 || this.locks.size > 0) this.kill();
    return new SimFileSystem(this, process, ++this.life);
  }

  /** All that it is asked for from now on waits `ms` milliseconds, from 0 to 3600000. */
  stall(ms: number): void {
    checkNumber('ms', ms, 0, 3_600_000, false);
    this.count('stall');
    this.#log('stall', `${ms}`);
    this.#stalledUntil = Math.max(this.#stalledUntil, this.#scheduler.now + ms);
  }

  /** The process died: what it had asked for was done, was not, or was done in part. Nothing else is lost. */
  kill(): void {
    this.count('kill');
    this.#end();
    const files = this.tree.files();
    for (const file of files) file.content.endFlushes();
    this.#settle(files);
    this.#log('kill', `${this.#usedBytes}`);
  }

  /** The power failed: of what was not flushed, each sector and each change of a name is there or is not. */
  crash(): void {
    this.count('crash');
    this.#end();
    this.#stalledUntil = 0;
    const fates: SectorFates = { kept: 0, lost: 0, zeroed: 0, garbage: 0 };
    const files = this.tree.crash(() => {
      const happened = this.#ends.chance(this.#settings.crashKeeps);
      this.count(happened ? 'name kept' : 'name lost');
      return happened;
    });
    for (const file of files) file.content.crash(this.#ends, this.#settings, fates);
    for (const [fate, number] of Object.entries(fates)) this.count(`sector ${fate}`, number as number);
    this.#settle(files);
    const { kept, lost, zeroed, garbage } = fates;
    this.#log('crash', `${this.#usedBytes} kept ${kept} lost ${lost} zeroed ${zeroed} garbage ${garbage}`);
  }

  /** Another disk, an empty one, is there instead. */
  wipe(): void {
    this.count('wipe');
    this.#end();
    this.#stalledUntil = 0;
    this.tree.wipe();
    this.#usedBytes = 0;
    this.#log('wipe', '');
  }

  /**
   * Bits change while the disk is at rest; call it when no process uses it. Never hit is the newest durable write of the three
   * newest files of the log: damage there cannot be told from a write that was cut short. Everything else the storage finds.
   *
   * @param count - how many bits, from 1 to 1000; fewer are changed when there is nothing to change
   */
  flip(count: number): FlippedBit[] {
    checkNumber('count', count, 1, 1000);
    const out: FlippedBit[] = [];
    for (let i = 0; i < count; i++) {
      const flipped = flipBit(this.tree.files(), this.#flips);
      if (flipped === undefined) break;
      this.count('flip');
      this.#log('flip', `${flipped.path} ${flipped.offset} ${flipped.bit}`);
      out.push(flipped);
    }
    return out;
  }

  /** Whether that life of the process is the one that goes on. @internal */
  serves(process: Process, life: number): boolean {
    return life === this.life && process.alive;
  }

  /** Begins something, which ends when its time has come. @internal */
  start(process: Process, operation: Operation): void {
    const { kind } = operation;
    const fails = this.#faults.chance(this.#settings.errors[kind]);
    this.#underWay.add(operation);
    process.afterIo(this.#delay(kind), () => {
      if (this.#underWay.delete(operation)) this.#complete(operation, fails);
    });
  }

  /** A file takes more bytes, or fewer. @internal */
  grew(bytes: number): void {
    this.#usedBytes += bytes;
  }

  /** Nobody can get at that file any more. @internal */
  releaseIfUnused(file: File | undefined): void {
    if (file !== undefined && !file.linked && file.handles === 0) this.#usedBytes -= file.content.length;
  }

  /** A flush of a file fails; returns whether that loses what it was to flush, and whether it can still be read. @internal */
  drawSyncLoss(): 'kept' | 'cached' | 'dropped' {
    if (!this.#faults.chance(this.#settings.syncLoses)) return 'kept';
    return this.#faults.chance(this.#settings.lostIsCached) ? 'cached' : 'dropped';
  }

  /** @internal */
  count(what: string, number = 1): void {
    if (number > 0) this.counts.set(what, (this.counts.get(what) ?? 0) + number);
  }

  #complete(operation: Operation, fails: boolean): void {
    const { kind, detail } = operation;
    let error: Error | null = null;
    this.count(kind);
    try {
      if (fails) {
        this.count(`${kind} failed`);
        operation.fail(this.#faults.chance(this.#settings.halfDone), this.#faults);
        error = diskError('EIO', detail);
      } else {
        operation.perform();
      }
    } catch (thrown) {
      error = thrown as Error;
    }
    this.#log(
      kind,
      error === null ? detail : `${detail} ${error.message.slice(0, error.message.indexOf(':'))}`,
    );
    operation.finish(error);
  }

  #delay(kind: DiskOperation): number {
    const { now } = this.#scheduler;
    const { stall, stallMs } = this.#settings;
    if (this.#faults.chance(stall)) this.stall(this.#faults.exponential(stallMs));
    const { minMs, meanMs } = this.#latency(kind);
    return Math.max(0, this.#stalledUntil - now) + minMs + this.#latencies.exponential(meanMs);
  }

  #latency(kind: DiskOperation): DiskLatency {
    if (kind === 'write') return this.#settings.write;
    if (kind === 'sync' || kind === 'syncDirectory') return this.#settings.sync;
    return kind === 'read' ? this.#settings.read : this.#settings.other;
  }

  /** What is under way comes to its end, one way or another, without anybody hearing of it. */
  #end(): void {
    const underWay = [...this.#underWay];
    this.#underWay.clear();
    for (const operation of underWay) operation.interrupt(this.#ends);
    this.locks.clear();
    this.life++;
  }

  #settle(files: readonly File[]): void {
    this.#usedBytes = 0;
    for (const file of files) {
      file.handles = 0;
      this.#usedBytes += file.content.length;
    }
  }

  #log(kind: string, detail: string): void {
    this.#trace.add(this.#scheduler.now, this.#node, `disk ${kind}`, detail);
  }
}
