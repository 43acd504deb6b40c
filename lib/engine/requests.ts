/** What the own app, or members that forward it, want of the leader of a group. They are told when it came to nothing. */
import type { Consensus, NodeId, Refusal } from '../consensus/consensus.js';
import { findMember } from '../consensus/membership.js';
import { TokenBuckets } from '../tokenBucket.js';
import type { LeaderRequest, RequestFailure } from './door.js';

/** How many requests a leader answers for; what is above it asks again later. */
const MAX_WAITING = 256;
/** What one member may ask for, at once and for each second: each transfer holds up proposals, each change makes entries. */
const BURST = 32;
const PER_SECOND = 8;

/** The token of a node that asks to be let in; an app's own begin with 1. @internal */
export const JOINS = 0;

/** How requests get to the leader, and answers back. @internal */
export interface RequestsHost {
  /** Forwards a request; `false`: there is no contact. */
  forward(leader: NodeId, token: number, request: LeaderRequest): boolean;
  /** Tells a peer that its request came to nothing. */
  refuse(peer: NodeId, token: number, why: RequestFailure): void;
  /** Tells a peer how far the members are, or the own app. */
  report(peer: NodeId | undefined, token: number): void;
  /** Tells the own app. */
  tell(token: number, why: RequestFailure): void;
}

/** The requests of one group. Success needs no answer: another leader, or membership, makes itself known. @internal */
export class Requests {
  readonly #core: Consensus;
  readonly #host: RequestsHost;
  readonly #asked = new TokenBuckets(PER_SECOND, BURST);
  /** Requests for the transfer under way; the own app's come from nobody. */
  #waiting: { readonly peer: NodeId | undefined; readonly token: number }[] = [];

  constructor(core: Consensus, host: RequestsHost) {
    this.#core = core;
    this.#host = host;
  }

  /** The own app asks. */
  ask(now: number, token: number, request: LeaderRequest): void {
    const { role, leader } = this.#core.status;
    this.#core.wake(now);
    if (role === 'leader') this.#begin(now, undefined, token, request);
    else if (leader === '' || !this.#host.forward(leader, token, request))
      this.#host.tell(token, 'notLeader');
  }

  /** A member forwards what its app asks. */
  heard(now: number, peer: NodeId, token: number, request: LeaderRequest): void {
    // A node that joins asks until it knows that it is a member: by then somebody may have made it more than it asked for.
    if (token === JOINS && findMember(this.#core.status.membership, peer) !== undefined) return;
    if (this.#asked.allows(peer, now)) this.#begin(now, peer, token, request);
    else this.#refuse(peer, token, 'transferring');
  }

  /** The core's status changed: a transfer that ended while this node still leads was given up. */
  statusChanged(): void {
    if (this.#waiting.length === 0) return;
    const { role, transferring } = this.#core.status;
    if (role === 'leader' && transferring !== '') return;
    const waiting = this.#waiting;
    this.#waiting = [];
    if (role === 'leader') for (const { peer, token } of waiting) this.#refuse(peer, token, 'gaveUp');
  }

  #begin(now: number, peer: NodeId | undefined, token: number, request: LeaderRequest): void {
    if (request.type === 'progress') {
      if (this.#core.status.role === 'leader') this.#host.report(peer, token);
      else this.#refuse(peer, token, 'notLeader');
      return;
    }
    if (request.type === 'change') {
      const accepted = this.#core.changeMembership(now, request.change);
      if (!accepted.ok) this.#refuse(peer, token, failureOf(accepted.why));
      return;
    }
    if (this.#waiting.length >= MAX_WAITING) {
      this.#refuse(peer, token, 'transferring');
      return;
    }
    const answer = this.#core.transfer(now, request.to);
    if (!answer.ok) this.#refuse(peer, token, answer.why);
    else if (this.#core.status.transferring !== '') this.#waiting.push({ peer, token });
  }

  #refuse(peer: NodeId | undefined, token: number, why: RequestFailure): void {
    if (peer === undefined) this.#host.tell(token, why);
    else this.#host.refuse(peer, token, why);
  }
}

/** Of what a core says to a change of the membership. */
function failureOf(why: Refusal): RequestFailure {
  return why === 'quota' || why === 'tooLarge' ? 'stopped' : why;
}
