/**
 * Datagrams that members carry for each other, seen on the wire: no run of a member sends the same one twice, and each hop leaves it
 * fewer hops. So none runs in a circle, however the members' views of the mesh differ.
 */
import { ByteReader } from '../../../bytes.js';
import type { NodeId } from '../../../consensus/consensus.js';
import { FrameKind } from '../../../mesh/port.js';
import type { Report } from './report.js';

/** At least so many of the newest datagrams are remembered. */
const remembered = 8192;
const bulkFlag = 0x80;
const pieceFirst = 0x80;
const pieceLast = 0x40;
const kindMask = 0x1f;

interface Seen {
  readonly senders: Set<NodeId>;
  /** With how many hops left each member got it. */
  readonly got: Map<NodeId, number>;
}

export class DatagramWatch {
  /** Hops that were looked at. */
  hops = 0;
  readonly #report: Report;
  readonly #nodes: ReadonlySet<NodeId>;
  #young = new Map<string, Seen>();
  #old = new Map<string, Seen>();

  constructor(nodes: readonly NodeId[], report: Report) {
    this.#nodes = new Set(nodes);
    this.#report = report;
  }

  /** A run of `node` begins: it does not know what the one before it carried. Its own numbers it must not use again. */
  started(node: NodeId): void {
    for (const [name, seen] of [...this.#old, ...this.#young]) {
      seen.got.delete(node);
      if (!name.startsWith(`${node} `)) seen.senders.delete(node);
    }
  }

  /** A lane message leaves `from` for its neighbour `to`. */
  message(from: NodeId, to: NodeId, message: Uint8Array): void {
    // Before a link is authenticated its messages are no pieces: what looks like one by chance names nobody.
    for (let at = 0; at < message.length;) {
      const flags = message[at]!;
      let length: number;
      try {
        const reader = new ByteReader(message.subarray(at + 1));
        if ((flags & (pieceFirst | pieceLast)) === pieceFirst) reader.varint();
        length = reader.varint();
        at = message.length - reader.remaining;
      } catch {
        return;
      }
      if ((flags & kindMask) === FrameKind.datagram && (flags & pieceFirst) !== 0)
        this.#datagram(from, to, message.subarray(at, at + length));
      at += length;
    }
  }

  #datagram(sender: NodeId, next: NodeId, bytes: Uint8Array): void {
    let origin, name, left;
    try {
      const reader = new ByteReader(bytes);
      left = reader.u8() & ~bulkFlag;
      reader.u8();
      const number = reader.varint();
      origin = reader.string(128);
      name = `${origin} ${number}`;
      if (!this.#nodes.has(origin) || !this.#nodes.has(reader.string(128))) return;
    } catch {
      return;
    }
    this.hops++;
    const seen = this.#seen(name);
    const got = seen.got.get(sender);
    if (seen.senders.has(sender))
      this.#report('datagrams', sender, `${sender} sends datagram ${name} twice, now to ${next}`);
    else if (sender !== origin && (got === undefined || left >= got))
      this.#report(
        'datagrams',
        sender,
        `${sender} sends ${name} with ${left} hops left, it came with ${got}`,
      );
    seen.senders.add(sender);
    seen.got.set(next, Math.max(left, seen.got.get(next) ?? 0));
  }

  #seen(name: string): Seen {
    let seen = this.#young.get(name) ?? this.#old.get(name);
    if (seen === undefined) {
      if (this.#young.size >= remembered) {
        this.#old = this.#young;
        this.#young = new Map();
      }
      seen = { senders: new Set(), got: new Map() };
      this.#young.set(name, seen);
    }
    return seen;
  }
}
