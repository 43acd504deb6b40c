/** What the tests of the conformance suite have in common. */
import type { Entry, Epoch, HardState, SnapshotMeta } from '../../consensus/consensus.js';
import { foundingMembership } from '../../consensus/membership.js';
import { nodeEnvironment } from '../../environment.js';
import type { GroupWrite, NodeStore, Storage } from '../../storage/storage.js';
import type { StorageFixture } from '../storage.js';

/** Registers one test. @internal */
export type Test = (name: string, body: (context: Context) => Promise<void>) => void;

/** @internal */
export const BINDING = { environment: nodeEnvironment, cluster: 'suite', node: 'a' };

/** @internal */
export const FIRST_REIGN: Epoch = { config: 0, n: 1, priority: 0, node: 'a' };

/** @internal */
export const SECOND_REIGN: Epoch = { config: 0, n: 2, priority: 0, node: 'b' };

/** A storage, opened; and what the tests do with it again and again. @internal */
export class Context {
  readonly #fixture: StorageFixture;
  storage: Storage;
  store!: NodeStore;

  constructor(fixture: StorageFixture) {
    this.#fixture = fixture;
    this.storage = fixture.storage;
  }

  async start(): Promise<void> {
    this.store = await this.storage.open(BINDING);
  }

  async reopen(): Promise<void> {
    await this.store.close();
    this.storage = await this.#fixture.reopen();
    await this.start();
  }

  async end(): Promise<void> {
    try {
      await (this.store as NodeStore | undefined)?.close();
    } finally {
      await this.#fixture.dispose();
    }
  }

  write(...writes: GroupWrite[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.store.write(writes, (error) => (error ? reject(error) : resolve()));
    });
  }

  async snapshot(group: string, index: number, content: Uint8Array, epoch = FIRST_REIGN): Promise<void> {
    const writer = await this.store.createSnapshot(group);
    const middle = Math.floor(content.length / 3);
    await writer.write(content.subarray(0, middle));
    await writer.write(content.subarray(middle));
    await writer.commit(meta(index, epoch));
  }

  async first(group: string): Promise<number | undefined> {
    return (await this.store.recover(group))?.firstIndex;
  }

  async last(group: string): Promise<number | undefined> {
    return (await this.store.recover(group))?.lastIndex;
  }
}

/** @internal */
export function entry(index: number, fields: Partial<Entry> = {}): Entry {
  return {
    index,
    count: 1,
    epoch: FIRST_REIGN,
    time: 1_700_000_000_000 + index,
    kind: 'user',
    data: bytes(10, index),
    ...fields,
  };
}

/** @internal */
export function entries(from: number, count: number, size = 10, epoch = FIRST_REIGN): Entry[] {
  return Array.from({ length: count }, (_, i) => entry(from + i, { data: bytes(size, from + i), epoch }));
}

/** @internal */
export function bytes(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 7 + (i >> 8)) & 0xff);
}

/** @internal */
export function hardState(fields: Partial<HardState>): HardState {
  return { protocol: 'raft', config: 0, epoch: FIRST_REIGN, vote: '', commit: 0, genesis: '', ...fields };
}

/** @internal */
export function meta(index: number, epoch = FIRST_REIGN): SnapshotMeta {
  return {
    index,
    epoch,
    time: 1_700_000_000_000.5,
    membership: foundingMembership(['a', 'b']),
    protocol: 'raft',
  };
}

/** With the bytes in a form that compares well. */
/** @internal */
export function plain(list: readonly Entry[]): unknown[] {
  return list.map((one) => ({ ...one, data: Buffer.from(one.data).toString('latin1') }));
}
