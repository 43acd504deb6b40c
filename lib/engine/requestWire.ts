/** What only a leader can do, as bytes: the request that a member forwards, and the leader's refusal. */
import type { ByteReader, ByteWriter } from '../bytes.js';
import { QuorateError } from '../errors.js';
import type { LeaderRequest, RequestFailure } from './door.js';
import { expectEnd } from './wire.js';

const MAX_NAME = 128;
const MAX_MEMBERS = 1024;
const failures: readonly RequestFailure[] = [
  'notLeader',
  'notVoter',
  'notLinked',
  'lagging',
  'transferring',
  'preparing',
  'configPending',
  'stopped',
  'gaveUp',
  'invalid',
  'noQuorum',
];
const types = ['transfer', 'change', 'progress'] as const;

export function encodeRequest(writer: ByteWriter, token: number, request: LeaderRequest): void {
  writer.varint(token);
  writer.u8(types.indexOf(request.type));
  if (request.type === 'transfer') {
    writer.string(request.to);
    return;
  }
  if (request.type === 'progress') return;
  const { addVoters = [], addLearners = [], addWitnesses = [], remove = [] } = request.change;
  for (const ids of [addVoters, addLearners, addWitnesses, remove]) {
    writer.varint(ids.length);
    for (const id of ids) writer.string(id);
  }
}

/** Throws ERR_CODEC, as its sibling does. */
export function decodeRequest(reader: ByteReader): { token: number; request: LeaderRequest } {
  const token = reader.varint();
  const request = readRequest(reader);
  expectEnd(reader);
  return { token, request };
}

function readRequest(reader: ByteReader): LeaderRequest {
  const type = types[reader.u8()];
  if (type === 'transfer') return { type, to: reader.string(MAX_NAME) };
  if (type === 'progress') return { type };
  if (type === undefined) throw new QuorateError('ERR_CODEC', 'a request to the leader has an unknown type');
  return {
    type,
    change: {
      addVoters: names(reader),
      addLearners: names(reader),
      addWitnesses: names(reader),
      remove: names(reader),
    },
  };
}

function names(reader: ByteReader): string[] {
  const count = reader.varint();
  if (count > MAX_MEMBERS)
    throw new QuorateError(
      'ERR_CODEC',
      `a change names ${count} members, at most ${MAX_MEMBERS} are allowed`,
    );
  const ids: string[] = [];
  for (let i = 0; i < count; i++) {
    const id = reader.string(MAX_NAME);
    if (id === '') throw new QuorateError('ERR_CODEC', 'a change names a member without a name');
    ids.push(id);
  }
  return ids;
}

export function encodeRequestRefused(writer: ByteWriter, token: number, why: RequestFailure): void {
  writer.varint(token);
  writer.u8(failures.indexOf(why));
}

export function decodeRequestRefused(reader: ByteReader): { token: number; why: RequestFailure } {
  const token = reader.varint();
  const why = failures[reader.u8()];
  if (!why) throw new QuorateError('ERR_CODEC', 'a request to the leader was refused for an unknown reason');
  expectEnd(reader);
  return { token, why };
}
