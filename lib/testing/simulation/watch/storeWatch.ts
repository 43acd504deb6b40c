/** A storage under observation: what it is given, what it acknowledges, what it brings back. */
import type { Entry, Index, Recovered, SnapshotMeta } from '../../../consensus/consensus.js';
import type {
  GroupWrite,
  NodeStore,
  SnapshotReader,
  SnapshotWriter,
  Storage,
} from '../../../storage/storage.js';
import type { NodeView } from './coreWatch.js';
import { DiskWatch } from './diskWatch.js';

/** The storage of one run of a node, watched for one group. */
export function watchStorage(storage: Storage, group: string, view: NodeView): Storage {
  return {
    kind: storage.kind,
    async open(binding) {
      const store = await storage.open(binding);
      const { disks, report } = view.group;
      let disk = disks.get(store.incarnation);
      if (disk === undefined)
        disks.set(store.incarnation, (disk = new DiskWatch(view.id, store.incarnation, report)));
      view.disk = disk;
      return new StoreWatch(store, group, disk, view);
    },
    // What is kept beside the log is judged by what becomes of its commands.
    ...(storage.openRecords && { openRecords: storage.openRecords.bind(storage) }),
  };
}

class StoreWatch implements NodeStore {
  readonly #store: NodeStore;
  readonly #group: string;
  readonly #disk: DiskWatch;
  readonly #view: NodeView;

  constructor(store: NodeStore, group: string, disk: DiskWatch, view: NodeView) {
    this.#store = store;
    this.#group = group;
    this.#disk = disk;
    this.#view = view;
  }

  get incarnation(): string {
    return this.#store.incarnation;
  }

  get failed(): Error | undefined {
    return this.#store.failed;
  }

  groups(): string[] {
    return this.#store.groups();
  }

  async recover(group: string): Promise<Recovered | undefined> {
    const found = await this.#store.recover(group);
    if (group === this.#group) this.#disk.recovered(found);
    return found;
  }

  write(writes: readonly GroupWrite[], done: (error?: Error) => void): void {
    const own = writes.filter(({ group }) => group === this.#group);
    for (const write of own) this.#disk.write(write);
    const call = { over: false };
    try {
      this.#store.write(writes, (error) => {
        call.over = true;
        if (error === undefined) for (let i = 0; i < own.length; i++) this.#disk.acknowledged();
        done(error);
      });
    } catch (error) {
      if (!call.over) for (let i = 0; i < own.length; i++) this.#disk.takenBack();
      throw error;
    }
  }

  async read(group: string, from: Index, to: Index, maxBytes: number): Promise<Entry[]> {
    const entries = await this.#store.read(group, from, to, maxBytes);
    if (group === this.#group) this.#disk.read(entries);
    return entries;
  }

  async createSnapshot(group: string): Promise<SnapshotWriter> {
    const writer = await this.#store.createSnapshot(group);
    return group === this.#group ? new WriterWatch(writer, this.#disk, this.#view) : writer;
  }

  openSnapshot(group: string): Promise<SnapshotReader | undefined> {
    return this.#store.openSnapshot(group);
  }

  logBytes(group: string): number {
    return this.#store.logBytes(group);
  }

  headroom(): number {
    return this.#store.headroom();
  }

  close(): Promise<void> {
    return this.#store.close();
  }
}

class WriterWatch implements SnapshotWriter {
  readonly #writer: SnapshotWriter;
  readonly #disk: DiskWatch;
  readonly #view: NodeView;

  constructor(writer: SnapshotWriter, disk: DiskWatch, view: NodeView) {
    this.#writer = writer;
    this.#disk = disk;
    this.#view = view;
  }

  write(chunk: Uint8Array): Promise<void> {
    return this.#writer.write(chunk);
  }

  async commit(meta: SnapshotMeta): Promise<void> {
    const { group, id } = this.#view;
    if (meta.index > group.commitIndex)
      group.report('order of indexes', id, `${id} saves a snapshot at ${meta.index}, before it is committed`);
    this.#disk.saving(meta);
    await this.#writer.commit(meta);
    this.#disk.saved(meta);
  }

  abort(): Promise<void> {
    return this.#writer.abort();
  }
}
