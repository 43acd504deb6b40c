/** The way into a session: an entry with a nonce of this node, whose index in the log becomes the session's id. */
import type { GroupStatus, Proposal } from '../engine/door.js';
import type { Environment } from '../environment.js';
import { encodeRegistration } from './batch.js';
import type { Route } from './pending.js';
import { STALE_MS } from './sends.js';

/** The token of all registrations; those of batches begin at 1. */
export const REGISTRATION_TOKEN = 0;

export class Registration {
  readonly nonce: string;
  readonly #self: string;
  readonly #data: Uint8Array;
  #route: Route | undefined;
  #sentAt = 0;

  constructor(self: string, environment: Environment) {
    this.#self = self;
    this.nonce = Buffer.from(environment.randomBytes(16)).toString('hex');
    this.#data = encodeRegistration(self, this.nonce);
  }

  /** Asks for the session, unless this leader was asked by the same way a short while ago. Two of them do no harm. */
  collect(status: GroupStatus, now: number, out: Proposal[]): void {
    const { epoch, contact } = status;
    const route = this.#route;
    if (route?.epoch === epoch && route.contact === contact && now - this.#sentAt < STALE_MS) return;
    this.#route = { epoch, contact };
    this.#sentAt = now;
    out.push({ token: REGISTRATION_TOKEN, count: 1, data: this.#data });
  }

  /** The engine or the leader did not take it. */
  refused(): void {
    this.#route = undefined;
  }

  /** Whether an entry of the log is this registration. */
  matches(origin: string, nonce: string): boolean {
    return origin === this.#self && nonce === this.nonce;
  }
}
