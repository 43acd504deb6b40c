/** Who wants the leadership of a group handed over: the own app, or members that forward it. They are told when it came to nothing. */
import type { Consensus, NodeId } from '../consensus/consensus.js';
import { TokenBuckets } from '../tokenBucket.js';
import type { TransferFailure } from './door.js';

/** How many requests a leader answers for; what is above it asks again later. */
const MAX_WAITING = 256;
/** What one member may ask for, at once and for each second: each transfer holds up proposals. */
const BURST = 32;
const PER_SECOND = 8;

/** How requests get to the leader, and answers back. @internal */
export interface LeadershipHost {
  /** Forwards a request; `false`: there is no contact. */
  forward(leader: NodeId, token: number, to: NodeId): boolean;
  /** Tells a peer that its request came to nothing. */
  refuse(peer: NodeId, token: number, why: TransferFailure): void;
  /** Tells the own app. */
  tell(token: number, why: TransferFailure): void;
}

/** The requests of one group. Success needs no answer: the new leader makes itself known. @internal */
export class Leadership {
  readonly #core: Consensus;
  readonly #host: LeadershipHost;
  readonly #asked = new TokenBuckets(PER_SECOND, BURST);
  /** Requests for the transfer under way; the own app's come from nobody. */
  #waiting: { readonly peer: NodeId | undefined; readonly token: number }[] = [];

  constructor(core: Consensus, host: LeadershipHost) {
    this.#core = core;
    this.#host = host;
  }

  /** The own app asks that `to` leads; anyone, when it is empty. */
  ask(now: number, token: number, to: NodeId): void {
    const { role, leader } = this.#core.status;
    if (role === 'leader') this.#begin(now, undefined, token, to);
    else if (leader === '' || !this.#host.forward(leader, token, to)) this.#host.tell(token, 'notLeader');
  }

  /** A member forwards what its app asks. */
  heard(now: number, peer: NodeId, token: number, to: NodeId): void {
    if (this.#asked.allows(peer, now)) this.#begin(now, peer, token, to);
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

  #begin(now: number, peer: NodeId | undefined, token: number, to: NodeId): void {
    if (this.#waiting.length >= MAX_WAITING) {
      this.#refuse(peer, token, 'transferring');
      return;
    }
    const answer = this.#core.transfer(now, to);
    if (!answer.ok) this.#refuse(peer, token, answer.why);
    else if (this.#core.status.transferring !== '') this.#waiting.push({ peer, token });
  }

  #refuse(peer: NodeId | undefined, token: number, why: TransferFailure): void {
    if (peer === undefined) this.#host.tell(token, why);
    else this.#host.refuse(peer, token, why);
  }
}
