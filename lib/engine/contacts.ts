/**
 * Contact of one group with its peers: hello on both sides, before anything else is said. Two sides that were founded apart,
 * or that speak other versions, are kept apart here, so that a core only ever meets its own group.
 */
import type { CoreStatus, NodeId } from '../consensus/consensus.js';
import type { ContactRefusal, Hello } from './wire.js';
import { GROUP_WIRE_VERSION } from './wire.js';

/** A peer that said hello and was taken. */
export interface Contact {
  /** Its number for the group; every item it sends carries it. */
  readonly number: number;
  readonly hello: Hello;
  /** The link session in which it said so. */
  readonly link: number;
  /** Ours; grows with every contact made. */
  readonly session: number;
  /** The peer has shown that it took our hello too. */
  confirmed: boolean;
}

/** What a hello means for us: nothing new, a new contact, or one to refuse. */
export type Verdict =
  | { readonly type: 'known' }
  | { readonly type: 'met'; readonly contact: Contact }
  | { readonly type: 'refused'; readonly refusal: ContactRefusal };

export class Contacts {
  readonly #contacts = new Map<NodeId, Contact>();
  readonly #waiting = new Map<Contact, ((confirmed: boolean) => void)[]>();
  #sessions = 0;

  get(peer: NodeId): Contact | undefined {
    return this.#contacts.get(peer);
  }

  entries(): IterableIterator<[NodeId, Contact]> {
    return this.#contacts.entries();
  }

  /** Judges a hello, and remembers the peer if it is taken. */
  hear(
    peer: NodeId,
    number: number,
    link: number,
    hello: Hello,
    own: { readonly self: NodeId; readonly protocol: string; readonly status: CoreStatus },
  ): Verdict {
    const known = this.#contacts.get(peer);
    const refusal = judge(peer, hello, own.self, own.protocol, own.status);
    if (refusal) return { type: 'refused', refusal };
    if (
      known?.link === link &&
      known.hello.instance === hello.instance &&
      known.hello.genesis === hello.genesis
    ) {
      return { type: 'known' };
    }
    const contact: Contact = { number, hello, link, session: ++this.#sessions, confirmed: false };
    if (known) this.#settle(known, false);
    this.#contacts.set(peer, contact);
    return { type: 'met', contact };
  }

  /** A peer said something that it says only to those whose hello it took. */
  confirm(peer: NodeId): void {
    const contact = this.#contacts.get(peer);
    if (!contact || contact.confirmed) return;
    contact.confirmed = true;
    this.#settle(contact, true);
  }

  /**
   * Resolves once the peer is known to have taken our hello, or to `false` when contact ends before. Lanes overtake each other:
   * what is sent on another lane than the hello may come before it, and nobody would know what to do with it.
   */
  confirmed(contact: Contact): Promise<boolean> {
    if (contact.confirmed) return Promise.resolve(true);
    if (![...this.#contacts.values()].includes(contact)) return Promise.resolve(false);
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(contact);
      if (waiting) waiting.push(resolve);
      else this.#waiting.set(contact, [resolve]);
    });
  }

  /** Forgets a peer; `false` if it was not known. */
  forget(peer: NodeId): boolean {
    const contact = this.#contacts.get(peer);
    if (contact) this.#settle(contact, false);
    return this.#contacts.delete(peer);
  }

  /** Nobody will be confirmed any more: those who wait are told so. */
  close(): void {
    for (const contact of [...this.#waiting.keys()]) this.#settle(contact, false);
  }

  #settle(contact: Contact, confirmed: boolean): void {
    const waiting = this.#waiting.get(contact) ?? [];
    this.#waiting.delete(contact);
    for (const resolve of waiting) resolve(confirmed);
  }
}

function judge(
  peer: NodeId,
  hello: Hello,
  self: NodeId,
  protocol: string,
  status: CoreStatus,
): ContactRefusal | undefined {
  const { group } = hello;
  if (hello.version !== GROUP_WIRE_VERSION) {
    const message = `${peer} speaks version ${hello.version} of the group protocol, ${self} speaks ${GROUP_WIRE_VERSION}`;
    return { group, code: 'ERR_PEER_VERSION', message };
  }
  if (hello.protocol !== protocol) {
    return {
      group,
      code: 'ERR_PEER_VERSION',
      message: `${peer} runs group ${group} on ${hello.protocol}, ${self} on ${protocol}`,
    };
  }
  if (hello.genesis !== '' && status.genesis !== '') {
    if (hello.genesis === status.genesis) return undefined;
    const behind = hello.genesis === status.membership.formerly ? peer : self;
    if (behind === peer || hello.formerly === status.genesis) {
      const message = `group ${group} was founded anew from its data, and ${behind} is still in the former one: give ${behind} a new storage and let it join`;
      return { group, code: 'ERR_GENESIS_DIFFERS', message };
    }
    const message = `group ${group} was founded twice: ${peer} has genesis ${hello.genesis}, ${self} has ${status.genesis}`;
    return { group, code: 'ERR_GENESIS_DIFFERS', message };
  }
  const { founders } = status.membership;
  // Who joins names none, and takes part only once a leader has let it in.
  if (founders.length === 0 || hello.founders.length === 0) return undefined;
  if (founders.length === hello.founders.length && founders.every((id, i) => id === hello.founders[i]))
    return undefined;
  const message = `group ${group}: ${peer} names the founders ${list(hello.founders)}, ${self} names ${list(founders)}`;
  return { group, code: 'ERR_MEMBERS_DIFFER', message };
}

function list(names: readonly string[]): string {
  return `[${names.join(', ')}]`;
}
