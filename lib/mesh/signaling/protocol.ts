/**
 * The frames between a node and the rendezvous server: a JSON header of one line and, after a line feed, a body that is
 * opaque to the server. So a payload is neither escaped nor parsed on its way.
 */
import { QuorateError, checkName } from '../../errors.js';
import { maxPayloadBytes } from './signaling.js';

export const protocolVersion = 1;
/** A header has at most four names of 128 characters. */
export const maxHeaderBytes = 1024;
export const maxFrameBytes = maxPayloadBytes + maxHeaderBytes;
/** The most members a room can have, on either side. */
export const maxPeers = 10_000;
const idsPerFrame = 256;
const maxReasonChars = 300;

/** Why a server ends a connection. */
export type RefusalCode =
  | 'unauthorized' // authorize said no
  | 'replaced' // a newer run of this id is here
  | 'superseded' // this run came again on another connection
  | 'full' // a cap of the server is reached
  | 'version' // no common version
  | 'invalid' // a frame that breaks the protocol, or none in time
  | 'closing'; // the server shuts down

const refusalCodes: ReadonlySet<string> = new Set<RefusalCode>([
  'unauthorized',
  'replaced',
  'superseded',
  'full',
  'version',
  'invalid',
  'closing',
]);

/** What a node says first. */
export interface Hello {
  readonly version: number;
  readonly cluster: string;
  readonly id: string;
  readonly incarnation: string;
}

/** What a node sends. */
export type ClientFrame =
  | ({ readonly type: 'hello' } & Hello)
  | { readonly type: 'send'; readonly to: string; readonly payload: Uint8Array };

/** What the server sends: after a hello `peers`, none or several, then `welcome`; from then on the rest. */
export type ServerFrame =
  | { readonly type: 'peers'; readonly ids: readonly string[] }
  | { readonly type: 'welcome' }
  | { readonly type: 'join' | 'leave'; readonly id: string }
  | { readonly type: 'message'; readonly from: string; readonly payload: string }
  | { readonly type: 'refused'; readonly code: RefusalCode; readonly reason: string };

const lineFeed = 0x0a;

function frame(header: Record<string, unknown>, body: string | Uint8Array = ''): Buffer {
  const head = Buffer.from(`${JSON.stringify(header)}\n`);
  return Buffer.concat([head, typeof body === 'string' ? Buffer.from(body) : body]);
}

export const helloFrame = (hello: Omit<Hello, 'version'>): Buffer =>
  frame({
    type: 'hello',
    version: protocolVersion,
    cluster: hello.cluster,
    id: hello.id,
    incarnation: hello.incarnation,
  });
export const sendFrame = (to: string, payload: string): Buffer => frame({ type: 'send', to }, payload);
export const messageFrame = (from: string, payload: Uint8Array): Buffer =>
  frame({ type: 'message', from }, payload);
export const joinFrame = (id: string): Buffer => frame({ type: 'join', id });
export const leaveFrame = (id: string): Buffer => frame({ type: 'leave', id });
export const refusedFrame = (code: RefusalCode, reason: string): Buffer =>
  frame({ type: 'refused', code }, reason.slice(0, maxReasonChars));

/** The frames that tell a newcomer who is there. */
export function welcomeFrames(ids: readonly string[]): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at < ids.length; at += idsPerFrame) {
    frames.push(frame({ type: 'peers' }, ids.slice(at, at + idsPerFrame).join(' ')));
  }
  frames.push(frame({ type: 'welcome' }));
  return frames;
}

/** Reads what a node sent. Throws ERR_SIGNALING for whatever is not a frame of this protocol. */
export function parseClientFrame(data: unknown, isBinary: boolean): ClientFrame {
  const { header, body } = split(data, isBinary);
  switch (header['type']) {
    case 'hello':
      return {
        type: 'hello',
        version: version(header['version']),
        cluster: name('cluster', header['cluster']),
        id: name('id', header['id']),
        incarnation: name('incarnation', header['incarnation']),
      };
    case 'send':
      return { type: 'send', to: name('to', header['to']), payload: payload(body) };
    default:
      throw breach('a frame of unknown type');
  }
}

/** Reads what a server sent. Throws ERR_SIGNALING for whatever is not a frame of this protocol. */
export function parseServerFrame(data: unknown, isBinary: boolean): ServerFrame {
  const { header, body } = split(data, isBinary);
  const type = header['type'];
  switch (type) {
    case 'peers':
      return { type, ids: names(body) };
    case 'welcome':
      return { type };
    case 'join':
    case 'leave':
      return { type, id: name('id', header['id']) };
    case 'message':
      return { type, from: name('from', header['from']), payload: payload(body).toString('utf8') };
    case 'refused':
      return { type, code: refusal(header['code']), reason: printable(body.toString('utf8')) };
    default:
      throw breach('a frame of unknown type');
  }
}

function split(data: unknown, isBinary: boolean): { header: Record<string, unknown>; body: Buffer } {
  if (isBinary || !Buffer.isBuffer(data)) throw breach('a binary frame');
  const end = data.subarray(0, maxHeaderBytes).indexOf(lineFeed);
  if (end < 0) throw breach(`a frame without a header of at most ${maxHeaderBytes} bytes`);
  let header: unknown;
  try {
    header = JSON.parse(data.toString('utf8', 0, end));
  } catch {
    throw breach('a header that is not JSON');
  }
  if (typeof header !== 'object' || header === null) throw breach('a header that is not an object');
  return { header: header as Record<string, unknown>, body: data.subarray(end + 1) };
}

function name(field: string, value: unknown): string {
  try {
    return checkName(field, value);
  } catch (cause) {
    throw breach(`a bad name, ${(cause as Error).message}`);
  }
}

function names(body: Buffer): string[] {
  const ids = body.toString('utf8').split(' ');
  if (ids.length > idsPerFrame) throw breach(`more than ${idsPerFrame} ids in a frame`);
  return ids.map((id) => name('id', id));
}

function version(value: unknown): number {
  if (!Number.isSafeInteger(value)) throw breach('a version that is no integer');
  return value as number;
}

function payload(body: Buffer): Buffer {
  if (body.length > maxPayloadBytes) {
    throw breach(`a payload of ${body.length} bytes, above the cap of ${maxPayloadBytes}`);
  }
  return body;
}

function refusal(value: unknown): RefusalCode {
  if (typeof value !== 'string' || !refusalCodes.has(value)) throw breach('a refusal with an unknown code');
  return value as RefusalCode;
}

/** The reason ends up in an error message, and so in logs and terminals. */
function printable(reason: string): string {
  return reason.slice(0, maxReasonChars).replace(/\p{Cc}/gu, ' ');
}

function breach(what: string): QuorateError {
  return new QuorateError('ERR_SIGNALING', `the other side of the rendezvous sent ${what}`);
}
