/** What an app sees of the outbox. */

/** How much an outbox holds at most. */
export interface OutboxOptions {
  /**
   * The most commands that wait; above it `submit` is refused with `ERR_OUTBOX_FULL`. From 1 to 1000000.
   *
   * @defaultValue 10000
   */
  readonly maxEntries?: number;
  /**
   * The most bytes of commands that wait, encoded; above it `submit` is refused with `ERR_OUTBOX_FULL`. From 1024 to 2^30.
   *
   * @defaultValue 16777216 (16 MiB)
   */
  readonly maxBytes?: number;
}

/** A command in the outbox. */
export interface OutboxEntry {
  /** The id that `submit` was given, or one that was made for it. Cancel with it, or submit again with it to wait for the result. */
  readonly requestId: string;
  readonly command: unknown;
  /** Milliseconds since 1970, by the clock of this machine. */
  readonly queuedAt: number;
  /** How many bytes of the outbox's `maxBytes` it takes. */
  readonly bytes: number;
  /**
   * - `writing`: on its way to the disk; a crash may lose it.
   * - `queued`: durable, and not sent yet: it can be cancelled.
   * - `sent`: it was sent at least once, and may be applied already.
   * - `unknown`: it was sent, and whether it was applied cannot be learned any more. It is not sent again; it stays here until it
   *   is cancelled.
   */
  readonly state: 'writing' | 'queued' | 'sent' | 'unknown';
}

/** What became of a command of the outbox: its `result`, or the `error` with which it failed. */
export type OutboxOutcome = OutboxEntry & { readonly result?: unknown; readonly error?: Error };

/**
 * The commands that wait for a quorum, with `onNoQuorum: 'queue'`; otherwise always empty.
 *
 * @example
 * ```ts
 * const replica = await openReplica({ ...options, onNoQuorum: 'queue', outbox: { maxEntries: 500 } });
 * replica.on('outbox:queued', ({ requestId }) => show(`${requestId} is saved, and will be sent`));
 * replica.on('outbox:drained', () => show('everything is sent'));
 * ```
 */
export interface Outbox {
  /** How many commands it holds. */
  readonly size: number;
  /** How many bytes they take, of at most `maxBytes`. */
  readonly bytes: number;
  /** When the oldest of them was queued, in milliseconds since 1970; undefined when it is empty. */
  readonly oldest: number | undefined;
  /** What it holds, in the order in which it will be replayed. */
  entries(): OutboxEntry[];
  /**
   * Takes a command out that was not sent yet, or whose fate is unknown; resolves to true once that is durable, and to false when
   * there is no such command or it was sent. Whoever waits for it gets `ERR_ABORTED` with the fate `refused`.
   *
   * Throws `ERR_STORAGE_FAILED`.
   */
  cancel(requestId: string): Promise<boolean>;
  /** Cancels all that can be; resolves to how many were, once that is durable. */
  cancelAll(): Promise<number>;
}
