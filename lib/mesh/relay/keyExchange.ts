/**
 * The keys of one relayed link: X25519 with fresh keys at both ends (RFC 7748), then HKDF-SHA256 (RFC 5869) over the shared
 * secret, salted with a hash of all that names the session. Both ends come to the same keys only if they saw the same public
 * keys, ids and session; that nobody sits in the middle is proved later, by the handshake over {@link bindingOf}.
 *
 * Synchronous, and seeded from the environment, so that a simulation computes the same keys from the same seed. @internal
 */
import { createHash, createPrivateKey, createPublicKey, diffieHellman, hkdfSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type { NodeId } from '../../consensus/consensus.js';
import type { Environment } from '../../environment.js';
import type { LaneName } from '../transport.js';

/** Bytes of an X25519 public key. */
export const publicKeyBytes = 32;
/** Bytes of a session's random name. */
export const sessionBytes = 16;

const seedBytes = 32;
const label = 'quorate relayed link 1';
// The fixed beginnings of a PKCS #8 private key and of an SPKI public key for X25519 (RFC 8410).
const pkcs8 = Buffer.from('302e020100300506032b656e04220420', 'hex');
const spki = Buffer.from('302a300506032b656e032100', 'hex');

/** A key pair for one set-up. */
export interface EphemeralKeys {
  readonly privateKey: KeyObject;
  readonly publicKey: Uint8Array;
}

/** A fresh key pair. */
export function makeKeys(environment: Environment): EphemeralKeys {
  const seed = environment.randomBytes(seedBytes);
  const privateKey = createPrivateKey({
    key: Buffer.concat([pkcs8, seed]),
    format: 'der',
    type: 'pkcs8',
  });
  const der = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  return { privateKey, publicKey: Uint8Array.from(der.subarray(spki.length)) };
}

/** What both ends of a session agree on. */
export interface Transcript {
  readonly session: Uint8Array;
  readonly opener: NodeId;
  readonly answerer: NodeId;
  readonly openerKey: Uint8Array;
  readonly answererKey: Uint8Array;
}

/** 256-bit keys, one for each direction and lane, so that a packet's number alone makes a nonce. */
export interface DirectionKeys {
  readonly opener: Readonly<Record<LaneName, Uint8Array>>;
  readonly answerer: Readonly<Record<LaneName, Uint8Array>>;
}

/** The session's keys; `undefined`: the other end's public key is of low order, and the secret would be zero whoever asks. */
export function deriveKeys(
  own: EphemeralKeys,
  peerKey: Uint8Array,
  transcript: Transcript,
): DirectionKeys | undefined {
  const shared = agree(own.privateKey, peerKey);
  if (shared === undefined) return undefined;
  const okm = Buffer.from(hkdfSync('sha256', shared, hashOf(transcript), label, 4 * 32));
  return {
    opener: { control: okm.subarray(0, 32), bulk: okm.subarray(32, 64) },
    answerer: { control: okm.subarray(64, 96), bulk: okm.subarray(96, 128) },
  };
}

/** What the mesh's handshake proves knowledge of: both public keys in the opener's order, and the session. */
export function bindingOf(transcript: Transcript): string {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
  return `relay ${hex(transcript.openerKey)} ${hex(transcript.answererKey)} ${hex(transcript.session)}`;
}

/** X25519; `undefined` where the result is all zero (RFC 7748, section 6.1). */
function agree(privateKey: KeyObject, peerKey: Uint8Array): Uint8Array | undefined {
  if (peerKey.length !== publicKeyBytes) return undefined;
  try {
    const publicKey = createPublicKey({ key: Buffer.concat([spki, peerKey]), format: 'der', type: 'spki' });
    const shared = diffieHellman({ privateKey, publicKey });
    return shared.every((byte) => byte === 0) ? undefined : shared;
  } catch {
    return undefined; // OpenSSL refuses an all-zero result by itself
  }
}

function hashOf(transcript: Transcript): Uint8Array {
  const hash = createHash('sha256');
  const { session, opener, answerer, openerKey, answererKey } = transcript;
  for (const part of [label, session, opener, answerer, openerKey, answererKey]) {
    const bytes = typeof part === 'string' ? Buffer.from(part, 'utf8') : part;
    hash.update(Uint8Array.of(bytes.length >>> 8, bytes.length & 0xff)).update(bytes);
  }
  return hash.digest();
}
