/** One authenticated link: two lanes with framing and credit, heartbeats, and an end. @internal */
import type { NodeId } from '../consensus/consensus.js';
import type { Environment } from '../environment.js';
import { QuorateError } from '../errors.js';
import type { FailureMonitor, Verdict } from '../failure/failureDetector.js';
import type { Standing } from './credentials.js';
import { linkKind } from './framing.js';
import type { Hello } from './handshake.js';
import { LaneReceiver } from './laneReceiver.js';
import { LaneSender } from './laneSender.js';
import type { ResolvedLimits } from './limits.js';
import { decodeLinkFrame, encodeLinkFrame, maxStallMs } from './linkFrames.js';
import type { Farewell } from './linkFrames.js';
import type { MeshCounters } from './metrics.js';
import { RoundTrip } from './roundTrip.js';
import type { LaneName, RawLink } from './transport.js';

/** What a link calls. */
export interface LinkHost {
  /** Takes a frame; see `MeshPort.handle`. */
  onFrame(link: Link, kind: number, frame: Uint8Array): boolean | Promise<boolean>;
  /** A heartbeat came, with a digest of what the peer knows of the mesh. */
  onDigest(link: Link, digest: number): void;
  /** The last word on a retired link: the other end did not hear this one. */
  onDeaf(link: Link): void;
  /** The link is over, once; not called after {@link Link.close}. */
  onOver(link: Link, end: LinkEnd): void;
}

/** Why a link is over. */
export type LinkEnd =
  /** The transport lost it. */
  | { readonly kind: 'lost'; readonly reason: string }
  /** The other end said farewell. */
  | { readonly kind: 'farewell'; readonly reason: Farewell }
  /** The other end broke the protocol, or a handler failed. */
  | { readonly kind: 'broken'; readonly error: QuorateError };

/** How a link reaches its peer: over a connection of its own, or in packets that other members carry. */
export type LinkPath = 'direct' | 'relayed';

/** Pings are not answered while so much waits to be sent. */
const pongBacklogBytes = 256 * 1024;
/** A replaced link stays open for so long, so that the other end has the time to replace it too. */
const lingerMs = 1000;
/** It is told so late that it was not heard: the other end should have replaced it by then. */
const lastWordMs = 250;

/** What a link is made with. */
export interface LinkOptions {
  readonly path: LinkPath;
  readonly raw: RawLink;
  readonly hello: Hello;
  readonly standing: Standing;
  readonly session: number;
  readonly limits: ResolvedLimits;
  readonly environment: Environment;
  readonly monitor: FailureMonitor;
  readonly counters: MeshCounters;
  readonly host: LinkHost;
}

export class Link {
  readonly peer: NodeId;
  readonly incarnation: string;
  readonly session: number;
  readonly path: LinkPath;
  /** Whether this end asked for it. */
  readonly offerer: boolean;
  /** What the peer proved when the link was made. */
  readonly standing: Standing;
  readonly since: number;
  /** Largest frame that the other end takes. */
  readonly maxFrameBytes: number;
  readonly #raw: RawLink;
  readonly #hello: Hello;
  readonly #environment: Environment;
  readonly #monitor: FailureMonitor;
  readonly #counters: MeshCounters;
  readonly #host: LinkHost;
  readonly #senders: Readonly<Record<LaneName, LaneSender>>;
  readonly #receivers: Readonly<Record<LaneName, LaneReceiver>>;
  readonly #roundTrip = new RoundTrip();
  #heardAt: number;
  #stalledMs = 0;
  #unansweredSince: number | undefined;
  #received = 0;
  #pings = 0;
  #over = false;
  #retired = false;

  constructor(options: LinkOptions) {
    const { raw, hello, limits } = options;
    this.peer = raw.peer;
    this.incarnation = hello.incarnation;
    this.session = options.session;
    this.path = options.path;
    this.offerer = raw.offerer;
    this.standing = options.standing;
    this.since = options.environment.now();
    this.#heardAt = this.since;
    this.maxFrameBytes = Math.min(limits.maxFrameBytes, hello.maxFrameBytes);
    this.#raw = raw;
    this.#hello = hello;
    this.#environment = options.environment;
    this.#monitor = options.monitor;
    this.#counters = options.counters;
    this.#host = options.host;
    this.#senders = {
      control: this.#sender('control', limits.controlFragmentBytes, hello.controlWindowBytes, limits),
      bulk: this.#sender('bulk', limits.bulkFragmentBytes, hello.bulkWindowBytes, limits),
    };
    this.#receivers = {
      control: this.#receiver('control', limits.controlWindowBytes, limits),
      bulk: this.#receiver('bulk', limits.bulkWindowBytes, limits),
    };
    raw.onClosed = (reason) => this.#end({ kind: 'lost', reason });
  }

  get over(): boolean {
    return this.#over;
  }

  get rttMs(): number | undefined {
    return this.#roundTrip.rttMs;
  }

  /** The worst stall of late that the other end tells of, in milliseconds. */
  get stalledMs(): number {
    return this.#stalledMs;
  }

  /** When anything came last. */
  get heardAt(): number {
    return this.#heardAt;
  }

  /** Messages that came, ever. */
  get received(): number {
    return this.#received;
  }

  /** Since when frames that may want an answer have been sent and nothing has come; `undefined`: something has come since. */
  get unansweredSince(): number | undefined {
    return this.#unansweredSince;
  }

  /** How improbable its silence is; see {@link FailureMonitor.phi}. */
  phi(now: number): number {
    return this.#monitor.phi(now);
  }

  /** Reads what came early, in order, and then whatever comes. */
  open(earlyBulk: readonly Uint8Array[]): void {
    this.#raw.control.onMessage = (message) => this.#receive('control', message);
    this.#raw.bulk.onMessage = (message) => this.#receive('bulk', message);
    for (const message of earlyBulk) this.#receive('bulk', message);
  }

  send(kind: number, frame: Uint8Array, lane: LaneName, urgent: boolean): boolean {
    if (this.#over) return false;
    const sender = this.#senders[lane];
    this.#unansweredSince ??= this.#environment.now();
    return urgent ? sender.sendUrgent(kind, frame) : sender.send(kind, frame);
  }

  backlog(lane: LaneName): number {
    return this.#over ? Infinity : this.#senders[lane].backlog;
  }

  whenDrained(lane: LaneName, callback: () => void): void {
    this.#senders[lane].whenDrained(callback);
  }

  /** Bytes of this lane's frames that handlers have not finished with. */
  held(lane: LaneName): number {
    return this.#receivers[lane].held;
  }

  heartbeat(now: number, stalledMs: number, digest: number): void {
    this.#tell({
      op: 'heartbeat',
      ...this.#roundTrip.next(now),
      stalledMs: Math.min(Math.round(stalledMs), maxStallMs),
      digest,
    });
  }

  /** Asks for a sign of life at once. */
  ping(): void {
    this.#tell({ op: 'ping', number: ++this.#pings });
  }

  judge(now: number): Verdict {
    return this.#monitor.judge(now);
  }

  excuse(ms: number, now: number): void {
    this.#monitor.excuse(ms, now);
    this.#heardAt = Math.min(now, this.#heardAt + ms);
    if (this.#unansweredSince !== undefined)
      this.#unansweredSince = Math.min(now, this.#unansweredSince + ms);
  }

  /** Ends the link, with a word to the other end where there is one to say. Calls nobody back. */
  close(farewell?: Farewell): void {
    if (this.#over) return;
    if (farewell !== undefined) {
      this.#senders.control.flush(); // the farewell is urgent, and what comes after it is not read
      this.#tell({ op: 'farewell', reason: farewell });
      this.#senders.control.flush();
    }
    this.#shut();
    this.#raw.close();
  }

  /**
   * Another link takes its place: no frame passes any more, but the other end does not learn it from the loss of this one. With
   * `deaf` it is told, for what it is worth, that it was not heard.
   */
  retire(deaf: boolean): void {
    if (this.#over) return;
    this.#over = true;
    this.#retired = true;
    this.#close('bulk');
    this.#raw.onClosed = undefined;
    if (deaf) {
      this.#environment.setTimer(lastWordMs, () => {
        this.#tell({ op: 'farewell', reason: 'deaf' });
        this.#senders.control.flush();
      });
    }
    this.#environment.setTimer(lingerMs, () => {
      this.#retired = false;
      this.#close('control');
      this.#raw.close();
    });
  }

  #sender(name: LaneName, fragmentBytes: number, windowBytes: number, limits: ResolvedLimits): LaneSender {
    const counters = this.#counters;
    return new LaneSender({
      name,
      lane: this.#raw[name],
      fragmentBytes,
      sendQueueBytes: limits.sendQueueBytes,
      windowBytes,
      onSent: (bytes, frames) => {
        counters.bytesSent += bytes;
        counters.framesSent += frames;
        counters.messagesSent++;
      },
    });
  }

  #receiver(name: LaneName, windowBytes: number, limits: ResolvedLimits): LaneReceiver {
    return new LaneReceiver(windowBytes, limits.maxFrameBytes, {
      onFrame: (kind, frame) => this.#retired || this.#host.onFrame(this, kind, frame),
      onLinkFrame: (frame) =>
        name === 'control' ? this.#linkFrame(frame) : 'a frame of the link on the bulk lane',
      announce: (limit) => this.#tell({ op: 'credit', lane: name, limit }),
      onBroken: (problem, cause) => this.#broken(problem, cause),
    });
  }

  #receive(lane: LaneName, message: Uint8Array): void {
    if (this.#over && !this.#retired) return;
    this.#counters.messagesReceived++;
    this.#counters.bytesReceived += message.length;
    this.#heardAt = this.#environment.now();
    this.#unansweredSince = undefined;
    this.#received++;
    this.#monitor.heard(this.#heardAt); // any traffic is a sign of life
    this.#receivers[lane].receive(message);
  }

  #linkFrame(bytes: Uint8Array): string | undefined {
    let frame;
    try {
      frame = decodeLinkFrame(bytes);
    } catch {
      return 'a frame of the link that does not decode';
    }
    if (frame === undefined) return undefined;
    if (this.#retired) {
      if (frame.op === 'farewell' && frame.reason === 'deaf') this.#host.onDeaf(this);
      return undefined;
    }
    if (frame.op === 'heartbeat') {
      const now = this.#environment.now();
      this.#roundTrip.heard(frame.seq, frame.echo, frame.heldUs, now);
      this.#monitor.heartbeat(now, frame.seq, frame.stalledMs);
      this.#stalledMs = frame.stalledMs;
      this.#host.onDigest(this, frame.digest);
    } else if (frame.op === 'credit') {
      const window = frame.lane === 'control' ? this.#hello.controlWindowBytes : this.#hello.bulkWindowBytes;
      if (!this.#senders[frame.lane].grant(frame.limit, window))
        return 'a grant of credit that makes no sense';
    } else if (frame.op === 'ping') {
      // A peer that pings and does not read must not fill our memory with answers.
      if (this.#senders.control.backlog < pongBacklogBytes) this.#tell({ op: 'pong', number: frame.number });
    } else if (frame.op === 'farewell') {
      this.#end({ kind: 'farewell', reason: frame.reason });
    }
    return undefined;
  }

  #tell(frame: Parameters<typeof encodeLinkFrame>[0]): void {
    this.#senders.control.sendUrgent(linkKind, encodeLinkFrame(frame));
  }

  #broken(problem: string, cause: unknown): void {
    if (this.#over) return;
    const error =
      cause === undefined
        ? new QuorateError('ERR_PEER_PROTOCOL', `peer ${this.peer} sent ${problem}`)
        : new QuorateError('ERR_INTERNAL', `peer ${this.peer} sent ${problem}`, { cause });
    this.#tell({ op: 'farewell', reason: 'protocol' });
    this.#senders.control.flush();
    this.#end({ kind: 'broken', error });
  }

  #end(end: LinkEnd): void {
    if (this.#over) return;
    this.#shut();
    this.#raw.close();
    this.#host.onOver(this, end);
  }

  #shut(): void {
    this.#over = true;
    this.#raw.onClosed = undefined;
    this.#close('control');
    this.#close('bulk');
  }

  #close(lane: LaneName): void {
    this.#raw[lane].onMessage = undefined;
    this.#senders[lane].close();
    this.#receivers[lane].close();
  }
}
