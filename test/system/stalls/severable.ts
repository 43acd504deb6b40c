/** A transport that can be cut off in the middle of a word: nothing leaves, nothing comes, and nobody says farewell. */
import type { Lane, RawLink, Transport, TransportSession } from '../../../lib/mesh/transport.js';

/** `silent`: connections stay open and carry nothing, as of a machine that is gone. `closed`: they end, as of a process. */
export type Cut = 'silent' | 'closed';

export interface Severable extends Transport {
  sever(cut: Cut): void;
  /** Lets go of what a silent cut left open; only then does the mesh above finish its close. */
  release(): void;
}

/** Cuts the one node that uses it. */
export function severable(inner: Transport): Severable {
  const cut = { severed: false };
  let session: TransportSession | undefined;
  let release!: () => void;
  const released = new Promise<void>((resolve) => (release = resolve));
  return {
    kind: inner.kind,
    start: async (host) => {
      const real = await inner.start({
        ...host,
        onLink: (raw) => {
          if (!cut.severed) host.onLink(new SeverableLink(raw, cut));
        },
        onPresence: (peer, present) => {
          if (!cut.severed) host.onPresence(peer, present);
        },
        route: (peer, payload) => !cut.severed && host.route(peer, payload),
        onWarning: (error) => {
          if (!cut.severed) host.onWarning(error);
        },
      });
      session = real;
      return {
        connect: (peer) => {
          if (!cut.severed) real.connect(peer);
        },
        routed: (from, payload) => {
          if (!cut.severed) real.routed(from, payload);
        },
        close: async () => {
          if (cut.severed) await released;
          await real.close();
        },
      };
    },
    sever: (how) => {
      cut.severed = true;
      if (how === 'closed') void session?.close();
    },
    release,
  };
}

class SeverableLink implements RawLink {
  readonly control: Lane;
  readonly bulk: Lane;
  readonly #raw: RawLink;
  readonly #cut: { readonly severed: boolean };

  constructor(raw: RawLink, cut: { readonly severed: boolean }) {
    this.#raw = raw;
    this.#cut = cut;
    this.control = new SeverableLane(raw.control, cut);
    this.bulk = new SeverableLane(raw.bulk, cut);
  }

  get peer(): string {
    return this.#raw.peer;
  }

  get offerer(): boolean {
    return this.#raw.offerer;
  }

  get binding(): string {
    return this.#raw.binding;
  }

  get onClosed(): RawLink['onClosed'] {
    return this.#raw.onClosed;
  }

  set onClosed(callback: RawLink['onClosed']) {
    this.#raw.onClosed = callback;
  }

  close(): void {
    if (!this.#cut.severed) this.#raw.close();
  }
}

class SeverableLane implements Lane {
  readonly #lane: Lane;
  readonly #cut: { readonly severed: boolean };
  #onMessage: Lane['onMessage'];

  constructor(lane: Lane, cut: { readonly severed: boolean }) {
    this.#lane = lane;
    this.#cut = cut;
  }

  get maxMessageSize(): number {
    return this.#lane.maxMessageSize;
  }

  get bufferedAmount(): number {
    return this.#lane.bufferedAmount;
  }

  get onMessage(): Lane['onMessage'] {
    return this.#onMessage;
  }

  set onMessage(callback: Lane['onMessage']) {
    this.#onMessage = callback;
    this.#lane.onMessage =
      callback &&
      ((message) => {
        if (!this.#cut.severed) callback(message);
      });
  }

  get onDrain(): Lane['onDrain'] {
    return this.#lane.onDrain;
  }

  set onDrain(callback: Lane['onDrain']) {
    this.#lane.onDrain = callback;
  }

  send(message: Uint8Array): boolean {
    return this.#cut.severed || this.#lane.send(message);
  }
}
