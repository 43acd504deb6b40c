/** The keys that nodes are known by: Ed25519 (RFC 8032), made, read, and used to sign. */
import { KeyObject, createPrivateKey, createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto';
import { QuorateError, configError } from '../errors.js';

/**
 * A node's private key: a PEM text (PKCS #8, as {@link generateIdentity} and `quorate keygen` make them; its bytes will do), a
 * `KeyObject`, or the 32 bytes of an Ed25519 seed.
 */
export type NodeKey = string | Uint8Array | KeyObject;

/** A node's pair of keys, as {@link generateIdentity} makes it. */
export interface NodeIdentity {
  /** What others list: `ed25519:` and 43 characters of base64url. No secret. */
  readonly publicKey: string;
  /** What only the node itself holds: a PEM text (PKCS #8). */
  readonly privateKey: string;
}

/** What a node signs with. @internal */
export interface NodeSigner {
  readonly publicKey: string;
  sign(message: Uint8Array): Uint8Array;
}

const keyBytes = 32;
const prefix = 'ed25519:';
/** DER up to the 32 bytes of the key (RFC 8410): an Ed25519 seed in PKCS #8, and a public key as SubjectPublicKeyInfo. */
const pkcs8 = Buffer.from('302e020100300506032b657004220420', 'hex');
const spki = Buffer.from('302a300506032b6570032100', 'hex');

/**
 * The points of small order, in every encoding but for the sign bit: 0, 1, -1, the two of order 8, and 0 and 1 written above the
 * prime. Whoever presents such a key can sign anything without a private one.
 */
const smallOrder: ReadonlySet<string> = new Set([
  '00'.repeat(32),
  `01${'00'.repeat(31)}`,
  `ec${'ff'.repeat(30)}7f`,
  `ed${'ff'.repeat(30)}7f`,
  `ee${'ff'.repeat(30)}7f`,
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
]);

/**
 * Makes a new pair of keys for a node. Do it once, give the private key to that node alone, and list the public key with the
 * others. `npx quorate keygen` does the same.
 *
 * @example
 * ```ts
 * const { publicKey, privateKey } = generateIdentity();
 * await writeFile('node-a.pem', privateKey, { mode: 0o600, flag: 'wx' });
 * console.log(`a: ${publicKey}`);
 * ```
 */
export function generateIdentity(): NodeIdentity {
  const { privateKey } = generateKeyPairSync('ed25519');
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  return { publicKey: publicKeyOf(pem), privateKey: pem };
}

/**
 * The public key that belongs to a private one.
 *
 * @throws QuorateError `ERR_CONFIG`.
 */
export function publicKeyOf(key: NodeKey): string {
  return signerOf('key', key).publicKey;
}

/** Reads a private key. Its value never goes into a message. @internal */
export function signerOf(option: string, key: unknown): NodeSigner {
  const privateKey = privateKeyOf(option, key);
  const der = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
  return {
    publicKey: formatPublicKey(der.subarray(-keyBytes)),
    sign: (message) => sign(null, message, privateKey),
  };
}

function privateKeyOf(option: string, key: unknown): KeyObject {
  let found: KeyObject | undefined;
  if (key instanceof KeyObject) {
    found = key;
  } else if (typeof key === 'string' || key instanceof Uint8Array) {
    const isSeed = typeof key !== 'string' && key.length === keyBytes;
    try {
      found = isSeed
        ? createPrivateKey({ key: Buffer.concat([pkcs8, key]), format: 'der', type: 'pkcs8' })
        : createPrivateKey({ key: typeof key === 'string' ? key : Buffer.from(key), format: 'pem' });
    } catch {
      // What OpenSSL says of it is told to nobody: it might quote the key.
    }
  }
  if (found?.type === 'private' && found.asymmetricKeyType === 'ed25519') return found;
  throw configError(
    option,
    typeof key === 'object' ? key : typeof key,
    'an Ed25519 private key: PEM (PKCS #8, not encrypted), a KeyObject, or a seed of 32 bytes',
  );
}

/** Writes a public key as text. @internal */
export function formatPublicKey(bytes: Uint8Array): string {
  return prefix + Buffer.from(bytes).toString('base64url');
}

/** The 32 bytes of a public key as text, or undefined: each key has one text only. @internal */
export function parsePublicKey(text: unknown): Uint8Array | undefined {
  if (typeof text !== 'string' || !text.startsWith(prefix)) return undefined;
  const bytes = Buffer.from(text.slice(prefix.length), 'base64url');
  if (bytes.length !== keyBytes || formatPublicKey(bytes) !== text || isSmallOrder(bytes)) return undefined;
  return bytes;
}

function isSmallOrder(bytes: Uint8Array): boolean {
  const unsigned = Buffer.from(bytes);
  unsigned[keyBytes - 1]! &= 0x7f;
  return smallOrder.has(unsigned.toString('hex'));
}

/** Reads a public key off the wire: none, or 32 bytes that are one. @internal */
export function decodePublicKey(bytes: Uint8Array): string | undefined {
  if (bytes.length === 0) return undefined;
  const text = formatPublicKey(bytes);
  if (parsePublicKey(text) === undefined) throw new QuorateError('ERR_CODEC', 'a public key that is none');
  return text;
}

/** Checks a public key given by a user; returns it. @internal */
export function checkPublicKey(option: string, value: unknown): string {
  if (parsePublicKey(value) !== undefined) return value as string;
  // What does not look like one is not quoted: it might be a private key in the wrong place.
  const shown = typeof value !== 'string' || /^ed25519:[\w-]{0,50}$/.test(value) ? value : 'another text';
  throw configError(option, shown, 'an Ed25519 public key: "ed25519:" and 43 characters of base64url');
}

/** Whether the holder of a public key signed a message. @internal */
export function isSignedBy(publicKey: string, message: Uint8Array, signature: Uint8Array): boolean {
  const bytes = parsePublicKey(publicKey);
  if (bytes === undefined || signature.length !== 64) return false;
  const key = createPublicKey({ key: Buffer.concat([spki, bytes]), format: 'der', type: 'spki' });
  return verify(null, message, key, signature);
}
