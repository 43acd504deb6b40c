/**
 * Carries datagrams over the direct links of the mesh. Each member hands a datagram to the next on a shortest way, by what it
 * knows of the mesh (link state, breadth first); a datagram that a member sees again, or whose hops are used up, is dropped, so
 * that views that differ for a moment cannot make it run in circles. A full link drops, and nobody waits. @internal
 */
import { ByteReader, ByteWriter } from '../../bytes.js';
import type { NodeId } from '../../consensus/consensus.js';
import type { Environment } from '../../environment.js';
import { QuorateError, isName } from '../../errors.js';
import type { Link } from '../link.js';
import type { MeshCounters } from '../metrics.js';
import { FrameKind } from '../port.js';
import type { LaneName } from '../transport.js';
import { maxDatagramBytes } from './datagrams.js';
import type { DatagramHandler, DatagramKind, DatagramOptions, DatagramPort } from './datagrams.js';
import { Seen } from './seen.js';

/** Hops that a datagram may take. Ways through a mesh are short: what is longer runs in circles. */
const maxHops = 16;
/** What may wait in a link for the datagrams of others, so that a relay's own frames are not held up. */
const backlogCap: Readonly<Record<LaneName, number>> = { control: 1024 * 1024, bulk: 512 * 1024 };
const maxKnownKinds = 16;

/** Ways through the mesh, as this node knows it. */
export interface Routes {
  /** The neighbour that a shortest way to a member begins with; `over: true`: one that does not begin with that member itself. */
  next(to: NodeId, options: { readonly over: boolean }): NodeId | undefined;
}

/** What a {@link DatagramRouter} is made with. */
export interface DatagramRouterOptions {
  readonly id: NodeId;
  readonly environment: Environment;
  readonly routes: Routes;
  readonly counters: MeshCounters;
  /** Whether the direct link of a neighbour owes an answer. */
  readonly doubts: (peer: NodeId) => boolean;
  /** The direct link to a neighbour. */
  readonly link: (peer: NodeId) => Link | undefined;
}

export class DatagramRouter implements DatagramPort {
  readonly #options: DatagramRouterOptions;
  readonly #handlers: (DatagramHandler | undefined)[] = new Array<undefined>(maxKnownKinds).fill(undefined);
  readonly #seen = new Seen();
  #number: number;

  constructor(options: DatagramRouterOptions) {
    this.#options = options;
    // Each run starts elsewhere, or its first datagrams would be taken for those of the last run.
    this.#number = Math.floor(options.environment.random() * 2 ** 44);
  }

  reaches(to: NodeId): boolean {
    return this.#options.routes.next(to, { over: true }) !== undefined;
  }

  send(to: NodeId, kind: DatagramKind, payload: Uint8Array, options: DatagramOptions): boolean {
    const { id, counters, routes } = this.#options;
    if (payload.length > maxDatagramBytes)
      throw new QuorateError('ERR_INTERNAL', `a datagram of ${payload.length} bytes`);
    const hop = options.via ?? routes.next(to, { over: true });
    if (hop === undefined || to === id) return false;
    const datagram = { from: id, to, number: ++this.#number, hops: maxHops, kind, payload };
    if (this.#pass(hop, datagram, options.lane)) return true;
    counters.datagramsDropped++;
    return false;
  }

  handle(kind: DatagramKind, handler: DatagramHandler): void {
    this.#handlers[kind] = handler;
  }

  /** A frame from a neighbour. `false`: it is none of ours to understand, the neighbour broke the protocol. */
  onFrame(neighbour: NodeId, frame: Uint8Array): boolean {
    const { id, counters } = this.#options;
    let lane: LaneName;
    let datagram: Datagram;
    try {
      ({ lane, datagram } = decodeDatagram(frame));
    } catch {
      return false;
    }
    const { from, to, number, hops, kind, payload } = datagram;
    if (from === id || !this.#seen.add(`${from} ${number}`)) {
      counters.datagramsDropped++;
      return true;
    }
    if (to === id) {
      counters.datagramsReceived++;
      this.#handlers[kind]?.(from, payload, lane, neighbour);
      return true;
    }
    const hop = this.#hop(to, neighbour);
    if (hops <= 1 || hop === undefined || hop === neighbour || hop === from) {
      counters.datagramsDropped++;
    } else if (this.#pass(hop, { ...datagram, hops: hops - 1 }, lane)) {
      counters.datagramsRelayed++;
      counters.bytesRelayed += payload.length;
    } else {
      counters.datagramsDropped++;
    }
    return true;
  }

  /** The direct link, unless it owes an answer and there is another way. */
  #hop(to: NodeId, neighbour: NodeId): NodeId | undefined {
    const { routes, link, doubts } = this.#options;
    if (link(to) === undefined) return routes.next(to, { over: false });
    const around = doubts(to) ? routes.next(to, { over: true }) : undefined;
    return around === undefined || around === neighbour ? to : around;
  }

  #pass(hop: NodeId, datagram: Datagram, lane: LaneName): boolean {
    const link = this.#options.link(hop);
    if (link === undefined || link.backlog(lane) > backlogCap[lane]) return false;
    return link.send(FrameKind.datagram, encodeDatagram(datagram, lane), lane, false);
  }
}

interface Datagram {
  readonly from: NodeId;
  readonly to: NodeId;
  /** Names it among those of its sender. */
  readonly number: number;
  /** Links that it may still take. */
  readonly hops: number;
  readonly kind: number;
  readonly payload: Uint8Array;
}

const bulkFlag = 0x80;

/** @internal */
export function encodeDatagram(datagram: Datagram, lane: LaneName): Uint8Array {
  const { from, to, number, hops, kind, payload } = datagram;
  const writer = new ByteWriter(32 + from.length + to.length + payload.length);
  writer.u8(hops | (lane === 'bulk' ? bulkFlag : 0));
  writer.u8(kind);
  writer.varint(number);
  writer.string(from);
  writer.string(to);
  writer.bytes(payload);
  return writer.take();
}

/** @throws QuorateError `ERR_CODEC`. @internal */
export function decodeDatagram(bytes: Uint8Array): { readonly lane: LaneName; readonly datagram: Datagram } {
  const reader = new ByteReader(bytes);
  const first = reader.u8();
  const hops = first & ~bulkFlag;
  const kind = reader.u8();
  const number = reader.varint();
  const from = reader.string(128);
  const to = reader.string(128);
  const payload = reader.bytes(maxDatagramBytes);
  if (hops > maxHops || kind >= maxKnownKinds || reader.remaining > 0 || !isName(from) || !isName(to))
    throw new QuorateError('ERR_CODEC', 'a datagram that makes no sense');
  const lane = (first & bulkFlag) === 0 ? 'control' : 'bulk';
  return { lane, datagram: { from, to, number, hops, kind, payload } };
}
