/** The frames of the link itself, kind 0, always urgent and on `control`. @internal */
import { ByteReader, ByteWriter } from '../bytes.js';
import type { LaneName } from './transport.js';

/** What one end tells the other about the link. */
export type LinkFrame =
  /** A sign of life; echoes the newest heartbeat of the other end and how long it was held here. */
  | { readonly op: 'heartbeat'; readonly seq: number; readonly echo: number; readonly heldUs: number }
  /** The receiver may have sent `limit` bytes in all on that lane. */
  | { readonly op: 'credit'; readonly lane: LaneName; readonly limit: number }
  /** The end of the link: the node closes, or a newer run of the receiver took its place. */
  | { readonly op: 'farewell'; readonly reason: Farewell };
export type Farewell = 'closing' | 'replaced' | 'protocol';

const lanes: readonly LaneName[] = ['control', 'bulk'];
const farewells: readonly Farewell[] = ['closing', 'replaced', 'protocol'];

export function encodeLinkFrame(frame: LinkFrame): Uint8Array {
  const writer = new ByteWriter(32);
  if (frame.op === 'heartbeat') {
    writer.u8(1);
    writer.varint(frame.seq);
    writer.varint(frame.echo);
    writer.varint(frame.heldUs);
  } else if (frame.op === 'credit') {
    writer.u8(2);
    writer.u8(lanes.indexOf(frame.lane));
    writer.varint(frame.limit);
  } else {
    writer.u8(3);
    writer.u8(farewells.indexOf(frame.reason));
  }
  return writer.take();
}

/** Throws where the bytes make no sense. An unknown operation is `undefined`: a later version may say more. */
export function decodeLinkFrame(bytes: Uint8Array): LinkFrame | undefined {
  const reader = new ByteReader(bytes);
  const op = reader.u8();
  if (op === 1)
    return { op: 'heartbeat', seq: reader.varint(), echo: reader.varint(), heldUs: reader.varint() };
  if (op === 2) {
    const lane = lanes[reader.u8()];
    return lane === undefined ? undefined : { op: 'credit', lane, limit: reader.varint() };
  }
  return op === 3 ? { op: 'farewell', reason: farewells[reader.u8()] ?? 'closing' } : undefined;
}
