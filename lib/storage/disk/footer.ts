/** The footer of a sealed segment: which blocks of which group it holds, so that opening need not scan it. */
import { crc32 } from '../../crc.js';
import { ByteReader, ByteWriter } from '../../bytes.js';
import type { Epoch, Index } from '../../consensus/consensus.js';
import type { Environment } from '../../environment.js';
import { QuorateError } from '../../errors.js';
import { decodeEpoch, encodeEpoch } from '../entryCodec.js';
import { Part } from './groupLog.js';
import type { Segment } from './segment.js';

const MAX_NAME = 128;
const YIELD_EVERY = 8192;

/**
 * A part as it was when its segment was left: later truncations only move its counters and shorten its lists, so it is
 * enough to keep the former and copy the latter.
 *
 * @internal
 */
export interface CapturedPart {
  readonly name: string;
  readonly first: Float64Array;
  readonly offset: Uint32Array;
  readonly length: Uint32Array;
  readonly head: number;
  readonly count: number;
  readonly last: Index;
  readonly runs: readonly { from: Index; epoch: Epoch }[];
  readonly configs: readonly Index[];
}

/** @internal */
export function captureParts(segment: Segment): CapturedPart[] {
  return Array.from(segment.parts, (part) => ({
    name: part.name,
    first: part.first,
    offset: part.offset,
    length: part.length,
    head: part.head,
    count: part.count,
    last: part.last,
    runs: [...part.runs],
    configs: [...part.configs],
  }));
}

/** @internal */
export async function encodeFooter(
  parts: readonly CapturedPart[],
  environment: Environment,
): Promise<Uint8Array> {
  const writer = new ByteWriter(4096);
  const live = parts.filter(({ head, count }) => count > head);
  writer.varint(live.length);
  let written = 0;
  for (const { name, first, offset, length, head, count, last, runs, configs } of live) {
    writer.string(name);
    writer.varint(count - head);
    let index = 0;
    let at = 0;
    for (let i = head; i < count; i++) {
      writer.varint(first[i]! - index);
      writer.varint(offset[i]! - at);
      writer.varint(length[i]!);
      index = first[i]!;
      at = offset[i]!;
      if (++written % YIELD_EVERY === 0) await new Promise<void>((resolve) => environment.defer(resolve));
    }
    writer.varint(last - index);
    writer.varint(runs.length);
    for (const { from, epoch } of runs) {
      writer.varint(from);
      encodeEpoch(writer, epoch);
    }
    writer.varint(configs.length);
    for (const config of configs) writer.varint(config);
  }
  return writer.take();
}

/** The parts that a footer tells; throws ERR_CODEC where it makes no sense. @internal */
export function decodeFooter(bytes: Uint8Array, segment: Segment): Part[] {
  const reader = new ByteReader(bytes);
  const parts: Part[] = [];
  for (let left = reader.varint(); left > 0; left--) {
    const name = reader.string(MAX_NAME);
    const count = reader.varint();
    if (count < 1 || count * 3 > reader.remaining)
      throw new QuorateError('ERR_CODEC', `a footer with ${count} blocks`);
    const part = new Part(segment, name, count);
    let index = 0;
    let at = 0;
    for (let i = 0; i < count; i++) {
      part.first[i] = index += reader.varint();
      part.offset[i] = at += reader.varint();
      part.length[i] = reader.varint();
      part.bytes += part.lengthOf(i);
    }
    part.count = count;
    part.last = index + reader.varint();
    for (let runs = reader.varint(); runs > 0; runs--) {
      const from = reader.varint();
      part.addRun(from, decodeEpoch(reader));
    }
    for (let configs = reader.varint(); configs > 0; configs--) part.configs.push(reader.varint());
    parts.push(part);
  }
  return parts;
}

/** @internal */
export function footerCrc(bytes: Uint8Array, seed: number): number {
  return crc32(bytes, seed);
}
