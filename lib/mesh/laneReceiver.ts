/**
 * The receiving half of a lane: puts frames together, hands them on, and grants credit as their handlers finish.
 *
 * Credit is an absolute count of bytes: the peer may have sent `received + window - held` bytes in all, where `held` is what
 * handlers have not finished with. So one lane never holds more than a window, a frame in reassembly, and the frame that
 * overshot: whatever the peer does. @internal
 */
import { PieceReader, linkKind } from './framing.js';
import { pieceOverhead, urgentCapBytes } from './limits.js';

/** What a {@link LaneReceiver} calls. */
export interface LaneReceiverHost {
  /** Takes a frame. `false`: it breaks the protocol. A promise: credit is granted when it settles. */
  onFrame(kind: number, frame: Uint8Array): boolean | Promise<boolean>;
  /** Takes a frame of the link itself; answers what is wrong with it. */
  onLinkFrame(frame: Uint8Array): string | undefined;
  /** Tells the peer how much it may have sent in all. */
  announce(limit: number): void;
  /** The peer broke the protocol, or a handler failed (`cause`). */
  onBroken(problem: string, cause?: unknown): void;
}

export class LaneReceiver {
  readonly #window: number;
  readonly #host: LaneReceiverHost;
  readonly #reader: PieceReader;
  #received = 0;
  #frameCost = 0;
  #held = 0;
  #urgentHeld = 0;
  #announced: number;
  #closed = false;

  constructor(windowBytes: number, maxFrameBytes: number, host: LaneReceiverHost) {
    this.#window = windowBytes;
    this.#announced = windowBytes;
    this.#host = host;
    this.#reader = new PieceReader(maxFrameBytes, {
      charge: (bytes) => this.#charge(bytes),
      frame: (kind, bytes, isUrgent) => this.#frame(kind, bytes, isUrgent),
    });
  }

  /** Bytes that handlers have not finished with. */
  get held(): number {
    return this.#held + this.#urgentHeld;
  }

  receive(message: Uint8Array): void {
    if (this.#closed) return;
    const problem = this.#reader.read(message);
    if (problem !== undefined) this.#broken(problem);
    else this.#grant();
  }

  close(): void {
    this.#closed = true;
  }

  #charge(bytes: number): boolean {
    const cost = bytes + pieceOverhead;
    this.#received += cost;
    this.#frameCost += cost;
    if (this.#received <= this.#announced) return true;
    this.#broken(`${this.#received - this.#announced} bytes more than its credit`);
    return false;
  }

  #frame(kind: number, frame: Uint8Array, isUrgent: boolean): boolean {
    const cost = isUrgent ? frame.length + pieceOverhead : this.#frameCost;
    if (!isUrgent) this.#frameCost = 0;
    if (kind === linkKind) {
      const problem = isUrgent ? this.#host.onLinkFrame(frame) : 'a frame of the link that is not urgent';
      if (problem !== undefined) this.#broken(problem);
      return !this.#closed;
    }
    let answer: boolean | Promise<boolean>;
    try {
      answer = this.#host.onFrame(kind, frame);
    } catch (cause) {
      this.#broken('a frame whose handler failed', cause);
      return false;
    }
    if (answer === true) return !this.#closed;
    if (answer === false) {
      this.#broken('a frame that its handler refused');
      return false;
    }
    return this.#hold(answer, cost, isUrgent);
  }

  #hold(answer: Promise<boolean>, cost: number, isUrgent: boolean): boolean {
    if (isUrgent) this.#urgentHeld += cost;
    else this.#held += cost;
    void answer.then(
      (ok) => this.#settled(cost, isUrgent, ok, undefined),
      (cause: unknown) => this.#settled(cost, isUrgent, false, cause),
    );
    if (this.#urgentHeld <= urgentCapBytes) return !this.#closed;
    this.#broken('more urgent frames than its handlers can take');
    return false;
  }

  #settled(cost: number, isUrgent: boolean, ok: boolean, cause: unknown): void {
    if (isUrgent) this.#urgentHeld -= cost;
    else this.#held -= cost;
    if (this.#closed) return;
    if (!ok)
      this.#broken(
        cause === undefined ? 'a frame that its handler refused' : 'a frame whose handler failed',
        cause,
      );
    else this.#grant();
  }

  /** Announces new credit once it is worth a frame: a quarter of the window. */
  #grant(): void {
    if (this.#closed) return;
    const limit = this.#received + Math.max(0, this.#window - this.#held);
    if (limit - this.#announced < this.#window / 4) return;
    this.#announced = limit;
    this.#host.announce(limit);
  }

  #broken(problem: string, cause?: unknown): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#host.onBroken(problem, cause);
  }
}
