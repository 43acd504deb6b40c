/** Promises around the callbacks of file handles, for all that is off the write path; and the store's fail-stop. */
import { QuorateError } from '../../errors.js';
import type { FileHandle } from '../../files.js';

/** @internal */
export function writeFully(
  handle: FileHandle,
  buffers: readonly Uint8Array[],
  position: number,
): Promise<void> {
  return new Promise((resolve, reject) => {
    handle.write(buffers, position, (error) => (error ? reject(error) : resolve()));
  });
}

/** @internal */
export function syncFile(handle: FileHandle): Promise<void> {
  return new Promise((resolve, reject) => {
    handle.sync((error) => (error ? reject(error) : resolve()));
  });
}

/** @internal */
export function corrupt(path: string, offset: number, why: string, cause?: unknown): QuorateError {
  return new QuorateError('ERR_STORAGE_CORRUPT', `${path} is corrupt at byte ${offset}: ${why}`, { cause });
}

/** Runs something that reads; whatever the system says comes out as an error of this library, which poisons nothing. @internal */
export async function reading<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof QuorateError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new QuorateError('ERR_STORAGE_FAILED', `${what} cannot be read: ${why}`, { cause });
  }
}

/** Whether an operation failed for want of space. @internal */
export function isFull(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 'ENOSPC' || code === 'EDQUOT';
}

/**
 * The first failure of a write, flush, rename or directory flush ends a store for good: after a failed fsync nobody knows what
 * is on the medium, and a second one may succeed without having written anything.
 *
 * @internal
 */
export class FailStop {
  readonly #directory: string;
  readonly #listeners: ((error: QuorateError) => void)[] = [];
  #failed: QuorateError | undefined;

  constructor(directory: string) {
    this.#directory = directory;
  }

  get failed(): QuorateError | undefined {
    return this.#failed;
  }

  onFail(listener: (error: QuorateError) => void): void {
    this.#listeners.push(listener);
  }

  /** Poisons the store; returns the error with which everything fails from now on. */
  fail(cause: unknown, what: string): QuorateError {
    if (this.#failed) return this.#failed;
    const why = cause instanceof Error ? cause.message : String(cause);
    this.#failed = new QuorateError(
      'ERR_STORAGE_FAILED',
      `the storage in ${this.#directory} failed (${what}): ${why}`,
      { cause },
    );
    for (const listener of this.#listeners) listener(this.#failed);
    return this.#failed;
  }

  /** Runs something whose failure is fatal. */
  async guard<T>(what: string, work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      throw this.fail(error, what);
    }
  }
}
