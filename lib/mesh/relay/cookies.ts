/**
 * Cookies, as in DTLS (RFC 6347, section 4.2.1): who opens a link must first send back what this end said a moment ago. So an
 * old opening, or one from nowhere, costs one HMAC and no memory. @internal
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { NodeId } from '../../consensus/consensus.js';
import type { Environment } from '../../environment.js';
import { cookieBytes } from './packets.js';

/** How long a cookie is good for, in milliseconds. */
export const cookieLifeMs = 8000;

export class Cookies {
  readonly #environment: Environment;
  readonly #key: Uint8Array;

  constructor(environment: Environment) {
    this.#environment = environment;
    this.#key = environment.randomBytes(32);
  }

  make(peer: NodeId, session: Uint8Array, key: Uint8Array): Uint8Array {
    return this.#at(Math.floor(this.#environment.now()) >>> 0, peer, session, key);
  }

  isFresh(cookie: Uint8Array, peer: NodeId, session: Uint8Array, key: Uint8Array): boolean {
    const made = Buffer.from(cookie.buffer, cookie.byteOffset, cookieBytes).readUInt32BE(0);
    const age = (Math.floor(this.#environment.now()) - made) >>> 0;
    return age <= cookieLifeMs && timingSafeEqual(this.#at(made, peer, session, key), cookie);
  }

  #at(made: number, peer: NodeId, session: Uint8Array, key: Uint8Array): Uint8Array {
    const cookie = Buffer.alloc(cookieBytes);
    cookie.writeUInt32BE(made, 0);
    const mac = createHmac('sha256', this.#key);
    mac.update(cookie.subarray(0, 4)).update(session).update(key).update(peer, 'utf8');
    cookie.set(mac.digest().subarray(0, cookieBytes - 4), 4);
    return cookie;
  }
}
