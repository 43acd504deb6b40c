/** Says how far a soak is: one line that changes on a terminal, a line now and then elsewhere. */
import { group, span } from './report.js';
import type { Tally } from './tally.js';

const TERMINAL_MS = 250;
const PLAIN_MS = 10_000;

export class Progress {
  readonly #tally: Tally;
  readonly #seeds: number;
  readonly #limitMs: number;
  readonly #began = performance.now();
  readonly #terminal = process.stderr.isTTY;
  readonly #timer: NodeJS.Timeout;

  constructor(tally: Tally, seeds: number, limitMs: number) {
    this.#tally = tally;
    this.#seeds = seeds;
    this.#limitMs = limitMs;
    this.#timer = setInterval(() => this.#show(), this.#terminal ? TERMINAL_MS : PLAIN_MS);
  }

  get elapsedMs(): number {
    return performance.now() - this.#began;
  }

  /** A line of its own, above the one that changes. */
  say(text: string): void {
    this.#clear();
    console.log(text);
  }

  end(): void {
    clearInterval(this.#timer);
    this.#clear();
  }

  #clear(): void {
    if (this.#terminal) process.stderr.write('\r\x1b[K');
  }

  #show(): void {
    const { seeds, virtualMs, violations } = this.#tally;
    const elapsed = this.elapsedMs;
    const rate = seeds / elapsed;
    const left = Math.min(this.#limitMs - elapsed, rate === 0 ? Infinity : (this.#seeds - seeds) / rate);
    const of = this.#seeds === Infinity ? '' : ` of ${group(this.#seeds)}`;
    const text = [
      `${group(seeds)}${of} seeds`,
      `${(rate * 1000).toFixed(1)}/s`,
      `${(virtualMs / 3_600_000).toFixed(2)} virtual h`,
      `${violations.length} violated`,
      span(elapsed) + (Number.isFinite(left) ? `, ${span(Math.max(0, left))} left` : ''),
    ].join(' · ');
    if (!this.#terminal) console.error(text);
    else process.stderr.write(`\r\x1b[K${text.slice(0, (process.stderr.columns || 100) - 1)}`);
  }
}
