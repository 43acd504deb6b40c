/** How much may be written before proposals have to be refused: a figure that is cheap to ask, refreshed in the background. */
import type { Environment, Timer } from '../../environment.js';

const REFRESH_MS = 5000;
const REFRESH_BYTES = 8 << 20;

/** @internal */
export class Headroom {
  readonly #environment: Environment;
  readonly #directory: string;
  readonly #reserve: number;
  #free = 0;
  /** Since the free space was asked for. */
  #written = 0;
  #refreshing = false;
  #closed = false;
  #timer: Timer | undefined;

  constructor(environment: Environment, directory: string, reserve: number) {
    this.#environment = environment;
    this.#directory = directory;
    this.#reserve = reserve;
  }

  get bytes(): number {
    return Math.max(0, this.#free - this.#written - this.#reserve);
  }

  /** Asks for the free space, now and from now on. */
  async open(): Promise<void> {
    this.#free = await this.#environment.files.freeBytes(this.#directory);
    this.#arm();
  }

  wrote(bytes: number): void {
    this.#written += Math.max(0, bytes);
    if (this.#written >= REFRESH_BYTES) this.#refresh();
  }

  /** A write found no space, whatever was said before. */
  full(): void {
    this.#free = 0;
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #arm(): void {
    this.#timer = this.#environment.setTimer(REFRESH_MS, () => {
      this.#refresh();
      if (!this.#closed) this.#arm();
    });
  }

  #refresh(): void {
    if (this.#refreshing || this.#closed) return;
    this.#refreshing = true;
    const before = this.#written;
    this.#environment.files.freeBytes(this.#directory).then(
      (free) => {
        this.#free = free;
        this.#written -= before;
        this.#refreshing = false;
      },
      () => (this.#refreshing = false), // the figure stays as it is, and only ever falls
    );
  }
}
