/**
 * Seals and opens packets with AES-256-GCM. The header (lane, session, packet number) travels in the open and is covered by
 * the tag. The nonce is the packet number, under a key that only this direction of this lane uses; the counter lives in here,
 * so that no two packets can share one. A retransmission is a new packet with a new number. @internal
 */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import type { LaneName } from '../transport.js';
import { counterBytes, headerBytes, sessionAt, tagBytes, typeOfLane } from './packets.js';

const algorithm = 'aes-256-gcm';
const nonceBytes = 12;
const options = { authTagLength: tagBytes };

/** Packets that one key seals; far above what a link ever sends, and far below where a counter of 48 bits ends. */
const maxPackets = 2 ** 40;

export class Sealer {
  readonly #key: Uint8Array;
  readonly #header: Buffer;
  readonly #nonce = Buffer.alloc(nonceBytes);
  #next = 0;

  constructor(lane: LaneName, session: Uint8Array, key: Uint8Array) {
    this.#key = key;
    this.#header = Buffer.alloc(headerBytes);
    this.#header[0] = typeOfLane[lane];
    this.#header.set(session, sessionAt);
  }

  /** The number that the next packet gets. */
  get next(): number {
    return this.#next;
  }

  /** The key has sealed all that it may. */
  get spent(): boolean {
    return this.#next >= maxPackets;
  }

  /** A packet with `head` and `body` in it, in a buffer of its own. */
  seal(head: Uint8Array, body: Uint8Array): Uint8Array {
    const number = this.#next++;
    this.#nonce.writeUIntBE(number, nonceBytes - counterBytes, counterBytes);
    this.#header.writeUIntBE(number, headerBytes - counterBytes, counterBytes);
    const cipher = createCipheriv(algorithm, this.#key, this.#nonce, options);
    cipher.setAAD(this.#header);
    const packet = Buffer.allocUnsafeSlow(headerBytes + head.length + body.length + tagBytes);
    packet.set(this.#header);
    packet.set(cipher.update(head), headerBytes);
    if (body.length > 0) packet.set(cipher.update(body), headerBytes + head.length);
    cipher.final();
    packet.set(cipher.getAuthTag(), packet.length - tagBytes);
    return packet;
  }
}

export class Opener {
  readonly #key: Uint8Array;
  readonly #nonce = Buffer.alloc(nonceBytes);

  constructor(key: Uint8Array) {
    this.#key = key;
  }

  /** What a packet holds, owned by the caller; `undefined`: not a byte of it is to be believed. */
  open(packet: Buffer, number: number): Buffer | undefined {
    const end = packet.length - tagBytes;
    this.#nonce.writeUIntBE(number, nonceBytes - counterBytes, counterBytes);
    const decipher = createDecipheriv(algorithm, this.#key, this.#nonce, options);
    decipher.setAAD(packet.subarray(0, headerBytes));
    decipher.setAuthTag(packet.subarray(end));
    const plain = decipher.update(packet.subarray(headerBytes, end));
    try {
      decipher.final();
    } catch {
      return undefined;
    }
    return plain;
  }
}
