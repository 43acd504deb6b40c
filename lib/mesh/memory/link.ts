/** A pair of lanes inside the process. @internal */
import type { NodeId } from '../../consensus/consensus.js';
import type { Environment } from '../../environment.js';
import { watermarks } from '../limits.js';
import type { Lane, LaneName, RawLink, TransportHost } from '../transport.js';
import type { Wire } from './network.js';

const maxMessageSize = 262_144;
/** What a lane holds, behind a cut wire say, before the link breaks. */
const maxBufferedBytes = 64 * 1024 * 1024;
const maxBufferedMessages = 100_000;

/** Makes both ends of a link; the first offers. `owners` let a session find the ends that lead to another. */
export function connectMemoryLinks(
  wire: Wire,
  hosts: readonly [TransportHost, TransportHost],
  owners: readonly [object, object],
): [MemoryLink, MemoryLink] {
  const near = new MemoryLink(wire, hosts[0], hosts[1], true, owners[1]);
  const far = new MemoryLink(wire, hosts[1], hosts[0], false, owners[0]);
  near.join(far);
  far.join(near);
  return [near, far];
}

export class MemoryLink implements RawLink {
  readonly peer: NodeId;
  readonly id: NodeId;
  readonly offerer: boolean;
  readonly binding = '';
  readonly control: MemoryLane;
  readonly bulk: MemoryLane;
  /** The session at the other end. */
  readonly partner: object;
  onClosed: ((reason: string) => void) | undefined;
  /** For the owning session: this end is closed. */
  onGone: (() => void) | undefined;
  readonly environment: Environment;
  readonly #wire: Wire;
  #other: MemoryLink | undefined;
  #open = true;

  constructor(wire: Wire, host: TransportHost, peer: TransportHost, offerer: boolean, partner: object) {
    this.#wire = wire;
    this.id = host.id;
    this.peer = peer.id;
    this.offerer = offerer;
    this.partner = partner;
    this.environment = host.environment;
    this.control = new MemoryLane('control', this, wire);
    this.bulk = new MemoryLane('bulk', this, wire);
  }

  get open(): boolean {
    return this.#open;
  }

  join(other: MemoryLink): void {
    this.#other = other;
    this.control.join(other.control);
    this.bulk.join(other.bulk);
  }

  close(): void {
    this.shut('closed');
    const other = this.#other;
    if (other === undefined) return;
    // What was sent before still arrives first. Behind a cut the other end hears nothing, and must find out by itself.
    if (this.#wire.isCut(this.id, this.peer)) return;
    travel(this.#wire, other.environment, () => other.shut('closed by the peer'));
  }

  shut(reason: string): void {
    if (!this.#open) return;
    this.#open = false;
    this.onGone?.();
    this.environment.defer(() => this.onClosed?.(reason));
  }
}

/** Messages sent in one turn, on their way. */
interface Batch {
  readonly messages: Uint8Array[];
  /** Its time has come; it may still wait for a cut wire. */
  ready: boolean;
}

export class MemoryLane implements Lane {
  readonly maxMessageSize = maxMessageSize;
  onMessage: ((message: Uint8Array) => void) | undefined;
  onDrain: (() => void) | undefined;
  readonly #link: MemoryLink;
  readonly #wire: Wire;
  readonly #low: number;
  #other: MemoryLane | undefined;
  #loading: Batch | undefined;
  #flying: Batch[] = [];
  #buffered = 0;
  #count = 0;
  #cut = false;

  constructor(name: LaneName, link: MemoryLink, wire: Wire) {
    this.#link = link;
    this.#wire = wire;
    this.#low = watermarks[name].low;
  }

  get bufferedAmount(): number {
    return this.#buffered;
  }

  join(other: MemoryLane): void {
    this.#other = other;
  }

  send(message: Uint8Array): boolean {
    const other = this.#other;
    if (!this.#link.open || other === undefined || message.length > maxMessageSize) return false;
    if (this.#buffered + message.length > maxBufferedBytes || this.#count >= maxBufferedMessages) {
      this.#link.close();
      return false;
    }
    this.#buffered += message.length;
    this.#count++;
    this.#load(other).messages.push(Uint8Array.from(message));
    return true;
  }

  /** One batch, and one callback, for all that is sent in a turn. */
  #load(other: MemoryLane): Batch {
    if (this.#loading !== undefined) return this.#loading;
    const batch: Batch = { messages: [], ready: false };
    this.#loading = batch;
    this.#flying.push(batch);
    const left = (): void => (this.#loading = undefined);
    travel(
      this.#wire,
      other.#link.environment,
      () => {
        batch.ready = true;
        this.#arrive(other);
      },
      left,
    );
    return batch;
  }

  #arrive(other: MemoryLane): void {
    if (this.#cut) return;
    if (this.#wire.isCut(this.#link.id, this.#link.peer)) {
      this.#cut = true;
      this.#wire.whenHealed(() => {
        this.#cut = false;
        this.#arrive(other);
      });
      return;
    }
    // In order, whatever a changed latency did to the timers.
    while (this.#flying[0]?.ready === true) {
      for (const message of this.#flying.shift()!.messages) {
        this.#buffered -= message.length;
        this.#count--;
        if (other.#link.open) other.onMessage?.(message);
      }
    }
    if (this.#buffered <= this.#low && this.#link.open) this.onDrain?.();
  }
}

/** Calls back when what this turn sends has left, and when it has arrived. */
function travel(wire: Wire, environment: Environment, arrived: () => void, left?: () => void): void {
  environment.defer(() => {
    left?.();
    const { latencyMs } = wire;
    if (latencyMs > 0) environment.setTimer(latencyMs, arrived);
    else arrived();
  });
}
