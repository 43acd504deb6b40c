/** Requests to hand over the leadership, as bytes: what a member forwards to the leader, and the leader's refusal. */
import type { ByteReader, ByteWriter } from '../bytes.js';
import { QuorateError } from '../errors.js';
import type { TransferFailure } from './door.js';
import { expectEnd } from './wire.js';

const MAX_NAME = 128;
const failures: readonly TransferFailure[] = [
  'notLeader',
  'notVoter',
  'notLinked',
  'lagging',
  'transferring',
  'preparing',
  'configPending',
  'stopped',
  'gaveUp',
];

export function encodeLeadership(writer: ByteWriter, token: number, to: string): void {
  writer.varint(token);
  writer.string(to);
}

/** Throws ERR_CODEC, as its sibling does. */
export function decodeLeadership(reader: ByteReader): { token: number; to: string } {
  const token = reader.varint();
  const to = reader.string(MAX_NAME);
  expectEnd(reader);
  return { token, to };
}

export function encodeLeadershipRefused(writer: ByteWriter, token: number, why: TransferFailure): void {
  writer.varint(token);
  writer.u8(failures.indexOf(why));
}

export function decodeLeadershipRefused(reader: ByteReader): { token: number; why: TransferFailure } {
  const token = reader.varint();
  const why = failures[reader.u8()];
  if (!why) throw new QuorateError('ERR_CODEC', 'a leadership was refused for an unknown reason');
  expectEnd(reader);
  return { token, why };
}
