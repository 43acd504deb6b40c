/**
 * What engines say to each other in frames of kind `group`. A frame is a sequence of items, each for one group:
 * the sender's number for the group, the item's type, its length, its body.
 */
import { ByteReader, ByteWriter } from '../bytes.js';
import { QuorateError, type ErrorCode } from '../errors.js';
import type { ProposalRefusal } from './door.js';

/** Raised when items change their meaning; both sides must name the same. */
export const GROUP_WIRE_VERSION = 1;

export const ItemType = {
  hello: 1,
  refusal: 2,
  bye: 3,
  message: 4,
  proposal: 5,
  proposalRefused: 6,
  snapshotAck: 7,
} as const;

/** The first word about a group on a link, and after it was opened. */
export interface Hello {
  readonly version: number;
  readonly group: string;
  /** Tells one opening of the group from the next on the same link. */
  readonly instance: string;
  readonly protocol: string;
  readonly incarnation: string;
  readonly genesis: string;
  readonly founders: readonly string[];
  /** The receiver should say hello too. */
  readonly wantsAnswer: boolean;
}

const refusalReasons: readonly ProposalRefusal[] = [
  'notLeader',
  'overloaded',
  'diskFull',
  'tooLarge',
  'stopped',
];

export function encodeHello(writer: ByteWriter, hello: Hello): void {
  writer.varint(hello.version);
  writer.string(hello.group);
  writer.string(hello.instance);
  writer.string(hello.protocol);
  writer.string(hello.incarnation);
  writer.string(hello.genesis);
  writer.varint(hello.founders.length);
  for (const founder of hello.founders) writer.string(founder);
  writer.u8(hello.wantsAnswer ? 1 : 0);
}

export function decodeHello(reader: ByteReader): Hello {
  const version = reader.varint();
  const group = reader.string(128);
  const instance = reader.string(128);
  const protocol = reader.string(64);
  const incarnation = reader.string(128);
  const genesis = reader.string(128);
  const count = reader.varint();
  if (count > 1024)
    throw new QuorateError('ERR_CODEC', `a hello names ${count} founders, at most 1024 are allowed`);
  const founders: string[] = [];
  for (let i = 0; i < count; i++) founders.push(reader.string(128));
  return {
    version,
    group,
    instance,
    protocol,
    incarnation,
    genesis,
    founders,
    wantsAnswer: reader.u8() === 1,
  };
}

/** Why contact for a group was refused. */
export interface ContactRefusal {
  readonly group: string;
  readonly code: ErrorCode;
  readonly message: string;
}

const contactCodes: readonly ErrorCode[] = [
  'ERR_MEMBERS_DIFFER',
  'ERR_GENESIS_DIFFERS',
  'ERR_PEER_VERSION',
  'ERR_NOT_A_MEMBER',
];

export function encodeRefusal(writer: ByteWriter, refusal: ContactRefusal): void {
  writer.string(refusal.group);
  writer.string(refusal.code);
  writer.string(refusal.message);
}

export function decodeRefusal(reader: ByteReader): ContactRefusal {
  const group = reader.string(128);
  const name = reader.string(64);
  const code = contactCodes.find((known) => known === name);
  if (!code) throw new QuorateError('ERR_CODEC', 'a contact was refused with an unknown code');
  return { group, code, message: reader.string(1024) };
}

export function encodeProposal(writer: ByteWriter, token: number, count: number, data: Uint8Array): void {
  writer.varint(token);
  writer.varint(count);
  writer.raw(data);
}

export function decodeProposal(reader: ByteReader): { token: number; count: number; data: Uint8Array } {
  const token = reader.varint();
  const count = reader.varint();
  if (count < 1 || count > 65_536)
    throw new QuorateError('ERR_CODEC', `a proposal counts ${count} commands, 1 to 65536 are allowed`);
  return { token, count, data: reader.raw(reader.remaining) };
}

export function encodeProposalRefused(writer: ByteWriter, token: number, why: ProposalRefusal): void {
  writer.varint(token);
  writer.u8(refusalReasons.indexOf(why));
}

export function decodeProposalRefused(reader: ByteReader): { token: number; why: ProposalRefusal } {
  const token = reader.varint();
  const why = refusalReasons[reader.u8()];
  if (!why) throw new QuorateError('ERR_CODEC', 'a proposal was refused for an unknown reason');
  return { token, why };
}

export function encodeSnapshotAck(writer: ByteWriter, request: number, index: number, ok: boolean): void {
  writer.varint(request);
  writer.varint(index);
  writer.u8(ok ? 1 : 0);
}

export function decodeSnapshotAck(reader: ByteReader): { request: number; index: number; ok: boolean } {
  const request = reader.varint();
  const index = reader.varint();
  return { request, index, ok: reader.u8() === 1 };
}

/** Appends an item to a frame; `body` writes it. */
export function writeItem(
  frame: ByteWriter,
  group: number,
  type: number,
  body: (writer: ByteWriter) => void,
): void {
  frame.varint(group);
  frame.u8(type);
  const at = frame.length;
  frame.u32(0);
  body(frame);
  frame.patchU32(at, frame.length - at - 4);
}

/** Calls `take` for each item of a frame. Throws ERR_CODEC where the frame is malformed. */
export function readItems(
  frame: Uint8Array,
  take: (group: number, type: number, body: ByteReader) => void,
): void {
  const reader = new ByteReader(frame);
  while (reader.remaining > 0) {
    const group = reader.varint();
    const type = reader.u8();
    take(group, type, new ByteReader(reader.raw(reader.u32())));
  }
}
