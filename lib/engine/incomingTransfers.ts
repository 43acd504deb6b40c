/**
 * The receiving end of snapshot transfers: what comes is written beside the group's current snapshot, hashed on the way, and taken
 * when it is whole. When a transfer ends half-way, what has come is kept for a while: the same snapshot, from whichever member,
 * goes on from there. The receiver's credit is granted when a chunk is on its way to the disk.
 */
import { createHash } from 'node:crypto';
import type { Index, NodeId } from '../consensus/consensus.js';
import type { Timer } from '../environment.js';
import type { SnapshotWriter } from '../storage/storage.js';
import type { Group } from './group.js';
import { judgeOffer } from './snapshotOffer.js';
import { decodeTransfer, type TransferFrame } from './transferWire.js';

/** How long a snapshot that has come in part is kept, and of how many groups. */
const KEEP_MS = 10 * 60_000;
const MAX_KEPT = 8;

type Begin = Extract<TransferFrame, { type: 'begin' }>;

/** A snapshot of which a part has come. */
interface Partial {
  readonly group: Group;
  readonly meta: Begin['meta'];
  readonly size: number;
  /** What tells it from others, as text. */
  readonly identity: string;
  writer: SnapshotWriter | undefined;
  /** Bytes that have come, and that are written. */
  offset: number;
  written: number;
  /** Of all that has come. */
  readonly hash: ReturnType<typeof createHash>;
  /** The transfer that brings it, if one does. */
  transfer: Incoming | undefined;
  /** Given up: what is still queued for it is void. */
  dead: boolean;
  expiry: Timer | undefined;
  work: Promise<boolean>;
}

/** A transfer under way. */
interface Incoming {
  readonly peer: NodeId;
  readonly session: number;
  readonly request: number;
  readonly partial: Partial;
}

/** What receiving needs from the engine. */
export interface IncomingHost {
  now(): number;
  setTimer(delayMs: number, callback: () => void): Timer;
  /** The group that a peer means by its number. */
  groupOf(peer: NodeId, number: number): Group | undefined;
  /** Tells the sender to go on from `offset`; `digest` is that of what is before it. */
  resume(group: Group, peer: NodeId, request: number, offset: number, digest: Uint8Array): void;
  acknowledge(group: Group, peer: NodeId, request: number, index: Index, ok: boolean): void;
  schedule(group: Group): void;
}

export class IncomingTransfers {
  readonly #host: IncomingHost;
  /** One a group: a storage writes one snapshot of a group at a time. */
  readonly #incoming = new Map<Group, Incoming>();
  /** What transfers that ended half-way have left; the oldest first. */
  readonly #kept = new Map<Group, Partial>();

  constructor(host: IncomingHost) {
    this.#host = host;
  }

  receive(peer: NodeId, session: number, bytes: Uint8Array): boolean | Promise<boolean> {
    let frame: TransferFrame;
    try {
      frame = decodeTransfer(bytes);
    } catch {
      return false;
    }
    const group = this.#host.groupOf(peer, frame.group);
    if (!group || group.over) return true;
    if (frame.type === 'begin') return this.#begin(group, peer, session, frame);
    const incoming = this.#incoming.get(group);
    const current =
      incoming?.peer === peer && incoming.request === frame.request && incoming.session === session;
    if (!current) return true; // a late frame of a transfer that was given up here
    const { partial } = incoming;
    if (frame.type === 'chunk') {
      const { offset, bytes: chunk } = frame;
      if (offset !== partial.offset || offset + chunk.length > partial.size) return false;
      partial.offset += chunk.length;
      partial.hash.update(chunk);
      return this.#step(partial, async () => {
        await partial.writer?.write(chunk);
        partial.written += chunk.length;
      });
    }
    this.#incoming.delete(group);
    if (frame.ok) return this.#finish(incoming, frame.digest);
    this.#keep(partial);
    this.#host.acknowledge(group, peer, frame.request, 0, false);
    return true;
  }

  /** Whether a snapshot is on its way to a group. */
  receives(group: Group): boolean {
    return this.#incoming.has(group);
  }

  /** Contact of a group with a peer ended: what it was sending may go on later. */
  lost(group: Group, peer: NodeId): void {
    const incoming = this.#incoming.get(group);
    if (incoming?.peer !== peer) return;
    this.#incoming.delete(group);
    this.#keep(incoming.partial);
  }

  /** A group is over on this node. */
  ended(group: Group): void {
    const partial = this.#incoming.get(group)?.partial ?? this.#kept.get(group);
    this.#incoming.delete(group);
    if (partial) this.#discard(partial);
  }

  #begin(group: Group, peer: NodeId, session: number, begin: Begin): boolean | Promise<boolean> {
    const { request, meta, size } = begin;
    const identity = JSON.stringify([size, meta]);
    const known = this.#incoming.get(group)?.partial ?? this.#kept.get(group);
    const same = known?.identity === identity && begin.resume;
    const verdict = judgeOffer(group, meta, size - (same ? known.offset : 0));
    if (verdict === 'breach') return false;
    if (verdict === 'useless') {
      this.#host.acknowledge(group, peer, request, 0, false);
      return true;
    }
    if (group.core.status.commitIndex >= meta.index) {
      this.#host.acknowledge(group, peer, request, meta.index, true);
      return true;
    }
    if (known) this.#takeFrom(known, peer, request);
    if (known && !same) this.#discard(known);
    const partial = same ? known : this.#create(group, begin, identity);
    const incoming: Incoming = { peer, session, request, partial };
    partial.transfer = incoming;
    this.#incoming.set(group, incoming);
    const digest = partial.offset > 0 ? partial.hash.copy().digest() : new Uint8Array(0);
    this.#host.resume(group, peer, request, partial.offset, digest);
    if (same) return true;
    return this.#step(partial, async () => {
      partial.writer = await group.store.createSnapshot(group.name);
    });
  }

  #create(group: Group, { meta, size }: Begin, identity: string): Partial {
    return {
      group,
      meta,
      size,
      identity,
      writer: undefined,
      offset: 0,
      written: 0,
      hash: createHash('sha256'),
      transfer: undefined,
      dead: false,
      expiry: undefined,
      work: Promise.resolve(true),
    };
  }

  /** Ends what brings a partial snapshot, for a transfer that begins: the newest sender knows best. */
  #takeFrom(partial: Partial, peer: NodeId, request: number): void {
    const { group, transfer } = partial;
    this.#kept.delete(group);
    partial.expiry?.cancel();
    partial.expiry = partial.transfer = undefined;
    // The same sender begins anew when what is kept here is not the beginning of what it has.
    if (!transfer || (transfer.peer === peer && transfer.request === request)) return;
    this.#host.acknowledge(group, transfer.peer, transfer.request, 0, false);
  }

  #keep(partial: Partial): void {
    const { group } = partial;
    partial.transfer = undefined;
    if (partial.dead) return;
    if (partial.offset === 0) {
      this.#discard(partial);
      return;
    }
    this.#kept.set(group, partial);
    partial.expiry = this.#host.setTimer(KEEP_MS, () => this.#discard(partial));
    if (this.#kept.size > MAX_KEPT) this.#discard(this.#kept.values().next().value!);
  }

  #discard(partial: Partial): void {
    const { group } = partial;
    if (this.#kept.get(group) === partial) this.#kept.delete(group);
    partial.expiry?.cancel();
    partial.transfer = undefined;
    partial.dead = true;
    partial.work = partial.work.then(async () => {
      await partial.writer?.abort();
      return true;
    });
    partial.work.catch(() => undefined); // the storage has failed, and says so itself
  }

  #step(partial: Partial, work: () => Promise<void>): Promise<boolean> {
    const isDead = (): boolean => partial.dead;
    partial.work = partial.work.then(async () => {
      if (isDead()) return true;
      try {
        await work();
      } catch {
        // Another snapshot took the place of this one: the sender may try again. Or the storage has failed: a member that waits
        // for a snapshot writes nothing else, so nobody else would say so.
        const { group, transfer } = partial;
        failWithStorage(group);
        if (isDead()) return true;
        if (transfer !== undefined && this.#incoming.get(group) === transfer) this.#incoming.delete(group);
        this.#discard(partial);
        if (transfer) this.#host.acknowledge(group, transfer.peer, transfer.request, 0, false);
      }
      return true;
    });
    return partial.work;
  }

  #finish({ peer, request, partial }: Incoming, digest: Uint8Array): Promise<boolean> {
    const { group, meta, size } = partial;
    return this.#step(partial, async () => {
      const whole = partial.written === size && partial.hash.digest().equals(digest);
      const known = group.core.status.commitIndex >= meta.index;
      if (!whole || group.over || known) {
        this.#discard(partial);
        this.#host.acknowledge(group, peer, request, meta.index, whole && !group.over);
        return;
      }
      await partial.writer?.commit(meta);
      group.core.install(this.#host.now(), peer, meta);
      partial.dead = true;
      this.#host.acknowledge(group, peer, request, meta.index, true);
      this.#host.schedule(group);
    });
  }
}

function failWithStorage(group: Group): void {
  const { failed } = group.store;
  if (failed) group.fail(failed);
}
