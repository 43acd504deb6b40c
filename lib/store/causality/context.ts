/** What a reader has seen of a key, to be handed back with its next write: a token that means nothing to anybody else. */
import { ByteReader, ByteWriter } from '../../bytes.js';
import { configError } from '../../errors.js';
import type { HybridTimestamp } from './hybridClock.js';
import { VectorClock } from './vectorClock.js';
import { decodeClock, decodeStamp, encodeClock, encodeStamp, type Versions } from './version.js';

/** A token of what was read; a string of letters, digits, `-` and `_`, that may be kept and sent anywhere. */
export type StoreContext = string;

/**
 * What a writer has seen. The newest timestamp goes with the clock: the node that writes may not hold the versions that are
 * replaced, and what it writes has to be newer than all of them.
 *
 * @internal
 */
export interface Seen {
  readonly clock: VectorClock;
  readonly newest: HybridTimestamp;
}

/** Has seen nothing. @internal */
export const NOTHING_SEEN: Seen = { clock: VectorClock.empty, newest: { wall: 0, counter: 0 } };

/** What is seen by who reads these versions. @internal */
export function seenOf({ context, versions }: Versions): Seen {
  let { newest } = NOTHING_SEEN;
  for (const { stamp } of versions)
    if (stamp.wall > newest.wall || (stamp.wall === newest.wall && stamp.counter > newest.counter))
      newest = stamp;
  return { clock: context, newest };
}

/** @internal */
export function formatContext({ clock, newest }: Seen): StoreContext {
  const writer = new ByteWriter(64);
  encodeStamp(writer, newest);
  encodeClock(writer, clock);
  return Buffer.from(writer.take()).toString('base64url');
}

/** Throws ERR_CONFIG for what is no token. @internal */
export function parseContext(context: unknown): Seen {
  if (typeof context === 'string' && /^[\w-]*$/.test(context)) {
    try {
      const reader = new ByteReader(new Uint8Array(Buffer.from(context, 'base64url')));
      const newest = decodeStamp(reader);
      const clock = decodeClock(reader);
      if (reader.remaining === 0) return { clock, newest };
    } catch {
      // what follows says it
    }
  }
  throw configError('context', context, 'one that `get` gave');
}
