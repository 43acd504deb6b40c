/** Several rendezvous as one: the local network and a server, or two servers that do not know each other. */
import { described } from '../../description.js';
import { QuorateError, configError } from '../../errors.js';
import type { Signaling, SignalingHost, SignalingSession } from './signaling.js';

const maxSignalings = 8;

/**
 * Uses several rendezvous at once. A peer is there while one of them sees it; a message goes through every one that sees its
 * receiver, and so may arrive more than once, which the transport of this library expects.
 *
 * @param signalings - 1 to 8 of them.
 * @throws QuorateError `ERR_CONFIG`.
 *
 * @example
 * ```ts
 * const signaling = anySignaling([lanSignaling(), webSocketSignaling('wss://rendezvous.example')]);
 * ```
 */
export function anySignaling(signalings: readonly Signaling[]): Signaling {
  if (!Array.isArray(signalings) || signalings.length < 1 || signalings.length > maxSignalings)
    throw configError('signalings', signalings, `an array of 1 to ${maxSignalings} rendezvous`);
  signalings.forEach((one: unknown, index) => {
    if (typeof (one as { start?: unknown } | undefined)?.start !== 'function')
      throw configError(`signalings[${index}]`, one, 'a rendezvous such as lanSignaling()');
  });
  const all = [...(signalings as readonly Signaling[])];
  const signaling: Signaling = {
    kind: all.map((one) => one.kind).join('+'),
    async start(host) {
      const session = new AnySession(host);
      await session.start(all);
      return session;
    },
  };
  return described(signaling, 'anySignaling', [all]);
}

class AnySession implements SignalingSession {
  readonly #host: SignalingHost;
  readonly #sessions: SignalingSession[] = [];
  /** Which of them see each peer, by their place. */
  readonly #seenBy = new Map<string, Set<number>>();
  #closed = false;

  constructor(host: SignalingHost) {
    this.#host = host;
  }

  async start(all: readonly Signaling[]): Promise<void> {
    const { id, cluster, incarnation, environment } = this.#host;
    const starts = all.map((one, place) =>
      one.start({
        id,
        cluster,
        incarnation,
        environment,
        onPresence: (peer, present) => this.#presence(place, peer, present),
        onMessage: (from, payload) => {
          if (!this.#closed) this.#host.onMessage(from, payload);
        },
        onWarning: (error) => {
          if (!this.#closed) this.#host.onWarning(error);
        },
      }),
    );
    const results = await Promise.allSettled(starts);
    const failures: unknown[] = [];
    for (const result of results) {
      if (result.status === 'fulfilled') this.#sessions.push(result.value);
      else {
        failures.push(result.reason);
        this.#sessions.push(absent);
      }
    }
    if (failures.length === all.length) throw failures[0];
    for (const cause of failures) {
      const text = `one of ${all.length} rendezvous could not be started: ${String(cause)}`;
      environment.defer(() => {
        if (!this.#closed) this.#host.onWarning(new QuorateError('ERR_SIGNALING', text, { cause }));
      });
    }
  }

  get connected(): boolean {
    return !this.#closed && this.#sessions.some((session) => session.connected);
  }

  send(to: string, payload: string): void {
    for (const place of this.#seenBy.get(to) ?? []) this.#sessions[place]?.send(to, payload);
  }

  moved(): void {
    for (const session of this.#sessions) session.moved?.();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#seenBy.clear();
    await Promise.all(this.#sessions.map((session) => session.close()));
  }

  #presence(place: number, peer: string, present: boolean): void {
    if (this.#closed) return;
    const seenBy = this.#seenBy.get(peer) ?? new Set<number>();
    if (present) {
      this.#seenBy.set(peer, seenBy.add(place));
      this.#host.onPresence(peer, true);
    } else if (seenBy.delete(place) && seenBy.size === 0) {
      this.#seenBy.delete(peer);
      this.#host.onPresence(peer, false);
    }
  }
}

/** Stands in for one that could not be started. */
const absent: SignalingSession = {
  connected: false,
  send: () => undefined,
  close: () => Promise.resolve(),
};
