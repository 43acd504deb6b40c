/** A node that holds the secret, links as any other does, and then says what it likes. */
import { ByteWriter } from '../../../lib/bytes.js';
import { raftCodec } from '../../../lib/engine/raftCodec.js';
import { encodeTransfer, type TransferFrame } from '../../../lib/engine/transferWire.js';
import {
  encodeHello,
  GROUP_WIRE_VERSION,
  ItemType,
  writeItem,
  type Hello,
} from '../../../lib/engine/wire.js';
import type { RaftMessage } from '../../../lib/consensus/raft/messages.js';
import { joinMesh } from '../../../lib/mesh/joinMesh.js';
import { meshPort, type Mesh } from '../../../lib/mesh/mesh.js';
import { FrameKind, type MeshPort } from '../../../lib/mesh/port.js';
import type { Transport } from '../../../lib/mesh/transport.js';

export const secret = 'a secret of more than sixteen bytes';
export const GROUP = 'settings';
export const FOUNDERS = ['a', 'b', 'c'];
/** The number that it has for the group. */
const NUMBER = 9;

/** Waits for a condition, however busy the machine is. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const end = Date.now() + 20_000;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise<void>((resolve) => void setTimeout(resolve, 3));
  }
}

export function item(type: number, body: (writer: ByteWriter) => void, number = NUMBER): Uint8Array {
  const writer = new ByteWriter(256);
  writeItem(writer, number, type, body);
  return writer.take();
}

export function helloItem(more: Partial<Hello> = {}): Uint8Array {
  const hello: Hello = {
    version: GROUP_WIRE_VERSION,
    group: GROUP,
    instance: 'ffffffffffffffff',
    protocol: 'raft',
    incarnation: 'hostile',
    genesis: '',
    founders: FOUNDERS,
    wantsAnswer: true,
    priority: 0,
    witness: false,
    ...more,
  };
  return item(ItemType.hello, (writer) => encodeHello(writer, hello));
}

export class Hostile {
  readonly mesh: Mesh;
  readonly port: MeshPort;
  #heard = 0;

  private constructor(mesh: Mesh) {
    this.mesh = mesh;
    this.port = meshPort(mesh);
    this.port.handle(FrameKind.group, () => {
      this.#heard++;
      return true;
    });
    this.port.handle(FrameKind.snapshot, () => true);
  }

  /** Frames of groups that came. */
  get heard(): number {
    return this.#heard;
  }

  static async join(transport: Transport, id: string): Promise<Hostile> {
    return new Hostile(await joinMesh({ id, cluster: 'test', secret, transport }));
  }

  /** Links with these peers and says hello to their groups. */
  async greet(...peers: readonly string[]): Promise<void> {
    await this.mesh.waitFor(peers);
    for (const peer of peers) this.frame(peer, helloItem());
    const before = this.#heard;
    await until('an answer to the hello', () => this.#heard > before);
  }

  frame(peer: string, bytes: Uint8Array, kind: FrameKind = FrameKind.group, urgent = false): boolean {
    return this.port.send(peer, kind, bytes, {
      lane: kind === FrameKind.snapshot ? 'bulk' : 'control',
      urgent,
    });
  }

  message(peer: string, message: RaftMessage): boolean {
    return this.frame(
      peer,
      item(ItemType.message, (writer) => raftCodec.encode(writer, message)),
    );
  }

  transfer(peer: string, frame: TransferFrame): boolean {
    return this.frame(peer, encodeTransfer(frame), FrameKind.snapshot);
  }

  get number(): number {
    return NUMBER;
  }

  close(): Promise<void> {
    return this.mesh.close();
  }
}
