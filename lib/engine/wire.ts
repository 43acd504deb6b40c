/**
 * What engines say to each other in frames of kind `group`. A frame is a sequence of items, each for one group:
 * the sender's number for the group, the item's type, its length, its body.
 */
import { ByteReader, ByteWriter } from '../bytes.js';
import { QuorateError, type ErrorCode } from '../errors.js';
import type { ProposalRefusal } from './door.js';

/** Raised when items change their meaning; both sides must name the same. */
export const GROUP_WIRE_VERSION = 2;

/** The most items of a frame: what comes of one frame stays bounded, and who has more to say sends two. */
export const MAX_ITEMS = 4096;
/** As much as anybody can want to lead. */
export const MAX_PRIORITY = 100;
const MAX_NAME = 128;
const MAX_REFUSAL = 1024;
/** Bytes of a SHA-256. */
export const DIGEST_BYTES = 32;

export const ItemType = {
  hello: 1,
  refusal: 2,
  bye: 3,
  message: 4,
  proposal: 5,
  proposalRefused: 6,
  snapshotAck: 7,
  /** What only the leader can do. */
  request: 8,
  requestRefused: 9,
  /** From the receiver of a snapshot: go on from here. From a member that sends one for another: so far it got. */
  snapshotResume: 10,
  /** Asks a member to send its snapshot to another one. */
  snapshotDelegate: 11,
  /** To one that is no member: so it is. */
  absence: 12,
  /** The leader's answer to the question how far the members are. */
  progress: 13,
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
  /** The genesis of the group from whose data this one was founded anew, if it was. */
  readonly formerly?: string | undefined;
  readonly founders: readonly string[];
  /** The receiver should say hello too. */
  readonly wantsAnswer: boolean;
  /** How much the sender would like to lead, from 0 to {@link MAX_PRIORITY}. */
  readonly priority: number;
  /** The sender keeps no data: it can be a witness, and nothing else. */
  readonly witness: boolean;
}

const refusalReasons: readonly ProposalRefusal[] = [
  'notLeader',
  'overloaded',
  'diskFull',
  'tooLarge',
  'stopped',
  'transferring',
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
  writer.u8(hello.priority);
  writer.u8(hello.witness ? 1 : 0);
  writer.string(hello.formerly ?? '');
}

export function decodeHello(reader: ByteReader): Hello {
  const version = reader.varint();
  const group = reader.string(MAX_NAME);
  const instance = reader.string(MAX_NAME);
  const protocol = reader.string(64);
  const incarnation = reader.string(MAX_NAME);
  const genesis = reader.string(MAX_NAME);
  const count = reader.varint();
  if (count > 1024)
    throw new QuorateError('ERR_CODEC', `a hello names ${count} founders, at most 1024 are allowed`);
  const founders: string[] = [];
  for (let i = 0; i < count; i++) founders.push(reader.string(MAX_NAME));
  const wantsAnswer = reader.u8() === 1;
  // A later version may say more; it is refused with a word, not with the loss of its link.
  const told = { version, group, instance, protocol, incarnation, genesis, founders, wantsAnswer };
  if (version !== GROUP_WIRE_VERSION) return { ...told, priority: 0, witness: false };
  const priority = reader.u8();
  if (priority > MAX_PRIORITY)
    throw new QuorateError(
      'ERR_CODEC',
      `a hello has priority ${priority}, at most ${MAX_PRIORITY} is allowed`,
    );
  const witness = reader.u8() === 1;
  const formerly = reader.string(MAX_NAME);
  expectEnd(reader);
  const hello = { ...told, priority, witness };
  return formerly === '' ? hello : { ...hello, formerly };
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
  // Names of founders make it long; a cut that splits a character still encodes.
  writer.string(refusal.message.slice(0, Math.floor(MAX_REFUSAL / 3)));
}

export function decodeRefusal(reader: ByteReader): ContactRefusal {
  const group = reader.string(MAX_NAME);
  const name = reader.string(64);
  const code = contactCodes.find((known) => known === name);
  if (!code) throw new QuorateError('ERR_CODEC', 'a contact was refused with an unknown code');
  // Ends up in an error message, and so in logs and terminals.
  const message = reader.string(MAX_REFUSAL).replace(/\p{Cc}/gu, ' ');
  expectEnd(reader);
  return { group, code, message };
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
  expectEnd(reader);
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
  const ok = reader.u8() === 1;
  expectEnd(reader);
  return { request, index, ok };
}

/** Where a transfer goes on, and the SHA-256 of what is before that; empty when there is nothing to compare. */
export interface Resumption {
  readonly offset: number;
  readonly digest: Uint8Array;
}

export function encodeSnapshotResume(writer: ByteWriter, request: number, from: Resumption): void {
  writer.varint(request);
  writer.varint(from.offset);
  writer.raw(from.digest);
}

export function decodeSnapshotResume(reader: ByteReader): Resumption & { request: number } {
  const request = reader.varint();
  const offset = reader.varint();
  const { remaining } = reader;
  if (remaining !== 0 && remaining !== DIGEST_BYTES)
    throw new QuorateError('ERR_CODEC', `a digest has ${remaining} bytes, not ${DIGEST_BYTES}`);
  return { request, offset, digest: reader.raw(remaining) };
}

/** What a leader asks of a member in its place. */
export interface Delegation {
  readonly request: number;
  readonly to: string;
  readonly atLeast: number;
}

export function encodeSnapshotDelegate(writer: ByteWriter, asked: Delegation): void {
  writer.varint(asked.request);
  writer.varint(asked.atLeast);
  writer.string(asked.to);
}

export function decodeSnapshotDelegate(reader: ByteReader): Delegation {
  const request = reader.varint();
  const atLeast = reader.varint();
  const to = reader.string(MAX_NAME);
  expectEnd(reader);
  return { request, to, atLeast };
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

/** Throws ERR_CODEC where a body goes on behind what was read of it. */
export function expectEnd(reader: ByteReader): void {
  if (reader.remaining > 0)
    throw new QuorateError('ERR_CODEC', `${reader.remaining} bytes are left behind what is known of an item`);
}

/** Calls `take` for each item of a frame. Throws ERR_CODEC where the frame is malformed. */
export function readItems(
  frame: Uint8Array,
  take: (group: number, type: number, body: ByteReader) => void,
): void {
  const reader = new ByteReader(frame);
  for (let items = 0; reader.remaining > 0; items++) {
    if (items === MAX_ITEMS) throw new QuorateError('ERR_CODEC', `a frame has more than ${MAX_ITEMS} items`);
    const group = reader.varint();
    const type = reader.u8();
    take(group, type, new ByteReader(reader.raw(reader.u32())));
  }
}
