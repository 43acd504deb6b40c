/** What happened, in order: a hash of everything always, the lines themselves if they are wanted. */
import { crc32 } from '../../crc.js';

/** One thing that happened. */
export interface TraceEvent {
  /** Virtual milliseconds. */
  readonly time: number;
  /** Whose it is; empty for the world's. */
  readonly node: string;
  readonly kind: string;
  readonly detail: string;
}

/** Two runs are the same exactly if their hashes are (as far as 64 bits can tell). */
export class Trace {
  /** How many events were added. */
  length = 0;
  readonly #keep: number;
  readonly #scratch = Buffer.alloc(4096);
  #kept: TraceEvent[] = [];
  #low = 0;
  #high = 0x9e3779b9;

  /** Keeps the newest `keep` events, or somewhat more. */
  constructor(keep: number) {
    this.#keep = keep;
  }

  /** Adds one. @internal */
  add(time: number, node: string, kind: string, detail: string): void {
    this.length++;
    const text = `${time} ${node} ${kind} ${detail}\n`;
    const scratch = text.length * 3 <= this.#scratch.length ? this.#scratch : Buffer.alloc(text.length * 3);
    const bytes = scratch.subarray(0, scratch.write(text));
    this.#low = crc32(bytes, this.#low);
    this.#high = (Math.imul(this.#high, 0x85ebca6b) ^ this.#low) >>> 0;
    if (this.#keep === 0) return;
    this.#kept.push({ time, node, kind, detail });
    if (this.#kept.length > 2 * this.#keep) this.#kept = this.#kept.slice(-this.#keep);
  }

  /** Of all events so far, in hexadecimal. */
  get hash(): string {
    return `${this.#high.toString(16).padStart(8, '0')}${this.#low.toString(16).padStart(8, '0')}`;
  }

  /** Those that were kept. */
  get events(): readonly TraceEvent[] {
    return this.#kept;
  }
}
