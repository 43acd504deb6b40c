/** Raft's messages as bytes. */
import type { ByteReader } from '../bytes.js';
import type { RaftMessage } from '../consensus/raft/messages.js';
import { QuorateError } from '../errors.js';
import type { MessageCodec } from './codec.js';
import {
  decodeAck,
  decodeAppend,
  decodeHeartbeat,
  encodeAck,
  encodeAppend,
  encodeHeartbeat,
  ID_BYTES,
  termNumber,
  travelOf,
} from './coreCodec.js';

const types = [
  'vote',
  'voteReply',
  'append',
  'heartbeat',
  'ack',
  'read',
  'readReply',
  'timeoutNow',
  'quiet',
  'quietReply',
  'wake',
] as const;

export const raftCodec: MessageCodec<RaftMessage> = {
  encode(writer, message) {
    writer.u8(types.indexOf(message.type));
    switch (message.type) {
      case 'vote':
        writer.u8((message.pre ? 1 : 0) + (message.transfer ? 2 : 0));
        writer.varint(message.term);
        writer.varint(message.lastIndex);
        writer.varint(message.lastTerm);
        writer.string(message.genesis);
        writer.string(message.recorded);
        break;
      case 'voteReply':
        writer.u8((message.pre ? 1 : 0) + (message.granted ? 2 : 0));
        writer.varint(message.term);
        writer.string(message.genesis);
        break;
      case 'append':
        encodeAppend(writer, message, termNumber);
        break;
      case 'heartbeat':
        encodeHeartbeat(writer, message, termNumber);
        break;
      case 'ack':
        encodeAck(writer, message, termNumber);
        break;
      case 'read':
        writer.varint(message.batch);
        break;
      case 'readReply':
        writer.varint(message.batch);
        writer.varint(message.index);
        break;
      case 'timeoutNow':
      case 'wake':
        writer.varint(message.term);
        break;
      case 'quiet':
        writer.varint(message.term);
        writer.varint(message.index);
        writer.varint(message.attempt);
        writer.u8(message.begins ? 1 : 0);
        break;
      case 'quietReply':
        writer.varint(message.term);
        writer.varint(message.attempt);
        writer.u8(message.ok ? 1 : 0);
    }
  },

  decode(reader) {
    const type = types[reader.u8()];
    switch (type) {
      case 'vote': {
        const flags = reader.u8();
        const term = reader.varint();
        const lastIndex = reader.varint();
        const lastTerm = reader.varint();
        const genesis = reader.string(ID_BYTES);
        const recorded = reader.string(ID_BYTES);
        const [pre, transfer] = [(flags & 1) !== 0, (flags & 2) !== 0];
        return { type, pre, term, lastIndex, lastTerm, genesis, recorded, transfer };
      }
      case 'voteReply': {
        const flags = reader.u8();
        const term = reader.varint();
        return {
          type,
          pre: (flags & 1) !== 0,
          granted: (flags & 2) !== 0,
          term,
          genesis: reader.string(ID_BYTES),
        };
      }
      case 'append':
        return decodeAppend(reader, termNumber);
      case 'heartbeat':
        return decodeHeartbeat(reader, termNumber);
      case 'ack':
        return decodeAck(reader, termNumber);
      case 'read':
        return { type, batch: reader.varint() };
      case 'readReply': {
        const batch = reader.varint();
        return { type, batch, index: reader.varint() };
      }
      case 'timeoutNow':
      case 'wake':
        return { type, term: reader.varint() };
      case 'quiet': {
        const term = reader.varint();
        const index = reader.varint();
        const attempt = reader.varint();
        return { type, term, index, attempt, begins: flag(reader) };
      }
      case 'quietReply': {
        const term = reader.varint();
        const attempt = reader.varint();
        return { type, term, attempt, ok: flag(reader) };
      }
      default:
        throw new QuorateError('ERR_CODEC', 'a Raft message has an unknown type');
    }
  },

  travel(message) {
    return travelOf(message.type === 'append' ? message.entries : undefined);
  },
};

function flag(reader: ByteReader): boolean {
  return reader.u8() === 1;
}
