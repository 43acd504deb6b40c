/** An open data channel as a lane. @internal */
import type { Environment } from '../../environment.js';
import { watermarks } from '../limits.js';
import type { Lane, LaneName } from '../transport.js';
import { attempt, guarded } from './native.js';
import type { NativeChannel } from './native.js';

const maxEarlyMessages = 256;
const maxEarlyBytes = 1024 * 1024;

export class ChannelLane implements Lane {
  onDrain: (() => void) | undefined;
  readonly #channel: NativeChannel;
  readonly #environment: Environment;
  readonly #onOverflow: () => void;
  #onMessage: ((message: Uint8Array) => void) | undefined;
  #early: Uint8Array[] = [];
  #earlyBytes = 0;
  #releasing = false;
  #shut = false;
  /** Whether the last send went straight to SCTP, so that nothing is buffered: saves a native call a message. */
  #empty = true;

  constructor(
    name: LaneName,
    channel: NativeChannel,
    environment: Environment,
    failed: (error: unknown) => void,
    onOverflow: () => void,
  ) {
    this.#channel = channel;
    this.#environment = environment;
    this.#onOverflow = onOverflow;
    channel.setBufferedAmountLowThreshold(watermarks[name].low);
    channel.onBufferedAmountLow(guarded(() => this.onDrain?.(), failed));
    channel.onMessage(guarded((message: string | Buffer | ArrayBuffer) => this.#received(message), failed));
  }

  get maxMessageSize(): number {
    return attempt(() => this.#channel.maxMessageSize(), 0);
  }

  get bufferedAmount(): number {
    if (this.#empty) return 0;
    const amount = attempt(() => this.#channel.bufferedAmount(), 0);
    this.#empty = amount === 0;
    return amount;
  }

  get onMessage(): ((message: Uint8Array) => void) | undefined {
    return this.#onMessage;
  }

  set onMessage(handler: ((message: Uint8Array) => void) | undefined) {
    this.#onMessage = handler;
    if (handler === undefined || this.#early.length === 0 || this.#releasing) return;
    // One channel opens before the other, so the peer may have spoken already. Never from inside a setter.
    this.#releasing = true;
    this.#environment.defer(() => this.#release());
  }

  /** The link is closed: nothing more is taken, while what the channel holds may still leave. */
  shut(): void {
    this.#shut = true;
  }

  send(message: Uint8Array): boolean {
    if (this.#shut) return false;
    try {
      // `false` means buffered, not refused: it must not be sent again.
      this.#empty = this.#channel.sendMessageBinary(message) && this.#empty;
      return true;
    } catch {
      return false; // closed meanwhile, or above the maximum
    }
  }

  #received(message: string | Buffer | ArrayBuffer): void {
    if (this.#shut) return;
    // Text can only come from something that is not a node of ours: an empty message, which breaks the protocol.
    const bytes = typeof message === 'string' ? new Uint8Array(0) : toBytes(message);
    if (this.#onMessage !== undefined && this.#early.length === 0) {
      this.#onMessage(bytes);
      return;
    }
    this.#earlyBytes += bytes.length;
    if (this.#early.length >= maxEarlyMessages || this.#earlyBytes > maxEarlyBytes) this.#onOverflow();
    else this.#early.push(bytes);
  }

  #release(): void {
    this.#releasing = false;
    let message: Uint8Array | undefined;
    while (this.#onMessage !== undefined && (message = this.#early.shift()) !== undefined) {
      this.#earlyBytes -= message.length;
      this.#onMessage(message);
    }
  }
}

function toBytes(message: Buffer | ArrayBuffer): Uint8Array {
  return message instanceof ArrayBuffer ? new Uint8Array(message) : message;
}
