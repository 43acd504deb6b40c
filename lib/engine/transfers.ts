/**
 * Snapshot transfers between nodes. A leader has another member send the snapshot where one can, so that its own uplink is spared,
 * and sends it itself where none does. See docs/catching-up.md.
 */
import PQueue from 'p-queue';
import type { Index, NodeId } from '../consensus/consensus.js';
import { findMember } from '../consensus/membership.js';
import { circuitBreaker, type CircuitBreaker } from '../failure/circuitBreaker.js';
import { FrameKind, type MeshPort } from '../mesh/port.js';
import type { SnapshotReader } from '../storage/storage.js';
import { BROKEN, Exchange, FAILED, type Ending } from './exchange.js';
import type { Group } from './group.js';
import { Holds } from './holds.js';
import { IncomingTransfers, type IncomingHost } from './incomingTransfers.js';
import { bareSnapshot, SnapshotReaders } from './snapshotReaders.js';
import { SnapshotStream } from './snapshotStream.js';
import type { Delegation, Resumption } from './wire.js';

/** Transfers that leave this node at once; the others wait. */
const CONCURRENT = 2;
/** Members that are asked to send a snapshot before this node does. */
const MAX_ASKED = 2;
/** How often a member that sends a snapshot for another tells it how far it got, and how long silence of it is borne. */
const PROGRESS_MS = 1000;
const SILENCE_MS = 15_000;
/**
 * A member whose transfer broke off half-way is asked again, so often at such intervals, before anybody else is: what the receiver
 * has, only the same snapshot continues, and links come back. Counted anew each time it got further.
 */
const RETRIES = 5;
const RETRY_MS = 1000;
/** How long a member that should send one waits for contact with the receiver, looking so often, and for how many at once. */
const CONTACT_MS = 2000;
const CONTACT_STEP_MS = 100;
const MAX_WAITING = 16;
/** Requests that this node makes for others are numbered from here, so that they are not taken for those of its own core. */
const FIRST_FOR_OTHERS = 2 ** 40;
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

/** What a transfer needs from the engine. */
export interface TransferHost extends IncomingHost {
  /** Asks a member to send its snapshot to another. */
  delegate(group: Group, source: NodeId, asked: Delegation): void;
}

export class Transfers {
  /** What transfers need of the log. */
  readonly holds = new Holds();
  readonly #port: MeshPort;
  readonly #host: TransferHost;
  readonly #incoming: IncomingTransfers;
  readonly #readers: SnapshotReaders;
  readonly #queue = new PQueue({ concurrency: CONCURRENT });
  /** Transfers that wait for the word of somebody else: of the receiver, or of the member that sends. */
  readonly #exchanges = new Map<string, Exchange>();
  /** Of those groups and peers alone between which transfers fail; one each, so that no group spends the trials of another. */
  readonly #circuits = new Map<Group, Map<NodeId, CircuitBreaker>>();
  #forOthers = FIRST_FOR_OTHERS;
  #waiting = 0;

  constructor(port: MeshPort, host: TransferHost) {
    this.#port = port;
    this.#host = host;
    this.#incoming = new IncomingTransfers(host);
    this.#readers = new SnapshotReaders((delayMs, callback) => host.setTimer(delayMs, callback));
    port.handle(FrameKind.snapshot, (peer, session, frame) => this.#incoming.receive(peer, session, frame));
  }

  /**
   * Brings a snapshot of a group that covers `atLeast` to a peer, from one of `sources` if one of them has it, and tells the core
   * how that ended. `bare`: without the state.
   */
  send(
    group: Group,
    to: NodeId,
    request: number,
    atLeast: Index,
    sources: readonly NodeId[] = [],
    bare = false,
  ): void {
    const transfer = async (): Promise<void> => {
      const asked = { request, to, atLeast };
      const { index, ok } = await this.#try(group, asked, sources, bare).catch(() => FAILED);
      if (group.over) return;
      group.core.snapshotDone(this.#host.now(), request, index, ok);
      this.#host.schedule(group);
    };
    transfer().catch((error: unknown) =>
      group.fail(error instanceof Error ? error : new Error(String(error))),
    );
  }

  async #try(group: Group, asked: Delegation, sources: readonly NodeId[], bare: boolean): Promise<Ending> {
    const { to } = asked;
    const circuit = this.#circuits.get(group)?.get(to);
    const permit = circuit?.tryAcquire();
    if (circuit !== undefined && permit === undefined) return FAILED;
    try {
      let ending = await this.#askOthers(group, asked, sources);
      if (!ending.ok) ending = await this.#queue.add(() => this.#sendOwn(group, asked, bare));
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

  /** Has one of some members send its snapshot. */
  async #askOthers(group: Group, asked: Delegation, sources: readonly NodeId[]): Promise<Ending> {
    if (sources.length === 0) return FAILED;
    const release = this.holds.hold(group, asked.atLeast);
    let ending = FAILED;
    try {
      // Not always the same one first.
      const first = asked.request % sources.length;
      const inTurn = [...sources.slice(first), ...sources.slice(0, first)];
      for (const source of inTurn.slice(0, MAX_ASKED)) {
        ending = await this.#askPatiently(group, source, asked);
        if (ending.ok || group.over || !group.contacts.get(asked.to)) break;
      }
      return ending;
    } finally {
      release(this.#host.now(), ending.ok);
    }
  }

  async #askPatiently(group: Group, source: NodeId, asked: Delegation): Promise<Ending> {
    let furthest = 0;
    for (let left = 0; ; left--) {
      const { ending, offset } = await this.#ask(group, source, asked);
      if (offset > furthest) left = RETRIES;
      furthest = Math.max(furthest, offset);
      const inContact = group.contacts.get(source) && group.contacts.get(asked.to);
      if (ending.ok || left <= 0 || group.over || !inContact) return ending;
      await new Promise<void>((resolve) => void this.#host.setTimer(RETRY_MS, resolve));
    }
  }

  /** Asks once; `offset` is how far it got. */
  async #ask(
    group: Group,
    source: NodeId,
    asked: Delegation,
  ): Promise<{ readonly ending: Ending; readonly offset: number }> {
    let offset = 0;
    if (group.over || !group.contacts.get(source) || !group.contacts.get(asked.to))
      return { ending: FAILED, offset };
    const exchange = new Exchange(group, source, asked.to);
    const ending = await this.#during(exchange, asked.request, async () => {
      this.#host.delegate(group, source, asked);
      let ended: Ending | undefined;
      while (!ended) {
        ended = await exchange.wait((wake) => {
          const timer = this.#host.setTimer(SILENCE_MS, wake);
          return () => timer.cancel();
        });
        const from = exchange.take();
        if (from) exchange.sent = offset = Math.max(offset, from.offset);
        else if (!ended) return FAILED; // not a word
      }
      return ended.ok && ended.index >= asked.atLeast ? ended : FAILED;
    });
    return { ending, offset };
  }

  /** A peer asks to have this node's snapshot sent to another: its leader may, when there is one that will do, and time for it. */
  delegated(group: Group, leader: NodeId, { request, to, atLeast }: Delegation): void {
    let told = -Infinity;
    const progress = (offset: number): void => {
      const now = this.#host.now();
      if (now - told < PROGRESS_MS || group.over) return;
      told = now;
      this.#host.resume(group, leader, request, offset, new Uint8Array(0));
    };
    const send = async (): Promise<Ending> => {
      const reader = await this.#open(group, to, atLeast);
      return reader ? this.#stream(group, to, ++this.#forOthers, reader, progress) : FAILED;
    };
    const work = async (): Promise<Ending> => {
      const { membership, leader: known } = group.core.status;
      if (known !== leader || !findMember(membership, to) || !(await this.#inContact(group, to)))
        return FAILED;
      const busy = this.#queue.size + this.#queue.pending >= CONCURRENT;
      if (busy || group.over) return FAILED;
      return this.#queue.add(send);
    };
    void work()
      .catch(() => FAILED)
      .then(({ index, ok }) => {
        if (!group.over) this.#host.acknowledge(group, leader, request, index, ok);
      });
  }

  /**
   * Whether a peer is in confirmed contact, or soon is: one that comes back meets the leader and this node at about the same time.
   * What waited for it without end kept a leader waiting too (found by seed 7).
   */
  async #inContact(group: Group, to: NodeId): Promise<boolean> {
    const has = (): boolean => group.contacts.get(to)?.confirmed === true;
    if (has()) return true;
    if (this.#waiting >= MAX_WAITING) return false;
    this.#waiting++;
    for (let left = CONTACT_MS; left > 0 && !has() && !group.over; left -= CONTACT_STEP_MS) {
      await new Promise<void>((resolve) => void this.#host.setTimer(CONTACT_STEP_MS, resolve));
    }
    this.#waiting--;
    return has();
  }

  /** Sends this node's own snapshot. */
  async #sendOwn(group: Group, { to, request, atLeast }: Delegation, bare: boolean): Promise<Ending> {
    const contact = group.contacts.get(to);
    if (!contact || group.over || !(await group.contacts.confirmed(contact))) return FAILED;
    const whole = await this.#open(group, to, atLeast);
    if (!whole) return FAILED;
    const reader = bare ? bareSnapshot(whole) : whole;
    const release = this.holds.hold(group, reader.meta.index);
    let ending = FAILED;
    try {
      ending = await this.#stream(group, to, request, reader, () => undefined);
      return ending;
    } finally {
      release(this.#host.now(), ending.ok || ending.broken === true);
    }
  }

  /** A snapshot of this node that covers `atLeast`; has one made if need be. */
  async #open(group: Group, to: NodeId, atLeast: Index): Promise<SnapshotReader | undefined> {
    const reader = await this.#readers.open(group, to, atLeast);
    if (reader || group.core.status.commitIndex < atLeast || !(await group.snapshots.request()))
      return reader;
    return this.#readers.open(group, to, atLeast); // none if one was under way already
  }

  /** Sends a snapshot, and closes it unless it may go on. */
  async #stream(
    group: Group,
    to: NodeId,
    request: number,
    reader: SnapshotReader,
    progress: (offset: number) => void,
  ): Promise<Ending> {
    const contact = group.contacts.get(to);
    const exchange = new Exchange(group, to, to);
    const alive = (): boolean => !group.over && group.contacts.get(to)?.session === contact?.session;
    let again = false;
    exchange.total = reader.size;
    const sent = (offset: number): void => {
      again = true;
      exchange.sent = offset;
      progress(offset);
    };
    try {
      if (!contact || !(await group.contacts.confirmed(contact))) return FAILED;
      const stream = new SnapshotStream({
        port: this.#port,
        host: this.#host,
        exchange,
        request,
        reader,
        pace: group.pace,
        alive,
        progress: sent,
      });
      const ending = await this.#during(exchange, request, () => stream.run());
      again &&= ending.broken === true;
      return ending;
    } catch (error) {
      again = false;
      throw error;
    } finally {
      await this.#readers.close(group, to, reader, again);
    }
  }

  async #during(exchange: Exchange, request: number, work: () => Promise<Ending>): Promise<Ending> {
    const key = keyOf(exchange.group, exchange.peer, request);
    this.#exchanges.set(key, exchange);
    try {
      return await work();
    } finally {
      if (this.#exchanges.get(key) === exchange) this.#exchanges.delete(key);
    }
  }

  /** The receiver's word on a transfer, or that of the member that sends it. */
  acknowledged(group: Group, peer: NodeId, request: number, index: Index, ok: boolean): void {
    this.#exchanges.get(keyOf(group, peer, request))?.end({ index, ok, blamed: !ok });
  }

  /** Where a receiver wants a transfer to go on, or how far one for this node got. */
  resumed(group: Group, peer: NodeId, request: number, from: Resumption): void {
    this.#exchanges.get(keyOf(group, peer, request))?.resume(from);
  }

  /** How far the snapshot is that a peer is being sent, by this node or by another for it. */
  progressOf(group: Group, to: NodeId): { sent: number; total: number } | undefined {
    for (const exchange of this.#exchanges.values()) {
      const { sent, total } = exchange;
      if (exchange.group === group && exchange.to === to) return { sent, total };
    }
    return undefined;
  }

  /** Whether a peer sends a snapshot to a group. */
  receives(group: Group): boolean {
    return this.#incoming.receives(group);
  }

  /** Contact of a group with a peer ended: what was under way between them, or for it, is void. */
  lost(group: Group, peer: NodeId): void {
    for (const exchange of this.#exchanges.values()) {
      if (exchange.group === group && (exchange.peer === peer || exchange.to === peer)) exchange.end(BROKEN);
    }
    this.#incoming.lost(group, peer);
  }

  /** A group is over on this node: what was under way for it is void. */
  ended(group: Group): void {
    this.holds.drop(group);
    this.#circuits.delete(group);
    this.#readers.ended(group);
    for (const exchange of this.#exchanges.values()) if (exchange.group === group) exchange.end(FAILED);
    this.#incoming.ended(group);
  }
}

function keyOf(group: Group, peer: NodeId, request: number): string {
  return `${peer} ${request} ${group.number}`;
}
