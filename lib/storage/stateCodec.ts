/** Hard states and snapshot metadata as bytes. */
import type { ByteReader } from '../bytes.js';
import type { HardState, SnapshotMeta } from '../consensus/consensus.js';
import { decodeMembership, encodeMembership } from '../consensus/membership.js';
import { QuorateError } from '../errors.js';
import { decodeEpoch, encodeEpoch } from './entryCodec.js';
import type { ByteSink } from './entryCodec.js';

const MAX_NAME = 1024;
const MAX_MEMBERSHIP = 1 << 22;

/** @internal */
export function encodeHardState(writer: ByteSink, hard: HardState): void {
  writer.u8((hard.accepted === undefined ? 0 : 1) + (hard.promiseMs === undefined ? 0 : 2));
  writer.string(hard.protocol);
  writer.varint(hard.config);
  encodeEpoch(writer, hard.epoch);
  writer.string(hard.vote);
  if (hard.accepted !== undefined) encodeEpoch(writer, hard.accepted);
  writer.varint(hard.commit);
  writer.string(hard.genesis);
  if (hard.promiseMs !== undefined) writer.varint(hard.promiseMs);
}

/** @internal */
export function decodeHardState(reader: ByteReader): HardState {
  const flags = reader.u8();
  if (flags > 3) throw new QuorateError('ERR_CODEC', `hard state flags ${flags}`);
  const protocol = reader.string(MAX_NAME);
  const config = reader.varint();
  const epoch = decodeEpoch(reader);
  const vote = reader.string(MAX_NAME);
  const accepted = (flags & 1) !== 0 ? decodeEpoch(reader) : undefined;
  const commit = reader.varint();
  const genesis = reader.string(MAX_NAME);
  return {
    ...{ protocol, config, epoch, vote, commit, genesis },
    ...(accepted && { accepted }),
    ...((flags & 2) !== 0 && { promiseMs: reader.varint() }),
  };
}

/** @internal */
export function encodeSnapshotMeta(writer: ByteSink, meta: SnapshotMeta): void {
  writer.varint(meta.index);
  encodeEpoch(writer, meta.epoch);
  writer.f64(meta.time);
  writer.string(meta.protocol);
  writer.bytes(encodeMembership(meta.membership));
}

/** @internal */
export function decodeSnapshotMeta(reader: ByteReader): SnapshotMeta {
  const index = reader.varint();
  const epoch = decodeEpoch(reader);
  const time = reader.f64();
  if (!Number.isFinite(time)) throw new QuorateError('ERR_CODEC', `snapshot time ${time}`);
  const protocol = reader.string(MAX_NAME);
  const membership = decodeMembership(reader.bytes(MAX_MEMBERSHIP));
  if (membership === undefined) throw new QuorateError('ERR_CODEC', 'a snapshot without a membership');
  return { index, epoch, time, membership, protocol };
}
