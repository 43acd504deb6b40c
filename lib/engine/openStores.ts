/** The storages of a node's groups: each is open once, as long as a group uses it. @internal */
import type { NodeStore, Storage } from '../storage/storage.js';

interface OpenStore {
  readonly store: Promise<NodeStore>;
  users: number;
}

export class OpenStores {
  readonly #binding: Parameters<Storage['open']>[0];
  readonly #open = new Map<Storage, OpenStore>();
  /** Storages that are being closed: who opens one again waits for that. */
  readonly #closing = new Map<Storage, Promise<void>>();

  constructor(binding: Parameters<Storage['open']>[0]) {
    this.#binding = binding;
  }

  /** One who uses a storage more. Throws what the storage throws. */
  async open(storage: Storage): Promise<NodeStore> {
    // What closing failed with was told to who closed it.
    for (let closing; (closing = this.#closing.get(storage));) await closing.catch(() => undefined);
    let open = this.#open.get(storage);
    if (!open) {
      open = { store: storage.open(this.#binding), users: 0 };
      this.#open.set(storage, open);
    }
    open.users++;
    try {
      return await open.store;
    } catch (error) {
      if (this.#open.get(storage) === open) this.#open.delete(storage);
      throw error;
    }
  }

  /** One less; the last one closes the storage. */
  async release(storage: Storage): Promise<void> {
    const open = this.#open.get(storage);
    if (!open || --open.users > 0) return;
    this.#open.delete(storage);
    const closing = open.store.then((store) => store.close()).finally(() => this.#closing.delete(storage));
    this.#closing.set(storage, closing);
    await closing;
  }
}
