/** Gathers what a turn sends, so that every peer gets one frame a lane, whatever the number of groups and messages. */
import { ByteWriter } from '../bytes.js';
import type { NodeId } from '../consensus/consensus.js';
import { FrameKind, type MeshPort } from '../mesh/port.js';
import type { MessageBase } from '../consensus/consensus.js';
import type { MessageCodec } from './codec.js';
import { ItemType, MAX_ITEMS, writeItem } from './wire.js';

/** Items above this size travel on the bulk lane, so that they delay no heartbeat. */
const BULK_BYTES = 256 * 1024;
/** A frame that has grown this large is sent before its turn ends: the mesh drops frames above its cap. */
const FRAME_BYTES = 1024 * 1024;

/** The frames under way to one peer. */
interface PeerFrames {
  readonly urgent: ByteWriter;
  readonly normal: ByteWriter;
  urgentItems: number;
  normalItems: number;
}

export class Outbox {
  readonly #port: MeshPort;
  readonly #frames = new Map<NodeId, PeerFrames>();

  constructor(port: MeshPort) {
    this.#port = port;
  }

  /** Queues an item for the end of the turn. */
  item(to: NodeId, group: number, type: number, urgent: boolean, body: (writer: ByteWriter) => void): void {
    const frames = this.#framesOf(to);
    writeItem(urgent ? frames.urgent : frames.normal, group, type, body);
    const items = urgent ? ++frames.urgentItems : ++frames.normalItems;
    const length = urgent ? frames.urgent.length : frames.normal.length;
    if (items >= MAX_ITEMS || length >= FRAME_BYTES) this.#send(to, frames);
  }

  /** Sends an item of `size` bytes that may be large; it then overtakes, or is overtaken by, what else the turn sends. */
  sized(to: NodeId, group: number, type: number, size: number, body: (writer: ByteWriter) => void): boolean {
    if (size <= BULK_BYTES) {
      this.item(to, group, type, false, body);
      return true;
    }
    const frame = new ByteWriter(size + 256);
    writeItem(frame, group, type, body);
    return this.#port.send(to, FrameKind.group, frame.take(), { lane: 'bulk' });
  }

  /** Queues a message of a core; `false` when it was large, sent at once, and could not be. */
  message<M extends MessageBase>(to: NodeId, group: number, codec: MessageCodec<M>, message: M): boolean {
    const { urgent, size } = codec.travel(message);
    const body = (writer: ByteWriter): void => codec.encode(writer, message);
    if (!urgent) return this.sized(to, group, ItemType.message, size, body);
    this.item(to, group, ItemType.message, true, body);
    return true;
  }

  /** Sends what gathered. */
  flush(): void {
    for (const [peer, frames] of this.#frames) this.#send(peer, frames);
  }

  #send(peer: NodeId, frames: PeerFrames): void {
    const { urgent, normal } = frames;
    // What is not urgent goes first: appends lead, and a heartbeat behind them carries the same commit index.
    if (normal.length > 0) this.#port.send(peer, FrameKind.group, normal.take(), { lane: 'control' });
    if (urgent.length > 0)
      this.#port.send(peer, FrameKind.group, urgent.take(), { lane: 'control', urgent: true });
    frames.urgentItems = frames.normalItems = 0;
  }

  /** Forgets a peer that is gone. */
  drop(peer: NodeId): void {
    this.#frames.delete(peer);
  }

  #framesOf(peer: NodeId): PeerFrames {
    let frames = this.#frames.get(peer);
    if (!frames) {
      frames = { urgent: new ByteWriter(), normal: new ByteWriter(4096), urgentItems: 0, normalItems: 0 };
      this.#frames.set(peer, frames);
    }
    return frames;
  }
}
