/** A set-up that this end began: asks, repeats itself, and gives up in time. @internal */
import type { NodeId } from '../../consensus/consensus.js';
import type { Environment, Timer } from '../../environment.js';
import { makeKeys, sessionBytes } from './keyExchange.js';
import type { EphemeralKeys } from './keyExchange.js';
import { MessageType, cookieBytes, setupMessage } from './packets.js';

/** How long a set-up may take, in milliseconds. */
export const setupTimeoutMs = 5000;
const firstRepeatMs = 250;
const maxRepeatMs = 1000;
/** Challenges that a set-up answers: one a repetition, and no stream of them. */
const maxChallenges = 8;

export class Opening {
  readonly peer: NodeId;
  readonly session: Uint8Array;
  readonly keys: EphemeralKeys;
  readonly #environment: Environment;
  readonly #send: (message: Uint8Array) => void;
  readonly #failed: () => void;
  readonly #deadline: number;
  #cookie = new Uint8Array(cookieBytes);
  #challenges = 0;
  #repeatMs = firstRepeatMs;
  #timer: Timer | undefined;

  constructor(
    peer: NodeId,
    environment: Environment,
    send: (message: Uint8Array) => void,
    failed: () => void,
  ) {
    this.peer = peer;
    this.session = environment.randomBytes(sessionBytes);
    this.keys = makeKeys(environment);
    this.#environment = environment;
    this.#send = send;
    this.#failed = failed;
    this.#deadline = environment.now() + setupTimeoutMs;
  }

  /** Sends the first message. */
  start(): void {
    this.#ask();
  }

  /** The other end wants its cookie back. */
  challenged(cookie: Uint8Array): void {
    if (++this.#challenges > maxChallenges) return;
    this.#cookie = Uint8Array.from(cookie);
    this.#open();
  }

  close(): void {
    this.#timer?.cancel();
  }

  #ask(): void {
    this.#open();
    const left = this.#deadline - this.#environment.now();
    const wait = Math.min(this.#repeatMs, left);
    this.#repeatMs = Math.min(this.#repeatMs * 2, maxRepeatMs);
    this.#timer = this.#environment.setTimer(Math.max(0, wait), () => {
      if (wait === left) this.#failed();
      else this.#ask();
    });
  }

  #open(): void {
    this.#send(setupMessage(MessageType.open, this.session, this.keys.publicKey, this.#cookie));
  }
}
