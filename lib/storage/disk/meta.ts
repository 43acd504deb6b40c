/**
 * What a frame says beside entries: the changes of each group in order, and in the first frame of a segment a checkpoint of
 * all groups, which makes every older segment superfluous but for the entries in it.
 */
import { ByteReader } from '../../bytes.js';
import type { ByteWriter } from '../../bytes.js';
import type { HardState, Index } from '../../consensus/consensus.js';
import { QuorateError } from '../../errors.js';
import { decodeHardState, encodeHardState } from '../stateCodec.js';
import type { GroupLog } from './groupLog.js';

const CHECKPOINT = 1;

const ERASE = 1;
const HARD = 2;
const TRUNCATE = 4;
const RESET = 8;
const APPEND = 16;
const COMPACT = 32;

const MAX_NAME = 128;

/** One group as a checkpoint holds it. @internal */
export interface GroupCheckpoint {
  readonly name: string;
  readonly firstIndex: Index;
  readonly lastIndex: Index;
  readonly hard: HardState | undefined;
}

/** Begins the metadata of a frame, with a checkpoint if there are groups to be told. @internal */
export function beginMeta(
  meta: ByteWriter,
  checkpoint?: { groups: Map<string, GroupLog>; floors: Map<string, number> },
): void {
  meta.u8(checkpoint === undefined ? 0 : CHECKPOINT);
  if (checkpoint === undefined) return;
  meta.varint(checkpoint.groups.size);
  for (const group of checkpoint.groups.values()) {
    meta.string(group.name);
    meta.varint(group.firstIndex);
    meta.varint(group.lastIndex);
    meta.u8(group.hard === undefined ? 0 : 1);
    if (group.hard !== undefined) encodeHardState(meta, group.hard);
  }
  meta.varint(checkpoint.floors.size);
  for (const [name, floor] of checkpoint.floors) {
    meta.string(name);
    meta.varint(floor);
  }
}

/** Writes changes one by one, each with the group it is for. @internal */
export const changes = {
  /** Forgets the group and its snapshots with numbers below `floor`. */
  erase(meta: ByteWriter, group: string, floor: number): void {
    meta.u8(ERASE);
    meta.string(group);
    meta.varint(floor);
  },
  hard(meta: ByteWriter, group: string, hard: HardState): void {
    meta.u8(HARD);
    meta.string(group);
    encodeHardState(meta, hard);
  },
  truncate(meta: ByteWriter, group: string, from: Index): void {
    meta.u8(TRUNCATE);
    meta.string(group);
    meta.varint(from);
  },
  reset(meta: ByteWriter, group: string, first: Index): void {
    meta.u8(RESET);
    meta.string(group);
    meta.varint(first);
  },
  /** One block of the frame's body belongs to the group; blocks are told in the order of the body. */
  append(meta: ByteWriter, group: string, length: number): void {
    meta.u8(APPEND);
    meta.string(group);
    meta.varint(length);
  },
  compact(meta: ByteWriter, group: string, first: Index): void {
    meta.u8(COMPACT);
    meta.string(group);
    meta.varint(first);
  },
} as const;

/** Gets what the metadata of a frame says. @internal */
export interface MetaVisitor {
  checkpoint(groups: GroupCheckpoint[], floors: Map<string, number>): void;
  erase(group: string, floor: number): void;
  hard(group: string, hard: HardState): void;
  truncate(group: string, from: Index): void;
  reset(group: string, first: Index): void;
  append(group: string, length: number): void;
  compact(group: string, first: Index): void;
}

/** Reads the metadata of a frame; throws ERR_CODEC where it makes no sense. @internal */
export function readMeta(bytes: Uint8Array, visitor: MetaVisitor): void {
  const reader = new ByteReader(bytes);
  const kind = reader.u8();
  if (kind > CHECKPOINT) throw new QuorateError('ERR_CODEC', `frame kind ${kind}`);
  if (kind === CHECKPOINT) readCheckpoint(reader, visitor);
  while (reader.remaining > 0) {
    const change = reader.u8();
    const group = reader.string(MAX_NAME);
    if (change === ERASE) visitor.erase(group, reader.varint());
    else if (change === HARD) visitor.hard(group, decodeHardState(reader));
    else if (change === TRUNCATE) visitor.truncate(group, reader.varint());
    else if (change === RESET) visitor.reset(group, reader.varint());
    else if (change === APPEND) visitor.append(group, reader.varint());
    else if (change === COMPACT) visitor.compact(group, reader.varint());
    else throw new QuorateError('ERR_CODEC', `change ${change} of a frame`);
  }
}

function readCheckpoint(reader: ByteReader, visitor: MetaVisitor): void {
  const groups: GroupCheckpoint[] = [];
  for (let left = reader.varint(); left > 0; left--) {
    const name = reader.string(MAX_NAME);
    const firstIndex = reader.varint();
    const lastIndex = reader.varint();
    groups.push({
      name,
      firstIndex,
      lastIndex,
      hard: reader.u8() === 0 ? undefined : decodeHardState(reader),
    });
  }
  const floors = new Map<string, number>();
  for (let left = reader.varint(); left > 0; left--) {
    const name = reader.string(MAX_NAME);
    floors.set(name, reader.varint());
  }
  visitor.checkpoint(groups, floors);
}
