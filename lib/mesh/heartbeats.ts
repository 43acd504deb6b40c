/** The one timer of a mesh: heartbeats out, own stalls noticed, silent links probed and judged. @internal */
import type { Environment, Timer } from '../environment.js';
import { Awareness } from '../failure/awareness.js';
import { StallDetector } from '../failure/stallDetector.js';
import type { MeshCounters } from './metrics.js';

/** It looks at the links so often between two heartbeats. */
const looksPerBeat = 5;

/** What {@link Heartbeats} is made with. */
export interface HeartbeatsOptions {
  readonly intervalMs: number;
  readonly environment: Environment;
  readonly counters: MeshCounters;
  /** This process stood still. */
  readonly onStall: (ms: number, now: number) => void;
  /** Time for a heartbeat; `stalledMs` is what it says of this process. */
  readonly onBeat: (now: number, stalledMs: number) => void;
  /** Time to look at the links, after what waited has been read. `mayConvict`: not while this process doubts itself. */
  readonly onLook: (now: number, mayConvict: boolean) => void;
}

export class Heartbeats {
  readonly #options: HeartbeatsOptions;
  readonly #stall: StallDetector;
  readonly #awareness = new Awareness();
  readonly #lookMs: number;
  #looks = 0;
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: HeartbeatsOptions) {
    this.#options = options;
    this.#stall = new StallDetector(options.intervalMs);
    this.#lookMs = options.intervalMs / looksPerBeat;
    this.#schedule();
  }

  /** The worst stall of late, as the next heartbeat tells it. */
  get stalledMs(): number {
    return this.#awareness.announce(this.#options.environment.now());
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #schedule(): void {
    const { environment } = this.#options;
    this.#stall.expect(environment.now() + this.#lookMs);
    this.#timer = environment.setTimer(this.#lookMs, () => this.#fired());
  }

  #fired(): void {
    if (this.#closed) return;
    const { environment, counters, onStall, onBeat, onLook } = this.#options;
    const now = environment.now();
    const stalledMs = this.#stall.fired(now);
    if (stalledMs > 0) {
      counters.stalls++;
      counters.stalledMs += stalledMs;
      this.#awareness.stalled(stalledMs, now);
      onStall(stalledMs, now);
    }
    if (++this.#looks >= looksPerBeat || stalledMs > 0) {
      this.#looks = 0;
      onBeat(now, this.#awareness.announce(now));
    }
    this.#schedule();
    // Timers run before the frames that wait in this turn are read: nobody is judged before they are.
    environment.defer(() => {
      const then = environment.now();
      if (!this.#closed && !this.#stall.overdue(then)) onLook(then, this.#awareness.mayConvict(then));
    });
  }
}
