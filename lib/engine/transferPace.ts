/** How fast a group's snapshots leave this node: a token bucket over all its transfers, so that they never take a thin uplink whole. */
import { TokenBucket } from '../tokenBucket.js';

const CHUNK_BYTES = 64 * 1024;
const MIN_CHUNK_BYTES = 1024;

export class TransferPace {
  /** Bytes to send at once: a slow transfer sends small chunks, or each would fill the uplink for long. */
  readonly chunkBytes: number;
  readonly #bucket: TokenBucket | undefined;

  /** `bytesPerSecond` is Infinity where there is no limit. */
  constructor(bytesPerSecond: number, now: number) {
    const quarter = Math.floor(bytesPerSecond / 4);
    this.chunkBytes = Math.min(CHUNK_BYTES, Math.max(MIN_CHUNK_BYTES, quarter));
    if (bytesPerSecond < Infinity) this.#bucket = new TokenBucket(bytesPerSecond, this.chunkBytes, now);
  }

  /** A chunk was sent. Returns for how many milliseconds nothing more may be. */
  spent(bytes: number, now: number): number {
    return this.#bucket?.take(bytes, now) ?? 0;
  }
}
