/** What a client knows of the peers that may serve it, and which of them it goes to. @internal */
import type { NodeId } from '../../consensus/consensus.js';
import type { Environment } from '../../environment.js';
import type { Standing } from './desk.js';

interface Member {
  standing: Standing;
  /** Not to be asked before, for it has just failed to answer. */
  avoidUntil: number;
}

export class Members {
  readonly #environment: Environment;
  readonly #members = new Map<NodeId, Member>();
  #target: NodeId | undefined;

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  /** A peer says how it stands. */
  heard(peer: NodeId, standing: Standing): void {
    // The reason for avoiding it holds until the pause is over, or it has something new to say.
    this.#members.set(peer, { standing, avoidUntil: 0 });
  }

  lost(peer: NodeId): void {
    this.#members.delete(peer);
  }

  /** Others first, for so long. */
  avoid(peer: NodeId, ms: number): void {
    const member = this.#members.get(peer);
    if (member) member.avoidUntil = Math.max(member.avoidUntil, this.#environment.now() + ms);
  }

  /** The member that commands go to now: one that leads, else one that a quorum answers. */
  target(): NodeId | undefined {
    const now = this.#environment.now();
    const fit: NodeId[] = [];
    for (const [peer, member] of this.#members) {
      if (!this.#isFit(member, now)) continue;
      if (member.standing.leader === peer) return (this.#target = peer);
      fit.push(peer);
    }
    if (this.#target === undefined || !fit.includes(this.#target))
      this.#target = fit[Math.floor(this.#environment.random() * fit.length)];
    return this.#target;
  }

  /** Where to ask what needs no quorum. */
  anybody(): NodeId | undefined {
    const target = this.target();
    if (target !== undefined) return target;
    const now = this.#environment.now();
    for (const [peer, { standing, avoidUntil }] of this.#members)
      if (standing.serving === 'serving' && now >= avoidUntil) return peer;
    return undefined;
  }

  /** Whether a member serves the group, with or without a quorum. */
  serves(peer: NodeId): boolean {
    return this.#members.get(peer)?.standing.serving === 'serving';
  }

  /** Whether a member serves the group and a quorum answers it. */
  hasQuorum(peer: NodeId): boolean {
    return this.serves(peer) && this.#members.get(peer)!.standing.quorum;
  }

  /** The leader, as far as a member that serves knows one; the target's word counts first. */
  get leader(): NodeId | undefined {
    const told = this.#target === undefined ? '' : (this.#members.get(this.#target)?.standing.leader ?? '');
    if (told !== '') return told;
    for (const { standing } of this.#members.values()) if (standing.leader !== '') return standing.leader;
    return undefined;
  }

  /** Why a linked member does not serve; undefined when none refuses, or one serves. */
  get refusal(): Standing | undefined {
    let refusal: Standing | undefined;
    for (const { standing } of this.#members.values()) {
      if (standing.serving === 'serving') return undefined;
      if (standing.serving === 'refused') refusal = standing;
    }
    return refusal;
  }

  /** When a member that is avoided may be asked again; Infinity if there is none. */
  get nextAt(): number {
    const now = this.#environment.now();
    let next = Infinity;
    for (const { standing, avoidUntil } of this.#members.values())
      if (standing.serving === 'serving' && avoidUntil > now) next = Math.min(next, avoidUntil);
    return next;
  }

  #isFit({ standing, avoidUntil }: Member, now: number): boolean {
    return standing.serving === 'serving' && standing.quorum && now >= avoidUntil;
  }
}
