/** A node that wants to take part in a group it is no member of: it asks every member it meets until it is one, and never after. */
import { findMember } from '../consensus/membership.js';
import type { CoreStatus, NodeId } from '../consensus/consensus.js';
import type { Environment, Timer } from '../environment.js';
import type { LeaderRequest } from './door.js';

/** How often it asks. Only the leader can do it, and which of the members it is need not be known. */
const ASK_MS = 250;

/** What a node may join a group as. @internal */
export type JoinAs = 'voter' | 'learner' | 'witness';

/** What joining needs of its group. @internal */
export interface JoiningHost {
  readonly self: NodeId;
  /** Of this node's storage: a member of that id with another one is a life that is over. */
  readonly incarnation: string;
  readonly environment: Environment;
  readonly status: () => CoreStatus;
  /** The members that were met. */
  readonly contacts: () => Iterable<NodeId>;
  readonly ask: (peer: NodeId, request: LeaderRequest) => void;
}

/** @internal */
export class Joining {
  readonly #host: JoiningHost;
  readonly #request: LeaderRequest;
  #timer: Timer | undefined;
  #over = false;

  constructor(host: JoiningHost, as: JoinAs) {
    this.#host = host;
    const ids = [host.self];
    const changes = {
      voter: { addVoters: ids },
      learner: { addLearners: ids },
      witness: { addWitnesses: ids },
    };
    this.#request = { type: 'change', change: changes[as] };
  }

  /** A member was met. */
  met(): void {
    if (this.#timer === undefined) this.#ask();
  }

  /** It may have become a member for good: whoever removes it from now on means it. */
  statusChanged(): void {
    const { self, incarnation } = this.#host;
    if (findMember(this.#host.status().stable, self)?.incarnation === incarnation) this.close();
  }

  close(): void {
    this.#over = true;
    this.#timer?.cancel();
  }

  #ask(): void {
    const host = this.#host;
    if (this.#over) return;
    if (findMember(host.status().membership, host.self) === undefined)
      for (const peer of host.contacts()) host.ask(peer, this.#request);
    this.#timer = host.environment.setTimer(ASK_MS, () => {
      this.#timer = undefined;
      this.#ask();
    });
  }
}
