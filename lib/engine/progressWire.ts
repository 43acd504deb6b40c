/** How far the members are, as a leader tells a member that asked. */
import type { ByteReader, ByteWriter } from '../bytes.js';
import { MAX_INDEX } from '../consensus/bounds.js';
import type { Index, MemberProgress, NodeId } from '../consensus/consensus.js';
import { maxMembers } from '../consensus/membership.js';
import { QuorateError } from '../errors.js';
import { expectEnd } from './wire.js';

const MAX_NAME = 128;
const states: readonly MemberProgress['state'][] = ['absent', 'probe', 'replicate', 'snapshot'];

/** How far one member is. */
export interface MemberReport {
  readonly id: NodeId;
  readonly state: MemberProgress['state'];
  readonly matched: Index;
  /** For how many milliseconds it has not been heard; undefined when it never was, in this reign. */
  readonly silentMs: number | undefined;
  /** Bytes of the snapshot that it is being sent, as far as the leader knows; `total` is 0 while it does not know. */
  readonly snapshot: { readonly sent: number; readonly total: number } | undefined;
}

/** What a leader answers. */
export interface ProgressReport {
  readonly lastIndex: Index;
  /** Of all members but the leader. */
  readonly members: readonly MemberReport[];
}

/** @internal */
export function encodeProgress(
  writer: ByteWriter,
  token: number,
  { lastIndex, members }: ProgressReport,
): void {
  writer.varint(token);
  writer.varint(lastIndex);
  writer.varint(members.length);
  for (const { id, state, matched, silentMs, snapshot } of members) {
    writer.string(id);
    writer.u8(states.indexOf(state));
    writer.varint(matched);
    // 0 stands for never; all else is one more than it says.
    writer.varint(silentMs === undefined ? 0 : 1 + Math.round(silentMs));
    writer.u8(snapshot === undefined ? 0 : 1);
    if (snapshot === undefined) continue;
    writer.varint(snapshot.sent);
    writer.varint(snapshot.total);
  }
}

/** Throws ERR_CODEC. @internal */
export function decodeProgress(reader: ByteReader): ProgressReport & { readonly token: number } {
  const token = reader.varint();
  const lastIndex = atMost(reader.varint(), MAX_INDEX);
  const count = atMost(reader.varint(), 3 * maxMembers);
  const members: MemberReport[] = [];
  for (let i = 0; i < count; i++) {
    const id = reader.string(MAX_NAME);
    const state = states[reader.u8()];
    if (state === undefined || id === '') throw malformed();
    const matched = atMost(reader.varint(), MAX_INDEX);
    const silent = reader.varint();
    const flag = atMost(reader.u8(), 1);
    const snapshot = flag === 0 ? undefined : { sent: reader.varint(), total: reader.varint() };
    members.push({ id, state, matched, silentMs: silent === 0 ? undefined : silent - 1, snapshot });
  }
  expectEnd(reader);
  return { token, lastIndex, members };
}

function atMost(value: number, limit: number): number {
  if (value > limit) throw malformed();
  return value;
}

function malformed(): QuorateError {
  return new QuorateError('ERR_CODEC', 'a report of how far the members are makes no sense');
}
