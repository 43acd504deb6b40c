/**
 * The few file operations that the disk storage needs, small enough to be put on a simulated disk that
 * tears, fails, fills up and forgets what was not flushed.
 */

/** Gets an error, or nothing. */
export type Done = (error: Error | null) => void;

/** An open file. Operations of one handle may overlap; a flush covers the writes completed before it began. */
export interface FileHandle {
  /** Writes all buffers one after another at `position`; short writes are the adapter's to continue. */
  write(buffers: readonly Uint8Array[], position: number, done: Done): void;
  /** fdatasync: data, and the metadata needed to read it, are on the medium when `done` is called. */
  sync(done: Done): void;
  /** Reads up to `length` bytes; fewer only at the end of the file. */
  read(position: number, length: number): Promise<Uint8Array>;
  /** Cuts the file off, or fills it up with zeros. */
  truncate(length: number): Promise<void>;
  /** Its length in bytes. */
  size(): Promise<number>;
  /** Waits for what is under way, then closes. */
  close(): Promise<void>;
}

/** The lock of a directory. */
export interface DirectoryLock {
  /** Gives it back. */
  release(): Promise<void>;
}

/** A file system. Paths are absolute or relative to the working directory, as node:fs takes them. */
export interface FileSystem {
  /**
   * `read`: must exist. `write`: read and write, must exist. `create`: read and write, must not exist. `dsync`: like `write`,
   * and each write is on the medium when its `done` is called.
   */
  open(path: string, mode: 'read' | 'write' | 'create' | 'dsync'): Promise<FileHandle>;
  /** Makes a directory and its parents; fine if it exists. */
  makeDirectory(path: string): Promise<void>;
  /** Names in a directory, sorted. */
  list(path: string): Promise<string[]>;
  /** Atomically replaces `to`. */
  rename(from: string, to: string): Promise<void>;
  /** Removes a file; fine if it does not exist. */
  remove(path: string): Promise<void>;
  /** Makes creations, renames and removals in a directory durable. */
  syncDirectory(path: string): Promise<void>;
  /** Bytes that may still be written on the file system of this path. */
  freeBytes(path: string): Promise<number>;
  /**
   * Takes the exclusive lock of a directory, against this process and others; rejects with
   * ERR_STORAGE_LOCKED when it is held. A lock whose process died is taken over.
   */
  lock(directory: string): Promise<DirectoryLock>;
}
