/** Runs the handshake over a fresh link, and keeps what comes early. @internal */
import type { Environment, Timer } from '../environment.js';
import type { Standing } from './credentials.js';
import { Handshake } from './handshake.js';
import type { HandshakeOptions, HandshakeState, Hello } from './handshake.js';
import { pieceOverhead } from './limits.js';
import type { RawLink } from './transport.js';

/** How an admission ends, exactly once. */
export type Admitted =
  | {
      readonly kind: 'done';
      readonly hello: Hello;
      /** What the peer proved: {@link Credentials.objection} is asked about it again when the rules change. */
      readonly standing: Standing;
      readonly earlyBulk: readonly Uint8Array[];
    }
  | Extract<HandshakeState, { kind: 'refused' }>
  | { readonly kind: 'lost' };

/** What an admission is made with. */
export interface AdmissionOptions extends Omit<HandshakeOptions, 'peer' | 'offerer' | 'binding'> {
  readonly environment: Environment;
  readonly timeoutMs: number;
}

export class Admission {
  readonly #raw: RawLink;
  readonly #handshake: Handshake;
  readonly #timer: Timer;
  readonly #finished: (outcome: Admitted) => void;
  readonly #bulkCap: number;
  #earlyBulk: Uint8Array[] = [];
  #earlyBytes = 0;
  #over = false;

  constructor(raw: RawLink, options: AdmissionOptions, finished: (outcome: Admitted) => void) {
    this.#raw = raw;
    this.#finished = finished;
    this.#bulkCap = 2 * options.limits.bulkWindowBytes; // headers and overhead count here, but less in credit
    this.#handshake = new Handshake({
      ...options,
      peer: raw.peer,
      offerer: raw.offerer,
      binding: raw.binding,
    });
    this.#timer = options.environment.setTimer(options.timeoutMs, () =>
      this.#abandon('ERR_PEER_TIMEOUT', `no handshake within ${options.timeoutMs} ms`),
    );
    raw.control.onMessage = (message) => this.#control(message);
    raw.bulk.onMessage = (message) => this.#bulk(message);
    raw.onClosed = () => this.#end({ kind: 'lost' });
    raw.control.send(this.#handshake.start());
  }

  /** Gives the link up without a word: the mesh closes. */
  cancel(): void {
    if (this.#over) return;
    this.#end({ kind: 'lost' });
    this.#raw.close();
  }

  #control(message: Uint8Array): void {
    if (this.#over) return;
    this.#settle(this.#handshake.receive(message, this.#reply));
  }

  /**
   * The two lanes overtake each other: a peer that has our acceptance may send bulk before its own acceptance arrives here. Such
   * messages wait, up to the credit the peer has anyhow. Before its proof, nothing is read.
   */
  #bulk(message: Uint8Array): void {
    if (this.#over) return;
    this.#earlyBytes += message.length + pieceOverhead;
    if (!this.#handshake.verified || this.#earlyBytes > this.#bulkCap) {
      this.#abandon('ERR_PEER_PROTOCOL', 'a frame before the handshake');
      return;
    }
    this.#earlyBulk.push(message);
  }

  #abandon(code: 'ERR_PEER_TIMEOUT' | 'ERR_PEER_PROTOCOL', text: string): void {
    this.#settle(this.#handshake.abandon(code, text, this.#reply));
  }

  readonly #reply = (bytes: Uint8Array): void => {
    this.#raw.control.send(bytes);
  };

  #settle(state: HandshakeState): void {
    if (state.kind === 'running') return;
    if (state.kind === 'done') {
      this.#end({ kind: 'done', hello: state.hello, standing: state.standing, earlyBulk: this.#earlyBulk });
    } else {
      this.#end(state);
      this.#raw.close();
    }
  }

  #end(outcome: Admitted): void {
    if (this.#over) return;
    this.#over = true;
    this.#earlyBulk = [];
    this.#timer.cancel();
    if (outcome.kind !== 'done') {
      this.#raw.control.onMessage = undefined;
      this.#raw.bulk.onMessage = undefined;
      this.#raw.onClosed = undefined;
    }
    this.#finished(outcome);
  }
}
