/** Samples and what is said of them. */

/** Collects numbers without an object per sample. */
export class Samples {
  #values = new Float64Array(65_536);
  #count = 0;
  #sorted = true;

  get count(): number {
    return this.#count;
  }

  add(value: number): void {
    if (this.#count === this.#values.length) {
      const grown = new Float64Array(this.#count * 2);
      grown.set(this.#values);
      this.#values = grown;
    }
    this.#values[this.#count++] = value;
    this.#sorted = false;
  }

  clear(): void {
    this.#count = 0;
    this.#sorted = true;
  }

  /** The smallest sample that `p` per cent of all do not exceed; NaN without samples. */
  percentile(p: number): number {
    if (this.#count === 0) return NaN;
    if (!this.#sorted) this.#values.subarray(0, this.#count).sort();
    this.#sorted = true;
    return this.#values[Math.max(0, Math.ceil((p / 100) * this.#count) - 1)]!;
  }
}

/** What is kept of a set of samples. */
export interface Spread {
  readonly p50: number;
  readonly p99: number;
  readonly count: number;
}

export const spread = (samples: Samples): Spread => ({
  p50: samples.percentile(50),
  p99: samples.percentile(99),
  count: samples.count,
});

/** The middle of a few results; NaN without any. */
export function median(values: readonly number[]): number {
  const samples = new Samples();
  for (const value of values) samples.add(value);
  return samples.percentile(50);
}

/**
 * Below which value the median of what was sampled lies with a probability of at most 5 %: the highest order statistic of which
 * that is so whatever the distribution (the sign test; Conover, Practical Nonparametric Statistics, §3.2). NaN below five values.
 */
export function medianAtLeast(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  // The chance that no more than `rank` of the values lie below the median.
  let [term, below, rank] = [2 ** -sorted.length, 0, -1];
  for (;;) {
    below += term;
    if (below > 0.05) break;
    rank++;
    term *= (sorted.length - rank) / (rank + 1);
  }
  return sorted[rank] ?? NaN;
}
