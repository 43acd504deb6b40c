/** The sending half of a lane: packs, fragments, waits for credit and for room in the transport's buffer. @internal */
import { PieceWriter, linkKind } from './framing.js';
import { pieceOverhead, urgentCapBytes, watermarks } from './limits.js';
import type { Lane, LaneName } from './transport.js';

/** What a {@link LaneSender} is made with. */
export interface LaneSenderOptions {
  readonly name: LaneName;
  readonly lane: Lane;
  /** Largest lane message. */
  readonly fragmentBytes: number;
  /** Bytes that wait before `send` answers false. */
  readonly sendQueueBytes: number;
  /** What the peer lets us send before its first grant. */
  readonly windowBytes: number;
  /** Bytes and frames leave: for metrics. */
  readonly onSent: (bytes: number, frames: number) => void;
}

export class LaneSender {
  readonly #lane: Lane;
  readonly #marks: { readonly high: number; readonly low: number };
  readonly #sendQueueBytes: number;
  readonly #lowWater: number;
  readonly #writer: PieceWriter;
  readonly #onSent: (bytes: number, frames: number) => void;
  readonly #flush: () => void;

  // Ordinary frames wait in two parallel arrays behind a moving head: no object per frame.
  #frames: (Uint8Array | undefined)[] = [];
  #kinds: number[] = [];
  #head = 0;
  #sentOfHead = 0;
  #queued = 0;
  #urgentFrames: Uint8Array[] = [];
  #urgentKinds: number[] = [];
  #urgentQueued = 0;

  #sent = 0;
  #limit: number;
  #scheduled = false;
  #closed = false;
  #packed = 0;
  #drainCallbacks: (() => void)[] = [];

  constructor(options: LaneSenderOptions) {
    this.#lane = options.lane;
    this.#marks = watermarks[options.name];
    this.#sendQueueBytes = options.sendQueueBytes;
    this.#lowWater = options.sendQueueBytes / 4;
    this.#writer = new PieceWriter(Math.min(options.fragmentBytes, options.lane.maxMessageSize));
    this.#limit = options.windowBytes;
    this.#onSent = options.onSent;
    this.#flush = () => this.flush();
    options.lane.onDrain = this.#flush;
  }

  /** Bytes queued here and in the transport. */
  get backlog(): number {
    return this.#queued + this.#urgentQueued + this.#lane.bufferedAmount;
  }

  /** Queues a frame. `false`: the queue is full, or the lane is closed; the frame is dropped. */
  send(kind: number, frame: Uint8Array): boolean {
    if (this.#closed) return false;
    const cost = frame.length + pieceOverhead;
    if (this.#queued > 0 && this.#queued + cost > this.#sendQueueBytes) return false;
    this.#frames.push(frame);
    this.#kinds.push(kind);
    this.#queued += cost;
    this.#schedule();
    return true;
  }

  /** Queues a frame that needs no credit and overtakes. Whatever does not fit one lane message goes the ordinary way. */
  sendUrgent(kind: number, frame: Uint8Array): boolean {
    if (this.#closed) return false;
    if (frame.length > this.#writer.space + this.#writer.length) return this.send(kind, frame);
    const waiting = this.#urgentQueued + frame.length + pieceOverhead;
    // The link's own frames are few, and a grant of credit that got lost would stop the lane for good.
    if (kind !== linkKind && waiting + this.#lane.bufferedAmount > urgentCapBytes) return false;
    this.#urgentFrames.push(frame);
    this.#urgentKinds.push(kind);
    this.#urgentQueued = waiting;
    this.#schedule();
    return true;
  }

  /** The peer lets us send up to this many bytes in all. `false`: it takes back what it granted, or grants nonsense. */
  grant(limit: number, windowBytes: number): boolean {
    if (limit < this.#limit || limit > this.#sent + windowBytes) return false;
    this.#limit = limit;
    if (this.#queued > 0) this.#schedule();
    return true;
  }

  /** Calls back once when the backlog is below the low-water mark, or the lane is closed. */
  whenDrained(callback: () => void): void {
    this.#drainCallbacks.push(callback);
    this.#schedule();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#lane.onDrain = undefined;
    this.#frames = [];
    this.#kinds = [];
    this.#urgentFrames = [];
    this.#urgentKinds = [];
    this.#queued = 0;
    this.#urgentQueued = 0;
    this.#schedule();
  }

  /** Sends what may be sent now. Runs by itself in a microtask after the code that sent. */
  flush(): void {
    this.#scheduled = false;
    if (!this.#closed) {
      this.#flushUrgent();
      this.#flushQueue();
      this.#post();
    }
    if (this.#drainCallbacks.length > 0 && (this.#closed || this.backlog < this.#lowWater)) {
      const callbacks = this.#drainCallbacks;
      this.#drainCallbacks = [];
      for (const callback of callbacks) callback();
    }
  }

  /**
   * A microtask, not a deferred callback: all that one drain of the engine sends leaves together, and still in its own turn,
   * which one `defer` later would not.
   */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(this.#flush);
  }

  #flushUrgent(): void {
    const count = this.#urgentFrames.length;
    if (count === 0) return;
    for (let i = 0; i < count; i++) {
      const frame = this.#urgentFrames[i]!;
      if (frame.length > this.#writer.space) this.#post();
      this.#writer.add(this.#urgentKinds[i]!, frame, 0, frame.length, true);
      this.#packed++;
    }
    this.#urgentFrames.length = 0;
    this.#urgentKinds.length = 0;
    this.#urgentQueued = 0;
  }

  #flushQueue(): void {
    while (this.#head < this.#frames.length) {
      const frame = this.#frames[this.#head]!;
      const rest = frame.length - this.#sentOfHead;
      if (rest > this.#writer.space && this.#writer.length > 0) this.#post();
      if (this.#writer.length === 0 && this.#lane.bufferedAmount >= this.#marks.high) return; // onDrain resumes
      const credit = this.#limit - this.#sent - pieceOverhead;
      const bytes = Math.min(rest, this.#writer.space, credit);
      if (bytes < rest && bytes < Math.min(this.#writer.space, 1024)) return; // a grant resumes
      this.#writer.add(this.#kinds[this.#head]!, frame, this.#sentOfHead, this.#sentOfHead + bytes, false);
      this.#sent += bytes + pieceOverhead;
      this.#queued -= bytes;
      this.#sentOfHead += bytes;
      if (this.#sentOfHead === frame.length) this.#dropHead();
    }
  }

  #dropHead(): void {
    this.#frames[this.#head] = undefined;
    this.#head++;
    this.#sentOfHead = 0;
    this.#queued -= pieceOverhead;
    this.#packed++;
    if (this.#head === this.#frames.length) {
      this.#frames.length = 0;
      this.#kinds.length = 0;
      this.#head = 0;
    } else if (this.#head > 1024 && this.#head * 2 > this.#frames.length) {
      this.#frames = this.#frames.slice(this.#head);
      this.#kinds = this.#kinds.slice(this.#head);
      this.#head = 0;
    }
  }

  #post(): void {
    if (this.#writer.length === 0) return;
    const message = this.#writer.take();
    this.#onSent(message.length, this.#packed);
    this.#packed = 0;
    this.#lane.send(message);
  }
}
