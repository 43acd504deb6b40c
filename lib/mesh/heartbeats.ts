/** The one timer of a mesh: heartbeats out, own stalls noticed, silent peers judged. @internal */
import type { Environment, Timer } from '../environment.js';
import { StallDetector } from '../failure/stallDetector.js';
import type { MeshCounters } from './metrics.js';
import type { Peers } from './peers.js';

/** What {@link Heartbeats} is made with. */
export interface HeartbeatsOptions {
  readonly intervalMs: number;
  readonly environment: Environment;
  readonly peers: Peers;
  readonly counters: MeshCounters;
  readonly onStall: (ms: number) => void;
}

export class Heartbeats {
  readonly #options: HeartbeatsOptions;
  readonly #stall: StallDetector;
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: HeartbeatsOptions) {
    this.#options = options;
    this.#stall = new StallDetector(options.intervalMs);
    this.#schedule();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #schedule(): void {
    const { environment, intervalMs } = this.#options;
    this.#stall.expect(environment.now() + intervalMs);
    this.#timer = environment.setTimer(intervalMs, () => this.#fired());
  }

  #fired(): void {
    if (this.#closed) return;
    const { environment, peers, counters, onStall } = this.#options;
    const now = environment.now();
    const stalledMs = this.#stall.fired(now);
    if (stalledMs > 0) {
      counters.stalls++;
      counters.stalledMs += stalledMs;
      peers.excuse(stalledMs, now);
      onStall(stalledMs);
    }
    peers.heartbeat(now);
    // Timers run before the frames that wait in this turn are read: nobody is convicted before they are.
    environment.defer(() => {
      if (!this.#closed) peers.judge(environment.now());
    });
    this.#schedule();
  }
}
