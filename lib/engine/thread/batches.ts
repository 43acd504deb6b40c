/**
 * Batches of the door as they travel between threads: all bytes of a batch in one buffer that is handed over, the rest as plain
 * data. Objects that the app's side compares by identity stay the same objects: memberships, and the epochs of entries.
 */
import { ByteReader, ByteWriter } from '../../bytes.js';
import type { Entry, Epoch } from '../../consensus/consensus.js';
import type { Membership } from '../../consensus/membership.js';
import { decodeEntries, encodeEntries } from '../../storage/entryCodec.js';
import { packError, unpackError, type PackedError } from '../../threads/errors.js';
import type { AppBatch, AppNotice, EngineBatch, EngineNotice, GroupStatus, Proposal } from '../door.js';

/** A batch on its way, and the buffers that go with it. */
export interface Packed<T> {
  readonly batch: T;
  readonly buffers: readonly ArrayBuffer[];
}

/** A notice whose error is data, and whose chunk has a buffer of its own. */
type Plain<N> = N extends { readonly error: Error } ? Omit<N, 'error'> & { readonly error: PackedError } : N;

export interface PackedAppBatch {
  /** Token, count and length of each proposal. */
  readonly proposals: readonly number[];
  /** Their data, one after another. */
  readonly data: Uint8Array | undefined;
  readonly reads: readonly number[];
  readonly applied: number;
  readonly notices: readonly Plain<AppNotice>[];
}

export interface PackedEngineBatch {
  readonly entries: Uint8Array | undefined;
  /** Context and index of each read. */
  readonly reads: readonly number[];
  readonly readsFailed: readonly number[];
  readonly refused: EngineBatch['refused'];
  readonly status: PackedStatus | undefined;
  readonly commitIndex: number;
  readonly notices: readonly Plain<EngineNotice>[];
}

/** A membership is told once, and named by its number afterwards. */
interface Told {
  readonly number: number;
  readonly membership?: Membership;
}

type PackedStatus = Omit<GroupStatus, 'membership' | 'stable'> & {
  readonly membership: Told;
  readonly stable: Told;
};

/** Packs what the app's side hands over. */
export function packApp({ proposals, reads, applied, notices }: AppBatch): Packed<PackedAppBatch> {
  const buffers: ArrayBuffer[] = [];
  const numbers: number[] = [];
  let data: Uint8Array | undefined;
  if (proposals.length > 0) {
    let size = 0;
    for (const proposal of proposals) size += proposal.data.length;
    data = new Uint8Array(new ArrayBuffer(size));
    let at = 0;
    for (const proposal of proposals) {
      numbers.push(proposal.token, proposal.count, proposal.data.length);
      data.set(proposal.data, at);
      at += proposal.data.length;
    }
    buffers.push(data.buffer as ArrayBuffer);
  }
  const plain = notices.map((notice) => packNotice(notice, buffers));
  return { batch: { proposals: numbers, data, reads, applied, notices: plain }, buffers };
}

/** Unpacks it in the engine's thread. */
export function unpackApp(packed: PackedAppBatch): AppBatch {
  const { proposals: numbers, data, reads, applied } = packed;
  const proposals: Proposal[] = [];
  let at = 0;
  for (let i = 0; i < numbers.length; i += 3) {
    const length = numbers[i + 2]!;
    proposals.push({ token: numbers[i]!, count: numbers[i + 1]!, data: data!.subarray(at, at + length) });
    at += length;
  }
  return {
    proposals,
    reads,
    applied,
    notices: packed.notices.map((notice) => unpackNotice<AppNotice>(notice)),
  };
}

/** Packs what the engine hands over of one group. */
export class EnginePacker {
  /** The memberships that the other side has. */
  #told: readonly { readonly membership: Membership; readonly number: number }[] = [];
  #numbers = 0;

  pack(batch: EngineBatch): Packed<PackedEngineBatch> {
    const buffers: ArrayBuffer[] = [];
    let entries: Uint8Array | undefined;
    if (batch.entries.length > 0) {
      const writer = new ByteWriter(batch.entries.reduce((sum, { data }) => sum + data.length + 48, 16));
      encodeEntries(writer, batch.entries);
      entries = writer.take();
      buffers.push(entries.buffer as ArrayBuffer);
    }
    const reads: number[] = [];
    for (const { context, index } of batch.reads) reads.push(context, index);
    const { readsFailed, refused, commitIndex } = batch;
    const status = batch.status && this.#status(batch.status);
    const notices = batch.notices.map((notice) => packNotice(notice, buffers));
    return { batch: { entries, reads, readsFailed, refused, status, commitIndex, notices }, buffers };
  }

  #status(status: GroupStatus): PackedStatus {
    const before = this.#told;
    const now: { readonly membership: Membership; readonly number: number }[] = [];
    const tell = (membership: Membership): Told => {
      const same = (one: { readonly membership: Membership }): boolean => one.membership === membership;
      const known = before.find(same) ?? now.find(same);
      const told = known ?? { membership, number: ++this.#numbers };
      now.push(told);
      return known ? { number: known.number } : told;
    };
    const packed = { ...status, membership: tell(status.membership), stable: tell(status.stable) };
    this.#told = now;
    return packed;
  }
}

/** Unpacks it in the app's thread. */
export class EngineUnpacker {
  #known = new Map<number, Membership>();
  #epoch: Epoch | undefined;

  unpack(packed: PackedEngineBatch): EngineBatch {
    let entries: readonly Entry[] = [];
    if (packed.entries !== undefined) {
      entries = decodeEntries(new ByteReader(packed.entries), this.#epoch);
      this.#epoch = entries[entries.length - 1]?.epoch;
    }
    const reads: { context: number; index: number }[] = [];
    for (let i = 0; i < packed.reads.length; i += 2)
      reads.push({ context: packed.reads[i]!, index: packed.reads[i + 1]! });
    const { readsFailed, refused, commitIndex } = packed;
    const status = packed.status && this.#status(packed.status);
    const notices = packed.notices.map((notice) => unpackNotice<EngineNotice>(notice));
    return { entries, reads, readsFailed, refused, status, commitIndex, notices };
  }

  #status(status: PackedStatus): GroupStatus {
    const now = new Map<number, Membership>();
    const told = ({ number, membership }: Told): Membership => {
      const whole = membership ?? this.#known.get(number) ?? now.get(number)!;
      now.set(number, whole);
      return whole;
    };
    const unpacked = { ...status, membership: told(status.membership), stable: told(status.stable) };
    this.#known = now;
    return unpacked;
  }
}

function packNotice<N extends AppNotice | EngineNotice>(notice: N, buffers: ArrayBuffer[]): Plain<N> {
  if ('error' in notice) return { ...notice, error: packError(notice.error) } as Plain<N>;
  if (!('chunk' in notice)) return notice as Plain<N>;
  // A chunk may be a view of something that lives on: of a state machine, of a file's cache.
  const chunk = new Uint8Array(new ArrayBuffer(notice.chunk.length));
  chunk.set(notice.chunk);
  buffers.push(chunk.buffer);
  return { ...notice, chunk } as unknown as Plain<N>;
}

function unpackNotice<N extends AppNotice | EngineNotice>(notice: Plain<N>): N {
  if (!('error' in notice)) return notice as unknown as N;
  return { ...notice, error: unpackError(notice.error) } as unknown as N;
}
