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
import { Exchange, FAILED, type Ending } from './exchange.js';
import type { Group } from './group.js';
import { Holds } from './holds.js';
import { IncomingTransfers, type IncomingHost } from './incomingTransfers.js';
import { SnapshotStream, STALL_MS } from './snapshotStream.js';
import type { Delegation, Resumption } from './wire.js';

/** Transfers that leave this node at once; the others wait. */
const CONCURRENT = 2;
/** Members that are asked to send a snapshot before this node does. */
const MAX_ASKED = 2;
/** How often a member that sends a snapshot for another tells it how far it got, and how long silence of it is borne. */
const PROGRESS_MS = 1000;
const SILENCE_MS = STALL_MS + 5000;
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
  readonly #queue = new PQueue({ concurrency: CONCURRENT });
  /** Transfers that wait for the word of somebody else: of the receiver, or of the member that sends. */
  readonly #exchanges = new Map<string, Exchange>();
  /** Of those groups and peers alone between which transfers fail; one each, so that no group spends the trials of another. */
  readonly #circuits = new Map<Group, Map<NodeId, CircuitBreaker>>();
  #forOthers = FIRST_FOR_OTHERS;

  constructor(port: MeshPort, host: TransferHost) {
    this.#port = port;
    this.#host = host;
    this.#incoming = new IncomingTransfers(host);
    port.handle(FrameKind.snapshot, (peer, session, frame) => this.#incoming.receive(peer, session, frame));
  }

  /**
   * Brings a snapshot of a group that covers `atLeast` to a peer, from one of `sources` if one of them has it, and tells the core
   * how that ended.
   */
  send(group: Group, to: NodeId, request: number, atLeast: Index, sources: readonly NodeId[] = []): void {
    const transfer = async (): Promise<void> => {
      const asked = { request, to, atLeast };
      const { index, ok } = await this.#try(group, asked, sources).catch(() => FAILED);
      if (group.over) return;
      group.core.snapshotDone(this.#host.now(), request, index, ok);
      this.#host.schedule(group);
    };
    transfer().catch((error: unknown) =>
      group.fail(error instanceof Error ? error : new Error(String(error))),
    );
  }

  async #try(group: Group, asked: Delegation, sources: readonly NodeId[]): Promise<Ending> {
    const { to } = asked;
    const circuit = this.#circuits.get(group)?.get(to);
    const permit = circuit?.tryAcquire();
    if (circuit !== undefined && permit === undefined) return FAILED;
    try {
      let ending = await this.#askOthers(group, asked, sources);
      if (!ending.ok) ending = await this.#queue.add(() => this.#sendOwn(group, asked));
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
        ending = await this.#ask(group, source, asked);
        if (ending.ok || group.over || !group.contacts.get(asked.to)) break;
      }
      return ending;
    } finally {
      release(this.#host.now(), ending.ok);
    }
  }

  async #ask(group: Group, source: NodeId, asked: Delegation): Promise<Ending> {
    if (group.over || !group.contacts.get(source) || !group.contacts.get(asked.to)) return FAILED;
    const exchange = new Exchange(group, source, asked.to);
    return this.#during(exchange, asked.request, async () => {
      this.#host.delegate(group, source, asked);
      while (!exchange.ending) {
        exchange.from = undefined;
        await exchange.wait((wake) => {
          const timer = this.#host.setTimer(SILENCE_MS, wake);
          return () => timer.cancel();
        });
        if (!exchange.ending && !exchange.from) return FAILED; // not a word
      }
      const { ok, index } = exchange.ending;
      return ok && index >= asked.atLeast ? exchange.ending : FAILED;
    });
  }

  /** A peer asks to have this node's snapshot sent to another: its leader may, when there is one that will do, and time for it. */
  delegated(group: Group, leader: NodeId, asked: Delegation): void {
    const { request, to, atLeast } = asked;
    const answer = ({ index, ok }: Ending): void => {
      if (!group.over) this.#host.acknowledge(group, leader, request, index, ok);
    };
    const { status } = group.core;
    const busy = this.#queue.size + this.#queue.pending >= CONCURRENT;
    if (busy || status.leader !== leader || !findMember(status.membership, to) || !group.contacts.get(to)) {
      answer(FAILED);
      return;
    }
    let told = -Infinity;
    const progress = (offset: number): void => {
      const now = this.#host.now();
      if (now - told < PROGRESS_MS || group.over) return;
      told = now;
      this.#host.resume(group, leader, request, offset, new Uint8Array(0));
    };
    const send = async (): Promise<Ending> => {
      const reader = await group.store.openSnapshot(group.name);
      if (!reader) return FAILED;
      if (reader.meta.index >= atLeast) return this.#stream(group, to, ++this.#forOthers, reader, progress);
      await reader.close();
      return FAILED;
    };
    void this.#queue.add(() => send().catch(() => FAILED)).then(answer);
  }

  /** Sends this node's own snapshot; has one made if need be. */
  async #sendOwn(group: Group, { to, request, atLeast }: Delegation): Promise<Ending> {
    const contact = group.contacts.get(to);
    if (!contact || group.over || !(await group.contacts.confirmed(contact))) return FAILED;
    let reader = await group.store.openSnapshot(group.name);
    if (!reader || reader.meta.index < atLeast) {
      await reader?.close();
      if (!(await group.snapshots.request())) return FAILED;
      reader = await group.store.openSnapshot(group.name);
    }
    if (!reader) return FAILED;
    if (reader.meta.index < atLeast) {
      await reader.close();
      return FAILED; // one that was under way already
    }
    const release = this.holds.hold(group, reader.meta.index);
    let ending = FAILED;
    try {
      ending = await this.#stream(group, to, request, reader, () => undefined);
      return ending;
    } finally {
      release(this.#host.now(), ending.ok);
    }
  }

  /** Sends a snapshot, and closes it. */
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
        progress,
      });
      return await this.#during(exchange, request, () => stream.run());
    } finally {
      await reader.close();
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

  /** Contact of a group with a peer ended: what was under way between them, or for it, is void. */
  lost(group: Group, peer: NodeId): void {
    for (const exchange of this.#exchanges.values()) {
      if (exchange.group === group && (exchange.peer === peer || exchange.to === peer))
        exchange.end({ ...FAILED, blamed: true });
    }
    this.#incoming.lost(group, peer);
  }

  /** A group is over on this node: what was under way for it is void. */
  ended(group: Group): void {
    this.holds.drop(group);
    this.#circuits.delete(group);
    for (const exchange of this.#exchanges.values()) if (exchange.group === group) exchange.end(FAILED);
    this.#incoming.ended(group);
  }
}

function keyOf(group: Group, peer: NodeId, request: number): string {
  return `${peer} ${request} ${group.number}`;
}
