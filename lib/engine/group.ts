/** One group on one node: its core, its place in the log, its contacts, and the app's side behind the door. */
import type { ByteReader, ByteWriter } from '../bytes.js';
import {
  createEffects,
  type Consensus,
  type CoreStatus,
  type Effects,
  type Entry,
  type Index,
  type MessageBase,
  type NodeId,
  type SnapshotMeta,
  type SnapshotRequest,
} from '../consensus/consensus.js';
import type { AutopilotStep } from '../consensus/autopilot.js';
import type { Membership } from '../consensus/membership.js';
import { QuorateError } from '../errors.js';
import { TokenBuckets } from '../tokenBucket.js';
import type { Environment } from '../environment.js';
import type { GroupWrite, NodeStore } from '../storage/storage.js';
import { Autopilot, type AutopilotSettings } from './autopilot.js';
import type { WiredProtocol } from './codec.js';
import { Contacts } from './contacts.js';
import type {
  AppNotice,
  AppSide,
  EngineNotice,
  GroupStatus,
  LeaderRequest,
  Proposal,
  ProposalRefusal,
} from './door.js';
import { Handover } from './handover.js';
import { Joining, type JoinAs } from './joining.js';
import { decodeProgress, encodeProgress, type MemberReport } from './progressWire.js';
import { decodeAbsence, encodeAbsence, Removal } from './removal.js';
import { JOINS, Requests } from './requests.js';
import { decodeRequest, decodeRequestRefused, encodeRequest, encodeRequestRefused } from './requestWire.js';
import type { Outbox } from './outbox.js';
import { LocalSnapshots } from './localSnapshots.js';
import { TransferPace } from './transferPace.js';
import {
  decodeProposal,
  decodeProposalRefused,
  encodeHello,
  encodeProposal,
  encodeProposalRefused,
  encodeRefusal,
  expectEnd,
  GROUP_WIRE_VERSION,
  ItemType,
  type ContactRefusal,
  type Hello,
} from './wire.js';

/**
 * Hellos and refusals of a peer, at once and for each second: each is answered, or told to the app. A peer needs two for a link
 * or an opening of the group.
 */
const HELLO_BURST = 128;
const HELLOS_PER_SECOND = 16;
/** Refused proposals that one turn takes in: more than a member can have under way. */
const MAX_REFUSED = 65_536;
/** Warnings are not told while so many notices wait for the app's side. */
const MAX_UNTOLD_WARNINGS = 256;

/** What a group needs from the engine it lives in. */
export interface GroupHost {
  readonly self: NodeId;
  readonly environment: Environment;
  readonly outbox: Outbox;
  /** There is something to do in the next turn. */
  schedule(group: Group): void;
  /** Bring a snapshot to a peer. */
  sendSnapshot(group: Group, wanted: SnapshotRequest): void;
  /** How far the snapshot is that a peer gets. */
  snapshotProgress(group: Group, to: NodeId): MemberReport['snapshot'];
  /** The first index of the log that transfers still need; Infinity when they need none. */
  keepFrom(group: Group): Index;
  /** Who votes in the group now. */
  voters(group: Group, voters: readonly NodeId[]): void;
  /** The group is over on this node. */
  ended(group: Group): void;
}

/** How a group is set up. */
export interface GroupSetup {
  readonly name: string;
  /** This node's number for the group. */
  readonly number: number;
  readonly wired: WiredProtocol;
  readonly core: Consensus;
  readonly store: NodeStore;
  readonly app: AppSide;
  readonly snapshot: SnapshotMeta | undefined;
  readonly snapshotLogBytes: number;
  readonly keepEntries: number;
  readonly snapshotBytesPerSecond: number;
  readonly soundProposal: SoundProposal | undefined;
  readonly join?: JoinAs | undefined;
  readonly autopilot: AutopilotSettings | undefined;
}

/**
 * Whether a proposal that a peer forwards can be what it says, seen from a leader whose log ends at `lastIndex`: what is in the
 * log every member has to apply, so what none can read must not get there.
 */
export type SoundProposal = (data: Uint8Array, count: number, lastIndex: Index) => boolean;

export class Group {
  readonly name: string;
  readonly number: number;
  readonly core: Consensus;
  readonly store: NodeStore;
  readonly contacts = new Contacts();
  readonly snapshots: LocalSnapshots;
  /** Of the snapshots that this node sends. */
  readonly pace: TransferPace;
  readonly #host: GroupHost;
  readonly #wired: WiredProtocol;
  readonly #app: AppSide;
  readonly #soundProposal: SoundProposal | undefined;
  readonly #hellos = new TokenBuckets(HELLOS_PER_SECOND, HELLO_BURST);
  readonly #instance: string;
  readonly #handover: Handover;
  readonly #requests: Requests;
  readonly #joining: Joining | undefined;
  readonly #witness: boolean;
  readonly #removal: Removal;
  readonly #autopilot: Autopilot | undefined;
  readonly #effects: Effects = createEffects();
  #refused: { token: number; why: ProposalRefusal }[] = [];
  #readsFailed: number[] = [];
  #reads: { context: number; index: Index }[] = [];
  #notices: EngineNotice[] = [];
  #statusChanged = true;
  #membershipTold: Membership | undefined;
  #commitTold: Index = 0;
  #appWoke = false;
  #pendingWrites = 0;
  #whenFlushed: (() => void) | undefined;
  #over = false;
  #saidFailed = false;
  #closing: Promise<void> | undefined;

  constructor(host: GroupHost, setup: GroupSetup) {
    this.name = setup.name;
    this.number = setup.number;
    this.core = setup.core;
    this.store = setup.store;
    this.#host = host;
    this.#wired = setup.wired;
    this.#app = setup.app;
    this.#soundProposal = setup.soundProposal;
    this.#instance = Buffer.from(host.environment.randomBytes(8)).toString('hex');
    this.pace = new TransferPace(setup.snapshotBytesPerSecond, host.environment.now());
    const wake = (): void => host.schedule(this);
    this.#handover = new Handover(
      setup.name,
      setup.core,
      setup.store,
      setup.snapshot?.index ?? 0,
      wake,
      (error) => this.fail(error),
    );
    this.snapshots = new LocalSnapshots(setup.name, setup.store, setup.snapshotLogBytes, {
      tell: (notice) => this.tell(notice),
      saved: (meta, bytes) => this.#snapshotSaved(meta, bytes, setup.keepEntries),
      restored: (meta, bytes) => {
        this.core.compacted(meta, 1, bytes); // the log stays; what a snapshot costs is known from now on
        this.#handover.resume(meta.index);
        wake();
      },
      failed: (error) => this.fail(error),
    });
    this.#requests = new Requests(setup.core, {
      forward: (leader, token, request) =>
        this.#item(leader, ItemType.request, (writer) => encodeRequest(writer, token, request)),
      refuse: (peer, token, why) =>
        this.#item(peer, ItemType.requestRefused, (writer) => encodeRequestRefused(writer, token, why)),
      report: (peer, token) => this.#report(peer, token),
      tell: (token, why) => this.tell({ type: 'requestRefused', token, why }),
    });
    const { join } = setup;
    this.#witness = join === 'witness';
    const { self, environment } = host;
    const contacts = (): Iterable<NodeId> => [...this.contacts.entries()].map(([peer]) => peer);
    const status = (): CoreStatus => this.core.status;
    this.#removal = new Removal({
      self,
      joins: join !== undefined,
      status,
      contacts,
      tell: (peer, absence) =>
        void this.#item(peer, ItemType.absence, (writer) => encodeAbsence(writer, absence)),
      removed: (membership) => this.#removed(membership),
    });
    const { autopilot } = setup;
    if (autopilot !== undefined) {
      const did = (step: AutopilotStep): void => this.tell({ type: 'autopilot', step });
      this.#autopilot = new Autopilot({ self, environment, core: setup.core, wake, did }, autopilot);
    }
    if (join !== undefined) {
      const ask = (peer: NodeId, request: LeaderRequest): void =>
        void this.#item(peer, ItemType.request, (writer) => encodeRequest(writer, JOINS, request));
      const { incarnation } = setup.store;
      this.#joining = new Joining({ self, incarnation, environment, contacts, ask, status }, join);
    }
    if (setup.snapshot) this.#restore();
  }

  /** Whether the group is closing or has failed. */
  get over(): boolean {
    return this.#over;
  }

  /** The app's side has something to hand over. */
  wake(): void {
    if (this.#over) return;
    this.#appWoke = true;
    this.#host.schedule(this);
  }

  /** Tells the app's side something at the end of this turn, or of the next. */
  tell(notice: EngineNotice): void {
    if (this.#closing) return;
    // The app may take nothing for long, and peers can cause warnings: all others are answers to the app.
    if (notice.type === 'warning' && this.#notices.length >= MAX_UNTOLD_WARNINGS) return;
    this.#notices.push(notice);
    this.#host.schedule(this);
  }

  /** Takes what the app's side gathered. */
  collect(now: number): void {
    if (!this.#appWoke || this.#over) return;
    this.#appWoke = false;
    const batch = this.#app.collect();
    if (!batch) return;
    this.#handover.applied(batch.applied);
    for (const proposal of batch.proposals) this.#propose(now, proposal);
    for (const context of batch.reads) {
      if (!this.core.read(now, context).ok) this.#readsFailed.push(context);
    }
    for (const notice of batch.notices) this.#takeNotice(now, notice);
    this.snapshots.consider(batch.applied);
  }

  #takeNotice(now: number, notice: AppNotice): void {
    if (notice.type === 'failed') this.fail(notice.error);
    else if (notice.type === 'request') this.#requests.ask(now, notice.token, notice.request);
    else this.snapshots.take(notice);
  }

  #propose(now: number, proposal: Proposal): void {
    const why = this.#tryPropose(now, proposal);
    if (why) this.#refused.push({ token: proposal.token, why });
  }

  #tryPropose(now: number, { token, count, data }: Proposal): ProposalRefusal | undefined {
    const { status } = this.core;
    if (status.stopped) return 'stopped';
    if (status.role === 'leader') return this.#append(now, data, count);
    const { leader } = status;
    this.core.wake(now);
    if (leader === '' || !this.contacts.get(leader)) return 'notLeader';
    const sent = this.#host.outbox.sized(leader, this.number, ItemType.proposal, data.length, (writer) =>
      encodeProposal(writer, token, count, data),
    );
    return sent ? undefined : 'overloaded';
  }

  #append(now: number, data: Uint8Array, count: number): ProposalRefusal | undefined {
    if (this.store.headroom() < data.length) return 'diskFull';
    const accepted = this.core.propose(now, this.#host.environment.wallClock(), data, count);
    if (accepted.ok) return undefined;
    switch (accepted.why) {
      case 'quota':
        return 'overloaded';
      case 'tooLarge':
        return 'tooLarge';
      case 'stopped':
        return 'stopped';
      case 'transferring':
        return 'transferring';
      default:
        return 'notLeader';
    }
  }

  /** Says hello to a peer whose link is up. */
  greet(peer: NodeId, wantsAnswer: boolean): void {
    const { membership, genesis } = this.core.status;
    const hello: Hello = {
      version: GROUP_WIRE_VERSION,
      group: this.name,
      instance: this.#instance,
      protocol: this.#wired.protocol.name,
      incarnation: this.store.incarnation,
      genesis,
      formerly: membership.formerly,
      founders: membership.founders,
      wantsAnswer,
      priority: this.#wired.protocol.priority ?? 0,
      witness: this.#witness,
    };
    this.#host.outbox.item(peer, this.number, ItemType.hello, true, (writer) => encodeHello(writer, hello));
    this.#host.schedule(this);
  }

  /** A peer says hello, or refuses ours. `false`: too often. */
  mayGreet(now: number, peer: NodeId): boolean {
    return this.#hellos.allows(peer, now);
  }

  /** A peer said hello. */
  heardHello(now: number, peer: NodeId, number: number, link: number, hello: Hello): void {
    const own = { self: this.#host.self, protocol: this.#wired.protocol.name, status: this.core.status };
    const verdict = this.contacts.hear(peer, number, link, hello, own);
    if (verdict.type === 'refused') {
      this.#host.outbox.item(peer, this.number, ItemType.refusal, true, (writer) =>
        encodeRefusal(writer, verdict.refusal),
      );
      this.refused(now, peer, verdict.refusal);
      return;
    }
    if (hello.wantsAnswer) this.greet(peer, false);
    else this.contacts.confirm(peer);
    if (verdict.type === 'known') return;
    const { incarnation, genesis, priority, witness } = hello;
    this.core.link(now, peer, verdict.contact.session, true, { incarnation, genesis, priority, witness });
    this.#statusChanged = true;
    this.#removal.met(peer);
    this.#joining?.met();
    this.#host.schedule(this);
  }

  /** Contact was refused, by us or by the peer. */
  refused(now: number, peer: NodeId, refusal: ContactRefusal): void {
    this.lost(now, peer);
    this.tell({ type: 'warning', error: new QuorateError(refusal.code, refusal.message) });
  }

  /** Contact with a peer ended. */
  lost(now: number, peer: NodeId): void {
    const contact = this.contacts.get(peer);
    if (!contact) return;
    this.contacts.forget(peer);
    this.#removal.lost(peer);
    this.core.link(now, peer, contact.session, false);
    this.#statusChanged = true;
    this.#host.schedule(this);
  }

  /** Takes an item that a peer sent to this group. Throws ERR_CODEC; `false`: the peer broke the protocol. */
  receive(now: number, peer: NodeId, type: number, body: ByteReader): boolean {
    if (this.#over) return true;
    this.contacts.confirm(peer);
    this.#host.schedule(this);
    switch (type) {
      case ItemType.message:
        return this.#message(now, peer, body);
      case ItemType.proposal: {
        const { token, count, data } = decodeProposal(body);
        const { role, lastIndex } = this.core.status;
        if (role === 'leader' && this.#soundProposal?.(data, count, lastIndex) === false) return false;
        const why = role === 'leader' ? this.#append(now, data, count) : 'notLeader';
        if (why) {
          this.#host.outbox.item(peer, this.number, ItemType.proposalRefused, true, (writer) =>
            encodeProposalRefused(writer, token, why),
          );
        }
        return true;
      }
      case ItemType.proposalRefused:
        this.#refused.push(decodeProposalRefused(body));
        return this.#refused.length <= MAX_REFUSED;
      case ItemType.request: {
        const { token, request } = decodeRequest(body);
        this.#requests.heard(now, peer, token, request);
        return true;
      }
      case ItemType.requestRefused:
        this.tell({ type: 'requestRefused', ...decodeRequestRefused(body) });
        return this.#notices.length <= MAX_REFUSED;
      case ItemType.progress: {
        const { token, ...report } = decodeProgress(body);
        this.tell({ type: 'progress', token, report });
        return this.#notices.length <= MAX_REFUSED;
      }
      case ItemType.absence:
        this.#removal.heard(peer, decodeAbsence(body));
        return true;
      case ItemType.bye:
        expectEnd(body);
        this.lost(now, peer);
        return true;
      default:
        return false;
    }
  }

  /** Tells who asked how far the members are. */
  #report(peer: NodeId | undefined, token: number): void {
    const now = this.#host.environment.now();
    const members = this.core.progress(now).map(({ id, state, matched, heardAt }): MemberReport => {
      const silentMs = heardAt === -Infinity ? undefined : Math.max(0, now - heardAt);
      return { id, state, matched, silentMs, snapshot: this.#host.snapshotProgress(this, id) };
    });
    const report = { lastIndex: this.core.status.lastIndex, members };
    if (peer === undefined) this.tell({ type: 'progress', token, report });
    else this.#item(peer, ItemType.progress, (writer) => encodeProgress(writer, token, report));
  }

  /** Queues an item for a peer; `false`: there is no contact with it. */
  #item(peer: NodeId, type: number, body: (writer: ByteWriter) => void): boolean {
    if (!this.contacts.get(peer)) return false;
    this.#host.outbox.item(peer, this.number, type, true, body);
    this.#host.schedule(this);
    return true;
  }

  #message(now: number, peer: NodeId, body: ByteReader): boolean {
    const message = this.#wired.codec.decode(body);
    expectEnd(body);
    return this.core.receive(now, peer, message);
  }

  /** Takes the core's effects: writes go to `writes`, messages to the outbox. Returns the token of the write, or 0. */
  drain(now: number, writes: GroupWrite[]): number {
    if (!this.core.dirty) return 0;
    const effects = this.#effects;
    this.core.drain(now, effects);
    if (effects.io > 0) {
      writes.push({
        group: this.name,
        hard: effects.hard,
        truncateFrom: effects.truncateFrom > 0 ? effects.truncateFrom : undefined,
        entries: effects.append.length > 0 ? effects.append.slice() : undefined,
        install: effects.install,
      });
      this.#pendingWrites++;
      if (effects.install) this.#handover.pause();
    }
    for (const { to, message } of effects.send) {
      if (this.contacts.get(to))
        this.#host.outbox.message<MessageBase>(to, this.number, this.#wired.codec, message);
    }
    this.#handover.committed(effects.commit);
    for (const read of effects.reads) this.#reads.push(read);
    for (const { context } of effects.readsFailed) this.#readsFailed.push(context);
    for (const { request, from, to, maxBytes } of effects.fetch) this.#fetch(request, from, to, maxBytes);
    for (const wanted of effects.snapshotTo) this.#host.sendSnapshot(this, wanted);
    if (effects.changed) {
      this.#statusChanged = true;
      this.#requests.statusChanged();
      this.#joining?.statusChanged();
      this.#removal.statusChanged();
      this.#autopilot?.statusChanged();
    }
    if (this.core.status.stopped) this.fail(this.core.status.stopped);
    return effects.io;
  }

  /** The write of a token is durable, or the storage has failed. */
  written(now: number, token: number, installed: boolean, error: Error | undefined): void {
    this.#pendingWrites--;
    if (error) {
      this.core.ioFailed(error);
      this.fail(error);
    } else {
      this.core.persisted(now, token);
      if (installed) this.#restore();
    }
    this.#host.schedule(this);
    if (this.#pendingWrites === 0) this.#whenFlushed?.();
  }

  #fetch(request: number, from: Index, to: Index, maxBytes: number): void {
    const answer = (entries: readonly Entry[] | 'compacted'): void => {
      if (this.#over) return;
      this.core.fetched(this.#host.environment.now(), request, entries);
      this.#host.schedule(this);
    };
    this.store.read(this.name, from, to, maxBytes).then(answer, (error: unknown) => {
      if (error instanceof QuorateError && error.code === 'ERR_COMPACTED') answer('compacted');
      else this.fail(error instanceof Error ? error : new Error(String(error)));
    });
  }

  #restore(): void {
    this.#handover.pause();
    this.snapshots.restore();
  }

  #snapshotSaved(meta: SnapshotMeta, bytes: number, keepEntries: number): void {
    if (this.#over) return;
    const held = this.#host.keepFrom(this);
    const keepFrom = Math.max(1, Math.min(held, meta.index + 1 - keepEntries));
    this.core.compacted(meta, keepFrom, bytes);
    this.#pendingWrites++;
    this.store.write([{ group: this.name, compactTo: keepFrom - 1 }], (error) => {
      this.#pendingWrites--;
      if (error) this.fail(error);
      if (this.#pendingWrites === 0) this.#whenFlushed?.();
    });
    this.#host.schedule(this);
  }

  /** Hands the turn's results to the app's side. */
  deliver(): void {
    if (this.#closing || this.#app.busy === true) return;
    if (this.#over && this.#notices.length === 0) return;
    const entries: Entry[] = [];
    if (!this.#over) this.#handover.take(entries);
    const commitIndex = this.#handover.commitIndex;
    const quiet =
      entries.length === 0 &&
      this.#reads.length === 0 &&
      this.#readsFailed.length === 0 &&
      this.#refused.length === 0 &&
      this.#notices.length === 0 &&
      !this.#statusChanged &&
      commitIndex === this.#commitTold;
    if (quiet) return;
    const batch = {
      entries,
      reads: this.#reads,
      readsFailed: this.#readsFailed,
      refused: this.#refused,
      status: this.#statusChanged ? this.#status() : undefined,
      commitIndex,
      notices: this.#notices,
    };
    if (this.#reads.length > 0) this.#reads = [];
    if (this.#readsFailed.length > 0) this.#readsFailed = [];
    if (this.#refused.length > 0) this.#refused = [];
    if (this.#notices.length > 0) this.#notices = [];
    this.#statusChanged = false;
    this.#commitTold = commitIndex;
    this.#app.deliver(batch);
  }

  #status(): GroupStatus {
    const { role, leader, epoch, quorum, membership, stable, quiet } = this.core.status;
    if (membership !== this.#membershipTold) {
      this.#membershipTold = membership;
      this.#host.voters(
        this,
        membership.voters.map(({ id }) => id),
      );
    }
    const contact = role === 'leader' ? 1 : (this.contacts.get(leader)?.session ?? 0);
    return { role, leader, epoch, quorum, membership, stable, quiet, contact };
  }

  /** Gives the group up: the app's side is told, nothing more is sent or written. */
  fail(error: Error): void {
    if (this.#saidFailed) return;
    this.#saidFailed = true;
    this.#end();
    this.tell({ type: 'failed', error });
  }

  /** The group goes on without this node. */
  #removed(membership: Membership): void {
    if (this.#saidFailed) return;
    this.#saidFailed = true;
    this.#end();
    this.tell({ type: 'removed', membership });
  }

  /** Nothing more is sent but a farewell, or written. Peers that heard none would wait for this group in vain. */
  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.contacts.close();
    this.#joining?.close();
    this.#autopilot?.close();
    this.snapshots.close();
    for (const [peer] of this.contacts.entries()) {
      this.#host.outbox.item(peer, this.number, ItemType.bye, true, () => undefined);
    }
    this.#host.ended(this);
  }

  /** Says goodbye to the peers and waits for the writes under way. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    this.#end();
    if (this.#pendingWrites > 0 && !this.store.failed) {
      await new Promise<void>((resolve) => {
        this.#whenFlushed = resolve;
      });
    }
    await this.snapshots.settled();
  }
}
