/** The cluster secret: what `joinMesh` takes, and the keys that the handshake proves with. */
import { hkdfSync } from 'node:crypto';
import { QuorateError, configError } from '../errors.js';

/** Fewest bytes of a secret: 128 bits. */
const minSecretBytes = 16;

/**
 * What every member of a cluster must hold to get in.
 *
 * - a string (its UTF-8 bytes count) or bytes, at least 16 bytes (128 bits) of good randomness;
 * - a function that fetches it, called once when joining;
 * - `{ current, previous }` while a secret is changed: this node proves with `current` and accepts either. Change it in three
 *   rounds: `{ current: old, previous: new }` everywhere, then `{ current: new, previous: old }`, then `new`, each by
 *   `rotateSecret` while the mesh runs, or by a restart;
 * - `false`: an open door. Every member must say so.
 */
export type ClusterSecret =
  | string
  | Uint8Array
  | (() => Promise<string | Uint8Array>)
  | { readonly current: string | Uint8Array; readonly previous?: string | Uint8Array }
  | false;

/** The keys made of a secret, the one to prove with first; `undefined` for the open door. @internal */
export type ClusterKeys = readonly [Uint8Array, ...Uint8Array[]] | undefined;

/**
 * Turns the option into keys.
 *
 * @throws QuorateError `ERR_SECRET_MISSING`, `ERR_SECRET_WEAK` or `ERR_CONFIG`.
 * @internal
 */
export async function resolveSecret(option: unknown, cluster: string): Promise<ClusterKeys> {
  if (option === false) return undefined;
  if (typeof option === 'function') return [deriveKey('secret', await fetchSecret(option), cluster)];
  if (typeof option === 'object' && option !== null && 'current' in option) {
    const { current, previous } = option as { current: unknown; previous?: unknown };
    const key = deriveKey('secret.current', current, cluster);
    return previous === undefined ? [key] : [key, deriveKey('secret.previous', previous, cluster)];
  }
  return [deriveKey('secret', option, cluster)];
}

/**
 * The option without a function in it: what the function fetches.
 *
 * @throws QuorateError `ERR_SECRET_MISSING`.
 * @internal
 */
export async function fetchSecret(option: unknown): Promise<unknown> {
  if (typeof option !== 'function') return option;
  try {
    return await (option as () => Promise<unknown>)();
  } catch (cause) {
    throw new QuorateError('ERR_SECRET_MISSING', 'secret: the function that fetches it failed', { cause });
  }
}

function deriveKey(name: string, secret: unknown, cluster: string): Uint8Array {
  if (secret === undefined || secret === null) {
    throw new QuorateError(
      'ERR_SECRET_MISSING',
      `${name} must be given (or be false, for a mesh without one)`,
    );
  }
  const isText = typeof secret === 'string';
  if (!isText && !(secret instanceof Uint8Array)) {
    // The value itself never goes into a message: it might be the secret.
    throw configError(name, typeof secret, 'a string, bytes, a function, { current, previous } or false');
  }
  const bytes = isText ? Buffer.from(secret, 'utf8') : secret;
  if (bytes.length < minSecretBytes) {
    throw new QuorateError(
      'ERR_SECRET_WEAK',
      `${name} must have at least ${minSecretBytes} bytes (128 bits), got ${bytes.length}`,
    );
  }
  // RFC 5869: the cluster name in `info` gives each cluster keys of its own, even where secrets are shared.
  return new Uint8Array(hkdfSync('sha256', bytes, 'quorate mesh handshake', cluster, 32));
}
