/** The datagrams of {@link lanSignaling}: a mark, the cluster's tag, a JSON header of one line, and a body. @internal */
import { createHash } from 'node:crypto';
import { checkName } from '../../errors.js';
import { maxPayloadBytes } from './signaling.js';

/** Fits into a packet of every network, headers included. */
export const maxDatagramBytes = 1400;
const mark = Buffer.from('QLAN\x01', 'latin1');
const tagBytes = 16;
const maxHeaderBytes = 560;
const bodyStart = mark.length + tagBytes;
/** What a body may have, whatever the names in the header. */
export const fragmentBytes = maxDatagramBytes - bodyStart - maxHeaderBytes;
const maxFragments = Math.ceil(maxPayloadBytes / fragmentBytes);
const maxNumber = 2 ** 48;

/** Says who sent a datagram. */
export interface LanSender {
  readonly id: string;
  readonly incarnation: string;
  /** Where it takes messages. */
  readonly port: number;
}

export type LanDatagram = { readonly from: LanSender } & (
  | {
      readonly kind: 'beacon';
      /** `ask` wants a beacon back; `bye` is the last one. */
      readonly mood: 'here' | 'ask' | 'bye';
    }
  | {
      readonly kind: 'part';
      readonly to: string;
      /** Counts the messages of this pair. */
      readonly number: number;
      readonly place: number;
      readonly count: number;
      readonly body: Buffer;
    }
  | { readonly kind: 'ack'; readonly to: string; readonly number: number; readonly place: number }
);

/** A datagram without its sender. */
export type Unsigned = LanDatagram extends infer D
  ? D extends LanDatagram
    ? Omit<D, 'from'>
    : never
  : never;

/** Stands for a cluster, whose name is not shouted into the network. */
export function clusterTag(cluster: string): Buffer {
  return createHash('sha256').update(`quorate lan 1\0${cluster}`).digest().subarray(0, tagBytes);
}

export function encodeDatagram(tag: Buffer, datagram: LanDatagram): Buffer {
  const { body, ...header } = datagram as LanDatagram & { readonly body?: Buffer };
  const line = Buffer.from(`${JSON.stringify(header)}\n`);
  return Buffer.concat(body === undefined ? [mark, tag, line] : [mark, tag, line, body]);
}

/** Splits a payload. */
export function fragments(payload: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  for (let at = 0; at === 0 || at < payload.length; at += fragmentBytes)
    parts.push(payload.subarray(at, at + fragmentBytes));
  return parts;
}

/** Reads what anybody may have sent; `undefined` for what makes no sense, or is not for this cluster. */
export function decodeDatagram(tag: Buffer, bytes: Buffer): LanDatagram | undefined {
  if (bytes.length > maxDatagramBytes || bytes.length <= bodyStart) return undefined;
  if (mark.compare(bytes, 0, mark.length) !== 0 || tag.compare(bytes, mark.length, bodyStart) !== 0)
    return undefined;
  const end = bytes.indexOf(10, bodyStart);
  if (end < 0 || end - bodyStart > maxHeaderBytes) return undefined;
  const body = bytes.subarray(end + 1);
  try {
    const header = JSON.parse(bytes.toString('utf8', bodyStart, end)) as Record<string, unknown>;
    const from = readSender(header['from']);
    if (header['kind'] === 'beacon') {
      const mood = header['mood'];
      if ((mood !== 'here' && mood !== 'ask' && mood !== 'bye') || body.length > 0) return undefined;
      return { kind: 'beacon', from, mood };
    }
    const to = checkName('to', header['to']);
    const number = readNumber(header['number'], maxNumber);
    const place = readNumber(header['place'], maxFragments - 1);
    if (header['kind'] === 'ack') return { kind: 'ack', from, to, number, place };
    const count = readNumber(header['count'], maxFragments);
    if (header['kind'] !== 'part' || place >= count || body.length > fragmentBytes) return undefined;
    // Only the last one may be short: so a message has one way of being cut.
    if (place < count - 1 && body.length !== fragmentBytes) return undefined;
    return { kind: 'part', from, to, number, place, count, body };
  } catch {
    return undefined;
  }
}

function readSender(value: unknown): LanSender {
  const { id, incarnation, port } = value as Record<string, unknown>;
  const number = readNumber(port, 65_535);
  if (number === 0) throw new RangeError('port');
  return { id: checkName('id', id), incarnation: checkName('incarnation', incarnation), port: number };
}

function readNumber(value: unknown, max: number): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0 || (value as number) > max)
    throw new RangeError('number');
  return value as number;
}
