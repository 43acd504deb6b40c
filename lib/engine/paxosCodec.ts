/** Paxos's messages as bytes. */
import type { ByteReader } from '../bytes.js';
import type { PaxosMessage } from '../consensus/paxos/messages.js';
import { QuorateError } from '../errors.js';
import { decodeEntries, decodeEpoch, encodeEntries, encodeEpoch } from '../storage/entryCodec.js';
import type { MessageCodec } from './codec.js';
import {
  ballot,
  decodeAck,
  decodeAppend,
  decodeConflict,
  decodeHeartbeat,
  encodeAck,
  encodeAppend,
  encodeConflict,
  encodeHeartbeat,
  ID_BYTES,
  travelOf,
} from './coreCodec.js';

const types = [
  'prepare',
  'promise',
  'fetch',
  'suffix',
  'ping',
  'pong',
  'append',
  'heartbeat',
  'ack',
  'read',
  'readReply',
  'timeoutNow',
] as const;

export const paxosCodec: MessageCodec<PaxosMessage> = {
  encode(writer, message) {
    writer.u8(types.indexOf(message.type));
    switch (message.type) {
      case 'prepare':
        encodeEpoch(writer, message.term);
        writer.string(message.genesis);
        writer.u8(message.chosenBy ? 1 : 0);
        if (message.chosenBy) encodeEpoch(writer, message.chosenBy);
        break;
      case 'promise':
        writer.u8(message.granted ? 1 : 0);
        encodeEpoch(writer, message.term);
        encodeEpoch(writer, message.lastEpoch);
        writer.varint(message.lastIndex);
        writer.varint(message.commit);
        writer.string(message.genesis);
        break;
      case 'fetch':
        encodeEpoch(writer, message.term);
        writer.u8(message.whole ? 1 : 0);
        writer.varint(message.prevIndex);
        encodeEpoch(writer, message.prevEpoch);
        break;
      case 'suffix':
        encodeEpoch(writer, message.term);
        writer.u8((message.whole ? 1 : 0) + (message.conflict ? 2 : 0));
        writer.varint(message.prevIndex);
        encodeEpoch(writer, message.prevEpoch);
        writer.varint(message.commit);
        if (message.conflict) encodeConflict(writer, message.conflict);
        encodeEntries(writer, message.entries);
        break;
      case 'ping':
        writer.varint(message.round);
        break;
      case 'pong':
        writer.varint(message.round);
        writer.varint(message.config);
        encodeEpoch(writer, message.ballot);
        encodeEpoch(writer, message.leader);
        writer.u8(message.happy ? 1 : 0);
        break;
      case 'append':
        encodeAppend(writer, message, ballot);
        break;
      case 'heartbeat':
        encodeHeartbeat(writer, message, ballot);
        break;
      case 'ack':
        encodeAck(writer, message, ballot);
        break;
      case 'read':
        writer.varint(message.batch);
        break;
      case 'readReply':
        writer.varint(message.batch);
        writer.varint(message.index);
        break;
      case 'timeoutNow':
        encodeEpoch(writer, message.term);
    }
  },

  decode(reader) {
    const type = types[reader.u8()];
    switch (type) {
      case 'prepare': {
        const term = decodeEpoch(reader);
        const genesis = reader.string(ID_BYTES);
        return { type, term, genesis, chosenBy: flag(reader) ? decodeEpoch(reader) : undefined };
      }
      case 'promise': {
        const granted = flag(reader);
        const term = decodeEpoch(reader);
        const lastEpoch = decodeEpoch(reader);
        const lastIndex = reader.varint();
        const commit = reader.varint();
        return { type, granted, term, lastEpoch, lastIndex, commit, genesis: reader.string(ID_BYTES) };
      }
      case 'fetch': {
        const term = decodeEpoch(reader);
        const whole = flag(reader);
        const prevIndex = reader.varint();
        return { type, term, whole, prevIndex, prevEpoch: decodeEpoch(reader) };
      }
      case 'suffix': {
        const term = decodeEpoch(reader);
        const bits = flags(reader, 3);
        const whole = (bits & 1) !== 0;
        const prevIndex = reader.varint();
        const prevEpoch = decodeEpoch(reader);
        const commit = reader.varint();
        const conflict = (bits & 2) === 0 ? undefined : decodeConflict(reader);
        return { type, term, whole, prevIndex, prevEpoch, commit, conflict, entries: decodeEntries(reader) };
      }
      case 'ping':
        return { type, round: reader.varint() };
      case 'pong': {
        const round = reader.varint();
        const config = reader.varint();
        const own = decodeEpoch(reader);
        const leader = decodeEpoch(reader);
        return { type, round, config, ballot: own, leader, happy: flag(reader) };
      }
      case 'append':
        return decodeAppend(reader, ballot);
      case 'heartbeat':
        return decodeHeartbeat(reader, ballot);
      case 'ack':
        return decodeAck(reader, ballot);
      case 'read':
        return { type, batch: reader.varint() };
      case 'readReply': {
        const batch = reader.varint();
        return { type, batch, index: reader.varint() };
      }
      case 'timeoutNow':
        return { type, term: decodeEpoch(reader) };
      default:
        throw new QuorateError('ERR_CODEC', 'a Paxos message has an unknown type');
    }
  },

  travel(message) {
    return travelOf(message.type === 'append' || message.type === 'suffix' ? message.entries : undefined);
  },
};

function flag(reader: ByteReader): boolean {
  return flags(reader, 1) === 1;
}

function flags(reader: ByteReader, most: number): number {
  const value = reader.u8();
  if (value > most) throw new QuorateError('ERR_CODEC', 'a Paxos message has an unknown flag');
  return value;
}
