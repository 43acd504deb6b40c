/** The newest intervals between heartbeats, with their mean and variance. @internal */
export class SampleWindow {
  readonly #values: Float64Array;
  #count = 0;
  #next = 0;
  #sum = 0;
  #squares = 0;

  constructor(capacity: number) {
    this.#values = new Float64Array(capacity);
  }

  add(value: number): void {
    const values = this.#values;
    if (this.#count === values.length) {
      const old = values[this.#next]!;
      this.#sum -= old;
      this.#squares -= old * old;
    } else this.#count++;
    values[this.#next] = value;
    this.#sum += value;
    this.#squares += value * value;
    this.#next = (this.#next + 1) % values.length;
    if (this.#next === 0) this.#recount();
  }

  get count(): number {
    return this.#count;
  }

  get mean(): number {
    return this.#sum / this.#count;
  }

  /** The population variance. */
  get variance(): number {
    const { mean } = this;
    return Math.max(0, this.#squares / this.#count - mean * mean);
  }

  /** Once a lap, so that rounding errors of additions and subtractions do not pile up over weeks. */
  #recount(): void {
    this.#sum = this.#squares = 0;
    for (const value of this.#values) {
      this.#sum += value;
      this.#squares += value * value;
    }
  }
}
