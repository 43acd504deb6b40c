/** Where a file was written last: what has to stay whole, since damage there cannot be told from a write that was cut short. */

/** @internal */
export interface Extent {
  readonly from: number;
  readonly to: number;
  /** In which life of the node's process. */
  readonly life: number;
}

/** From here on the oldest two become one. */
const MAX_EXTENTS = 64;

/** The newest durable write of a file, and those after it. @internal */
export class LastWrites {
  #extents: Extent[] = [];

  get extents(): readonly Extent[] {
    return this.#extents;
  }

  wrote(from: number, to: number, life: number): void {
    this.#extents.push({ from, to, life });
    if (this.#extents.length <= MAX_EXTENTS) return;
    const [a, b] = this.#extents.splice(0, 2) as [Extent, Extent];
    this.#extents.unshift({ from: Math.min(a.from, b.from), to: Math.max(a.to, b.to), life: b.life });
  }

  /** The newest write: what a flush that begins now would make durable. */
  get newest(): Extent | undefined {
    return this.#extents.at(-1);
  }

  /**
   * That write and those before it are durable. Nothing is forgotten if it is of an earlier life: it may have been cut short,
   * and then the one before it is the last that counts.
   */
  durable(newest: Extent | undefined, life: number): void {
    if (newest?.life !== life) return;
    const at = this.#extents.indexOf(newest);
    if (at > 0) this.#extents.splice(0, at);
  }

  covers(offset: number): boolean {
    return this.#extents.some(({ from, to }) => offset >= from && offset < to);
  }
}

/** Whether all of it is zeros, as when a file is filled beforehand or repaired: no content of its own. @internal */
export function isZeros(buffers: readonly Uint8Array[]): boolean {
  for (const buffer of buffers) {
    for (let at = 0; at < buffer.length; at += ZEROS.length) {
      if (buffer[at] !== 0) return false;
      const part = buffer.subarray(at, at + ZEROS.length);
      if (Buffer.compare(part, ZEROS.subarray(0, part.length)) !== 0) return false;
    }
  }
  return true;
}

const ZEROS = new Uint8Array(65536);
