/** An open file on a simulated disk. */
import { QuorateError } from '../../../errors.js';
import type { Done, FileHandle } from '../../../files.js';
import type { Process } from '../process.js';
import type { Random } from '../random.js';
import { isZeros } from './atlas.js';
import type { Extent } from './atlas.js';
import { SECTOR, type Layer } from './content.js';
import { Call } from './operation.js';
import type { Operation } from './operation.js';
import type { DiskOperation } from './settings.js';
import type { SimDisk } from './disk.js';
import { diskError } from './tree.js';
import type { File } from './tree.js';

/** @internal */
export class SimFileHandle implements FileHandle {
  readonly disk: SimDisk;
  readonly file: File;
  readonly life: number;
  readonly dsync: boolean;
  readonly #process: Process;
  readonly #writable: boolean;
  #pending = 0;
  #idle: (() => void) | undefined;
  #closed: Promise<void> | undefined;

  constructor(
    disk: SimDisk,
    process: Process,
    life: number,
    file: File,
    mode: 'read' | 'write' | 'create' | 'dsync',
  ) {
    this.disk = disk;
    this.#process = process;
    this.life = life;
    this.file = file;
    this.dsync = mode === 'dsync';
    this.#writable = mode !== 'read';
    file.handles++;
  }

  write(buffers: readonly Uint8Array[], position: number, done: Done): void {
    const refusal = this.#refusal(true);
    if (refusal) this.#process.defer(() => done(refusal));
    else this.#start(new Write(this, buffers, position, done));
  }

  sync(done: Done): void {
    const refusal = this.#refusal(false);
    if (refusal) this.#process.defer(() => done(refusal));
    else if (this.disk.serves(this.#process, this.life)) this.#start(new Sync(this, done));
  }

  read(position: number, length: number): Promise<Uint8Array> {
    const { file } = this;
    const work = (): Uint8Array => file.content.read(position, length);
    return this.#call('read', `${file.label} ${position}+${length}`, false, work);
  }

  truncate(length: number): Promise<void> {
    const { disk, file } = this;
    const work = (): void => {
      const growth = length - file.content.length;
      if (growth > disk.freeBytes) throw diskError('ENOSPC', file.path);
      file.content.truncate(length);
      disk.grew(growth);
    };
    return this.#call('truncate', `${file.label} ${length}`, true, work);
  }

  size(): Promise<number> {
    return this.#call('size', this.file.label, false, () => this.file.content.length);
  }

  close(): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  /** One of its operations has ended. */
  ended(): void {
    if (--this.#pending === 0) this.#idle?.();
  }

  async #close(): Promise<void> {
    if (this.#pending > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
    await new Promise<void>((resolve, reject) => {
      const work = (): void => {
        this.file.handles--;
        this.disk.releaseIfUnused(this.file);
      };
      if (!this.disk.serves(this.#process, this.life)) return;
      this.disk.start(this.#process, new Call('close', this.file.label, false, work, resolve, reject));
    });
  }

  #refusal(writes: boolean): Error | undefined {
    if (this.#closed) return new QuorateError('ERR_CLOSED', `${this.file.path} was closed`);
    return writes && !this.#writable ? diskError('EBADF', this.file.path) : undefined;
  }

  /** What a dead process asks for never happens. */
  #start(operation: Operation): void {
    if (!this.disk.serves(this.#process, this.life)) return;
    this.#pending++;
    this.disk.start(this.#process, operation);
  }

  async #call<T>(kind: DiskOperation, detail: string, changes: boolean, work: () => T): Promise<T> {
    const refusal = this.#refusal(changes);
    if (refusal) throw refusal;
    return new Promise((resolve, reject) => {
      const settled = (value: T): void => {
        this.ended();
        resolve(value);
      };
      const failed = (error: Error): void => {
        this.ended();
        reject(error);
      };
      this.#start(new Call(kind, detail, changes, work, settled, failed));
    });
  }
}

/** How much of a write that ends early is done: any part, its first few bytes, or whole sectors. */
function partOf(length: number, random: Random): number {
  const part = random.integer(length + 1);
  const how = random.integer(3);
  if (how === 0) return part;
  return how === 1 ? Math.min(length, random.integer(41)) : part - (part % SECTOR);
}

/** The buffers are read when it is done, as by a kernel: their owner leaves them alone until then. */
class Write implements Operation {
  readonly kind = 'write';
  readonly #handle: SimFileHandle;
  readonly #buffers: readonly Uint8Array[];
  readonly #position: number;
  readonly #length: number;
  readonly #done: Done;

  constructor(handle: SimFileHandle, buffers: readonly Uint8Array[], position: number, done: Done) {
    this.#handle = handle;
    this.#buffers = buffers;
    this.#position = position;
    this.#done = done;
    let length = 0;
    for (const buffer of buffers) length += buffer.length;
    this.#length = length;
  }

  get detail(): string {
    return `${this.#handle.file.label} ${this.#position}+${this.#length}`;
  }

  perform(): void {
    const written = this.#put(this.#length);
    if (written < this.#length) {
      this.#handle.disk.count('full');
      throw diskError('ENOSPC', this.#handle.file.path);
    }
    if (!this.#handle.dsync) return;
    const { file, life } = this.#handle;
    file.content.makeDurable(this.#position, this.#position + this.#length);
    file.lastWrites.durable(file.lastWrites.newest, life);
  }

  fail(done: boolean, random: Random): void {
    if (!done) return;
    this.#handle.disk.count('write short');
    this.#put(partOf(this.#length, random));
  }

  interrupt(random: Random): void {
    const how = random.integer(3);
    if (how === 0) return;
    this.#handle.disk.count('write interrupted');
    this.#put(how === 1 ? this.#length : partOf(this.#length, random));
  }

  finish(error: Error | null): void {
    this.#handle.ended();
    this.#done(error);
  }

  /** Writes so much of it as there is space for. */
  #put(count: number): number {
    const { disk, file, life } = this.#handle;
    const { content } = file;
    const space = content.length + disk.freeBytes - this.#position;
    const fits = Math.max(0, Math.min(count, space));
    const before = content.length;
    content.write(this.#buffers, this.#position, fits);
    disk.grew(content.length - before);
    if (fits > 0 && !isZeros(this.#buffers))
      file.lastWrites.wrote(this.#position, this.#position + fits, life);
    return fits;
  }
}

class Sync implements Operation {
  readonly kind = 'sync';
  readonly #handle: SimFileHandle;
  readonly #done: Done;
  readonly #layer: Layer;
  readonly #newest: Extent | undefined;

  constructor(handle: SimFileHandle, done: Done) {
    this.#handle = handle;
    this.#done = done;
    this.#layer = handle.file.content.beginSync();
    this.#newest = handle.file.lastWrites.newest;
  }

  get detail(): string {
    return this.#handle.file.label;
  }

  perform(): void {
    const { file, life } = this.#handle;
    file.content.endSync(this.#layer);
    file.lastWrites.durable(this.#newest, life);
  }

  fail(): void {
    const { disk, file } = this.#handle;
    const loss = disk.drawSyncLoss();
    if (loss === 'kept') file.content.failSync(this.#layer);
    else disk.count('sync lost', file.content.loseSync(this.#layer, loss === 'cached'));
  }

  interrupt(): void {
    // It is as if it had not begun: what it was to flush is still dirty.
  }

  finish(error: Error | null): void {
    this.#handle.ended();
    this.#done(error);
  }
}
