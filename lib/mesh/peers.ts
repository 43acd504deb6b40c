/** The peers of a mesh: who gets in, whose link it is, and who is alive. @internal */
import type { NodeId } from '../consensus/consensus.js';
import type { Environment } from '../environment.js';
import { QuorateError } from '../errors.js';
import type { FailureDetector } from '../failure/failureDetector.js';
import type { Admitted } from './admission.js';
import { Admissions } from './admissions.js';
import type { Credentials, Objection, Standing } from './credentials.js';
import type { Refusal } from './handshake.js';
import { Link } from './link.js';
import type { LinkEnd, LinkPath } from './link.js';
import type { ResolvedLimits } from './limits.js';
import type { MeshCounters } from './metrics.js';
import type { Peer } from './peer.js';
import { isOlder, isOutdone, isOvertaken } from './rivals.js';
import { Roster } from './roster.js';
import type { RawLink } from './transport.js';

/** A refusal that a retry will not cure: its sender waits outside for a while. */
const hard: ReadonlySet<string> = new Set<Refusal>([
  'ERR_PEER_PROTOCOL',
  'ERR_PEER_SECRET',
  'ERR_PEER_STRANGER',
  'ERR_PEER_FINGERPRINT',
  'ERR_PEER_REPLAY',
  'ERR_PEER_VERSION',
  'ERR_PEER_KEY',
]);

/** What {@link Peers} calls. */
export interface PeersHost {
  onFrame(peer: NodeId, session: number, kind: number, frame: Uint8Array): boolean | Promise<boolean>;
  /** A link is up or gone. */
  onPeer(peer: NodeId, up: boolean, session: number): void;
  onState(peer: NodeId, state: 'up' | 'suspect' | 'unreachable'): void;
  /** The peer is reached another way than before. */
  onPath(peer: NodeId, path: LinkPath): void;
  /** The other end gave up a direct link that worked, as far as this end could tell, for a relayed one. */
  onGivenUp(link: Link): void;
  /** What this node hears of a peer may have changed: its link, or what is known about that. */
  onChange(peer: Peer): void;
  /** A peer closed its node, and said so. */
  onLeft(peer: NodeId): void;
  onDigest(peer: NodeId, digest: number): void;
  onRefused(peer: NodeId, error: QuorateError): void;
  onWarning(error: Error): void;
}

/** What {@link Peers} is made with. */
export interface PeersOptions {
  readonly id: NodeId;
  readonly cluster: string;
  readonly incarnation: string;
  readonly credentials: Credentials;
  readonly environment: Environment;
  readonly limits: ResolvedLimits;
  readonly detector: FailureDetector;
  /** How often peers send heartbeats. */
  readonly intervalMs: number;
  readonly counters: MeshCounters;
  /** Sends the first heartbeat over a new link. */
  readonly greet: (link: Link) => void;
  /** Asks the transport for a direct link. */
  readonly connect: (peer: NodeId) => void;
  /** Asks for a relayed link. */
  readonly relay: (peer: NodeId) => void;
  readonly host: PeersHost;
}

export class Peers {
  readonly #options: PeersOptions;
  readonly #environment: Environment;
  readonly #counters: MeshCounters;
  readonly #host: PeersHost;
  readonly #roster: Roster;
  readonly #admissions: Admissions;
  readonly #links = new Map<NodeId, Link>();
  readonly #sessions = new Map<NodeId, number>();
  #session = 0;
  #closed = false;

  constructor(options: PeersOptions) {
    this.#options = options;
    this.#environment = options.environment;
    this.#counters = options.counters;
    this.#host = options.host;
    this.#roster = new Roster(options);
    this.#admissions = new Admissions(options, (...admitted) => this.#admitted(...admitted));
  }

  /** The peers whose link is up, with its session. */
  get sessions(): ReadonlyMap<NodeId, number> {
    return this.#sessions;
  }

  /** All peers ever seen and not forgotten. */
  all(): IterableIterator<Peer> {
    return this.#roster.all();
  }

  link(peer: NodeId): Link | undefined {
    return this.#links.get(peer);
  }

  get(peer: NodeId): Peer | undefined {
    return this.#roster.get(peer);
  }

  links(): IterableIterator<Link> {
    return this.#links.values();
  }

  /** Members that are reached hear a peer, or do not any more. */
  known(id: NodeId, present: boolean): void {
    if (this.#closed || id === this.#options.id) return;
    if (present) this.#roster.take(id, true)?.known(true);
    else this.#roster.get(id)?.known(false);
  }

  /** The rendezvous saw a peer come or go. */
  seen(id: NodeId, present: boolean): void {
    if (this.#closed || id === this.#options.id) return;
    if (present) this.#roster.take(id)?.seen(true);
    else this.#roster.get(id)?.seen(false);
  }

  /** A transport set up a link: let it prove itself. */
  admit(raw: RawLink, path: LinkPath = 'direct'): void {
    const peer = this.#closed || raw.peer === this.#options.id ? undefined : this.#roster.take(raw.peer);
    this.#admissions.admit(peer, raw, path);
  }

  /** Drops the link to a peer that broke the protocol of a layer above. */
  punish(id: NodeId, reason: string): void {
    const link = this.#links.get(id);
    if (link === undefined) return;
    link.close('protocol');
    this.#over(link, {
      kind: 'broken',
      error: new QuorateError('ERR_PEER_PROTOCOL', `peer ${id} lost its link: ${reason}`),
    });
  }

  /** Gives a link up. */
  drop(link: Link, reason: string): void {
    if (link.over) return;
    link.close();
    this.#over(link, { kind: 'lost', reason });
  }

  heartbeat(now: number, stalledMs: number, digest: number): void {
    for (const link of this.#links.values()) link.heartbeat(now, stalledMs, digest);
  }

  /** The direct link of a peer lets nothing through, though the peer lives: reach it over others. */
  failing(peer: Peer): void {
    if (peer.link?.path !== 'direct' || peer.bad) return;
    peer.failing();
    this.#turn(peer, 'suspect');
    this.#host.onChange(peer);
  }

  /** The direct link of a peer works after all. */
  recovered(peer: Peer): void {
    if (!peer.bad) return;
    peer.recovered();
    this.#turn(peer, 'up');
    this.#host.onChange(peer);
  }

  /** The rules of who may be linked have changed: closes the links of those who may not any more. */
  review(objection: (standing: Standing) => Objection | undefined): void {
    for (const link of [...this.#links.values()]) {
      const found = link.over ? undefined : objection(link.standing);
      const peer = this.#roster.get(link.peer);
      if (found === undefined || peer === undefined) continue;
      const error = new QuorateError(found.code, `peer ${peer.id} lost its link: ${found.text}`);
      // Who only has to prove itself anew comes back at once; who is put out is told to slow down.
      link.close(found.code === 'ERR_PEER_KEY' ? 'protocol' : undefined);
      this.#over(link, { kind: 'lost', reason: found.text });
      if (found.code === 'ERR_PEER_KEY') this.#refused(peer, 'direct', error, false);
    }
  }

  /** This process stood still. */
  excuse(ms: number, now: number): void {
    for (const link of this.#links.values()) link.excuse(ms, now);
  }

  /**
   * Looks who has been silent for too long. While this process doubts itself, it convicts nobody; and it convicts nobody who
   * `answers` others and may soon be reached over them.
   */
  judge(now: number, mayConvict: boolean, answers: (peer: NodeId) => boolean): void {
    for (const link of [...this.#links.values()]) {
      const peer = this.#roster.get(link.peer);
      if (link.over || peer === undefined) continue;
      const verdict = link.judge(now);
      if (verdict === 'dead' && link.path === 'direct' && answers(peer.id)) this.failing(peer);
      if (verdict === 'dead' && mayConvict && !(peer.spared && answers(peer.id))) {
        // Perhaps the other end hears us, and can tell the others what works and what does not.
        link.close('deaf');
        this.#over(link, { kind: 'lost', reason: 'silent' });
      } else {
        this.#turn(peer, verdict === 'alive' && !peer.bad ? 'up' : 'suspect');
      }
    }
  }

  #turn(peer: Peer, state: 'up' | 'suspect'): void {
    if (peer.state === state) return;
    peer.state = state;
    this.#host.onState(peer.id, state);
  }

  /** Says farewell over relayed links, while the direct ones still carry that, and tries for none any more. */
  closeRelayed(): void {
    for (const peer of this.#roster.all()) peer.close();
    for (const link of this.#links.values()) if (link.path === 'relayed') link.close('closing');
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const peer of this.#roster.all()) peer.close();
    for (const link of this.#links.values()) link.close('closing');
    this.#links.clear();
    this.#sessions.clear();
  }

  #admitted(peer: Peer, raw: RawLink, path: LinkPath, began: number, outcome: Admitted): void {
    if (this.#closed) {
      if (outcome.kind === 'done') raw.close();
    } else if (outcome.kind === 'refused') {
      this.#refused(peer, path, outcome.error, outcome.told);
    } else if (outcome.kind === 'done') {
      const { link, bad } = peer;
      const rival = { raw, path, hello: outcome.hello, began };
      const outdone = isOutdone(this.#options.id, rival, link) || isOvertaken(rival, link, bad);
      if (isOlder(outcome.hello, link) || outdone) raw.close();
      else this.#up(peer, raw, path, outcome);
    }
  }

  /** Over a relayed link, who is refused may be somebody on the way: the peer itself does not pay for that. */
  #refused(peer: Peer, path: LinkPath, error: QuorateError, told: boolean): void {
    if (error.code === 'ERR_PEER_REDUNDANT') return; // all is well
    this.#counters.refused++;
    if (path === 'relayed') peer.slowRelay();
    else if (hard.has(error.code)) peer.slowDown(!told);
    else if (told && error.code === 'ERR_PEER_DUPLICATE') this.#replaced(peer);
    this.#host.onRefused(peer.id, error);
  }

  #up(peer: Peer, raw: RawLink, path: LinkPath, admitted: Admitted & { kind: 'done' }): void {
    const { hello, standing, earlyBulk } = admitted;
    const old = peer.link;
    const moved = old !== undefined && old.path !== path && hello.incarnation === old.incarnation;
    if (moved) {
      if (old.path === 'direct' && !peer.bad) this.#host.onGivenUp(old);
      old.retire(peer.bad);
      this.#forget(peer, old);
      peer.replaced();
    } else if (old !== undefined) {
      // The same run came again: it lost the old link. A newer run: the old one is a ghost, and should know.
      old.close(hello.incarnation > old.incarnation ? 'replaced' : undefined);
      this.#over(old, { kind: 'lost', reason: 'replaced' });
    }
    const link = new Link({
      path,
      raw,
      standing,
      hello,
      session: ++this.#session,
      limits: this.#options.limits,
      environment: this.#environment,
      monitor: this.#options.detector.monitor(this.#environment.now(), {
        intervalMs: this.#options.intervalMs,
      }),
      counters: this.#counters,
      host: {
        onFrame: (from, kind, frame) => this.#host.onFrame(from.peer, from.session, kind, frame),
        onDigest: (from, digest) => this.#host.onDigest(from.peer, digest),
        onDeaf: () => this.#deaf(peer),
        onOver: (ended, end) => this.#over(ended, end),
      },
    });
    const wasUp = moved && peer.state === 'up';
    peer.linked(link);
    this.#links.set(peer.id, link);
    this.#sessions.set(peer.id, link.session);
    this.#counters.linksUp++;
    this.#host.onChange(peer);
    this.#host.onPeer(peer.id, true, link.session);
    if (!wasUp) this.#host.onState(peer.id, 'up');
    if (moved) this.#host.onPath(peer.id, path);
    if (!link.over) link.open(earlyBulk);
    this.#options.greet(link);
  }

  #deaf(peer: Peer): void {
    if (this.#closed || peer.link?.path === 'direct') return;
    peer.deaf = true;
    this.#host.onChange(peer);
  }

  #forget(peer: Peer, link: Link): void {
    this.#links.delete(peer.id);
    this.#sessions.delete(peer.id);
    this.#counters.linksLost++;
    this.#host.onPeer(peer.id, false, link.session);
  }

  #over(link: Link, end: LinkEnd): void {
    const peer = this.#roster.get(link.peer);
    if (peer?.link !== link || this.#closed) return;
    peer.deaf = link.path === 'direct' && end.kind === 'farewell' && end.reason === 'deaf';
    peer.lost();
    this.#forget(peer, link);
    if (end.kind === 'broken') {
      peer.slowDown(true);
      this.#host.onWarning(end.error);
    }
    this.#host.onChange(peer);
    this.#host.onState(peer.id, 'unreachable');
    if (end.kind !== 'farewell') return;
    if (end.reason === 'closing') this.#host.onLeft(peer.id);
    if (end.reason === 'replaced') this.#standDown(peer);
    else if (end.reason === 'protocol') peer.slowDown(false);
  }

  /** A newer run of this node's id is the node now: leave the field to it everywhere. */
  #standDown(peer: Peer): void {
    for (const link of [...this.#links.values()]) {
      link.close('closing');
      this.#over(link, { kind: 'lost', reason: 'replaced by a newer run' });
      this.#roster.get(link.peer)?.slowDown(false);
    }
    this.#replaced(peer);
  }

  /** Says so, and looks again slowly: two processes that fought for one id would starve each other. */
  #replaced(peer: Peer): void {
    peer.slowDown(false);
    this.#host.onWarning(
      new QuorateError(
        'ERR_PEER_REPLACED',
        `a newer run of node ${this.#options.id} took its place at peer ${peer.id}`,
      ),
    );
  }
}
