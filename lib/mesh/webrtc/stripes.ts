/**
 * A lane over several connections. SCTP halves its window at each loss, so one connection over a path that loses packets is
 * slow, and several share the bad luck. Messages are numbered, spread, and put in order again. @internal
 */
import type { Environment } from '../../environment.js';
import type { Lane } from '../transport.js';

const headerBytes = 4;
/** What may wait for a message that is missing: more than any window of credit that makes sense here. */
const maxHeldBytes = 64 * 1024 * 1024;
const maxHeld = 65_536;
/** The same while nobody listens yet, and the peer has not proved who it is. */
const maxEarlyBytes = 1024 * 1024;
const maxEarly = 256;

export class StripedLane implements Lane {
  onDrain: (() => void) | undefined;
  readonly lanes: readonly Lane[];
  readonly #environment: Environment;
  readonly #onBreach: (reason: string) => void;
  #onMessage: ((message: Uint8Array) => void) | undefined;
  #sent: number;
  #turn = 0;
  /** The number that comes next. */
  #next: number;
  readonly #held = new Map<number, Uint8Array>();
  #heldBytes = 0;
  #listened = false;
  #releasing = false;
  #broken = false;

  /** `first`: where both ends begin to count. */
  constructor(
    lanes: readonly Lane[],
    environment: Environment,
    onBreach: (reason: string) => void,
    first = 0,
  ) {
    this.#sent = first;
    this.#next = first;
    this.lanes = lanes;
    this.#environment = environment;
    this.#onBreach = onBreach;
    for (const lane of lanes) {
      lane.onMessage = (message) => this.#received(message);
      lane.onDrain = () => this.onDrain?.();
    }
  }

  get maxMessageSize(): number {
    return Math.max(0, Math.min(...this.lanes.map((lane) => lane.maxMessageSize)) - headerBytes);
  }

  /** What the emptiest has: while one has room, there is room. */
  get bufferedAmount(): number {
    let least = Infinity;
    for (const lane of this.lanes) least = Math.min(least, lane.bufferedAmount);
    return least;
  }

  get onMessage(): ((message: Uint8Array) => void) | undefined {
    return this.#onMessage;
  }

  set onMessage(handler: ((message: Uint8Array) => void) | undefined) {
    this.#onMessage = handler;
    if (handler === undefined) return;
    this.#listened = true;
    if (this.#held.size === 0 || this.#releasing) return;
    // Never from inside a setter.
    this.#releasing = true;
    this.#environment.defer(() => {
      this.#releasing = false;
      this.#release();
    });
  }

  send(message: Uint8Array): boolean {
    const framed = new Uint8Array(headerBytes + message.length);
    new DataView(framed.buffer).setUint32(0, this.#sent);
    framed.set(message, headerBytes);
    if (!this.#emptiest().send(framed)) return false;
    this.#sent = (this.#sent + 1) >>> 0;
    return true;
  }

  /** In turn, among those that hold least. */
  #emptiest(): Lane {
    const count = this.lanes.length;
    let best = this.#turn;
    let least = Infinity;
    for (let i = 0; i < count; i++) {
      const place = (this.#turn + i) % count;
      const amount = this.lanes[place]!.bufferedAmount;
      if (amount >= least) continue;
      best = place;
      least = amount;
    }
    this.#turn = (best + 1) % count;
    return this.lanes[best]!;
  }

  #received(message: Uint8Array): void {
    if (this.#broken) return;
    if (message.length < headerBytes) {
      this.#breach('a message without its number');
      return;
    }
    const number = new DataView(message.buffer, message.byteOffset).getUint32(0);
    const ahead = (number - this.#next) >>> 0;
    const body = message.subarray(headerBytes);
    if (ahead === 0 && this.#onMessage !== undefined && !this.#releasing) {
      this.#next = (number + 1) >>> 0;
      this.#onMessage(body);
      if (this.#held.size > 0) this.#release();
      return;
    }
    if (ahead >= maxHeld || this.#held.has(number)) {
      this.#breach('a message number that cannot be');
      return;
    }
    this.#heldBytes += body.length;
    const [bytes, count] = this.#listened ? [maxHeldBytes, maxHeld] : [maxEarlyBytes, maxEarly];
    if (this.#heldBytes > bytes || this.#held.size >= count) this.#breach('too much came before its turn');
    else this.#held.set(number, body);
  }

  #release(): void {
    let body: Uint8Array | undefined;
    while (this.#onMessage !== undefined && (body = this.#held.get(this.#next)) !== undefined) {
      this.#held.delete(this.#next);
      this.#heldBytes -= body.length;
      this.#next = (this.#next + 1) >>> 0;
      this.#onMessage(body);
    }
  }

  #breach(reason: string): void {
    this.#broken = true;
    this.#held.clear();
    this.#heldBytes = 0;
    this.#onBreach(reason);
  }
}
