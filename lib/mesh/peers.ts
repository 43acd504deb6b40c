/** The peers of a mesh: who gets in, whose link it is, and who is alive. @internal */
import type { NodeId } from '../consensus/consensus.js';
import type { Environment } from '../environment.js';
import { QuorateError } from '../errors.js';
import type { FailureDetector } from '../failure/failureDetector.js';
import { Admission } from './admission.js';
import type { Admitted } from './admission.js';
import type { Hello, Refusal } from './handshake.js';
import { Link } from './link.js';
import type { LinkEnd } from './link.js';
import type { ResolvedLimits } from './limits.js';
import type { MeshCounters } from './metrics.js';
import { Peer } from './peer.js';
import type { ClusterKeys } from './secret.js';
import type { RawLink } from './transport.js';

const maxPeers = 1024;
const maxHalfOpen = 64;
const maxHalfOpenPerPeer = 2;
const handshakeTimeoutMs = 5000;

/** A refusal that a retry will not cure: its sender waits outside for a while. */
const hard: ReadonlySet<string> = new Set<Refusal>([
  'ERR_PEER_PROTOCOL',
  'ERR_PEER_SECRET',
  'ERR_PEER_STRANGER',
  'ERR_PEER_FINGERPRINT',
  'ERR_PEER_REPLAY',
  'ERR_PEER_VERSION',
]);

/** What {@link Peers} calls. */
export interface PeersHost {
  onFrame(peer: NodeId, session: number, kind: number, frame: Uint8Array): boolean | Promise<boolean>;
  /** A link is up or gone. */
  onPeer(peer: NodeId, up: boolean, session: number): void;
  onState(peer: NodeId, state: 'up' | 'suspect' | 'unreachable'): void;
  onRefused(peer: NodeId, error: QuorateError): void;
  onWarning(error: Error): void;
}

/** What {@link Peers} is made with. */
export interface PeersOptions {
  readonly id: NodeId;
  readonly cluster: string;
  readonly incarnation: string;
  readonly keys: ClusterKeys;
  readonly environment: Environment;
  readonly limits: ResolvedLimits;
  readonly detector: FailureDetector;
  /** How often peers send heartbeats. */
  readonly intervalMs: number;
  readonly counters: MeshCounters;
  /** Asks the transport for a link. */
  readonly connect: (peer: NodeId) => void;
  readonly host: PeersHost;
}

export class Peers {
  readonly #options: PeersOptions;
  readonly #environment: Environment;
  readonly #counters: MeshCounters;
  readonly #host: PeersHost;
  readonly #peers = new Map<NodeId, Peer>();
  readonly #links = new Map<NodeId, Link>();
  readonly #sessions = new Map<NodeId, number>();
  #halfOpen = 0;
  #session = 0;
  #closed = false;

  constructor(options: PeersOptions) {
    this.#options = options;
    this.#environment = options.environment;
    this.#counters = options.counters;
    this.#host = options.host;
  }

  /** The peers whose link is up, with its session. */
  get sessions(): ReadonlyMap<NodeId, number> {
    return this.#sessions;
  }

  /** All peers ever seen and not forgotten. */
  all(): IterableIterator<Peer> {
    return this.#peers.values();
  }

  link(peer: NodeId): Link | undefined {
    return this.#links.get(peer);
  }

  /** The rendezvous saw a peer come or go. */
  seen(id: NodeId, present: boolean): void {
    if (this.#closed || id === this.#options.id) return;
    if (present) this.#peer(id)?.seen(true);
    else this.#peers.get(id)?.seen(false);
  }

  /** A transport set up a link: let it prove itself. */
  admit(raw: RawLink): void {
    const peer = this.#closed || raw.peer === this.#options.id ? undefined : this.#peer(raw.peer);
    if (peer === undefined || peer.turnedAway || this.#halfOpen >= maxHalfOpen) {
      this.#counters.turnedAway++;
      raw.close();
      return;
    }
    // The offerer runs one set-up at a time: an older one that still hangs is dead.
    const [oldest] = peer.admissions;
    if (peer.admissions.size >= maxHalfOpenPerPeer) oldest?.cancel();
    this.#halfOpen++;
    const admission = new Admission(
      raw,
      {
        cluster: this.#options.cluster,
        id: this.#options.id,
        incarnation: this.#options.incarnation,
        keys: this.#options.keys,
        limits: this.#options.limits,
        nonce: this.#environment.randomBytes(32),
        environment: this.#environment,
        timeoutMs: handshakeTimeoutMs,
        admit: (hello) => (isOlder(hello, peer.link) ? 'ERR_PEER_DUPLICATE' : undefined),
      },
      (outcome) => {
        this.#halfOpen--;
        peer.admissions.delete(admission);
        this.#admitted(peer, raw, outcome);
      },
    );
    peer.admissions.add(admission);
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

  heartbeat(now: number): void {
    for (const link of this.#links.values()) link.heartbeat(now);
  }

  /** This process stood still. */
  excuse(ms: number, now: number): void {
    for (const link of this.#links.values()) link.excuse(ms, now);
  }

  /** Looks who has been silent for too long. */
  judge(now: number): void {
    for (const link of [...this.#links.values()]) {
      const peer = this.#peers.get(link.peer);
      if (link.over || peer === undefined) continue;
      const verdict = link.judge(now);
      if (verdict === 'dead') {
        link.close();
        this.#over(link, { kind: 'lost', reason: 'silent' });
      } else {
        const state = verdict === 'alive' ? 'up' : 'suspect';
        if (peer.state === state) continue;
        peer.state = state;
        this.#host.onState(peer.id, state);
      }
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const peer of this.#peers.values()) peer.close();
    for (const link of this.#links.values()) link.close('closing');
    this.#links.clear();
    this.#sessions.clear();
  }

  #peer(id: NodeId): Peer | undefined {
    const known = this.#peers.get(id);
    if (known !== undefined) return known;
    if (this.#peers.size >= maxPeers && !this.#forgetOne()) {
      this.#host.onWarning(
        new QuorateError('ERR_PEER_STRANGER', `more than ${maxPeers} peers: ${id} is left out`),
      );
      return undefined;
    }
    const peer = new Peer({
      id,
      offers: this.#options.id < id,
      environment: this.#environment,
      connect: () => this.#options.connect(id),
    });
    this.#peers.set(id, peer);
    return peer;
  }

  #forgetOne(): boolean {
    for (const peer of this.#peers.values()) {
      if (!peer.forgettable) continue;
      peer.close();
      return this.#peers.delete(peer.id);
    }
    return false;
  }

  #admitted(peer: Peer, raw: RawLink, outcome: Admitted): void {
    if (this.#closed) {
      if (outcome.kind === 'done') raw.close();
    } else if (outcome.kind === 'refused') {
      this.#refused(peer, outcome.error, outcome.told);
    } else if (outcome.kind === 'done') {
      if (isOlder(outcome.hello, peer.link)) raw.close();
      else this.#up(peer, raw, outcome.hello, outcome.earlyBulk);
    }
  }

  #refused(peer: Peer, error: QuorateError, told: boolean): void {
    this.#counters.refused++;
    if (hard.has(error.code)) peer.slowDown(!told);
    else if (told && error.code === 'ERR_PEER_DUPLICATE') this.#replaced(peer);
    this.#host.onRefused(peer.id, error);
  }

  #up(peer: Peer, raw: RawLink, hello: Hello, earlyBulk: readonly Uint8Array[]): void {
    if (peer.link !== undefined) {
      const old = peer.link;
      // The same run came again: it lost the old link. A newer run: the old one is a ghost, and should know.
      old.close(hello.incarnation > old.incarnation ? 'replaced' : undefined);
      this.#over(old, { kind: 'lost', reason: 'replaced' });
    }
    const link = new Link({
      raw,
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
        onOver: (ended, end) => this.#over(ended, end),
      },
    });
    peer.linked(link);
    this.#links.set(peer.id, link);
    this.#sessions.set(peer.id, link.session);
    this.#counters.linksUp++;
    this.#host.onPeer(peer.id, true, link.session);
    this.#host.onState(peer.id, 'up');
    if (!link.over) link.open(earlyBulk);
    link.heartbeat(this.#environment.now());
  }

  #over(link: Link, end: LinkEnd): void {
    const peer = this.#peers.get(link.peer);
    if (peer?.link !== link || this.#closed) return;
    this.#links.delete(peer.id);
    this.#sessions.delete(peer.id);
    this.#counters.linksLost++;
    peer.lost();
    if (end.kind === 'broken') {
      peer.slowDown(true);
      this.#host.onWarning(end.error);
    }
    this.#host.onPeer(peer.id, false, link.session);
    this.#host.onState(peer.id, 'unreachable');
    if (end.kind !== 'farewell') return;
    if (end.reason === 'replaced') this.#standDown(peer);
    else if (end.reason === 'protocol') peer.slowDown(false);
  }

  /** A newer run of this node's id is the node now: leave the field to it everywhere. */
  #standDown(peer: Peer): void {
    for (const link of [...this.#links.values()]) {
      link.close('closing');
      this.#over(link, { kind: 'lost', reason: 'replaced by a newer run' });
      this.#peers.get(link.peer)?.slowDown(false);
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

function isOlder(hello: Hello, link: Link | undefined): boolean {
  return link !== undefined && hello.incarnation < link.incarnation;
}
