/**
 * A stream of changes to a client, at the member that serves it. It holds nothing but its place: what is sent is read from what
 * the replica keeps for all its followers, as far as the client's credit goes. A client that falls behind that gets a reset.
 *
 * @internal
 */
import type { Environment } from '../../environment.js';
import { FrameKind, type MeshPort } from '../../mesh/port.js';
import type { Change } from '../changes.js';
import type { Codec } from '../codec.js';
import type { Channel, Ending } from './channel.js';
import { whenRoom } from './frames.js';
import { costOf, frameOf, MAX_CHANGES, type WireChange } from './wire.js';

const FRAME_BYTES = 64 * 1024;

/** What a stream reads from. */
export interface StreamSource {
  readonly codec: Codec;
  /** At most `max` changes after an index; see {@link ChangeFeed.after}. */
  after(from: number | undefined, max: number): readonly Change[];
  follow(wake: () => void): () => void;
}

export class ServedStream implements Ending {
  readonly #channel: Channel;
  readonly #request: number;
  readonly #source: StreamSource;
  readonly #port: MeshPort;
  readonly #environment: Environment;
  readonly #failed: (error: unknown) => void;
  #from: number | undefined;
  #count = 0;
  #bytes = 0;
  #grantedCount = 0;
  #grantedBytes = 0;
  #scheduled = false;
  #ended = false;
  #unfollow: (() => void) | undefined;

  constructor(
    channel: Channel,
    request: number,
    from: number | undefined,
    source: StreamSource,
    port: MeshPort,
    environment: Environment,
    failed: (error: unknown) => void,
  ) {
    this.#channel = channel;
    this.#request = request;
    this.#from = from;
    this.#source = source;
    this.#port = port;
    this.#environment = environment;
    this.#failed = failed;
  }

  /** Begins to send. */
  start(): void {
    if (this.#ended) return;
    this.#unfollow = this.#source.follow(this.#wake);
    this.#wake();
  }

  /** So many changes and bytes may be sent in all. `false`: the client takes back what it granted. */
  grant(count: number, bytes: number): boolean {
    if (count < this.#grantedCount || bytes < this.#grantedBytes) return false;
    this.#grantedCount = count;
    this.#grantedBytes = bytes;
    if (this.#unfollow !== undefined) this.#wake();
    return true;
  }

  end(): void {
    this.#ended = true;
    this.#unfollow?.();
  }

  get #credit(): boolean {
    return this.#count < this.#grantedCount && this.#bytes < this.#grantedBytes;
  }

  readonly #wake = (): void => {
    if (this.#scheduled || this.#ended || !this.#credit) return;
    this.#scheduled = true;
    this.#environment.defer(this.#pump);
  };

  readonly #pump = (): void => {
    this.#scheduled = false;
    if (this.#ended || !this.#credit) return;
    try {
      this.#send();
    } catch (error) {
      this.end();
      this.#failed(error);
    }
  };

  /** One frame a turn. */
  #send(): void {
    const read = this.#source.after(this.#from, Math.min(MAX_CHANGES, this.#grantedCount - this.#count));
    const changes: WireChange[] = [];
    let bytes = 0;
    for (const change of read) {
      if (bytes >= FRAME_BYTES || this.#bytes + bytes >= this.#grantedBytes) break;
      const wired = this.#wired(change);
      // A large one travels alone.
      if (changes.length > 0 && bytes + costOf(wired) > 4 * FRAME_BYTES) break;
      changes.push(wired);
      bytes += costOf(wired);
    }
    if (changes.length === 0) return;
    const { peer, number } = this.#channel;
    const frame = frameOf({ op: 'changes', channel: number, request: this.#request, changes });
    const most = this.#port.maxFrameBytes(peer);
    if (frame.length > most && most > 0)
      throw new Error(`a change takes ${frame.length} bytes, the link at most ${most}`);
    // One lane for all of them: they come in order.
    if (!this.#port.send(peer, FrameKind.client, frame, { lane: 'bulk' })) {
      if (!this.#port.linked().has(peer)) return;
      this.#scheduled = true;
      whenRoom(this.#port, this.#environment, peer, 'bulk', this.#pump);
      return;
    }
    this.#from = changes[changes.length - 1]!.index;
    this.#count += changes.length;
    this.#bytes += bytes;
    this.#wake();
  }

  #wired(change: Change): WireChange {
    if (change.type === 'reset') return change;
    const { index, time, origin, ok, command } = change;
    return { type: 'applied', index, time, origin, ok, command: this.#source.codec.encode(command) };
  }
}
