/**
 * Snapshot transfers between nodes, on the bulk lane: read from this node's storage as fast as the lane takes it, and
 * written into the other's as it comes. The receiver's credit is granted when a chunk is on its way to the disk.
 */
import PQueue from 'p-queue';
import type { Index, NodeId } from '../consensus/consensus.js';
import type { Timer } from '../environment.js';
import { circuitBreaker, type CircuitBreaker } from '../failure/circuitBreaker.js';
import { FrameKind, type MeshPort } from '../mesh/port.js';
import type { SnapshotReader, SnapshotWriter } from '../storage/storage.js';
import type { Group } from './group.js';
import { Holds } from './holds.js';
import { judgeOffer } from './snapshotOffer.js';
import { decodeTransfer, encodeTransfer, type TransferFrame } from './transferWire.js';

const CHUNK_BYTES = 64 * 1024;
/** The lane's backlog above which the sender pauses. */
const BACKLOG_BYTES = 512 * 1024;
/** Transfers that leave this node at once; the others wait. */
const CONCURRENT = 2;
/** A transfer of which nothing moves for so long is given up: a peer that reads nothing would keep it from the others. */
const STALL_MS = 30_000;
/**
 * When three transfers of a group to a peer failed in a row, it is left alone for a second, and after each trial that fails for
 * twice as long: the core asks again soon after a failure, and each try reads the disk and fills the bulk lane. Five seconds at
 * most, so that a member whose trouble is over waits no longer for its snapshot.
 */
const CIRCUIT = {
  window: { calls: 3 },
  minimumCalls: 3,
  failureRate: 1,
  slowCallMs: 86_400_000, // a large snapshot is no fault
  openMs: 1000,
  openFactor: 2,
  maxOpenMs: 5000,
  halfOpenCalls: 1,
  halfOpenTimeoutMs: 60_000,
} as const;

/** How an outgoing transfer ended; `blamed`: the peer, or the way to it, is why it failed. */
interface Ending {
  readonly index: Index;
  readonly ok: boolean;
  readonly blamed?: boolean;
}

const FAILED: Ending = { index: 0, ok: false };

interface Incoming {
  readonly group: Group;
  readonly session: number;
  readonly begin: Extract<TransferFrame, { type: 'begin' }>;
  writer: SnapshotWriter | undefined;
  /** Bytes that have arrived, and that are written. */
  offset: number;
  written: number;
  /** Given up: what is still queued for it is void. */
  abandoned: boolean;
  work: Promise<boolean>;
}

/** What a transfer needs from the engine. */
export interface TransferHost {
  now(): number;
  setTimer(delayMs: number, callback: () => void): Timer;
  /** The group that a peer means by its number. */
  groupOf(peer: NodeId, number: number): Group | undefined;
  acknowledge(group: Group, peer: NodeId, request: number, index: Index, ok: boolean): void;
  schedule(group: Group): void;
}

export class Transfers {
  /** What transfers need of the log. */
  readonly holds = new Holds();
  readonly #port: MeshPort;
  readonly #host: TransferHost;
  readonly #queue = new PQueue({ concurrency: CONCURRENT });
  readonly #incoming = new Map<string, Incoming>();
  /** Outgoing transfers that wait for the receiver's word. */
  readonly #unacknowledged = new Map<
    string,
    { readonly group: Group; readonly settle: (index: Index, ok: boolean) => void }
  >();
  /** Of those groups and peers alone between which transfers fail; one each, so that no group spends the trials of another. */
  readonly #circuits = new Map<Group, Map<NodeId, CircuitBreaker>>();

  constructor(port: MeshPort, host: TransferHost) {
    this.#port = port;
    this.#host = host;
    port.handle(FrameKind.snapshot, (peer, session, frame) => this.#receive(peer, session, frame));
  }

  /** Streams the newest snapshot of a group to a peer, and tells the core how it ended. */
  send(group: Group, to: NodeId, request: number, atLeast: Index): void {
    const transfer = async (): Promise<void> => {
      const { index, ok } = await this.#try(group, to, request, atLeast).catch(() => FAILED);
      if (group.over) return;
      group.core.snapshotDone(this.#host.now(), request, index, ok);
      this.#host.schedule(group);
    };
    void this.#queue
      .add(transfer)
      .catch((error: unknown) => group.fail(error instanceof Error ? error : new Error(String(error))));
  }

  async #try(group: Group, to: NodeId, request: number, atLeast: Index): Promise<Ending> {
    const circuit = this.#circuits.get(group)?.get(to);
    const permit = circuit?.tryAcquire();
    if (circuit !== undefined && permit === undefined) return FAILED;
    try {
      const ending = await this.#send(group, to, request, atLeast);
      if (ending.ok) this.#circuits.get(group)?.delete(to);
      else if (ending.blamed && !group.over) (permit ?? this.#circuit(group, to).tryAcquire())?.fail();
      return ending;
    } finally {
      permit?.release();
    }
  }

  #circuit(group: Group, to: NodeId): CircuitBreaker {
    let circuits = this.#circuits.get(group);
    if (circuits === undefined) {
      circuits = new Map<NodeId, CircuitBreaker>();
      this.#circuits.set(group, circuits);
    }
    let circuit = circuits.get(to);
    if (circuit === undefined) {
      circuit = circuitBreaker({ ...CIRCUIT, now: () => this.#host.now() });
      circuits.set(to, circuit);
    }
    return circuit;
  }

  async #send(group: Group, to: NodeId, request: number, atLeast: Index): Promise<Ending> {
    const contact = group.contacts.get(to);
    if (!contact || group.over || !(await group.contacts.confirmed(contact))) return FAILED;
    let reader = await group.store.openSnapshot(group.name);
    if (!reader || reader.meta.index < atLeast) {
      await reader?.close();
      if (!(await group.snapshots.request())) return FAILED;
      reader = await group.store.openSnapshot(group.name);
    }
    if (!reader) return FAILED;
    const release = this.holds.hold(group, reader.meta.index);
    let ok = false;
    try {
      if (reader.meta.index < atLeast) return FAILED; // one that was under way already
      const result = await this.#stream(group, to, request, reader, contact.session);
      ({ ok } = result);
      return result;
    } finally {
      release(this.#host.now(), ok);
      await reader.close();
    }
  }

  async #stream(
    group: Group,
    to: NodeId,
    request: number,
    reader: SnapshotReader,
    session: number,
  ): Promise<Ending> {
    const unheard: Ending = { ...FAILED, blamed: true };
    const alive = (): boolean => !group.over && group.contacts.get(to)?.session === session;
    const say = (frame: TransferFrame): boolean =>
      this.#port.send(to, FrameKind.snapshot, encodeTransfer(frame), { lane: 'bulk' });
    const { meta, size } = reader;
    const address = { group: group.number, request };
    let begun = false;
    let whole = false;
    const answer = new Promise<Ending>((resolve) => {
      this.#unacknowledged.set(`${to} ${request} ${group.number}`, {
        group,
        settle: (index, ok) => resolve({ index, ok, blamed: !ok }),
      });
    });
    try {
      if (!alive()) return FAILED;
      if (!say({ type: 'begin', ...address, size, meta })) return unheard;
      begun = true;
      let offset = 0;
      while (offset < size) {
        const bytes = await reader.read(offset, CHUNK_BYTES);
        if (bytes.length === 0) return FAILED;
        if (!alive() || !say({ type: 'chunk', ...address, offset, bytes })) return unheard;
        offset += bytes.length;
        if (this.#port.backlog(to, 'bulk') > BACKLOG_BYTES) {
          const drained = new Promise<true>((resolve) => {
            this.#port.whenDrained(to, 'bulk', () => resolve(true));
          });
          if (!(await this.#unlessStalled(to, drained))) return unheard;
        }
      }
      whole = alive() && say({ type: 'end', ...address, ok: true });
      return whole ? ((await this.#unlessStalled(to, answer)) ?? unheard) : unheard;
    } finally {
      // Lets the receiver throw away what it has.
      if (begun && !whole && alive()) say({ type: 'end', ...address, ok: false });
      this.#unacknowledged.delete(`${to} ${request} ${group.number}`);
    }
  }

  /** Waits, but not for a peer that takes nothing off the lane. */
  #unlessStalled<T>(peer: NodeId, work: Promise<T>): Promise<T | undefined> {
    return new Promise((resolve) => {
      let timer: Timer;
      const watch = (before: number): void => {
        timer = this.#host.setTimer(STALL_MS, () => {
          const backlog = this.#port.backlog(peer, 'bulk');
          if (backlog < before) watch(backlog);
          else resolve(undefined);
        });
      };
      watch(this.#port.backlog(peer, 'bulk'));
      void work.then((result) => {
        timer.cancel();
        resolve(result);
      });
    });
  }

  /** The receiver's word on a transfer. */
  acknowledged(group: Group, peer: NodeId, request: number, index: Index, ok: boolean): void {
    this.#unacknowledged.get(`${peer} ${request} ${group.number}`)?.settle(index, ok);
  }

  /** Contact of a group with a peer ended: what was under way between them is void. */
  lost(group: Group, peer: NodeId): void {
    for (const [key, waiting] of this.#unacknowledged) {
      if (waiting.group === group && key.startsWith(`${peer} `)) waiting.settle(0, false);
    }
    for (const [key, incoming] of this.#incoming) {
      if (incoming.group === group && key.startsWith(`${peer} `)) this.#discard(key, incoming);
    }
  }

  /** A group is over on this node: what was under way for it is void. */
  ended(group: Group): void {
    this.holds.drop(group);
    this.#circuits.delete(group);
    for (const waiting of this.#unacknowledged.values()) {
      if (waiting.group === group) waiting.settle(0, false);
    }
    for (const [key, incoming] of this.#incoming) if (incoming.group === group) this.#discard(key, incoming);
  }

  #discard(key: string, incoming: Incoming): void {
    this.#incoming.delete(key);
    incoming.abandoned = true;
    incoming.work = incoming.work.then(async () => {
      await incoming.writer?.abort();
      return true;
    });
    incoming.work.catch(() => undefined); // the storage has failed, and says so itself
  }

  #receive(peer: NodeId, session: number, bytes: Uint8Array): boolean | Promise<boolean> {
    let frame: TransferFrame;
    try {
      frame = decodeTransfer(bytes);
    } catch {
      return false;
    }
    const key = `${peer} ${frame.group}`;
    if (frame.type === 'begin') return this.#begin(key, peer, session, frame);
    const incoming = this.#incoming.get(key);
    // A late frame of a transfer that was given up here.
    if (incoming?.begin.request !== frame.request || incoming.session !== session) return true;
    if (frame.type === 'chunk') {
      if (frame.offset !== incoming.offset || frame.offset + frame.bytes.length > incoming.begin.size)
        return false;
      incoming.offset += frame.bytes.length;
      return this.#write(key, peer, incoming, frame.bytes);
    }
    this.#incoming.delete(key);
    return this.#finish(peer, incoming, frame.ok);
  }

  #begin(key: string, peer: NodeId, session: number, begin: Incoming['begin']): boolean | Promise<boolean> {
    const group = this.#host.groupOf(peer, begin.group);
    if (!group || group.over) return true;
    const verdict = judgeOffer(group, begin.meta, begin.size);
    if (verdict === 'breach') return false;
    if (verdict === 'useless') {
      this.#host.acknowledge(group, peer, begin.request, 0, false);
      return true;
    }
    const old = this.#incoming.get(key);
    if (old) this.#discard(key, old);
    const incoming: Incoming = {
      group,
      session,
      begin,
      writer: undefined,
      offset: 0,
      written: 0,
      abandoned: false,
      work: Promise.resolve(true),
    };
    this.#incoming.set(key, incoming);
    return this.#step(key, peer, incoming, async () => {
      incoming.writer = await group.store.createSnapshot(group.name);
    });
  }

  #write(key: string, peer: NodeId, incoming: Incoming, bytes: Uint8Array): Promise<boolean> {
    return this.#step(key, peer, incoming, async () => {
      await incoming.writer?.write(bytes);
      incoming.written += bytes.length;
    });
  }

  #step(key: string, peer: NodeId, incoming: Incoming, work: () => Promise<void>): Promise<boolean> {
    incoming.work = incoming.work.then(async () => {
      if (incoming.abandoned) return true;
      try {
        await work();
      } catch {
        // Another snapshot took the place of this one: the sender may try again. Or the storage has failed: a member that waits
        // for a snapshot writes nothing else, so nobody else would say so.
        incoming.abandoned = true;
        if (this.#incoming.get(key) === incoming) this.#incoming.delete(key);
        failWithStorage(incoming.group);
        this.#host.acknowledge(incoming.group, peer, incoming.begin.request, 0, false);
      }
      return true;
    });
    return incoming.work;
  }

  #finish(peer: NodeId, incoming: Incoming, sent: boolean): Promise<boolean> {
    const { group, begin } = incoming;
    incoming.work = incoming.work.then(async () => {
      if (incoming.abandoned) return true;
      const whole = sent && incoming.written === begin.size;
      let ok: boolean;
      try {
        if (!whole || group.over || group.core.status.commitIndex >= begin.meta.index) {
          await incoming.writer?.abort();
          ok = whole && !group.over;
        } else {
          await incoming.writer?.commit(begin.meta);
          group.core.install(this.#host.now(), peer, begin.meta);
          ok = true;
        }
      } catch {
        ok = false;
        failWithStorage(group);
      }
      this.#host.acknowledge(group, peer, begin.request, begin.meta.index, ok);
      this.#host.schedule(group);
      return true;
    });
    return incoming.work;
  }
}

function failWithStorage(group: Group): void {
  const { failed } = group.store;
  if (failed) group.fail(failed);
}
