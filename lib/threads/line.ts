/**
 * A line between two threads over a MessagePort. What is said in a turn travels in one message; bytes are handed over, not copied.
 * Channels share the line: what is said on one arrives on the channel of the same name, all in the order in which it was said.
 *
 * @internal
 */
import type { Transferable } from 'node:worker_threads';
import { QuorateError } from '../errors.js';
import { packError, unpackError, type PackedError } from './errors.js';

/** What a line needs of a port; a test may give it something else. */
export interface LinePort {
  postMessage(message: unknown, transfer: readonly Transferable[]): void;
  on(event: 'message', listener: (message: unknown) => void): unknown;
  on(event: 'messageerror', listener: (error: Error) => void): unknown;
  on(event: 'close', listener: () => void): unknown;
  close(): void;
}

/** Takes what is said on a channel. */
export interface ChannelEnd {
  heard(item: unknown): void;
  /** Answers a question of the other end. */
  asked?(item: unknown): unknown;
  /** The line is gone, for this reason; nothing is heard any more. */
  cut?(error: Error): void;
  /** Called before what was said in a turn leaves: the last chance to say more. */
  leaving?(): void;
}

/** One channel of a line. */
export interface Channel {
  /** Sends an item at the end of the turn. The buffers belong to the other thread afterwards. */
  say(item: unknown, buffers?: readonly Transferable[]): void;
  /** Sends a question; rejects with what the other end throws, or when the line is cut. */
  ask(item: unknown, buffers?: readonly Transferable[]): Promise<unknown>;
  /** Has the end's `leaving` called at the end of this turn. */
  wake(): void;
  /** Says who listens. */
  attach(end: ChannelEnd): void;
}

/** What travels: the channel, and what kind of item it is. */
type Parcel =
  | { readonly on: string; readonly say: unknown }
  | { readonly on: string; readonly ask: number; readonly item: unknown }
  | { readonly answer: number; readonly value?: unknown; readonly error?: PackedError };

interface Asked {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class Line {
  readonly #port: LinePort;
  readonly #atEndOfTurn: (callback: () => void) => void;
  readonly #ends = new Map<string, ChannelEnd>();
  /** Said to a channel that nobody has attached to yet. */
  readonly #early = new Map<string, Parcel[]>();
  readonly #asked = new Map<number, Asked>();
  #parcels: Parcel[] = [];
  #buffers: Transferable[] = [];
  #scheduled = false;
  #questions = 0;
  #cut: Error | undefined;
  /** Called once, when the line is gone. */
  onCut: () => void = () => undefined;

  /** `atEndOfTurn` calls back once when what happens now is over. */
  constructor(port: LinePort, atEndOfTurn: (callback: () => void) => void) {
    this.#port = port;
    this.#atEndOfTurn = atEndOfTurn;
    port.on('message', (parcels) => {
      for (const parcel of parcels as readonly Parcel[]) this.#take(parcel);
    });
    port.on('messageerror', (error) => this.cut(error));
    port.on('close', () => this.cut(new QuorateError('ERR_CLOSED', 'the other thread has closed the line')));
  }

  channel(name: string): Channel {
    return {
      say: (item, buffers) => this.#put({ on: name, say: item }, buffers),
      ask: (item, buffers) =>
        new Promise((resolve, reject) => {
          if (this.#cut !== undefined) {
            reject(this.#cut);
            return;
          }
          const number = ++this.#questions;
          this.#asked.set(number, { resolve, reject });
          this.#put({ on: name, ask: number, item }, buffers);
        }),
      wake: () => this.#schedule(),
      attach: (end) => {
        this.#ends.set(name, end);
        const early = this.#early.get(name) ?? [];
        this.#early.delete(name);
        for (const parcel of early) this.#take(parcel);
        if (this.#cut !== undefined) end.cut?.(this.#cut);
      },
    };
  }

  /** Ends the line on this side: who waits for an answer gets the error, and every channel hears of it. */
  cut(error: Error): void {
    if (this.#cut !== undefined) return;
    this.#cut = error;
    this.#parcels = [];
    this.#buffers = [];
    this.#port.close();
    const asked = [...this.#asked.values()];
    this.#asked.clear();
    for (const { reject } of asked) reject(error);
    for (const end of this.#ends.values()) end.cut?.(error);
    this.onCut();
  }

  /** Sends what was said, then closes the line. */
  close(): void {
    this.#send();
    this.cut(new QuorateError('ERR_CLOSED', 'the line was closed'));
  }

  #put(parcel: Parcel, buffers: readonly Transferable[] = []): void {
    if (this.#cut !== undefined) return;
    this.#parcels.push(parcel);
    this.#buffers.push(...buffers);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#cut !== undefined) return;
    this.#scheduled = true;
    this.#atEndOfTurn(() => this.#leave());
  }

  #leave(): void {
    if (this.#cut !== undefined) return;
    for (const end of this.#ends.values()) end.leaving?.();
    this.#scheduled = false;
    this.#send();
  }

  #send(): void {
    const parcels = this.#parcels;
    if (parcels.length === 0) return;
    const buffers = this.#buffers;
    this.#parcels = [];
    this.#buffers = [];
    this.#port.postMessage(parcels, buffers);
  }

  #take(parcel: Parcel): void {
    if (this.#cut !== undefined) return;
    if ('answer' in parcel) {
      const asked = this.#asked.get(parcel.answer);
      this.#asked.delete(parcel.answer);
      if (parcel.error === undefined) asked?.resolve(parcel.value);
      else asked?.reject(unpackError(parcel.error));
      return;
    }
    const end = this.#ends.get(parcel.on);
    if (end === undefined) {
      const early = this.#early.get(parcel.on) ?? [];
      this.#early.set(parcel.on, early);
      early.push(parcel);
    } else if ('say' in parcel) {
      end.heard(parcel.say);
    } else {
      void this.#answer(end, parcel.ask, parcel.item);
    }
  }

  async #answer(end: ChannelEnd, answer: number, item: unknown): Promise<void> {
    try {
      this.#put({ answer, value: await end.asked?.(item) });
    } catch (error) {
      this.#put({ answer, error: packError(error) });
    }
  }
}
