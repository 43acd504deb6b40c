/**
 * The engine of a node: drives the cores of its groups over mesh and storage, turn by turn. All that arrived in a turn of the
 * event loop becomes one write with one flush, and one frame a peer; it never calls user code.
 */
import { diskProtocol, type CoreStatus, type NodeId } from '../consensus/consensus.js';
import { allMembers, findMember } from '../consensus/membership.js';
import type { Environment, Timer } from '../environment.js';
import { QuorateError } from '../errors.js';
import { SuspendDetector } from '../failure/suspendDetector.js';
import type { GroupMetrics } from '../mesh/metrics.js';
import { FrameKind, type MeshPort } from '../mesh/port.js';
import type { GroupWrite, NodeStore, Storage } from '../storage/storage.js';
import type { AutopilotSettings } from './autopilot.js';
import type { WiredProtocol } from './codec.js';
import { Deadlines } from './deadlines.js';
import type { AppSide, EngineSide } from './door.js';
import { Group, type GroupHost, type SoundProposal } from './group.js';
import type { JoinAs } from './joining.js';
import { Outbox } from './outbox.js';
import { Transfers } from './transfers.js';
import {
  decodeHello,
  decodeRefusal,
  decodeSnapshotAck,
  decodeSnapshotDelegate,
  decodeSnapshotResume,
  encodeSnapshotAck,
  encodeSnapshotDelegate,
  encodeSnapshotResume,
  ItemType,
  readItems,
} from './wire.js';
import type { ByteReader } from '../bytes.js';

/** Rounds of drain within one turn, for storages that are durable at once. */
const ROUNDS = 4;

/** How a group is opened. */
export interface OpenGroup {
  readonly name: string;
  readonly wired: WiredProtocol;
  readonly storage: Storage;
  /** Who founds it; undefined reopens what the storage holds. */
  readonly founders: readonly NodeId[] | undefined;
  /** Asks to be let in, unless the storage says that this node is a member. */
  readonly join?: JoinAs | undefined;
  readonly snapshotLogBytes: number;
  readonly keepEntries: number;
  /** Of all snapshots of the group that this node sends; without it there is no limit. */
  readonly snapshotBytesPerSecond?: number;
  /** Keeps a number of voters; without it only people change the members. */
  readonly autopilot?: AutopilotSettings | undefined;
  readonly app: AppSide;
  /** Checks what peers forward; without it anything is taken. */
  readonly soundProposal?: SoundProposal;
}

interface OpenStore {
  readonly store: Promise<NodeStore>;
  users: number;
}

export class Engine {
  readonly #port: MeshPort;
  readonly #environment: Environment;
  readonly #outbox: Outbox;
  readonly #transfers: Transfers;
  readonly #suspends = new SuspendDetector();
  readonly #groups = new Map<string, Group>();
  readonly #byNumber = new Map<NodeId, Map<number, Group>>();
  readonly #stores = new Map<Storage, OpenStore>();
  /** Storages that are being closed: who opens one again waits for that. */
  readonly #storesClosing = new Map<Storage, Promise<void>>();
  /** Groups with something to do in the next turn. */
  #awake = new Set<Group>();
  readonly #deadlines = new Deadlines();
  #scheduled = false;
  #inTurn = false;
  #timer: Timer | undefined;
  #timerAt = Infinity;
  #tickDue = false;
  #numbers = 0;

  constructor(port: MeshPort, environment: Environment) {
    this.#port = port;
    this.#environment = environment;
    this.#outbox = new Outbox(port);
    this.#transfers = new Transfers(port, {
      now: () => environment.now(),
      setTimer: (delayMs, callback) => environment.setTimer(delayMs, callback),
      groupOf: (peer, number) => this.#byNumber.get(peer)?.get(number),
      delegate: (group, source, asked) => {
        this.#outbox.item(source, group.number, ItemType.snapshotDelegate, true, (writer) =>
          encodeSnapshotDelegate(writer, asked),
        );
        this.#schedule(group);
      },
      resume: (group, peer, request, offset, digest) => {
        this.#outbox.item(peer, group.number, ItemType.snapshotResume, true, (writer) =>
          encodeSnapshotResume(writer, request, { offset, digest }),
        );
        this.#schedule(group);
      },
      acknowledge: (group, peer, request, index, ok) => {
        this.#outbox.item(peer, group.number, ItemType.snapshotAck, true, (writer) =>
          encodeSnapshotAck(writer, request, index, ok),
        );
        this.#schedule(group);
      },
      schedule: (group) => this.#schedule(group),
    });
    port.handle(FrameKind.group, (peer, session, frame) => this.#receive(peer, session, frame));
    port.listen({ onPeer: (peer, up) => this.#onPeer(peer, up) });
    port.count(() => this.#count());
  }

  #count(): GroupMetrics {
    let quiet = 0;
    for (const { over, core } of this.#groups.values()) if (!over && core.status.quiet) quiet++;
    return { open: this.#groups.size, quiet };
  }

  /** Opens a group. Throws ERR_GROUP_EXISTS, ERR_GROUP_UNKNOWN, and what the storage throws. */
  async open(options: OpenGroup): Promise<EngineSide> {
    const { name, storage } = options;
    if (this.#groups.has(name) || this.#opening.has(name)) {
      throw new QuorateError('ERR_GROUP_EXISTS', `this mesh already runs a replica of group ${name}`);
    }
    this.#opening.add(name);
    try {
      const store = await this.#openStore(storage);
      try {
        const group = await this.#createGroup(options, store);
        let closing: Promise<void> | undefined;
        const close = (): Promise<void> => (closing ??= this.#close(group, storage));
        return { self: this.#port.id, wake: () => group.wake(), close };
      } catch (error) {
        await this.#releaseStore(storage);
        throw error;
      }
    } finally {
      this.#opening.delete(name);
    }
  }

  readonly #opening = new Set<string>();

  async #createGroup(options: OpenGroup, store: NodeStore): Promise<Group> {
    const { name, wired, founders, app } = options;
    const recovered = await store.recover(name);
    if (!recovered && !founders && options.join === undefined) {
      throw new QuorateError(
        'ERR_GROUP_UNKNOWN',
        `the storage holds no group ${name}; give \`members\` to found it, or \`join\` to enter it`,
      );
    }
    const witness = options.join === 'witness';
    checkKind(name, wired.protocol.name, witness, recovered?.hard?.protocol);
    const environment = this.#environment;
    const now = environment.now();
    const core = wired.protocol.create({
      self: this.#port.id,
      incarnation: store.incarnation,
      witness,
      founders: founders ?? [],
      genesisCandidate: Buffer.from(environment.randomBytes(16)).toString('hex'),
      now,
      random: () => environment.random(),
      vitals: (peer) => this.#port.vitals(peer),
      recovered,
    });
    if (options.join === undefined) checkMembership(name, this.#port.id, core.status);
    const host: GroupHost = {
      self: this.#port.id,
      environment,
      outbox: this.#outbox,
      schedule: (group) => this.#schedule(group),
      sendSnapshot: (group, { to, request, atLeast, sources, bare }) =>
        this.#transfers.send(group, to, request, atLeast, sources, bare),
      snapshotProgress: (group, to) => this.#transfers.progressOf(group, to),
      keepFrom: (group) => this.#transfers.holds.keepFrom(group, environment.now()),
      voters: (group, voters) => this.#port.expect(group.name, voters),
      ended: (group) => {
        this.#port.expect(group.name, undefined);
        this.#transfers.ended(group);
      },
    };
    const group = new Group(host, {
      name,
      number: ++this.#numbers,
      wired,
      core,
      store,
      app,
      snapshot: recovered?.snapshot,
      snapshotLogBytes: options.snapshotLogBytes,
      keepEntries: options.keepEntries,
      snapshotBytesPerSecond: options.snapshotBytesPerSecond ?? Infinity,
      soundProposal: options.soundProposal,
      join: options.join,
      autopilot: options.autopilot,
    });
    this.#groups.set(name, group);
    for (const peer of this.#port.linked().keys()) group.greet(peer, true);
    this.#schedule(group);
    return group;
  }

  /** The storage, opened for this node, for somebody else who lives on it; `release` gives it back. */
  async borrow(
    storage: Storage,
  ): Promise<{ readonly store: NodeStore; readonly release: () => Promise<void> }> {
    const store = await this.#openStore(storage);
    let released: Promise<void> | undefined;
    return { store, release: () => (released ??= this.#releaseStore(storage)) };
  }

  async #close(group: Group, storage: Storage): Promise<void> {
    await group.close();
    this.#outbox.flush();
    this.#groups.delete(group.name);
    this.#awake.delete(group);
    this.#deadlines.forget(group);
    for (const numbers of this.#byNumber.values()) {
      for (const [number, known] of numbers) if (known === group) numbers.delete(number);
    }
    if (this.#groups.size === 0) {
      this.#timer?.cancel();
      this.#timer = undefined;
      this.#timerAt = Infinity;
    }
    await this.#releaseStore(storage);
  }

  async #openStore(storage: Storage): Promise<NodeStore> {
    // What closing failed with was told to who closed it.
    for (let closing; (closing = this.#storesClosing.get(storage));) await closing.catch(() => undefined);
    let open = this.#stores.get(storage);
    if (!open) {
      const binding = { environment: this.#environment, cluster: this.#port.cluster, node: this.#port.id };
      open = { store: storage.open(binding), users: 0 };
      this.#stores.set(storage, open);
    }
    open.users++;
    try {
      return await open.store;
    } catch (error) {
      if (this.#stores.get(storage) === open) this.#stores.delete(storage);
      throw error;
    }
  }

  async #releaseStore(storage: Storage): Promise<void> {
    const open = this.#stores.get(storage);
    if (!open || --open.users > 0) return;
    this.#stores.delete(storage);
    const closing = open.store
      .then((store) => store.close())
      .finally(() => this.#storesClosing.delete(storage));
    this.#storesClosing.set(storage, closing);
    await closing;
  }

  #onPeer(peer: NodeId, up: boolean): void {
    const now = this.#environment.now();
    this.#byNumber.delete(peer);
    for (const group of this.#groups.values()) {
      group.lost(now, peer);
      this.#transfers.lost(group, peer);
    }
    this.#outbox.drop(peer);
    if (up) for (const group of this.#groups.values()) group.greet(peer, true);
  }

  #receive(peer: NodeId, session: number, frame: Uint8Array): boolean {
    const now = this.#environment.now();
    let sound = true;
    try {
      readItems(frame, (number, type, body) => {
        if (!this.#item(now, peer, session, number, type, body)) sound = false;
      });
    } catch (error) {
      if (error instanceof QuorateError && error.code === 'ERR_CODEC') return false;
      throw error;
    }
    return sound;
  }

  #item(now: number, peer: NodeId, session: number, number: number, type: number, body: ByteReader): boolean {
    if (type === ItemType.hello) {
      const hello = decodeHello(body);
      const group = this.#groups.get(hello.group);
      if (!group || group.over) return true;
      if (!group.mayGreet(now, peer)) return false;
      let numbers = this.#byNumber.get(peer);
      if (!numbers) this.#byNumber.set(peer, (numbers = new Map<number, Group>()));
      // A peer that opened the group anew has a new number for it.
      for (const [old, known] of numbers) if (known === group && old !== number) numbers.delete(old);
      const before = group.contacts.get(peer)?.session;
      group.heardHello(now, peer, number, session, hello);
      const contact = group.contacts.get(peer);
      if (contact?.session !== before) this.#transfers.lost(group, peer);
      if (contact) numbers.set(number, group);
      else numbers.delete(number);
      return true;
    }
    if (type === ItemType.refusal) {
      const refusal = decodeRefusal(body);
      const group = this.#groups.get(refusal.group);
      if (group && !group.over) {
        if (!group.mayGreet(now, peer)) return false;
        this.#transfers.lost(group, peer);
        group.refused(now, peer, refusal);
      }
      return true;
    }
    const group = this.#byNumber.get(peer)?.get(number);
    if (!group) return true; // not hosted here, or not any more
    if (type === ItemType.snapshotAck) {
      const { request, index, ok } = decodeSnapshotAck(body);
      this.#transfers.acknowledged(group, peer, request, index, ok);
      return true;
    }
    if (type === ItemType.snapshotResume) {
      const { request, ...from } = decodeSnapshotResume(body);
      this.#transfers.resumed(group, peer, request, from);
      return true;
    }
    if (type === ItemType.snapshotDelegate) {
      const asked = decodeSnapshotDelegate(body);
      if (!group.over && group.contacts.get(peer)) this.#transfers.delegated(group, peer, asked);
      return true;
    }
    if (type === ItemType.bye) this.#transfers.lost(group, peer);
    return group.receive(now, peer, type, body);
  }

  #schedule(group: Group): void {
    this.#awake.add(group);
    if (this.#scheduled || this.#inTurn) return;
    this.#scheduled = true;
    this.#environment.defer(this.#turn);
  }

  readonly #turn = (): void => {
    this.#scheduled = false;
    this.#inTurn = true;
    const now = this.#environment.now();
    // Before anything is decided by this clock.
    if (this.#suspends.observe(now, this.#environment.wallClock()))
      for (const group of this.#groups.values()) if (!group.over) group.core.suspended?.(now);
    if (this.#tickDue) {
      this.#tickDue = false;
      for (const group of this.#deadlines.due(now)) {
        if (group.over || group.core.nextDeadline() > now) continue;
        attempt(group, () => group.core.tick(now));
        this.#awake.add(group);
      }
    }
    const groups = this.#awake;
    this.#awake = new Set();
    for (const group of groups) attempt(group, () => group.collect(now));
    for (let round = 0; round < ROUNDS && this.#drain(now, groups); round++);
    this.#outbox.flush();
    for (const group of groups) attempt(group, () => group.deliver());
    this.#inTurn = false;
    for (const group of groups) if (!group.over && group.core.dirty) this.#awake.add(group);
    if (this.#awake.size > 0) {
      this.#scheduled = true;
      this.#environment.defer(this.#turn);
    }
    this.#armTimer(groups);
  };

  /** One round: every dirty core's effects, one write a storage. `false`: nothing was dirty. */
  #drain(now: number, groups: ReadonlySet<Group>): boolean {
    let dirty = false;
    const batches = new Map<
      NodeStore,
      { writes: GroupWrite[]; tokens: { group: Group; token: number; installed: boolean }[] }
    >();
    for (const group of groups) {
      if (group.over || !group.core.dirty) continue;
      dirty = true;
      let batch = batches.get(group.store);
      if (!batch) batches.set(group.store, (batch = { writes: [], tokens: [] }));
      const before = batch.writes.length;
      let token = 0;
      try {
        token = group.drain(now, batch.writes);
      } catch (error) {
        const written = batch.writes.length > before;
        batch.writes.length = before;
        if (written) group.written(now, 0, false, asError(error));
        else group.fail(asError(error));
      }
      if (batch.writes.length > before) {
        batch.tokens.push({ group, token, installed: batch.writes[before]!.install !== undefined });
      }
    }
    for (const [store, { writes, tokens }] of batches) {
      if (writes.length === 0) continue;
      const done = (error?: Error): void => {
        const at = this.#environment.now();
        for (const { group, token, installed } of tokens) group.written(at, token, installed, error);
      };
      try {
        store.write(writes, done);
      } catch (error) {
        done(asError(error)); // it refused a write that makes no sense
      }
    }
    return dirty;
  }

  /** `touched`: the groups to which something happened; the deadlines of the others are what they were. */
  #armTimer(touched: ReadonlySet<Group>): void {
    let next = Infinity;
    for (const group of touched) next = Math.min(next, this.#deadlines.note(group));
    if (this.#timerAt === Infinity) next = this.#deadlines.earliest();
    if (next >= this.#timerAt) return;
    this.#timer?.cancel();
    this.#timerAt = next;
    const delay = Math.max(0, next - this.#environment.now());
    this.#timer = this.#environment.setTimer(delay, () => {
      this.#timerAt = Infinity;
      this.#tickDue = true;
      // After a stall the frames that queued up meanwhile are heard before a time-out is believed.
      if (!this.#scheduled) {
        this.#scheduled = true;
        this.#environment.defer(this.#turn);
      }
    });
  }
}

/** Who knows that it was removed does not wait for a word about it. */
function checkMembership(group: string, self: NodeId, { membership, stable }: CoreStatus): void {
  const belongs = findMember(membership, self) ?? findMember(stable, self);
  if (belongs !== undefined || stable.genesis === '') return;
  const members = allMembers(stable).map(({ id }) => id);
  throw new QuorateError(
    'ERR_NOT_A_MEMBER',
    `${self} is no member of group ${group} any more, or not yet, as far as its storage knows (members: ${members.join(', ')}); open it with \`join\` to enter it`,
  );
}

/** A step that throws is a fault of its group; the others, and the turn, go on. */
function attempt(group: Group, work: () => void): void {
  try {
    work();
  } catch (error) {
    group.fail(asError(error));
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

/** What a witness wrote, only a witness can go on from, and the other way round. */
function checkKind(group: string, protocol: string, witness: boolean, written: string | undefined): void {
  if (written === undefined || written === diskProtocol(protocol, witness)) return;
  const message =
    written === diskProtocol(protocol, !witness)
      ? `this node is ${witness ? 'no' : 'a'} witness of group ${group}: open it ${witness ? 'without' : 'with join: true and'} as: 'witness', or remove the member and its storage first`
      : `the storage holds group ${group} as ${written} wrote it, not ${protocol}`;
  throw new QuorateError('ERR_CONFIG', message);
}
