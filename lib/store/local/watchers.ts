/** Those who watch the keys of a store. A key that changes again before somebody looked is told once. @internal */
import { configError } from '../../errors.js';
import type { StoreChange, WatchOptions } from './localTypes.js';

/** The most that watch one store at a time. */
const MAX_WATCHERS = 1000;

interface Watcher {
  readonly prefix: string;
  readonly changed: Set<string>;
  /** Steps that wait for a change. */
  waiting: (() => void)[];
}

export class Watchers<V> {
  readonly #read: (key: string) => V | undefined;
  readonly #watchers = new Set<Watcher>();
  #closed = false;

  constructor(read: (key: string) => V | undefined) {
    this.#read = read;
  }

  changed(key: string): void {
    for (const watcher of this.#watchers) {
      if (!key.startsWith(watcher.prefix)) continue;
      watcher.changed.add(key);
      wake(watcher);
    }
  }

  /** Throws ERR_CONFIG. Watching begins with the call, not with the first step. */
  watch({ prefix = '', signal }: WatchOptions): AsyncIterableIterator<StoreChange<V>> {
    if (typeof prefix !== 'string') throw configError('prefix', prefix, 'a string');
    if (this.#watchers.size >= MAX_WATCHERS)
      throw configError('watch', this.#watchers.size + 1, `one of at most ${MAX_WATCHERS} at a time`);
    const watcher: Watcher = { prefix, changed: new Set(), waiting: [] };
    this.#watchers.add(watcher);
    return this.#steps(watcher, signal);
  }

  #steps(watcher: Watcher, signal: AbortSignal | undefined): AsyncIterableIterator<StoreChange<V>> {
    const { changed } = watcher;
    const end = (): void => {
      this.#watchers.delete(watcher);
      signal?.removeEventListener('abort', end);
      wake(watcher);
    };
    signal?.addEventListener('abort', end);
    if (signal?.aborted) end();
    const over = { value: undefined, done: true } as const;
    const iterator: AsyncIterableIterator<StoreChange<V>> = {
      next: async () => {
        for (;;) {
          if (this.#closed || !this.#watchers.has(watcher)) {
            end();
            return over;
          }
          const [key] = changed;
          if (key !== undefined) {
            changed.delete(key);
            return { value: { key, value: this.#read(key) }, done: false };
          }
          await new Promise<void>((resolve) => watcher.waiting.push(resolve));
        }
      },
      return: () => {
        end();
        return Promise.resolve(over);
      },
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }

  close(): void {
    this.#closed = true;
    for (const watcher of this.#watchers) wake(watcher);
  }
}

function wake(watcher: Watcher): void {
  for (const go of watcher.waiting.splice(0)) go();
}
