/** Listing the keys of a store whose members hold each a part of them. @internal */
import { ByteReader, ByteWriter } from '../../bytes.js';
import { QuorateError } from '../../errors.js';
import { decodeKeys, encodeKeys, type KeyVersions } from '../coordination/wire.js';
import { MAX_KEY_BYTES } from '../local/limits.js';
import type { LocalStore } from '../local/localStore.js';

/** Keys, and about so many bytes of what they hold, that are told at a time. */
export const PAGE_KEYS = 1000;
const PAGE_BYTES = 1 << 19;

export interface ListRequest {
  readonly prefix: string;
  /** Keys after this one; '' for all. */
  readonly after: string;
}

/** Keys in their order, deleted ones too, and whether there are more after the last. */
export interface ListPage {
  readonly more: boolean;
  readonly keys: readonly KeyVersions[];
}

export function encodeListRequest({ prefix, after }: ListRequest): Uint8Array {
  const writer = new ByteWriter(64);
  writer.string(prefix);
  writer.string(after);
  return writer.take();
}

/** Throws ERR_CODEC. */
export function decodeListRequest(body: Uint8Array): ListRequest {
  const reader = new ByteReader(body);
  const request = { prefix: reader.string(MAX_KEY_BYTES), after: reader.string(MAX_KEY_BYTES) };
  if (reader.remaining > 0) throw new QuorateError('ERR_CODEC', 'bytes follow what is asked for');
  return request;
}

export function encodePage({ more, keys }: ListPage): Uint8Array {
  return Buffer.concat([Uint8Array.of(more ? 1 : 0), encodeKeys(keys)]);
}

/** Throws ERR_CODEC. */
export function decodePage(body: Uint8Array): ListPage {
  const [more] = body;
  const keys = decodeKeys(body.subarray(1));
  const sorted = keys.every(([key], i) => i === 0 || keys[i - 1]![0] < key);
  if (more === undefined || more > 1 || (more === 1 && keys.length === 0) || !sorted)
    throw new QuorateError('ERR_CODEC', 'a page of keys that is none');
  return { more: more === 1, keys };
}

/** One page of the keys of this node that `owned` lets pass. */
export async function pageOf(
  local: LocalStore<unknown, unknown, unknown>,
  { prefix, after }: ListRequest,
  owned: (key: string) => boolean,
): Promise<ListPage> {
  const { table } = local;
  const found: string[] = [];
  for (const key of table.keys()) if (key.startsWith(prefix) && key > after && owned(key)) found.push(key);
  found.sort();
  const keys: KeyVersions[] = [];
  for (let bytes = 0; keys.length < Math.min(PAGE_KEYS, found.length) && bytes < PAGE_BYTES;) {
    const key = found[keys.length]!;
    const versions = await local.versionsOf(key);
    keys.push([key, versions]);
    bytes += key.length + (versions?.length ?? 0);
  }
  return { more: keys.length < found.length, keys };
}
