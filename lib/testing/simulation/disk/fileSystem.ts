/** The file system of one run of a node's process, on a simulated disk. */
import { QuorateError } from '../../../errors.js';
import type { DirectoryLock, FileHandle, FileSystem } from '../../../files.js';
import type { Process } from '../process.js';
import { SimFileHandle } from './fileHandle.js';
import { Call } from './operation.js';
import type { DiskOperation } from './settings.js';
import type { SimDisk } from './disk.js';
import { diskError } from './tree.js';

/** @internal */
export class SimFileSystem implements FileSystem {
  readonly #disk: SimDisk;
  readonly #process: Process;
  readonly #life: number;

  constructor(disk: SimDisk, process: Process, life: number) {
    this.#disk = disk;
    this.#process = process;
    this.#life = life;
  }

  async open(path: string, mode: 'read' | 'write' | 'create' | 'dsync'): Promise<FileHandle> {
    const creates = mode === 'create';
    const file = await this.call('open', `${path} ${mode}`, creates, () => {
      const { tree } = this.#disk;
      if (!creates) return tree.file(path);
      if (this.#disk.freeBytes === 0) throw diskError('ENOSPC', path);
      return tree.create(path);
    });
    return new SimFileHandle(this.#disk, this.#process, this.#life, file, mode);
  }

  makeDirectory(path: string): Promise<void> {
    return this.call('makeDirectory', path, true, () => this.#disk.tree.makeDirectory(path));
  }

  list(path: string): Promise<string[]> {
    return this.call('list', path, false, () => [...this.#disk.tree.directory(path).entries.keys()].sort());
  }

  rename(from: string, to: string): Promise<void> {
    const work = (): void => this.#disk.releaseIfUnused(this.#disk.tree.rename(from, to));
    return this.call('rename', `${from} ${to}`, true, work);
  }

  remove(path: string): Promise<void> {
    return this.call('remove', path, true, () => this.#disk.releaseIfUnused(this.#disk.tree.remove(path)));
  }

  syncDirectory(path: string): Promise<void> {
    const directory = this.#disk.tree.directoryIfAny(path);
    const changes = directory?.beginSync() ?? [];
    return this.call('syncDirectory', path, true, () => {
      if (directory === undefined) throw diskError('ENOENT', path);
      directory.endSync(changes);
    });
  }

  freeBytes(path: string): Promise<number> {
    return this.call('freeBytes', path, false, () => {
      this.#disk.tree.directory(path);
      return this.#disk.freeBytes;
    });
  }

  lock(path: string): Promise<DirectoryLock> {
    const { locks, tree } = this.#disk;
    return this.call('lock', path, false, () => {
      const name = path.replace(/[\\/]+$/, '');
      tree.directory(name);
      if (locks.get(name)?.alive === true)
        throw new QuorateError(
          'ERR_STORAGE_LOCKED',
          `${path} is in use by another storage object or process`,
        );
      locks.set(name, this.#process);
      let held = true;
      const release = (): void => {
        if (held) locks.delete(name);
        held = false;
      };
      return { release: () => this.call('close', path, false, release) };
    });
  }

  /** Begins something; a promise that is never settled when the process is dead. */
  call<T>(kind: DiskOperation, detail: string, changes: boolean, work: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      if (!this.#disk.serves(this.#process, this.#life)) return;
      this.#disk.start(this.#process, new Call(kind, detail, changes, work, resolve, reject));
    });
  }
}
