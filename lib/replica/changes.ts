/** The stream of applied commands, for those who follow a replica instead of asking it. */

/** A command that was applied, on this member too. */
export interface AppliedChange<Command = unknown> {
  readonly type: 'applied';
  readonly index: number;
  /** Milliseconds since 1970, assigned by the leader. */
  readonly time: number;
  readonly origin: string;
  readonly command: Command;
  /** `false` for a command that the machine rejected, or that failed. */
  readonly ok: boolean;
}

/**
 * The stream has a gap before what follows: it begins here, the state was replaced by a snapshot, or the consumer fell
 * too far behind. The state itself holds everything up to `index`: read it, then go on with the stream.
 */
export interface ResetChange {
  readonly type: 'reset';
  readonly index: number;
}

/** What `changes()` yields. */
export type Change<Command = unknown> = AppliedChange<Command> | ResetChange;

/** How many changes a consumer may be behind before it gets a `reset` instead. */
const MAX_BEHIND = 65_536;
/** Changes kept for consumers that come back with `from`. */
const KEPT = 4096;

/** One consumer. */
class Subscription implements AsyncIterableIterator<Change> {
  #queue: Change[] = [];
  #take: ((result: IteratorResult<Change>) => void) | undefined;
  #ended = false;
  readonly #leave: (self: Subscription) => void;

  constructor(leave: (self: Subscription) => void) {
    this.#leave = leave;
  }

  push(change: Change): void {
    if (this.#ended) return;
    const take = this.#take;
    if (take) {
      this.#take = undefined;
      take({ done: false, value: change });
      return;
    }
    if (change.type === 'reset') this.#queue = [];
    if (this.#queue.length >= MAX_BEHIND) this.#queue = [{ type: 'reset', index: change.index }];
    else this.#queue.push(change);
  }

  next(): Promise<IteratorResult<Change>> {
    const change = this.#queue.shift();
    if (change) return Promise.resolve({ done: false, value: change });
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => {
      this.#take = resolve;
    });
  }

  return(): Promise<IteratorResult<Change>> {
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#leave(this);
    this.#take?.({ done: true, value: undefined });
    this.#take = undefined;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

export class ChangeFeed {
  readonly #subscriptions = new Set<Subscription>();
  readonly #followers = new Set<() => void>();
  #kept: AppliedChange[] = [];
  /** Everything after this index is in `#kept`. */
  #keptAfter = 0;
  #started = false;
  #closed = false;
  readonly #onWatching: (watching: boolean) => void;

  constructor(onWatching: (watching: boolean) => void) {
    this.#onWatching = onWatching;
  }

  /** Begins a stream: after `from` if that is still kept, or with a `reset` at the state's index. */
  subscribe(
    applied: number,
    from: number | undefined,
    signal: AbortSignal | undefined,
  ): AsyncIterableIterator<Change> {
    this.#start(applied);
    const onAbort = (): void => subscription.end();
    const subscription = new Subscription((self) => {
      this.#subscriptions.delete(self);
      signal?.removeEventListener('abort', onAbort);
    });
    if (from !== undefined && from >= this.#keptAfter && from <= applied) {
      for (const change of this.#kept) if (change.index > from) subscription.push(change);
    } else {
      subscription.push({ type: 'reset', index: applied });
    }
    this.#subscriptions.add(subscription);
    signal?.addEventListener('abort', onAbort, { once: true });
    if (this.#closed || signal?.aborted) subscription.end();
    return subscription;
  }

  /** From the first consumer on the latest changes are kept, so that one that breaks off can come back. */
  #start(applied: number): void {
    if (this.#started) return;
    this.#started = true;
    this.#keptAfter = applied;
    this.#onWatching(true);
  }

  /**
   * For consumers that are far away: has `wake` called, often, when there may be more to read with {@link after}. Nothing is held
   * for them beyond what is kept anyhow. The function it returns ends that.
   */
  follow(applied: number, wake: () => void): () => void {
    this.#start(applied);
    this.#followers.add(wake);
    return () => void this.#followers.delete(wake);
  }

  /** At most `max` changes after index `from`, or a reset where they are not at hand; none if there are none yet. */
  after(applied: number, from: number | undefined, max: number): readonly Change[] {
    if (from === undefined || from < this.#keptAfter || from > applied)
      return [{ type: 'reset', index: applied }];
    let low = 0;
    for (let high = this.#kept.length; low < high;) {
      const middle = (low + high) >>> 1;
      if (this.#kept[middle]!.index > from) high = middle;
      else low = middle + 1;
    }
    return this.#kept.slice(low, low + max);
  }

  applied(change: AppliedChange): void {
    this.#kept.push(change);
    if (this.#kept.length >= 2 * KEPT) {
      this.#kept = this.#kept.slice(-KEPT);
      this.#keptAfter = this.#kept[0]!.index - 1;
    }
    for (const subscription of this.#subscriptions) subscription.push(change);
    for (const wake of this.#followers) wake();
  }

  /** The state was replaced. */
  reset(index: number): void {
    this.#kept = [];
    this.#keptAfter = index;
    for (const subscription of this.#subscriptions) subscription.push({ type: 'reset', index });
    for (const wake of this.#followers) wake();
  }

  close(): void {
    this.#closed = true;
    for (const subscription of [...this.#subscriptions]) subscription.end();
  }
}
