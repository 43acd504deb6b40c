/** The engine's side of a mesh that lives in another thread, as far as the app's thread needs it: frames of clients. @internal */
import type { NodeId } from '../../consensus/consensus.js';
import type { Environment } from '../../environment.js';
import type { Channel } from '../../threads/line.js';
import type { FrameKind, MeshListener, MeshPort, SendOptions } from '../port.js';
import type { LaneName } from '../transport.js';
import { MAX_LANE_BYTES, type FromMesh, type FromMeshApp, type LinkedPeer } from './items.js';

type Handler = Parameters<MeshPort['handle']>[1];

/** Small frames count for a little more than their bytes, so that their number is bounded too. */
const FRAME_OVERHEAD = 256;
/** What urgent frames may take above the cap of their lane. */
const URGENT_BYTES = 1024 * 1024;

interface FarLink {
  readonly session: number;
  readonly maxFrameBytes: number;
  /** Bytes that the link has not taken yet, and who waits for fewer. */
  readonly untaken: Record<LaneName, number>;
  readonly waiting: Record<LaneName, (() => void)[]>;
}

export class FarPort implements MeshPort {
  readonly id: NodeId;
  readonly cluster: string;
  readonly #channel: Channel;
  readonly #environment: Environment;
  readonly #links = new Map<NodeId, FarLink>();
  readonly #sessions = new Map<NodeId, number>();
  readonly #handlers = new Map<FrameKind, Handler>();
  readonly #listeners: MeshListener[] = [];

  constructor(id: NodeId, cluster: string, channel: Channel, environment: Environment) {
    this.id = id;
    this.cluster = cluster;
    this.#channel = channel;
    this.#environment = environment;
  }

  linked(): ReadonlyMap<NodeId, number> {
    return this.#sessions;
  }

  send(peer: NodeId, kind: FrameKind, frame: Uint8Array, options: SendOptions): boolean {
    const link = this.#links.get(peer);
    if (link === undefined || frame.length > link.maxFrameBytes) return false;
    const { lane, urgent = false } = options;
    const cap = MAX_LANE_BYTES + (urgent ? URGENT_BYTES : 0);
    // A frame above the cap goes when nothing else is under way.
    if (link.untaken[lane] > 0 && link.untaken[lane] + frame.length > cap) return false;
    link.untaken[lane] += frame.length + FRAME_OVERHEAD;
    const copy = new Uint8Array(new ArrayBuffer(frame.length)); // the caller's bytes may be part of more
    copy.set(frame);
    const { session } = link;
    this.#say({ type: 'send', peer, session, kind, frame: copy, lane, urgent }, [copy.buffer]);
    return true;
  }

  maxFrameBytes(peer: NodeId): number {
    return this.#links.get(peer)?.maxFrameBytes ?? 0;
  }

  backlog(peer: NodeId, lane: LaneName): number {
    return this.#links.get(peer)?.untaken[lane] ?? Infinity;
  }

  whenDrained(peer: NodeId, lane: LaneName, callback: () => void): void {
    const link = this.#links.get(peer);
    if (link === undefined || link.untaken[lane] <= MAX_LANE_BYTES / 4) this.#environment.defer(callback);
    else link.waiting[lane].push(callback);
  }

  handle(kind: FrameKind, handler: Handler): void {
    this.#handlers.set(kind, handler);
    this.#say({ type: 'handle', kind });
  }

  listen(listener: MeshListener): void {
    this.#listeners.push(listener);
  }

  /** The groups are with the engine, which knows their voters. */
  expect(): void {
    // Nothing to tell from here.
  }

  /** So does what counts them. */
  count(): void {
    // Nothing to tell from here.
  }

  /** Only cores, which are with the engine, want to know. */
  vitals(): undefined {
    return undefined;
  }

  punish(peer: NodeId, reason: string): void {
    this.#say({ type: 'punish', peer, reason });
  }

  /** A frame has come. */
  received({ peer, session, kind, frame }: Extract<FromMesh, { type: 'frame' }>): void {
    const verdict =
      this.#sessions.get(peer) === session ? this.#handlers.get(kind)?.(peer, session, frame) : true;
    const tell = (sound: boolean): void => this.#say({ type: 'verdict', peer, session, sound });
    if (verdict instanceof Promise) verdict.then(tell, () => tell(false));
    else tell(verdict ?? true);
  }

  /** A link took bytes. */
  sent({ peer, session, lane, bytes }: Extract<FromMesh, { type: 'sent' }>): void {
    const link = this.#links.get(peer);
    if (link?.session !== session) return;
    link.untaken[lane] -= bytes + FRAME_OVERHEAD;
    if (link.untaken[lane] <= MAX_LANE_BYTES / 4)
      for (const callback of link.waiting[lane].splice(0)) callback();
  }

  up({ peer, session, maxFrameBytes }: LinkedPeer): void {
    this.#drop(peer);
    const untaken = { control: 0, bulk: 0 };
    this.#links.set(peer, { session, maxFrameBytes, untaken, waiting: { control: [], bulk: [] } });
    this.#sessions.set(peer, session);
    for (const listener of this.#listeners) listener.onPeer(peer, true, session);
  }

  down(peer: NodeId, session: number): void {
    if (this.#sessions.get(peer) !== session) return;
    this.#drop(peer);
    for (const listener of this.#listeners) listener.onPeer(peer, false, session);
  }

  /** This is how the links stand, whatever was said before. */
  resync(linked: readonly LinkedPeer[]): void {
    const now = new Map(linked.map((link) => [link.peer, link.session]));
    for (const [peer, session] of [...this.#sessions]) if (!now.has(peer)) this.down(peer, session);
    for (const link of linked) if (this.#sessions.get(link.peer) !== link.session) this.up(link);
  }

  #drop(peer: NodeId): void {
    const link = this.#links.get(peer);
    this.#links.delete(peer);
    this.#sessions.delete(peer);
    const callbacks = link === undefined ? [] : [...link.waiting.control, ...link.waiting.bulk];
    for (const callback of callbacks) this.#environment.defer(callback);
  }

  #say(item: FromMeshApp, buffers?: readonly ArrayBuffer[]): void {
    this.#channel.say(item, buffers);
  }
}
