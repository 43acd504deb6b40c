/** Cheap copies of small messages: many share one piece of memory. @internal */
const slabBytes = 16_384;
const smallBytes = 2048;

export class Slab {
  #bytes = new Uint8Array(slabBytes);
  #used = 0;

  copy(message: Uint8Array): Uint8Array {
    const { length } = message;
    if (length > smallBytes) return new Uint8Array(message);
    if (this.#used + length > slabBytes) {
      this.#bytes = new Uint8Array(slabBytes);
      this.#used = 0;
    }
    const copy = this.#bytes.subarray(this.#used, this.#used + length);
    copy.set(message);
    // Aligned, as what came from an allocation of its own would be.
    this.#used = (this.#used + length + 7) & ~7;
    return copy;
  }
}
