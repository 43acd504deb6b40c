/**
 * What the members of a store say to each other: requests and their answers, one a frame.
 *
 * @internal
 */
import { ByteReader, ByteWriter } from '../../bytes.js';
import { QuorateError } from '../../errors.js';
import { DIGEST_BYTES } from '../local/merkleTree.js';
import { MAX_KEY_BYTES } from '../local/limits.js';

/** The most keys, nodes or leaves of one message. */
export const MAX_ITEMS = 16_384;
const MAX_NAME = 128;
const MAX_WHY = 1024;

/** What a member asks another one for. */
export const RequestType = {
  /** Take these versions in. Answered once they are durable. */
  write: 1,
  /** What do you know of this key? */
  read: 2,
  /** The hashes of these nodes of your tree. */
  digests: 3,
  /** The keys of this leaf of your tree, with their hashes. */
  leaf: 4,
  /** Take these in, and tell what you know that they do not say. */
  exchange: 5,
  /** Do this call for me: you own the key. */
  forward: 32,
  /** This is the ring, which you do not know yet. Answered once it is known. */
  ring: 33,
  /** Your keys from here on, with what they hold. */
  list: 34,
} as const;
export type RequestType = (typeof RequestType)[keyof typeof RequestType];
const ANSWER = 6;
const REFUSAL = 7;
const STALE = 40;
const requestTypes: ReadonlySet<number> = new Set(Object.values(RequestType));

export interface Request {
  readonly kind: 'request';
  readonly store: string;
  /** What all members must have in common, hashed: see {@link agreementOf}. */
  readonly agreement: string;
  readonly id: number;
  /** The version of the ring by which it was addressed; 0 for a store without one. */
  readonly epoch: number;
  readonly type: RequestType;
  readonly body: Uint8Array;
}

export type Message =
  | Request
  | { readonly kind: 'answer'; readonly store: string; readonly id: number; readonly body: Uint8Array }
  | { readonly kind: 'refusal'; readonly store: string; readonly id: number; readonly why: string }
  /** It was addressed by another version of the ring than this one, which the sender goes by. */
  | { readonly kind: 'stale'; readonly store: string; readonly id: number; readonly ring: Uint8Array };

const kinds = { answer: ANSWER, refusal: REFUSAL, stale: STALE } as const;

export function encodeMessage(message: Message): Uint8Array {
  const writer = new ByteWriter(64 + ('body' in message ? message.body.length : 0));
  writer.u8(message.kind === 'request' ? message.type : kinds[message.kind]);
  writer.string(message.store);
  writer.varint(message.id);
  if (message.kind === 'refusal') {
    writer.string(message.why.slice(0, MAX_WHY / 4));
    return writer.take();
  }
  if (message.kind === 'request') {
    writer.string(message.agreement);
    writer.varint(message.epoch);
  }
  writer.raw(message.kind === 'stale' ? message.ring : message.body);
  return writer.take();
}

/** Throws ERR_CODEC. */
export function decodeMessage(frame: Uint8Array): Message {
  const reader = new ByteReader(frame);
  const type = reader.u8();
  const store = reader.string(MAX_NAME);
  const id = reader.varint();
  if (type === REFUSAL) {
    const why = reader.string(MAX_WHY);
    end(reader);
    return { kind: 'refusal', store, id, why };
  }
  if (type === ANSWER) return { kind: 'answer', store, id, body: reader.raw(reader.remaining) };
  if (type === STALE) return { kind: 'stale', store, id, ring: reader.raw(reader.remaining) };
  if (!requestTypes.has(type)) throw new QuorateError('ERR_CODEC', `there is no message of type ${type}`);
  const agreement = reader.string(MAX_NAME);
  const epoch = reader.varint();
  return {
    kind: 'request',
    store,
    id,
    agreement,
    epoch,
    type: type as RequestType,
    body: reader.raw(reader.remaining),
  };
}

/** A key, and its versions, encoded; undefined for nothing. */
export type KeyVersions = readonly [key: string, versions: Uint8Array | undefined];

export function encodeKeys(list: readonly KeyVersions[]): Uint8Array {
  const writer = new ByteWriter(1024);
  writer.varint(list.length);
  for (const [key, versions] of list) {
    writer.string(key);
    writer.bytes(versions ?? new Uint8Array(0));
  }
  return writer.take();
}

/** Throws ERR_CODEC. */
export function decodeKeys(body: Uint8Array): KeyVersions[] {
  const reader = new ByteReader(body);
  const out: KeyVersions[] = [];
  for (let left = countOf(reader, 2); left > 0; left--) {
    const key = reader.string(MAX_KEY_BYTES);
    const versions = reader.bytes();
    out.push([key, versions.length === 0 ? undefined : versions]);
  }
  end(reader);
  return out;
}

/** Nodes of a tree. */
export interface Nodes {
  readonly depth: number;
  readonly nodes: readonly number[];
}

export function encodeNodes({ depth, nodes }: Nodes): Uint8Array {
  const writer = new ByteWriter(256);
  writer.u8(depth);
  writer.varint(nodes.length);
  for (const node of nodes) writer.varint(node);
  return writer.take();
}

/** Throws ERR_CODEC. */
export function decodeNodes(body: Uint8Array, maxDepth: number): Nodes {
  const reader = new ByteReader(body);
  const depth = reader.u8();
  if (depth > maxDepth) throw new QuorateError('ERR_CODEC', `the tree has no depth ${depth}`);
  const nodes = Array.from({ length: countOf(reader, 1) }, () => reader.varint());
  if (nodes.some((node) => node >= 2 ** depth))
    throw new QuorateError('ERR_CODEC', 'the tree has no such node');
  end(reader);
  return { depth, nodes };
}

/** The keys of a leaf, each with the hash of what it holds. */
export function encodeLeaf(keys: readonly (readonly [key: string, digest: Uint8Array])[]): Uint8Array {
  const writer = new ByteWriter(1024);
  writer.varint(keys.length);
  for (const [key, digest] of keys) {
    writer.string(key);
    writer.raw(digest);
  }
  return writer.take();
}

/** Throws ERR_CODEC. */
export function decodeLeaf(body: Uint8Array): Map<string, Uint8Array> {
  const reader = new ByteReader(body);
  const out = new Map<string, Uint8Array>();
  for (let left = countOf(reader, 2 + DIGEST_BYTES); left > 0; left--)
    out.set(reader.string(MAX_KEY_BYTES), reader.raw(DIGEST_BYTES));
  end(reader);
  return out;
}

function countOf(reader: ByteReader, bytesEach: number): number {
  const count = reader.varint();
  if (count > MAX_ITEMS || count * bytesEach > reader.remaining)
    throw new QuorateError('ERR_CODEC', `a message of ${count} items`);
  return count;
}

function end(reader: ByteReader): void {
  if (reader.remaining > 0)
    throw new QuorateError('ERR_CODEC', `a message is ${reader.remaining} bytes too long`);
}
