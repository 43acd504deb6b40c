/** CRC-32, one piece after another. @internal */
import { crc32 as nativeCrc32 } from 'node:zlib';

/** The CRC of `bytes`, going on from `seed`. Node's own answers 0 instead of the seed for an empty view without memory behind it. */
export function crc32(bytes: Uint8Array, seed = 0): number {
  return bytes.length === 0 ? seed : nativeCrc32(bytes, seed);
}
