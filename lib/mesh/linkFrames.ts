/** The frames of the link itself, kind 0, always urgent and on `control`. @internal */
import { ByteReader, ByteWriter } from '../bytes.js';
import type { LaneName } from './transport.js';

/** What one end tells the other about the link. */
export type LinkFrame =
  /**
   * A sign of life; echoes the newest heartbeat of the other end and how long it was held here, says how long this process stood
   * still lately, and what this node knows of the mesh, as a digest.
   */
  | {
      readonly op: 'heartbeat';
      readonly seq: number;
      readonly echo: number;
      readonly heldUs: number;
      readonly stalledMs: number;
      readonly digest: number;
    }
  /** To be answered at once with the same number. */
  | { readonly op: 'ping' | 'pong'; readonly number: number }
  /** The receiver may have sent `limit` bytes in all on that lane. */
  | { readonly op: 'credit'; readonly lane: LaneName; readonly limit: number }
  /**
   * The end of the link: the node closes, a newer run of the receiver took its place, the receiver broke the protocol, or was
   * not heard for too long.
   */
  | { readonly op: 'farewell'; readonly reason: Farewell };
export type Farewell = 'closing' | 'replaced' | 'protocol' | 'deaf';

const lanes: readonly LaneName[] = ['control', 'bulk'];
const farewells: readonly Farewell[] = ['closing', 'replaced', 'protocol', 'deaf'];
/** The longest stall that a heartbeat tells of. */
export const maxStallMs = 600_000;

export function encodeLinkFrame(frame: LinkFrame): Uint8Array {
  const writer = new ByteWriter(32);
  if (frame.op === 'heartbeat') {
    writer.u8(1);
    writer.varint(frame.seq);
    writer.varint(frame.echo);
    writer.varint(frame.heldUs);
    writer.varint(frame.stalledMs);
    writer.varint(frame.digest);
  } else if (frame.op === 'credit') {
    writer.u8(2);
    writer.u8(lanes.indexOf(frame.lane));
    writer.varint(frame.limit);
  } else if (frame.op === 'farewell') {
    writer.u8(3);
    writer.u8(farewells.indexOf(frame.reason));
  } else {
    writer.u8(frame.op === 'ping' ? 4 : 5);
    writer.varint(frame.number);
  }
  return writer.take();
}

/** Throws where the bytes make no sense. An unknown operation is `undefined`: a later version may say more. */
export function decodeLinkFrame(bytes: Uint8Array): LinkFrame | undefined {
  const reader = new ByteReader(bytes);
  const op = reader.u8();
  if (op === 1) {
    return {
      op: 'heartbeat',
      seq: reader.varint(),
      echo: reader.varint(),
      heldUs: reader.varint(),
      stalledMs: Math.min(reader.varint(), maxStallMs),
      digest: reader.varint(),
    };
  }
  if (op === 2) {
    const lane = lanes[reader.u8()];
    return lane === undefined ? undefined : { op: 'credit', lane, limit: reader.varint() };
  }
  if (op === 3) return { op: 'farewell', reason: farewells[reader.u8()] ?? 'closing' };
  return op === 4 || op === 5 ? { op: op === 4 ? 'ping' : 'pong', number: reader.varint() } : undefined;
}
