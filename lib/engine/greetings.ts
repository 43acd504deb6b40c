/** Hellos of one group: what it says of itself to a peer whose link is up, and what it makes of what the peer says. @internal */
import type { Consensus, NodeId } from '../consensus/consensus.js';
import { QuorateError } from '../errors.js';
import { TokenBuckets } from '../tokenBucket.js';
import type { Environment } from '../environment.js';
import type { WiredProtocol } from './codec.js';
import type { Contact, Contacts } from './contacts.js';
import type { Outbox } from './outbox.js';
import {
  encodeHello,
  encodeRefusal,
  GROUP_WIRE_VERSION,
  ItemType,
  type ContactRefusal,
  type Hello,
} from './wire.js';

/**
 * Hellos and refusals of a peer, at once and for each second: each is answered, or told to the app. A peer needs two for a link
 * or an opening of the group.
 */
const HELLO_BURST = 128;
const HELLOS_PER_SECOND = 16;

/** Who greets, and who hears what came of it. */
export interface GreetingsSetup {
  readonly self: NodeId;
  readonly group: string;
  /** This node's number for the group. */
  readonly number: number;
  readonly incarnation: string;
  readonly witness: boolean;
  readonly wired: WiredProtocol;
  readonly core: Consensus;
  readonly contacts: Contacts;
  readonly outbox: Outbox;
  readonly environment: Environment;
  /** Something is to be sent in the next turn. */
  schedule(): void;
  /** A new contact was made. */
  met(now: number, peer: NodeId, contact: Contact, hello: Hello): void;
  /** Contact was refused, by us or by the peer. */
  refused(now: number, peer: NodeId, error: QuorateError): void;
}

export class Greetings {
  readonly #setup: GreetingsSetup;
  /** This opening of the group. */
  readonly #instance: string;
  readonly #hellos = new TokenBuckets(HELLOS_PER_SECOND, HELLO_BURST);

  constructor(setup: GreetingsSetup) {
    this.#setup = setup;
    this.#instance = Buffer.from(setup.environment.randomBytes(8)).toString('hex');
  }

  /** Says hello to a peer whose link is up. */
  greet(peer: NodeId, wantsAnswer: boolean): void {
    const { core, group, number, incarnation, witness, outbox } = this.#setup;
    const { protocol } = this.#setup.wired;
    const { membership, genesis } = core.status;
    const hello: Hello = {
      version: GROUP_WIRE_VERSION,
      group,
      instance: this.#instance,
      protocol: protocol.name,
      incarnation,
      genesis,
      formerly: membership.formerly,
      founders: membership.founders,
      wantsAnswer,
      priority: protocol.priority ?? 0,
      witness,
    };
    outbox.item(peer, number, ItemType.hello, true, (writer) => encodeHello(writer, hello));
    this.#setup.schedule();
  }

  /** A peer says hello, or refuses ours. `false`: too often. */
  allows(now: number, peer: NodeId): boolean {
    return this.#hellos.allows(peer, now);
  }

  /** A peer said hello. */
  heard(now: number, peer: NodeId, number: number, link: number, hello: Hello): void {
    const { self, wired, core, contacts, outbox } = this.#setup;
    const own = { self, protocol: wired.protocol.name, status: core.status };
    const verdict = contacts.hear(peer, number, link, hello, own);
    if (verdict.type === 'refused') {
      outbox.item(peer, this.#setup.number, ItemType.refusal, true, (writer) =>
        encodeRefusal(writer, verdict.refusal),
      );
      this.refused(now, peer, verdict.refusal);
      return;
    }
    if (hello.wantsAnswer) this.greet(peer, false);
    else contacts.confirm(peer);
    if (verdict.type === 'met') this.#setup.met(now, peer, verdict.contact, hello);
  }

  /** Contact was refused, by us or by the peer. */
  refused(now: number, peer: NodeId, refusal: ContactRefusal): void {
    this.#setup.refused(now, peer, new QuorateError(refusal.code, refusal.message));
  }
}
