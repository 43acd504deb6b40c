/** What one node knows of its links with its peers: the content of its own row. @internal */
import type { NodeId } from '../consensus/consensus.js';
import { maxRowNodes, quantisePhi } from './rows.js';
import type { RowEntry } from './rows.js';
import { maxHearsay } from './rowsHearsay.js';

/** What this node knows of its link with a peer. */
export interface LinkFact {
  /** A direct link is up, and the peer is heard over it. */
  readonly hears: boolean;
  /** No link was tried for long enough to say. Counts for a peer that was never linked or given up only. */
  readonly pending?: boolean;
  /** The detector's phi. */
  readonly phi?: number;
}

/** For how long what is kept, in milliseconds. */
export interface FactSpans {
  readonly pendingMs: number;
  readonly evidenceMs: number;
  readonly forgetMs: number;
}

/** What {@link LinkFacts} asks of the table, and tells it. */
export interface FactsHost {
  /** Whether the peer's row says farewell. */
  hasLeft(peer: NodeId): boolean;
  /** The row may be another now. */
  changed(): void;
  /** The peer was taken out. */
  removed(peer: NodeId): void;
}

interface Fact {
  hears: boolean;
  pending: boolean;
  deaf: boolean;
  phi: number;
  /** When the above last changed, or when a pending peer was first known to be a member. */
  since: number;
  /** Whether the clock of a pending peer runs: others hear it. */
  vouched: boolean;
  /** When the peer was last known to be alive. */
  aliveAt: number;
}

export class LinkFacts {
  readonly #spans: FactSpans;
  readonly #host: FactsHost;
  readonly #facts = new Map<NodeId, Fact>();

  constructor(spans: FactSpans, host: FactsHost) {
    this.#spans = spans;
    this.#host = host;
  }

  has(peer: NodeId): boolean {
    return this.#facts.has(peer);
  }

  /** The newest phi of a peer; `undefined` for one that is not heard. */
  phi(peer: NodeId): number | undefined {
    const fact = this.#facts.get(peer);
    return fact?.hears === true && !fact.deaf ? fact.phi : undefined;
  }

  /** How the link with a peer is. */
  set(peer: NodeId, fact: LinkFact, now: number): void {
    const { hears } = fact;
    const phi = quantisePhi(fact.phi ?? 0);
    const known = this.#facts.get(peer);
    if (known === undefined) {
      // A node that said its farewell is not missed.
      if (!hears && this.#host.hasLeft(peer)) return;
      this.#add(peer, { hears, pending: !hears && fact.pending === true, phi }, now);
      return;
    }
    known.phi = phi;
    if (hears) known.aliveAt = now;
    if (known.hears === hears && !(known.deaf && hears)) {
      // Once tried, always tried.
      if (known.pending && fact.pending !== true)
        this.#change(known, { hears, pending: false, deaf: false }, now);
      return;
    }
    if (!hears && this.#host.hasLeft(peer)) this.remove(peer);
    else if (!(known.deaf && !hears)) this.#change(known, { hears, pending: false, deaf: false }, now);
  }

  /** The peer does not hear this node, though it is heard. */
  deaf(peer: NodeId, now: number): void {
    const known = this.#facts.get(peer) ?? this.#add(peer, { hears: true, pending: false, phi: 0 }, now);
    if (known !== undefined) this.#change(known, { hears: true, pending: false, deaf: true }, now);
  }

  /** Enters a member that is not known yet. */
  expect(peer: NodeId, now: number): void {
    if (!this.#facts.has(peer)) this.#add(peer, { hears: false, pending: true, phi: 0 }, now);
  }

  /** The peer said its farewell; as long as it is heard all the same, that stays. */
  left(peer: NodeId): void {
    const fact = this.#facts.get(peer);
    if (fact?.hears !== true || fact.deaf) this.#facts.delete(peer);
  }

  /** The peer runs anew: what its last run said of the link is over. */
  restarted(peer: NodeId, now: number): void {
    const fact = this.#facts.get(peer);
    if (fact?.deaf === true) this.#change(fact, { hears: false, pending: false, deaf: false }, now);
  }

  /** Takes a peer out. */
  remove(peer: NodeId): void {
    this.#host.removed(peer);
    if (this.#facts.delete(peer)) this.#host.changed();
  }

  /** Takes out whom nothing is heard of and who may not be a member. */
  review(admits: (peer: NodeId) => boolean): void {
    for (const [peer, fact] of this.#facts) if (!fact.hears && !admits(peer)) this.remove(peer);
  }

  clear(): void {
    this.#facts.clear();
    this.#host.changed();
  }

  /** Once a heartbeat: lets old things go. */
  tick(now: number, isMember: (peer: NodeId) => boolean): void {
    const { pendingMs, evidenceMs, forgetMs } = this.#spans;
    for (const [peer, fact] of this.#facts) {
      const member = isMember(peer);
      if (member) fact.aliveAt = now;
      if (fact.pending && member && !fact.vouched) {
        fact.vouched = true;
        fact.since = now;
      }
      if (fact.pending && fact.vouched && now - fact.since >= pendingMs) {
        this.#change(fact, { hears: false, pending: false, deaf: false }, now);
      }
      if (fact.deaf && now - fact.since >= evidenceMs) {
        this.#change(fact, { hears: false, pending: false, deaf: false }, now);
      }
      if (!fact.hears && now - Math.max(fact.aliveAt, fact.since) >= forgetMs) this.remove(peer);
    }
  }

  /** Of nodes that this one never met, and that nobody hears now, it remembers 64. */
  forgetHearsay(isVouchedFor: (peer: NodeId) => boolean): void {
    const unmet: [NodeId, Fact][] = [];
    for (const known of this.#facts) if (!known[1].hears && !isVouchedFor(known[0])) unmet.push(known);
    if (unmet.length <= maxHearsay) return;
    unmet.sort(([, a], [, b]) => b.aliveAt - a.aliveAt);
    for (const [peer] of unmet.slice(maxHearsay)) this.remove(peer);
  }

  /** What the row says, sorted by peer. */
  entries(): RowEntry[] {
    const entries: RowEntry[] = [];
    for (const [peer, { hears, pending, deaf, phi }] of this.#facts) {
      if (!this.#host.hasLeft(peer)) entries.push({ peer, hears, pending, deaf, phi });
    }
    return entries.sort((a, b) => (a.peer < b.peer ? -1 : 1));
  }

  #add(peer: NodeId, fact: Pick<Fact, 'hears' | 'pending' | 'phi'>, now: number): Fact | undefined {
    if (this.#facts.size >= maxRowNodes - 1 && !this.#forgetOldest()) return undefined;
    const made = { ...fact, deaf: false, since: now, vouched: false, aliveAt: now };
    this.#facts.set(peer, made);
    this.#host.changed();
    return made;
  }

  #change(fact: Fact, to: Pick<Fact, 'hears' | 'pending' | 'deaf'>, now: number): void {
    if (fact.hears === to.hears && fact.pending === to.pending && fact.deaf === to.deaf) return;
    Object.assign(fact, to);
    fact.since = now;
    this.#host.changed();
  }

  #forgetOldest(): boolean {
    let oldest: NodeId | undefined;
    let at = Infinity;
    for (const [peer, fact] of this.#facts) {
      if (fact.hears || fact.aliveAt >= at) continue;
      oldest = peer;
      at = fact.aliveAt;
    }
    if (oldest !== undefined) this.remove(oldest);
    return oldest !== undefined;
  }
}
