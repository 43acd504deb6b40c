/** What a process knows of its own absences: what it tells its peers of them, and when it had better judge nobody. */

/** No stall, however long, is worth more patience than this. */
const MAX_PATIENCE_MS = 5000;
/** A stall is announced in full for this long, and then less and less for as long again. */
const MEMORY_MS = 60_000;
/** Stalls that are remembered at once; each is shorter and younger than the one before. */
const MAX_STALLS = 16;
/** The longest stall that is announced. */
const MAX_ANNOUNCED_MS = 60_000;

/** The patience that a peer earns by announcing stalls of `stalledMs`, in milliseconds. @internal */
export function patienceFor(stalledMs: number): number {
  return stalledMs > 0 ? Math.min(stalledMs, MAX_PATIENCE_MS) : 0;
}

/**
 * Remembers the stalls of this process, after Lifeguard (Dadgar et al., 2018): who was away should doubt itself before it doubts
 * others, and should say so, so that the others are patient with it. Pure: time is handed in.
 *
 * @internal
 */
export class Awareness {
  /** Oldest first, each shorter than the one before: only these can ever be the worst that is remembered. */
  readonly #stalls: { ms: number; at: number }[] = [];
  #convictFrom = -Infinity;

  /** This process stood still for `ms` until `now`. */
  stalled(ms: number, now: number): void {
    if (!(ms > 0)) return;
    this.#convictFrom = Math.max(this.#convictFrom, now + Math.min(ms, MAX_PATIENCE_MS));
    const stalls = this.#stalls;
    while (stalls.length > 0 && stalls.at(-1)!.ms <= ms) stalls.pop();
    const shortest = stalls.at(-1);
    if (shortest !== undefined && stalls.length >= MAX_STALLS) shortest.at = now;
    else stalls.push({ ms, at: now });
  }

  /** The worst stall that is remembered, fading with age, in whole milliseconds; what heartbeats carry. */
  announce(now: number): number {
    const stalls = this.#stalls;
    while (stalls.length > 0 && now - stalls[0]!.at >= 2 * MEMORY_MS) stalls.shift();
    let worst = 0;
    for (const { ms, at } of stalls) {
      const fading = Math.min(1, 2 - (now - at) / MEMORY_MS);
      worst = Math.max(worst, ms * fading);
    }
    return Math.min(MAX_ANNOUNCED_MS, Math.ceil(worst));
  }

  /** Whether a silent peer may be taken for dead now: not for as long as the last stall was, 5 s at most. */
  mayConvict(now: number): boolean {
    return now >= this.#convictFrom;
  }
}
