/** One node's part in a simulated network; sets links up as the WebRTC transport does. @internal */
import type { NodeId } from '../../../consensus/consensus.js';
import { QuorateError, configError } from '../../../errors.js';
import type { TransportHost, TransportSession } from '../../../mesh/transport.js';
import { Process } from '../process.js';
import { Attempt } from './attempt.js';
import type { LinkEnd, LinkEndOptions } from './link.js';
import type { Rendezvous } from './rendezvous.js';
import type { Way } from './way.js';
import type { World } from './world.js';

/** Tries that one call of `connect`, or one ask, makes. */
const triesPerConnect = 3;
/** A link that is younger than this was under way when its peer asked. */
const freshLinkMs = 1000;
/** While a link seems to live, a peer that asks for another gets one so seldom. */
const askWhileLinkedMs = 5000;

/** What a {@link SimSession} is made with. */
export interface SimSessionOptions {
  readonly world: World;
  readonly host: TransportHost;
  readonly rendezvous: Rendezvous;
  readonly way: (from: NodeId, to: NodeId) => Way;
  /** Names a link. */
  readonly nextName: () => string;
}

export class SimSession implements TransportSession {
  readonly id: NodeId;
  readonly cluster: string;
  readonly incarnation: string;
  readonly process: Process;
  /** Whom the rendezvous said to be present. */
  readonly known = new Set<NodeId>();
  /** When the last word of the rendezvous arrives. */
  heardAt = 0;
  readonly #options: SimSessionOptions;
  readonly #host: TransportHost;
  readonly #attempts = new Map<NodeId, Attempt>();
  readonly #ends = new Set<LinkEnd>();
  readonly #newest = new Map<NodeId, { readonly end: LinkEnd; readonly since: number }>();
  readonly #askedAt = new Map<NodeId, number>();
  #closed = false;

  constructor(options: SimSessionOptions) {
    const { host } = options;
    if (!(host.environment instanceof Process))
      throw configError('environment', host.environment, 'a process of the simulation');
    this.id = host.id;
    this.cluster = host.cluster;
    this.incarnation = host.incarnation;
    this.process = host.environment;
    this.#options = options;
    this.#host = host;
  }

  get ends(): ReadonlySet<LinkEnd> {
    return this.#ends;
  }

  connect(peer: NodeId): void {
    if (this.#closed || peer === this.id || this.#attempts.has(peer)) return;
    if (this.id < peer) this.#offer(peer, triesPerConnect);
    else this.#signal(peer, (to) => to.#asked(this.id));
  }

  /** What came through the mesh: the name of a message that waits to be taken. */
  routed(_from: NodeId, payload: string): void {
    if (!this.#closed) this.#options.world.letters.take(payload)?.(this);
  }

  /** A word to a peer's session, over the rendezvous and through the mesh: whichever comes first. */
  #signal(peer: NodeId, deliver: (to: SimSession) => void): void {
    const { letters } = this.#options.world;
    const name = letters.put(deliver);
    this.#options.rendezvous.send(this, peer, (to) => letters.take(name)?.(to));
    this.#host.route(peer, name);
  }

  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      for (const attempt of this.#attempts.values()) attempt.abandon();
      this.#attempts.clear();
      for (const end of [...this.#ends]) end.close();
      this.#options.rendezvous.remove(this);
    }
    return Promise.resolve();
  }

  presence(peer: NodeId, present: boolean): void {
    if (!this.#closed) this.#host.onPresence(peer, present);
  }

  warn(error: Error): void {
    if (!this.#closed) this.#host.onWarning(error);
  }

  /** Its process is dead: the other ends of its links hear no more. */
  died(): void {
    for (const end of this.#ends) end.other.noticeSilence();
  }

  endOptions(): Pick<LinkEndOptions, 'process' | 'onGone'> {
    return { process: this.process, onGone: (end) => this.#gone(end) };
  }

  /** An end of this node's exists, though the node does not know yet. */
  own(end: LinkEnd): void {
    this.#ends.add(end);
  }

  /** Both lanes are open. */
  linked(attempt: Attempt, end: LinkEnd): void {
    if (this.#attempts.get(end.peer) === attempt) this.#attempts.delete(end.peer);
    if (!end.open) return;
    if (this.#closed) {
      end.close();
      return;
    }
    const { counts, scheduler, trace } = this.#options.world;
    counts.linksMade++;
    trace.add(scheduler.now, this.id, 'link', `${end.peer} ${end.binding}`);
    this.#newest.set(end.peer, { end, since: this.process.now() });
    this.#host.onLink(end);
  }

  #gone(end: LinkEnd): void {
    this.#ends.delete(end);
    if (this.#newest.get(end.peer)?.end === end) this.#newest.delete(end.peer);
  }

  #offer(peer: NodeId, tries: number): void {
    const { nextName, way, world } = this.#options;
    const attempt = new Attempt(world, nextName(), way(this.id, peer), this);
    this.#attempts.set(peer, attempt);
    attempt.watch(this, () => {
      if (this.#attempts.get(peer) !== attempt) return;
      this.#attempts.delete(peer);
      if (tries > 1) this.#offer(peer, tries - 1);
      else
        this.warn(new QuorateError('ERR_PEER_TIMEOUT', `no link to ${peer} could be set up; trying again`));
    });
    this.#signal(peer, (to) => to.#offered(attempt));
  }

  #offered(attempt: Attempt): void {
    const peer = attempt.offerer.id;
    if (this.#closed || attempt.over) return;
    this.#attempts.get(peer)?.abandon(); // the offerer gave that one up
    this.#attempts.set(peer, attempt);
    attempt.answerer = this;
    attempt.watch(this, () => {
      if (this.#attempts.get(peer) === attempt) this.#attempts.delete(peer);
    });
    this.#signal(peer, (to) => {
      if (to === attempt.offerer) attempt.answered();
    });
  }

  /** The peer, which may not offer, has no link to us; perhaps ours leads to a ghost. */
  #asked(peer: NodeId): void {
    if (this.#closed || this.id > peer || this.#attempts.has(peer)) return;
    const now = this.process.now();
    const newest = this.#newest.get(peer);
    if (newest !== undefined) {
      if (now - newest.since <= freshLinkMs) return;
      if (now - (this.#askedAt.get(peer) ?? -Infinity) < askWhileLinkedMs) return;
      this.#askedAt.set(peer, now);
    }
    this.#offer(peer, triesPerConnect);
  }
}
