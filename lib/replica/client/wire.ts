/**
 * What clients and the members that serve them say to each other in frames of kind `client`. A frame is a sequence of messages.
 * A client opens a channel, under a number of its own, to every peer; all that follows names the channel.
 *
 * @internal
 */
import { ByteReader, ByteWriter } from '../../bytes.js';
import { QuorateError, isName, type ErrorCode, type Fate } from '../../errors.js';
import { MAX_LAG_MS, plainConsistencies } from '../consistency.js';
import type { Consistency } from '../replicaTypes.js';

/** Raised when messages change their meaning; a member refuses a channel of another version with a word. */
export const CLIENT_WIRE_VERSION = 1;

/** The most messages of a frame: what comes of one frame stays bounded, and who has more to say sends two. */
export const MAX_MESSAGES = 4096;
/** The most changes of one message. */
export const MAX_CHANGES = 1024;
/** 256 characters. */
const MAX_REQUEST_ID = 1024;
const MAX_TEXT = 1024;
const MAX_NUMBER = 0xffff_ffff;

/** Beside the bytes that it carries, no message takes more. */
export const MESSAGE_OVERHEAD = 4 * MAX_TEXT;

const Op = {
  open: 1,
  shut: 2,
  submit: 3,
  query: 4,
  follow: 5,
  grant: 6,
  leave: 7,
  here: 16,
  standing: 17,
  result: 18,
  failure: 19,
  changes: 20,
} as const;

/** What a client says. */
export type ClientMessage =
  /** The client would like to be served. Again: it was told nothing, or wants to be told once more. */
  | { readonly op: 'open'; readonly channel: number; readonly version: number; readonly group: string }
  /** The end of the channel and of its streams; answers are not wanted any more. */
  | { readonly op: 'shut'; readonly channel: number }
  | {
      readonly op: 'submit';
      readonly channel: number;
      readonly request: number;
      readonly requestId: string;
      readonly body: Uint8Array;
    }
  | {
      readonly op: 'query';
      readonly channel: number;
      readonly request: number;
      readonly consistency: Consistency;
      readonly body: Uint8Array;
    }
  /** Changes after index `from`; as many, and as many bytes, as are granted. */
  | {
      readonly op: 'follow';
      readonly channel: number;
      readonly request: number;
      readonly from: number | undefined;
      readonly count: number;
      readonly bytes: number;
    }
  /** How many changes, and bytes of them, the stream may have sent in all. */
  | {
      readonly op: 'grant';
      readonly channel: number;
      readonly request: number;
      readonly count: number;
      readonly bytes: number;
    }
  /** The end of a stream. */
  | { readonly op: 'leave'; readonly channel: number; readonly request: number };

/** How a peer stands to a channel. `absent`: it has no replica of the group now, and will say so when that changes. */
export type Serving = 'absent' | 'serving' | 'refused';

/** A change on the wire. */
export type WireChange =
  | { readonly type: 'reset'; readonly index: number }
  | {
      readonly type: 'applied';
      readonly index: number;
      readonly time: number;
      readonly origin: string;
      readonly ok: boolean;
      readonly command: Uint8Array;
    };

/** A failed request. */
export interface WireFailure {
  readonly code: ErrorCode;
  readonly fate: Fate | undefined;
  readonly message: string;
  readonly reason: string | undefined;
  readonly data: Uint8Array | undefined;
}

/** What a member says. */
export type MemberMessage =
  /** This node can be asked from now on: open your channels again. */
  | { readonly op: 'here' }
  | {
      readonly op: 'standing';
      readonly channel: number;
      readonly serving: Serving;
      /** A quorum of the group answers, as far as the member knows. */
      readonly quorum: boolean;
      /** Empty if none is known. */
      readonly leader: string;
      /** Why it is refused, or empty. */
      readonly code: string;
      readonly message: string;
    }
  | { readonly op: 'result'; readonly channel: number; readonly request: number; readonly body: Uint8Array }
  | {
      readonly op: 'failure';
      readonly channel: number;
      readonly request: number;
      readonly failure: WireFailure;
    }
  | {
      readonly op: 'changes';
      readonly channel: number;
      readonly request: number;
      readonly changes: readonly WireChange[];
    };

/** Any message of a frame. */
export type Message = ClientMessage | MemberMessage;

/** The number of a consistency that goes on with its milliseconds; those before it are plain. */
const LAG = plainConsistencies.length;
const servings: readonly Serving[] = ['absent', 'serving', 'refused'];
const fates: readonly (Fate | undefined)[] = [undefined, 'refused', 'ambiguous', 'lost'];

/** Appends a message to a frame. */
export function writeMessage(writer: ByteWriter, message: Message): void {
  writer.u8(Op[message.op]);
  if (message.op === 'here') return;
  writer.varint(message.channel);
  switch (message.op) {
    case 'open':
      writer.varint(message.version);
      writer.string(message.group);
      return;
    case 'shut':
      return;
    case 'standing':
      writer.u8(servings.indexOf(message.serving));
      writer.u8(message.quorum ? 1 : 0);
      writer.string(message.leader);
      writer.string(message.code);
      writer.string(clipped(message.message));
      return;
  }
  writer.varint(message.request);
  switch (message.op) {
    case 'submit':
      writer.string(message.requestId);
      writer.bytes(message.body);
      return;
    case 'query':
      writeConsistency(writer, message.consistency);
      writer.bytes(message.body);
      return;
    case 'follow':
      writer.varint(message.from === undefined ? 0 : message.from + 1);
      writer.varint(message.count);
      writer.varint(message.bytes);
      return;
    case 'grant':
      writer.varint(message.count);
      writer.varint(message.bytes);
      return;
    case 'leave':
      return;
    case 'result':
      writer.bytes(message.body);
      return;
    case 'failure':
      writeFailure(writer, message.failure);
      return;
    case 'changes':
      writer.varint(message.changes.length);
      for (const change of message.changes) writeChange(writer, change);
  }
}

function writeConsistency(writer: ByteWriter, consistency: Consistency): void {
  if (typeof consistency === 'string') {
    writer.u8(plainConsistencies.indexOf(consistency));
    return;
  }
  writer.u8(LAG);
  writer.varint(consistency.maxLagMs);
}

function readConsistency(reader: ByteReader): Consistency {
  const number = reader.u8();
  const plain = plainConsistencies[number];
  if (plain !== undefined) return plain;
  const maxLagMs = number === LAG ? reader.varint() : 0;
  if (maxLagMs < 1 || maxLagMs > MAX_LAG_MS) throw unsound('a consistency');
  return { maxLagMs };
}

function writeFailure(writer: ByteWriter, { code, fate, message, reason, data }: WireFailure): void {
  writer.string(code);
  writer.u8(fates.indexOf(fate));
  writer.string(clipped(message));
  writer.u8((reason === undefined ? 0 : 1) + (data === undefined ? 0 : 2));
  if (reason !== undefined) writer.string(clipped(reason));
  if (data !== undefined) writer.bytes(data);
}

function writeChange(writer: ByteWriter, change: WireChange): void {
  writer.u8(change.type === 'reset' ? 0 : change.ok ? 1 : 2);
  writer.varint(change.index);
  if (change.type === 'reset') return;
  writer.f64(change.time);
  writer.string(change.origin);
  writer.bytes(change.command);
}

/** A text of at most `MAX_TEXT` bytes: a character has at most three for each of its UTF-16 units. */
function clipped(text: string): string {
  const most = Math.floor(MAX_TEXT / 3);
  return text.length <= most ? text : `${text.slice(0, most - 1).replace(/[\uD800-\uDBFF]$/, '')}…`;
}

/** One message as a frame of its own. */
export function frameOf(message: Message): Uint8Array {
  const writer = new ByteWriter(64);
  writeMessage(writer, message);
  return writer.take();
}

/**
 * Hands over the messages of a frame, in order. Throws ERR_CODEC for what is no such frame; the messages before the fault have
 * been handed over then. Byte strings are views. `visit` ends the reading by answering `false`, which is answered on.
 */
export function readMessages(frame: Uint8Array, visit: (message: Message) => boolean): boolean {
  const reader = new ByteReader(frame);
  for (let count = 0; reader.remaining > 0; count++) {
    if (count >= MAX_MESSAGES)
      throw new QuorateError('ERR_CODEC', `a frame with more than ${MAX_MESSAGES} messages`);
    if (!visit(readMessage(reader))) return false;
  }
  return true;
}

function readMessage(reader: ByteReader): Message {
  const op = reader.u8();
  if (op === Op.here) return { op: 'here' };
  const channel = small(reader, 'a channel');
  switch (op) {
    case Op.open: {
      const version = small(reader, 'a version');
      return { op: 'open', channel, version, group: name(reader, 'a group') };
    }
    case Op.shut:
      return { op: 'shut', channel };
    case Op.standing: {
      const serving = oneOf(reader, servings, 'a standing');
      const quorum = flag(reader);
      const leader = reader.string(128);
      if (leader !== '' && !isName(leader)) throw unsound('a leader');
      const code = reader.string(64);
      if (serving === 'refused' ? !isCode(code) : code !== '') throw unsound('the code of a standing');
      return { op: 'standing', channel, serving, quorum, leader, code, message: reader.string(MAX_TEXT) };
    }
  }
  const request = small(reader, 'a request');
  switch (op) {
    case Op.submit: {
      const requestId = reader.string(MAX_REQUEST_ID);
      if (requestId.length === 0 || requestId.length > 256) throw unsound('a request id');
      return { op: 'submit', channel, request, requestId, body: reader.bytes() };
    }
    case Op.query: {
      const consistency = readConsistency(reader);
      return { op: 'query', channel, request, consistency, body: reader.bytes() };
    }
    case Op.follow: {
      const from = reader.varint();
      const count = reader.varint();
      const bytes = reader.varint();
      return { op: 'follow', channel, request, from: from === 0 ? undefined : from - 1, count, bytes };
    }
    case Op.grant: {
      const count = reader.varint();
      return { op: 'grant', channel, request, count, bytes: reader.varint() };
    }
    case Op.leave:
      return { op: 'leave', channel, request };
    case Op.result:
      return { op: 'result', channel, request, body: reader.bytes() };
    case Op.failure:
      return { op: 'failure', channel, request, failure: readFailure(reader) };
    case Op.changes:
      return { op: 'changes', channel, request, changes: readChanges(reader) };
  }
  throw unsound(`operation ${op}`);
}

function readFailure(reader: ByteReader): WireFailure {
  const code = reader.string(64);
  if (!isCode(code)) throw unsound('the code of a failure');
  const fate = oneOf(reader, fates, 'a fate');
  const message = reader.string(MAX_TEXT);
  const has = reader.u8();
  if (has > 3) throw unsound('a failure');
  const reason = has % 2 === 1 ? reader.string(MAX_TEXT) : undefined;
  return { code, fate, message, reason, data: has >= 2 ? reader.bytes() : undefined };
}

function readChanges(reader: ByteReader): WireChange[] {
  const count = reader.varint();
  if (count === 0 || count > MAX_CHANGES) throw unsound(`a count of ${count} changes`);
  const changes: WireChange[] = [];
  for (let i = 0; i < count; i++) {
    const type = reader.u8();
    const index = reader.varint();
    if (type === 0) {
      changes.push({ type: 'reset', index });
      continue;
    }
    if (type > 2) throw unsound('a change');
    const time = reader.f64();
    if (!Number.isFinite(time)) throw unsound('the time of a change');
    const origin = reader.string(256);
    changes.push({ type: 'applied', index, time, origin, ok: type === 1, command: reader.bytes() });
  }
  return changes;
}

function small(reader: ByteReader, what: string): number {
  const value = reader.varint();
  if (value > MAX_NUMBER) throw unsound(what);
  return value;
}

function flag(reader: ByteReader): boolean {
  const value = reader.u8();
  if (value > 1) throw unsound('a flag');
  return value === 1;
}

function name(reader: ByteReader, what: string): string {
  const value = reader.string(128);
  if (!isName(value)) throw unsound(what);
  return value;
}

function oneOf<T>(reader: ByteReader, values: readonly T[], what: string): T {
  const at = reader.u8();
  if (at >= values.length) throw unsound(what);
  return values[at]!;
}

/** A later version may know other codes: they are passed on. */
function isCode(code: string): code is ErrorCode {
  return /^ERR_[A-Z_]{1,40}$/.test(code);
}

function unsound(what: string): QuorateError {
  return new QuorateError('ERR_CODEC', `${what} makes no sense in a message of a client or to one`);
}

/** What a change takes of the credit of its stream. */
export function costOf(change: WireChange): number {
  return 64 + (change.type === 'reset' ? 0 : change.command.length);
}
