/**
 * The engine of a node: drives the cores of its groups over mesh and storage, turn by turn. All that arrived in a turn of the
 * event loop becomes one write with one flush, and one frame a peer; it never calls user code.
 */
import type { NodeId } from '../consensus/consensus.js';
import type { Environment } from '../environment.js';
import { QuorateError } from '../errors.js';
import type { GroupMetrics } from '../mesh/metrics.js';
import { FrameKind, type MeshPort } from '../mesh/port.js';
import type { NodeStore, Storage } from '../storage/storage.js';
import type { AutopilotSettings } from './autopilot.js';
import type { WiredProtocol } from './codec.js';
import type { AppSide, EngineSide } from './door.js';
import { Group } from './group.js';
import type { GroupHost } from './groupSetup.js';
import type { SoundProposal } from './proposals.js';
import type { JoinAs } from './joining.js';
import { checkKind, checkMembership } from './openChecks.js';
import { OpenStores } from './openStores.js';
import { Outbox } from './outbox.js';
import { Transfers } from './transfers.js';
import { Turns } from './turns.js';
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

export class Engine {
  readonly #port: MeshPort;
  readonly #environment: Environment;
  readonly #outbox: Outbox;
  readonly #transfers: Transfers;
  readonly #groups = new Map<string, Group>();
  readonly #byNumber = new Map<NodeId, Map<number, Group>>();
  readonly #stores: OpenStores;
  readonly #turns: Turns;
  #numbers = 0;

  constructor(port: MeshPort, environment: Environment) {
    this.#port = port;
    this.#environment = environment;
    this.#outbox = new Outbox(port);
    this.#stores = new OpenStores({ environment, cluster: port.cluster, node: port.id });
    this.#turns = new Turns(environment, this.#outbox, () => this.#groups.values());
    this.#transfers = new Transfers(port, {
      now: () => environment.now(),
      setTimer: (delayMs, callback) => environment.setTimer(delayMs, callback),
      groupOf: (peer, number) => this.#byNumber.get(peer)?.get(number),
      delegate: (group, source, asked) => {
        this.#outbox.item(source, group.number, ItemType.snapshotDelegate, true, (writer) =>
          encodeSnapshotDelegate(writer, asked),
        );
        this.#turns.schedule(group);
      },
      resume: (group, peer, request, offset, digest) => {
        this.#outbox.item(peer, group.number, ItemType.snapshotResume, true, (writer) =>
          encodeSnapshotResume(writer, request, { offset, digest }),
        );
        this.#turns.schedule(group);
      },
      acknowledge: (group, peer, request, index, ok) => {
        this.#outbox.item(peer, group.number, ItemType.snapshotAck, true, (writer) =>
          encodeSnapshotAck(writer, request, index, ok),
        );
        this.#turns.schedule(group);
      },
      schedule: (group) => this.#turns.schedule(group),
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
      const store = await this.#stores.open(storage);
      try {
        const group = await this.#createGroup(options, store);
        let closing: Promise<void> | undefined;
        const close = (): Promise<void> => (closing ??= this.#close(group, storage));
        return { self: this.#port.id, wake: () => group.wake(), close };
      } catch (error) {
        await this.#stores.release(storage);
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
      schedule: (group) => this.#turns.schedule(group),
      sendSnapshot: (group, { to, request, atLeast, sources, bare }) =>
        this.#transfers.send(group, to, request, atLeast, sources, bare),
      snapshotProgress: (group, to) => this.#transfers.progressOf(group, to),
      keepFrom: (group) => this.#transfers.holds.keepFrom(group, environment.now()),
      receives: (group) => this.#transfers.receives(group),
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
    for (const peer of this.#port.linked().keys()) group.greetings.greet(peer, true);
    this.#turns.schedule(group);
    return group;
  }

  /** The storage, opened for this node, for somebody else who lives on it; `release` gives it back. */
  async borrow(
    storage: Storage,
  ): Promise<{ readonly store: NodeStore; readonly release: () => Promise<void> }> {
    const store = await this.#stores.open(storage);
    let released: Promise<void> | undefined;
    return { store, release: () => (released ??= this.#stores.release(storage)) };
  }

  async #close(group: Group, storage: Storage): Promise<void> {
    await group.close();
    this.#outbox.flush();
    this.#groups.delete(group.name);
    this.#turns.forget(group);
    for (const numbers of this.#byNumber.values()) {
      for (const [number, known] of numbers) if (known === group) numbers.delete(number);
    }
    if (this.#groups.size === 0) this.#turns.rest();
    await this.#stores.release(storage);
  }

  #onPeer(peer: NodeId, up: boolean): void {
    const now = this.#environment.now();
    this.#byNumber.delete(peer);
    for (const group of this.#groups.values()) {
      group.lost(now, peer);
      this.#transfers.lost(group, peer);
    }
    this.#outbox.drop(peer);
    if (up) for (const group of this.#groups.values()) group.greetings.greet(peer, true);
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
      if (!group.greetings.allows(now, peer)) return false;
      let numbers = this.#byNumber.get(peer);
      if (!numbers) this.#byNumber.set(peer, (numbers = new Map<number, Group>()));
      // A peer that opened the group anew has a new number for it.
      for (const [old, known] of numbers) if (known === group && old !== number) numbers.delete(old);
      const before = group.contacts.get(peer)?.session;
      group.greetings.heard(now, peer, number, session, hello);
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
        if (!group.greetings.allows(now, peer)) return false;
        this.#transfers.lost(group, peer);
        group.greetings.refused(now, peer, refusal);
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
}
