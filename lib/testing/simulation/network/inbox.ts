/** Where what came over a lane is read, or waits for somebody who reads it. @internal */
import type { LinkEnd } from './link.js';

/** What a receiver keeps that listens to nothing yet. */
const maxEarlyBytes = 1024 * 1024;
const maxEarlyMessages = 256;

type Reader = ((message: Uint8Array) => void) | undefined;

export class Inbox {
  readonly #end: LinkEnd;
  #reader: Reader;
  /** The other end may be open, and speak, before this one. */
  #early: Uint8Array[] = [];
  #earlyBytes = 0;
  #releasing = false;

  constructor(end: LinkEnd) {
    this.#end = end;
  }

  get reader(): Reader {
    return this.#reader;
  }

  set reader(reader: Reader) {
    this.#reader = reader;
    if (reader === undefined || this.#early.length === 0 || this.#releasing) return;
    this.#releasing = true;
    this.#end.process.defer(() => this.#release());
  }

  take(messages: readonly Uint8Array[]): void {
    for (const message of messages) {
      if (!this.#end.open) return;
      if (this.#reader !== undefined && this.#early.length === 0) this.#reader(message);
      else this.#keep(message);
    }
  }

  clear(): void {
    this.#early = [];
    this.#earlyBytes = 0;
  }

  #keep(message: Uint8Array): void {
    this.#earlyBytes += message.length;
    if (this.#early.length >= maxEarlyMessages || this.#earlyBytes > maxEarlyBytes)
      this.#end.overflow('messages that nobody reads');
    else this.#early.push(message);
  }

  #release(): void {
    this.#releasing = false;
    while (this.#reader !== undefined && this.#early.length > 0) {
      const message = this.#early.shift()!;
      this.#earlyBytes -= message.length;
      this.#reader(message);
    }
  }
}
