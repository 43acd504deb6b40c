/** A conformance suite for whoever writes a storage. */
import type { Storage } from '../storage/storage.js';
import type { TestFramework } from './framework.js';
import { basicsTests } from './storage/basics.js';
import { Context } from './storage/context.js';
import { logTests } from './storage/log.js';
import { snapshotsTests } from './storage/snapshots.js';

/** A storage under test. */
export interface StorageFixture {
  /** Not yet opened, and empty. */
  readonly storage: Storage;
  /** The same content, as a process that starts anew would get it. Called when the storage is closed. */
  reopen(): Promise<Storage>;
  /** Cleans up after the test. */
  dispose(): Promise<void>;
}

/** What {@link testStorage} tests. */
export interface StorageSubject {
  /** Names the suite. */
  readonly name: string;
  /** Makes a storage afresh, for each test. */
  create(): Promise<StorageFixture>;
}

/**
 * Registers the tests that every storage has to pass.
 *
 * @example
 * ```ts
 * testStorage({ name: 'my storage', create: async () => ({ storage: mine(), reopen, dispose }) }, { describe, it });
 * ```
 */
export function testStorage(subject: StorageSubject, { describe, it }: TestFramework): void {
  const test = (name: string, body: (context: Context) => Promise<void>): void => {
    it(name, async () => {
      const context = new Context(await subject.create());
      try {
        await context.start();
        await body(context);
      } finally {
        await context.end();
      }
    });
  };
  describe(`storage conformance: ${subject.name}`, () => {
    basicsTests(test);
    logTests(test);
    snapshotsTests(test);
  });
}
