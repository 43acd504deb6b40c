/** What a disk was asked to do and has not yet done. */
import type { Random } from '../random.js';
import type { DiskOperation } from './settings.js';

/** @internal */
export interface Operation {
  readonly kind: DiskOperation;
  /** Of what, for the trace. */
  readonly detail: string;
  /** Does it. May throw what the caller is to get. */
  perform(): void;
  /** It fails; `done`: having been done all the same, a write in part. */
  fail(done: boolean, random: Random): void;
  /** The process died while it was under way; never called for what changes nothing. */
  interrupt(random: Random): void;
  /** Tells the caller. */
  finish(error: Error | null): void;
}

/** Something small whose caller waits for a promise. @internal */
export class Call<T> implements Operation {
  readonly kind: DiskOperation;
  readonly detail: string;
  /** What it does to the disk, or finds there. */
  readonly #work: () => T;
  readonly #changes: boolean;
  readonly #resolve: (value: T) => void;
  readonly #reject: (error: Error) => void;
  #value: T | undefined;

  constructor(
    kind: DiskOperation,
    detail: string,
    changes: boolean,
    work: () => T,
    resolve: (value: T) => void,
    reject: (error: Error) => void,
  ) {
    this.kind = kind;
    this.detail = detail;
    this.#changes = changes;
    this.#work = work;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  perform(): void {
    this.#value = this.#work();
  }

  fail(done: boolean): void {
    if (!done || !this.#changes) return;
    try {
      this.#work();
    } catch {
      // It would have failed anyway.
    }
  }

  interrupt(random: Random): void {
    if (this.#changes) this.fail(random.chance(0.5));
  }

  finish(error: Error | null): void {
    if (error) this.#reject(error);
    else this.#resolve(this.#value as T);
  }
}
