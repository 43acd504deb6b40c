/** Frames between the links of a mesh and handlers in the app's thread: the end at the links. @internal */
import type { NodeId } from '../../consensus/consensus.js';
import type { Environment } from '../../environment.js';
import type { Channel } from '../../threads/line.js';
import type { FrameKind, MeshPort } from '../port.js';
import type { LaneName } from '../transport.js';
import { MAX_FRAME_BYTES_UNTAKEN, MAX_FRAMES_UNTAKEN, type FromMesh, type FromMeshApp } from './items.js';

/** A lane that has drained may still have no room for a large frame: how long until the next try. */
const PAUSE_MS = 5;

type Send = Extract<FromMeshApp, { type: 'send' }>;

/** What one link has under way to and from the app. */
interface Way {
  readonly session: number;
  /** Frames that the app has not judged yet: their bytes, and who waits for the verdict. */
  readonly untaken: { readonly bytes: number; readonly judged: ((sound: boolean) => void) | undefined }[];
  untakenBytes: number;
  /** What a full lane did not take yet. */
  readonly waiting: Record<LaneName, Send[]>;
}

export class FramesServer {
  readonly #port: MeshPort;
  readonly #channel: Channel;
  readonly #environment: Environment;
  readonly #ways = new Map<NodeId, Way>();

  constructor(port: MeshPort, channel: Channel, environment: Environment) {
    this.#port = port;
    this.#channel = channel;
    this.#environment = environment;
  }

  /** The app handles frames of a kind from now on. */
  handle(kind: FrameKind): void {
    this.#port.handle(kind, (peer, session, frame) => this.#received(peer, session, kind, frame));
  }

  /** A link is up, or gone. */
  linked(peer: NodeId): void {
    const way = this.#ways.get(peer);
    this.#ways.delete(peer);
    for (const { judged } of way?.untaken ?? []) judged?.(true);
  }

  /**
   * Hands a frame on. The lane's credit is shared with the groups: it is granted at once while little waits, so that an app that
   * stands still does not keep its groups from their peers.
   */
  #received(peer: NodeId, session: number, kind: FrameKind, frame: Uint8Array): boolean | Promise<boolean> {
    const way = this.#way(peer, session);
    const copy = new Uint8Array(new ArrayBuffer(frame.length)); // it may be part of a message with other frames
    copy.set(frame);
    this.#say({ type: 'frame', peer, session, kind, frame: copy }, [copy.buffer]);
    way.untakenBytes += frame.length;
    if (way.untaken.length < MAX_FRAMES_UNTAKEN && way.untakenBytes <= MAX_FRAME_BYTES_UNTAKEN) {
      way.untaken.push({ bytes: frame.length, judged: undefined });
      return true;
    }
    return new Promise((judged) => way.untaken.push({ bytes: frame.length, judged }));
  }

  /** The app has judged the oldest frame of a link. */
  verdict(peer: NodeId, session: number, sound: boolean): void {
    const way = this.#ways.get(peer);
    if (way?.session !== session) return;
    const oldest = way.untaken.shift();
    if (oldest === undefined) return;
    way.untakenBytes -= oldest.bytes;
    if (oldest.judged !== undefined) oldest.judged(sound);
    else if (!sound) this.#port.punish(peer, 'a frame that breaks the protocol');
  }

  /** Sends a frame of the app, or keeps it until the lane has room. The app has a cap for what it hands over. */
  send(item: Send): void {
    const { peer, session, lane } = item;
    if (this.#port.linked().get(peer) !== session) return; // the app hears that the link is gone
    const waiting = this.#way(peer, session).waiting[lane];
    // An urgent frame overtakes others, but not its like.
    const mayPass = item.urgent ? !waiting.some(({ urgent }) => urgent) : waiting.length === 0;
    if (mayPass && this.#pass(item)) return;
    waiting.push(item);
    if (waiting.length === 1) this.#later(peer, session, lane);
  }

  #later(peer: NodeId, session: number, lane: LaneName): void {
    this.#port.whenDrained(peer, lane, () => {
      const way = this.#ways.get(peer);
      if (way?.session !== session || this.#port.linked().get(peer) !== session) return;
      const items = way.waiting[lane];
      while (items.length > 0 && this.#pass(items[0]!)) items.shift();
      if (items.length > 0) this.#environment.setTimer(PAUSE_MS, () => this.#later(peer, session, lane));
    });
  }

  #pass(item: Send): boolean {
    const { peer, kind, frame, lane, urgent } = item;
    if (!this.#port.send(peer, kind, frame, { lane, urgent })) return false;
    this.#sent(item);
    return true;
  }

  #sent({ peer, session, lane, frame }: Send): void {
    this.#say({ type: 'sent', peer, session, lane, bytes: frame.length });
  }

  #way(peer: NodeId, session: number): Way {
    let way = this.#ways.get(peer);
    if (way?.session !== session) {
      if (way !== undefined) this.linked(peer);
      way = { session, untaken: [], untakenBytes: 0, waiting: { control: [], bulk: [] } };
      this.#ways.set(peer, way);
    }
    return way;
  }

  #say(item: FromMesh, buffers?: readonly ArrayBuffer[]): void {
    this.#channel.say(item, buffers);
  }
}
