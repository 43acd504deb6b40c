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
} from '../consensus/consensus.js';
import type { AutopilotStep } from '../consensus/autopilot.js';
import type { Membership } from '../consensus/membership.js';
import { QuorateError } from '../errors.js';
import type { GroupWrite, NodeStore } from '../storage/storage.js';
import { Autopilot } from './autopilot.js';
import type { WiredProtocol } from './codec.js';
import { Contacts, type Contact } from './contacts.js';
import { Deliveries } from './deliveries.js';
import type { AppNotice, AppSide, EngineNotice, GroupStatus, LeaderRequest } from './door.js';
import { Flushes } from './flushes.js';
import { Greetings } from './greetings.js';
import type { GroupHost, GroupSetup } from './groupSetup.js';
import { Handover } from './handover.js';
import { Joining } from './joining.js';
import { Proposals } from './proposals.js';
import { decodeProgress, encodeProgress, type MemberReport } from './progressWire.js';
import { decodeAbsence, encodeAbsence, Removal } from './removal.js';
import { JOINS, Requests } from './requests.js';
import { decodeRequest, decodeRequestRefused, encodeRequest, encodeRequestRefused } from './requestWire.js';
import { LocalSnapshots } from './localSnapshots.js';
import { TransferPace } from './transferPace.js';
import { decodeProposalRefused, expectEnd, ItemType, type Hello } from './wire.js';

export class Group {
  readonly name: string;
  readonly number: number;
  readonly core: Consensus;
  readonly store: NodeStore;
  readonly contacts = new Contacts();
  readonly snapshots: LocalSnapshots;
  /** Of the snapshots that this node sends. */
  readonly pace: TransferPace;
  readonly greetings: Greetings;
  readonly #host: GroupHost;
  readonly #wired: WiredProtocol;
  readonly #app: AppSide;
  readonly #proposals: Proposals;
  readonly #handover: Handover;
  readonly #requests: Requests;
  readonly #joining: Joining | undefined;
  readonly #removal: Removal;
  readonly #autopilot: Autopilot | undefined;
  readonly #effects: Effects = createEffects();
  readonly #deliveries = new Deliveries();
  readonly #flushes = new Flushes();
  #membershipTold: Membership | undefined;
  #appWoke = false;
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
    const { name, number, core, store, wired, join } = setup;
    const { self, environment, outbox } = host;
    const wake = (): void => host.schedule(this);
    this.greetings = new Greetings({
      self,
      group: name,
      number,
      incarnation: store.incarnation,
      witness: join === 'witness',
      wired,
      core,
      contacts: this.contacts,
      outbox,
      environment,
      schedule: wake,
      met: (now, peer, contact, hello) => this.#met(now, peer, contact, hello),
      refused: (now, peer, error) => {
        this.lost(now, peer);
        this.tell({ type: 'warning', error });
      },
    });
    this.#proposals = new Proposals({
      number,
      core,
      store,
      environment,
      contacts: this.contacts,
      outbox,
      sound: setup.soundProposal,
    });
    this.pace = new TransferPace(setup.snapshotBytesPerSecond, environment.now());
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
      saved: (meta, bytes, done) => this.#snapshotSaved(meta, bytes, setup.keepEntries, done),
      receiving: () => host.receives(this),
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
    if (this.#closing || !this.#deliveries.tell(notice)) return;
    this.#host.schedule(this);
  }

  /** Takes what the app's side gathered, and looks whether the log has grown enough for a snapshot, whoever made it grow. */
  collect(now: number): void {
    if (this.#over) return;
    if (this.#appWoke) this.#take(now);
    this.snapshots.consider(this.#handover.handedIndex);
  }

  #take(now: number): void {
    this.#appWoke = false;
    const batch = this.#app.collect();
    if (!batch) return;
    this.#handover.applied(batch.applied);
    for (const proposal of batch.proposals) {
      const why = this.#proposals.own(now, proposal);
      if (why) this.#deliveries.refused(proposal.token, why);
    }
    for (const context of batch.reads) {
      if (!this.core.read(now, context).ok) this.#deliveries.readFailed(context);
    }
    for (const notice of batch.notices) this.#takeNotice(now, notice);
  }

  #takeNotice(now: number, notice: AppNotice): void {
    if (notice.type === 'failed') this.fail(notice.error);
    else if (notice.type === 'request') this.#requests.ask(now, notice.token, notice.request);
    else this.snapshots.take(notice);
  }

  #met(now: number, peer: NodeId, { session }: Contact, hello: Hello): void {
    const { incarnation, genesis, priority, witness } = hello;
    this.core.link(now, peer, session, true, { incarnation, genesis, priority, witness });
    this.#deliveries.statusChanged();
    this.#removal.met(peer);
    this.#joining?.met();
    this.#host.schedule(this);
  }

  /** Contact with a peer ended. */
  lost(now: number, peer: NodeId): void {
    const contact = this.contacts.get(peer);
    if (!contact) return;
    this.contacts.forget(peer);
    this.#removal.lost(peer);
    this.core.link(now, peer, contact.session, false);
    this.#deliveries.statusChanged();
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
      case ItemType.proposal:
        return this.#proposals.forwarded(now, peer, body);
      case ItemType.proposalRefused: {
        const { token, why } = decodeProposalRefused(body);
        return this.#deliveries.refused(token, why);
      }
      case ItemType.request: {
        const { token, request } = decodeRequest(body);
        this.#requests.heard(now, peer, token, request);
        return true;
      }
      case ItemType.requestRefused:
        this.tell({ type: 'requestRefused', ...decodeRequestRefused(body) });
        return this.#deliveries.bounded;
      case ItemType.progress: {
        const { token, ...report } = decodeProgress(body);
        this.tell({ type: 'progress', token, report });
        return this.#deliveries.bounded;
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
      this.#flushes.begin();
      if (effects.install) this.#handover.pause();
    }
    for (const { to, message } of effects.send) {
      if (this.contacts.get(to))
        this.#host.outbox.message<MessageBase>(to, this.number, this.#wired.codec, message);
    }
    this.#handover.committed(effects.commit);
    for (const read of effects.reads) this.#deliveries.read(read);
    for (const { context } of effects.readsFailed) this.#deliveries.readFailed(context);
    for (const { request, from, to, maxBytes } of effects.fetch) this.#fetch(request, from, to, maxBytes);
    for (const wanted of effects.snapshotTo) this.#host.sendSnapshot(this, wanted);
    if (effects.changed) {
      this.#deliveries.statusChanged();
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
    this.#flushes.end();
    if (error) {
      this.core.ioFailed(error);
      this.fail(error);
    } else {
      this.core.persisted(now, token);
      if (installed) this.#restore();
    }
    this.#host.schedule(this);
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

  #snapshotSaved(meta: SnapshotMeta, bytes: number, keepEntries: number, done: () => void): void {
    if (this.#over) return;
    const held = this.#host.keepFrom(this);
    const keepFrom = Math.max(1, Math.min(held, meta.index + 1 - keepEntries));
    this.core.compacted(meta, keepFrom, bytes);
    this.#flushes.begin();
    this.store.write([{ group: this.name, compactTo: keepFrom - 1 }], (error) => {
      this.#flushes.end();
      if (error) this.fail(error);
      else done();
    });
    this.#host.schedule(this);
  }

  /** Hands the turn's results to the app's side. */
  deliver(): void {
    if (this.#closing || this.#app.busy === true) return;
    if (this.#over && !this.#deliveries.hasNotices) return;
    const entries: Entry[] = [];
    if (!this.#over) this.#handover.take(entries);
    const batch = this.#deliveries.take(entries, this.#handover.commitIndex, () => this.#status());
    if (batch) this.#app.deliver(batch);
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
    if (this.#flushes.pending && !this.store.failed) await this.#flushes.done();
    await this.snapshots.settled();
  }
}
