/**
 * How two ends prove that they belong together, before anything else is read: hello both ways, then proof, then accept.
 *
 *     proof = HMAC-SHA256(key, label ‖ prover's role ‖ offerer's hello ‖ answerer's hello [‖ binding])
 *     signature = Ed25519(the prover's own key, context ‖ label ‖ role ‖ offerer's hello ‖ answerer's hello ‖ binding)
 *
 * Each hello has a fresh nonce, so an old proof fails; the prover's role is inside, so a reflected one fails; the binding is
 * what the channel itself proves, so a relayed one fails. The proof comes with and without the binding: a peer without the
 * secret fails both, somebody in the middle only the one with it. A node with a key of its own names it in its hello, and signs.
 *
 * A pure state machine: bytes in, bytes out. @internal
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { ByteReader, ByteWriter } from '../bytes.js';
import { QuorateError } from '../errors.js';
import type { ErrorCode } from '../errors.js';
import type { Credentials, Standing } from './credentials.js';
import { decodePublicKey, isSignedBy, parsePublicKey } from './identity.js';
import { isIncarnation } from './incarnation.js';
import { maxWindowBytes, minWindowBytes } from './limits.js';

/** Wire versions that this build speaks. */
export const wireVersions = { min: 1, max: 1 } as const;

const magic = 0x51; // 'Q'
const maxMessageBytes = 1024;
const nonceBytes = 32;
const publicKeyBytes = 32;
const signatureBytes = 64;
const roleOf = { offerer: 1, answerer: 2 } as const;
const message = { hello: 1, proof: 2, accept: 3, refuse: 4 } as const;
const labels = { secret: 1, bound: 2, signed: 3 } as const;
/** What a signature is about: a node's key may sign other things elsewhere. */
const signedContext = 'quorate mesh handshake';

/** Why a peer was refused; the place in the row is the code on the wire. */
const refusals = [
  'ERR_PEER_PROTOCOL',
  'ERR_PEER_SECRET',
  'ERR_PEER_STRANGER',
  'ERR_PEER_FINGERPRINT',
  'ERR_PEER_REPLAY',
  'ERR_PEER_VERSION',
  'ERR_PEER_DUPLICATE',
  'ERR_PEER_TIMEOUT',
  'ERR_PEER_KEY',
  'ERR_PEER_REDUNDANT',
] as const satisfies readonly ErrorCode[];
export type Refusal = (typeof refusals)[number];

/** What a hello says. */
export interface Hello {
  readonly versions: { readonly min: number; readonly max: number };
  readonly cluster: string;
  readonly id: string;
  readonly incarnation: string;
  readonly role: number;
  readonly nonce: Uint8Array;
  /** `secret: false`. */
  readonly open: boolean;
  readonly controlWindowBytes: number;
  readonly bulkWindowBytes: number;
  readonly maxFrameBytes: number;
  /** The key that this node signs with; proved once the handshake is done. */
  readonly publicKey?: string | undefined;
}

/** What a handshake is made with. */
export interface HandshakeOptions {
  readonly cluster: string;
  readonly id: string;
  readonly incarnation: string;
  /** Asked anew at every step, so that what changes meanwhile counts. */
  readonly credentials: Credentials;
  readonly nonce: Uint8Array;
  readonly limits: Pick<Hello, 'controlWindowBytes' | 'bulkWindowBytes' | 'maxFrameBytes'>;
  /** Who the transport says the other end is. */
  readonly peer: string;
  readonly offerer: boolean;
  readonly binding: string;
  /** Asked once the peer has proved itself: refuses an older run of a node. */
  readonly admit: (hello: Hello) => Refusal | undefined;
  readonly versions?: { readonly min: number; readonly max: number };
}

/** Where a handshake stands. `refused.told`: the other end refused us. */
export type HandshakeState =
  | { readonly kind: 'running' }
  | {
      readonly kind: 'done';
      readonly hello: Hello;
      readonly version: number;
      readonly standing: Standing;
    }
  | { readonly kind: 'refused'; readonly error: QuorateError; readonly told: boolean };

export class Handshake {
  readonly #options: HandshakeOptions;
  readonly #ownHello: Uint8Array;
  #step: 'hello' | 'proof' | 'accept' | 'over' = 'hello';
  #standing: Standing | undefined;
  #peerHello: { readonly bytes: Uint8Array; readonly hello: Hello; readonly version: number } | undefined;

  constructor(options: HandshakeOptions) {
    this.#options = options;
    this.#ownHello = encodeHello({
      versions: options.versions ?? wireVersions,
      cluster: options.cluster,
      id: options.id,
      incarnation: options.incarnation,
      role: options.offerer ? roleOf.offerer : roleOf.answerer,
      nonce: options.nonce,
      open: options.credentials.keys === undefined,
      ...options.limits,
      publicKey: options.credentials.publicKey,
    });
  }

  /** Whether the peer has proved itself, so that frames of its bulk lane may be kept for the link to come. */
  get verified(): boolean {
    return this.#step === 'accept';
  }

  /** The first message. */
  start(): Uint8Array {
    return this.#ownHello;
  }

  /** Takes a message of the other end; hands messages to send to `reply`. Never throws, whatever the bytes. */
  receive(bytes: Uint8Array, reply: (bytes: Uint8Array) => void): HandshakeState {
    try {
      return this.#receive(bytes, reply);
    } catch (error) {
      return this.#refuse(
        'ERR_PEER_PROTOCOL',
        `a handshake message that does not decode: ${String(error)}`,
        reply,
      );
    }
  }

  /** Gives up, and says why. */
  abandon(code: Refusal, text: string, reply: (bytes: Uint8Array) => void): HandshakeState {
    return this.#refuse(code, text, reply);
  }

  #receive(bytes: Uint8Array, reply: (bytes: Uint8Array) => void): HandshakeState {
    if (bytes.length > maxMessageBytes)
      return this.#refuse('ERR_PEER_PROTOCOL', 'an oversized handshake message', reply);
    const reader = new ByteReader(bytes);
    if (reader.u8() !== magic)
      return this.#refuse('ERR_PEER_PROTOCOL', 'a frame before the handshake', reply);
    const type = reader.u8();
    if (type === message.refuse) return this.#told(reader.u8());
    if (type === message.hello && this.#step === 'hello') return this.#hello(bytes, reader, reply);
    if (type === message.proof && this.#step === 'proof') return this.#proof(reader, reply);
    if (type === message.accept && this.#step === 'accept') return this.#accepted(reply);
    return this.#refuse('ERR_PEER_PROTOCOL', `handshake message ${type} while ${this.#step} was due`, reply);
  }

  #hello(bytes: Uint8Array, reader: ByteReader, reply: (bytes: Uint8Array) => void): HandshakeState {
    const own = this.#options;
    const versions = { min: reader.varint(), max: reader.varint() };
    const ours = own.versions ?? wireVersions;
    const version = Math.min(versions.max, ours.max);
    if (version < Math.max(versions.min, ours.min)) {
      const text = `it speaks wire versions ${versions.min} to ${versions.max}, this node ${ours.min} to ${ours.max}`;
      return this.#refuse('ERR_PEER_VERSION', text, reply);
    }
    const hello = decodeHello(versions, reader);
    const stranger = strangeness(hello, own);
    if (stranger !== undefined) return this.#refuse('ERR_PEER_STRANGER', stranger, reply);
    if (hello.role !== (own.offerer ? roleOf.answerer : roleOf.offerer)) {
      return this.#refuse('ERR_PEER_PROTOCOL', 'it claims the role of this end', reply);
    }
    if (timingSafeEqual(hello.nonce, own.nonce))
      return this.#refuse('ERR_PEER_REPLAY', 'it plays our nonce back', reply);
    if (hello.open !== (own.credentials.keys === undefined)) {
      const text = hello.open
        ? 'it has no secret (secret: false)'
        : 'it has a secret, this node has none (secret: false)';
      return this.#refuse('ERR_PEER_SECRET', text, reply);
    }
    this.#peerHello = { bytes: bytes.slice(), hello, version };
    this.#step = 'proof';
    reply(this.#makeProof());
    return { kind: 'running' };
  }

  #makeProof(): Uint8Array {
    const { credentials, offerer } = this.#options;
    const key = credentials.keys?.[0];
    const writer = new ByteWriter(256);
    writer.u8(magic);
    writer.u8(message.proof);
    writer.bytes(this.#peerHello!.hello.nonce);
    writer.bytes(key === undefined ? noBytes : this.#mac(key, labels.secret, offerer));
    writer.bytes(key === undefined ? noBytes : this.#mac(key, labels.bound, offerer));
    writer.bytes(credentials.sign(this.#signed(offerer)) ?? noBytes);
    return writer.take();
  }

  #proof(reader: ByteReader, reply: (bytes: Uint8Array) => void): HandshakeState {
    const { credentials, offerer, nonce, admit } = this.#options;
    const { keys } = credentials;
    const { hello } = this.#peerHello!;
    const answered = reader.bytes(nonceBytes);
    const secret = reader.bytes(nonceBytes);
    const bound = reader.bytes(nonceBytes);
    const signature = reader.remaining > 0 ? reader.bytes(signatureBytes) : noBytes;
    if (!equal(answered, nonce))
      return this.#refuse('ERR_PEER_REPLAY', 'its proof answers another nonce', reply);
    const secretKey = keys?.find((k) => equal(secret, this.#mac(k, labels.secret, !offerer)));
    if (keys !== undefined) {
      if (secretKey === undefined)
        return this.#refuse('ERR_PEER_SECRET', 'it does not hold the cluster secret', reply);
      if (!equal(bound, this.#mac(secretKey, labels.bound, !offerer))) {
        return this.#refuse('ERR_PEER_FINGERPRINT', 'somebody sits between the two ends', reply);
      }
    }
    // The list only after the secret: a stranger learns nothing of who is on it.
    const standing = { id: hello.id, publicKey: hello.publicKey, secretKey };
    const objection = credentials.objection(standing);
    if (objection !== undefined) return this.#refuse(objection.code, objection.text, reply);
    if (hello.publicKey !== undefined && !isSignedBy(hello.publicKey, this.#signed(!offerer), signature)) {
      const text = 'it does not hold the key that it names, or somebody sits between the two ends';
      return this.#refuse('ERR_PEER_KEY', text, reply);
    }
    const refusal = admit(hello);
    if (refusal !== undefined) return this.#refuse(refusal, 'a newer run of this node is linked', reply);
    this.#standing = standing;
    this.#step = 'accept';
    reply(new Uint8Array([magic, message.accept]));
    return { kind: 'running' };
  }

  #accepted(reply: (bytes: Uint8Array) => void): HandshakeState {
    const standing = this.#standing!;
    const objection = this.#options.credentials.objection(standing); // revoked since its proof?
    if (objection !== undefined) return this.#refuse(objection.code, objection.text, reply);
    this.#step = 'over';
    return { kind: 'done', hello: this.#peerHello!.hello, version: this.#peerHello!.version, standing };
  }

  #mac(key: Uint8Array, label: typeof labels.secret | typeof labels.bound, byOfferer: boolean): Uint8Array {
    const writer = new ByteWriter(512);
    this.#transcribe(writer, label, byOfferer);
    return createHmac('sha256', key).update(writer.take()).digest();
  }

  /** What a node signs. */
  #signed(byOfferer: boolean): Uint8Array {
    const writer = new ByteWriter(512);
    writer.string(signedContext);
    this.#transcribe(writer, labels.signed, byOfferer);
    return writer.take();
  }

  #transcribe(writer: ByteWriter, label: number, byOfferer: boolean): void {
    const { offerer, binding } = this.#options;
    const peerHello = this.#peerHello!.bytes;
    writer.u8(label);
    writer.u8(byOfferer ? roleOf.offerer : roleOf.answerer);
    writer.bytes(offerer ? this.#ownHello : peerHello);
    writer.bytes(offerer ? peerHello : this.#ownHello);
    if (label !== labels.secret) writer.string(binding);
  }

  #told(code: number): HandshakeState {
    this.#step = 'over';
    const told = refusals[code];
    const error = new QuorateError(
      told ?? 'ERR_PEER_PROTOCOL',
      `peer ${this.#options.peer} refuses this node: ${told ?? `code ${code}`}`,
    );
    return { kind: 'refused', error, told: true };
  }

  #refuse(code: Refusal, text: string, reply: (bytes: Uint8Array) => void): HandshakeState {
    this.#step = 'over';
    reply(new Uint8Array([magic, message.refuse, refusals.indexOf(code)]));
    const error = new QuorateError(code, `peer ${this.#options.peer} was refused: ${text}`);
    return { kind: 'refused', error, told: false };
  }
}

const noBytes = new Uint8Array(0);

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

function strangeness(hello: Hello, own: HandshakeOptions): string | undefined {
  if (hello.cluster !== own.cluster) return `it belongs to cluster ${JSON.stringify(hello.cluster)}`;
  if (hello.id === own.id) return `it uses this node's own id`;
  if (hello.id !== own.peer) return `it calls itself ${JSON.stringify(hello.id)}`;
  return undefined;
}

function encodeHello(hello: Hello): Uint8Array {
  const writer = new ByteWriter(512);
  writer.u8(magic);
  writer.u8(message.hello);
  writer.varint(hello.versions.min);
  writer.varint(hello.versions.max);
  writer.string(hello.cluster);
  writer.string(hello.id);
  writer.string(hello.incarnation);
  writer.u8(hello.role);
  writer.bytes(hello.nonce);
  writer.u8(hello.open ? 1 : 0);
  writer.varint(hello.controlWindowBytes);
  writer.varint(hello.bulkWindowBytes);
  writer.varint(hello.maxFrameBytes);
  writer.bytes(hello.publicKey === undefined ? noBytes : parsePublicKey(hello.publicKey)!);
  return writer.take();
}

/** Reads the fields after the versions. Later versions may append more: what follows is ignored, but covered by the proof. */
function decodeHello(versions: Hello['versions'], reader: ByteReader): Hello {
  const hello: Hello = {
    versions,
    cluster: reader.string(128),
    id: reader.string(128),
    incarnation: reader.string(64),
    role: reader.u8(),
    nonce: reader.bytes(nonceBytes).slice(),
    open: reader.u8() === 1,
    controlWindowBytes: reader.varint(),
    bulkWindowBytes: reader.varint(),
    maxFrameBytes: reader.varint(),
    // Builds before keys end their hello here.
    publicKey: reader.remaining > 0 ? decodePublicKey(reader.bytes(publicKeyBytes)) : undefined,
  };
  if (hello.nonce.length !== nonceBytes) throw new QuorateError('ERR_CODEC', 'a nonce of the wrong length');
  if (!isIncarnation(hello.incarnation))
    throw new QuorateError('ERR_CODEC', 'an incarnation of the wrong shape');
  for (const bytes of [hello.controlWindowBytes, hello.bulkWindowBytes, hello.maxFrameBytes]) {
    if (bytes < minWindowBytes || bytes > maxWindowBytes)
      throw new QuorateError('ERR_CODEC', `a limit of ${bytes} bytes`);
  }
  return hello;
}
