/** The streams of changes that a client has open, each at a member. @internal */
import type { NodeId } from '../../consensus/consensus.js';
import type { QuorateError } from '../../errors.js';
import type { Change } from '../changes.js';
import type { Codec } from '../codec.js';
import { ClientStream, type StreamHost } from './clientStream.js';
import type { ClientDesk } from './desk.js';
import type { Members } from './members.js';
import type { WireChange } from './wire.js';

export type ChangesOfClient = AsyncIterableIterator<Change>;

/** What the streams of a client work with. */
export interface StreamsSetup {
  readonly desk: ClientDesk;
  readonly channel: number;
  readonly codec: Codec;
  readonly members: Members;
  readonly nextRequest: () => number;
  /** Has {@link ClientStreams.place} called soon. */
  readonly schedule: () => void;
}

export class ClientStreams implements StreamHost {
  readonly #setup: StreamsSetup;
  /** Each, with what takes its reader's signal off. */
  readonly #streams = new Map<ClientStream, () => void>();
  readonly #byRequest = new Map<number, ClientStream>();

  constructor(setup: StreamsSetup) {
    this.#setup = setup;
  }

  get size(): number {
    return this.#streams.size;
  }

  open(from: number | undefined, signal: AbortSignal | undefined): ChangesOfClient {
    const stream = new ClientStream(this.#setup.codec, from, this);
    const onAbort = (): void => stream.end();
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#streams.set(stream, () => signal?.removeEventListener('abort', onAbort));
    if (signal?.aborted === true) stream.end();
    this.#setup.schedule();
    return stream;
  }

  /** Asks a member for each stream that has none. */
  place(): void {
    const { desk, channel, members, nextRequest } = this.#setup;
    for (const stream of this.#streams.keys()) {
      if (stream.at !== undefined) continue;
      const peer = members.anybody();
      if (peer === undefined) return;
      const request = nextRequest();
      this.#byRequest.set(request, stream);
      stream.begin(peer, request);
      const { from, granted } = stream;
      desk.say(peer, `follow ${channel} ${request}`, () => ({
        op: 'follow',
        channel,
        request,
        from,
        count: granted.count,
        bytes: granted.bytes,
      }));
    }
  }

  /** Takes streams from members that do not serve any more, or that no quorum answers while it does another. */
  review(): void {
    const { members } = this.#setup;
    const other = members.target() !== undefined;
    for (const stream of this.#streams.keys()) {
      if (stream.at === undefined || (members.serves(stream.at) && (!other || members.hasQuorum(stream.at))))
        continue;
      this.#detach(stream);
    }
  }

  /** `false`: the member breaks the protocol. */
  receive(peer: NodeId, request: number, changes: readonly WireChange[]): boolean {
    const stream = this.#byRequest.get(request);
    // What was under way when the stream was left.
    if (stream?.at !== peer) return true;
    return stream.push(changes);
  }

  /** A member ended a stream: with an error, or so that it goes on elsewhere. Says whether there is such a stream. */
  failed(peer: NodeId, request: number, error: QuorateError | undefined): boolean {
    const stream = this.#byRequest.get(request);
    if (stream?.at !== peer) return false;
    this.#detach(stream);
    if (error !== undefined) stream.end(error);
    else this.#setup.schedule();
    return true;
  }

  grant(stream: ClientStream): void {
    const { desk, channel } = this.#setup;
    const { at, request, granted } = stream;
    if (at === undefined) return;
    // The newest takes the place of one that still waits for the link.
    desk.say(at, `grant ${channel} ${request}`, () => ({ op: 'grant', channel, request, ...granted }));
  }

  ended(stream: ClientStream): void {
    this.#streams.get(stream)?.();
    this.#streams.delete(stream);
    this.#detach(stream);
  }

  #detach(stream: ClientStream): void {
    const { desk, channel } = this.#setup;
    const { at, request } = stream;
    if (at === undefined) return;
    stream.at = undefined;
    this.#byRequest.delete(request);
    desk.say(at, `leave ${channel} ${request}`, () => ({ op: 'leave', channel, request }));
  }

  close(): void {
    for (const stream of [...this.#streams.keys()]) stream.end();
  }
}
