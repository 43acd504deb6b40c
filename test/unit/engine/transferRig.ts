/** Snapshot transfers of one node, between a group, a storage and a mesh that do as the test says. */
import { createHash } from 'node:crypto';
import { expect } from 'chai';
import { NO_EPOCH, type SnapshotMeta } from '../../../lib/consensus/consensus.js';
import { foundingMembership } from '../../../lib/consensus/membership.js';
import type { Group } from '../../../lib/engine/group.js';
import { decodeTransfer, encodeTransfer, type TransferFrame } from '../../../lib/engine/transferWire.js';
import { TransferPace } from '../../../lib/engine/transferPace.js';
import { Transfers } from '../../../lib/engine/transfers.js';
import type { Delegation, Resumption } from '../../../lib/engine/wire.js';
import { FrameKind, type MeshPort, type SendOptions } from '../../../lib/mesh/port.js';
import type { SnapshotReader, SnapshotWriter } from '../../../lib/storage/storage.js';

export function metaAt(index: number): SnapshotMeta {
  const membership = { ...foundingMembership(['a', 'b']), genesis: 'g' };
  return { index, epoch: NO_EPOCH, time: 1, membership, protocol: 'raft' };
}

export const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
export const sha256 = (...parts: readonly Uint8Array[]): Uint8Array =>
  Uint8Array.from(createHash('sha256').update(Buffer.concat(parts)).digest());

/** A writer that does nothing until it is let; a second one of a group discards the first, as storages do. */
export class SlowWriter implements SnapshotWriter {
  readonly chunks: Uint8Array[] = [];
  readonly waiting: (() => void)[] = [];
  committed: { readonly meta: SnapshotMeta; readonly bytes: number } | undefined;
  aborted = 0;
  discarded = false;
  failing: Error | undefined;
  slow = true;

  async write(chunk: Uint8Array): Promise<void> {
    await this.#turn();
    this.chunks.push(chunk);
  }

  async commit(meta: SnapshotMeta): Promise<void> {
    await this.#turn();
    this.committed = { meta, bytes: this.bytes };
  }

  abort(): Promise<void> {
    this.aborted++;
    return Promise.resolve();
  }

  get bytes(): number {
    return this.chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  }

  /** Lets everything through, now and later. */
  async release(): Promise<void> {
    this.slow = false;
    for (const go of this.waiting.splice(0)) go();
    await settle();
  }

  async #turn(): Promise<void> {
    if (this.slow) await new Promise<void>((resolve) => this.waiting.push(resolve));
    if (this.failing) throw this.failing;
    if (this.discarded) throw new Error('discarded');
  }
}

export interface Ack {
  readonly peer: string;
  readonly request: number;
  readonly index: number;
  readonly ok: boolean;
}

/** A group, a storage and a mesh that do as the test says. */
export class Rig {
  readonly sent: { readonly peer: string; readonly frame: TransferFrame; readonly options: SendOptions }[] =
    [];
  readonly acks: Ack[] = [];
  /** Where senders were told to go on. */
  readonly resumptions: { peer: string; request: number; offset: number; digest: Uint8Array }[] = [];
  readonly asked: (Delegation & { readonly source: string })[] = [];
  /** What the receiver of a snapshot says of a begin; undefined: nothing. */
  resumes: (resume: boolean) => Resumption | undefined = () => ({ offset: 0, digest: new Uint8Array(0) });
  pace = new TransferPace(Infinity, 0);
  leader = '';
  /** The SHA-256 of the chunks of each transfer that came. */
  readonly #chunks = new Map<number, Uint8Array[]>();
  readonly writers: SlowWriter[] = [];
  readonly installed: SnapshotMeta[] = [];
  readonly done: [request: number, index: number, ok: boolean][] = [];
  /** Contact sessions of the group, by peer. */
  readonly sessions = new Map<string, number>([['b', 1]]);
  /** Whether the peer has taken our hello. */
  confirmed: Promise<boolean> = Promise.resolve(true);
  contactConfirmed = true;
  storageFailed: Error | undefined;
  sendable = (): boolean => true;
  backlog = 0;
  drained: (() => void)[] = [];
  commitIndex = 0;
  over = false;
  snapshot: { meta: SnapshotMeta; content: Uint8Array } | undefined;
  readersOpen = 0;
  readGate: (() => Promise<void>) | undefined;
  /** What the app does when a snapshot is asked of it. */
  request: () => Promise<boolean> = () => Promise.resolve(false);
  readonly failures: Error[] = [];
  readonly timers = new Map<() => void, number>();
  readonly groups = new Map<number, Group>();
  /** Groups besides the one that peers number 4, by the peers' numbers. */
  readonly others = new Map<number, Group>();
  headroom = 1e9;
  now = 0;
  readonly group: Group;
  readonly transfers: Transfers;
  #handler!: (peer: string, session: number, frame: Uint8Array) => boolean | Promise<boolean>;

  constructor() {
    const port: Partial<MeshPort> = {
      handle: (kind, handler) => {
        expect(kind).to.equal(FrameKind.snapshot);
        this.#handler = handler;
      },
      send: (peer, _kind, bytes, options) => {
        if (!this.sendable()) return false;
        const frame = decodeTransfer(bytes);
        this.sent.push({ peer, frame, options });
        const from = frame.type === 'begin' ? this.resumes(frame.resume) : undefined;
        if (from) this.transfers.resumed(this.groups.get(frame.group)!, peer, frame.request, from);
        return true;
      },
      backlog: () => this.backlog,
      whenDrained: (_peer, _lane, callback) => void this.drained.push(callback),
    };
    this.group = this.makeGroup(7);
    this.transfers = new Transfers(port as MeshPort, {
      now: () => this.now,
      setTimer: (delayMs, callback) => {
        this.timers.set(callback, delayMs);
        return { cancel: () => void this.timers.delete(callback) };
      },
      resume: (_group, peer, request, offset, digest) =>
        this.resumptions.push({ peer, request, offset, digest: Uint8Array.from(digest) }),
      delegate: (_group, source, asked) => this.asked.push({ source, ...asked }),
      groupOf: (_peer, number) => (number === 4 ? this.group : this.others.get(number)),
      acknowledge: (_group, peer, request, index, ok) => this.acks.push({ peer, request, index, ok }),
      schedule: () => undefined,
    });
  }

  makeGroup(number: number): Group {
    // eslint-disable-next-line @typescript-eslint/no-this-alias -- getters of the group look at the rig
    const rig = this;
    const group = {
      name: 'g',
      number,
      get over() {
        return rig.over;
      },
      get pace() {
        return rig.pace;
      },
      contacts: {
        get: (peer: string) =>
          this.sessions.has(peer)
            ? { session: this.sessions.get(peer), confirmed: this.contactConfirmed }
            : undefined,
        confirmed: () => this.confirmed,
      },
      snapshots: { request: () => this.request() },
      store: {
        get failed() {
          return rig.storageFailed;
        },
        headroom: () => this.headroom,
        createSnapshot: () => {
          for (const writer of this.writers) writer.discarded = true;
          const writer = new SlowWriter();
          this.writers.push(writer);
          return Promise.resolve(writer);
        },
        openSnapshot: () => Promise.resolve(this.#open()),
      },
      core: {
        get status() {
          return {
            commitIndex: rig.commitIndex,
            epoch: { n: 1 },
            genesis: '',
            role: 'follower',
            leader: rig.leader,
            membership: foundingMembership(['a', 'b', 'c', 'd']),
          };
        },
        install: (_now: number, _from: string, meta: SnapshotMeta) => this.installed.push(meta) > 0,
        snapshotDone: (_now: number, request: number, index: number, ok: boolean) =>
          this.done.push([request, index, ok]),
      },
      fail: (error: Error) => this.failures.push(error),
    };
    this.groups.set(number, group as unknown as Group);
    return group as unknown as Group;
  }

  #open(): SnapshotReader | undefined {
    if (!this.snapshot) return undefined;
    const { meta, content } = this.snapshot;
    this.readersOpen++;
    return {
      meta,
      size: content.length,
      read: async (offset, length) => {
        await this.readGate?.();
        return content.slice(offset, offset + length);
      },
      close: () => {
        this.readersOpen--;
        return Promise.resolve();
      },
    };
  }

  receive(frame: TransferFrame, session = 1, peer = 'b'): boolean | Promise<boolean> {
    return this.#handler(peer, session, encodeTransfer(frame));
  }

  /** Fires the timers of `delayMs`. */
  fire(delayMs: number): number {
    const due = [...this.timers].filter(([, delay]) => delay === delayMs);
    for (const [callback] of due) {
      this.timers.delete(callback);
      callback();
    }
    return due.length;
  }

  raw(bytes: Uint8Array): boolean | Promise<boolean> {
    return this.#handler('b', 1, bytes);
  }

  /** A transfer of `chunks` chunks of ten bytes, up to its end. */
  begin(
    request: number,
    size: number,
    { index = 50, peer = 'b', session = 1, resume = true } = {},
  ): boolean | Promise<boolean> {
    const meta = metaAt(index);
    return this.receive({ type: 'begin', group: 4, request, size, resume, meta }, session, peer);
  }

  chunk(
    request: number,
    offset: number,
    length = 10,
    { peer = 'b', session = 1 } = {},
  ): boolean | Promise<boolean> {
    const bytes = new Uint8Array(length).fill(offset + 1);
    const sent = this.#chunks.get(request) ?? [];
    this.#chunks.set(request, [...sent, bytes]);
    return this.receive({ type: 'chunk', group: 4, request, offset, bytes }, session, peer);
  }

  /** By default with the digest of what `chunk` sent for that request. */
  end(
    request: number,
    ok = true,
    {
      peer = 'b',
      session = 1,
      digest = sha256(...(this.#chunks.get(request) ?? [])),
    }: { peer?: string; session?: number; digest?: Uint8Array } = {},
  ): boolean | Promise<boolean> {
    const frame = { type: 'end', group: 4, request, ok, digest: ok ? digest : new Uint8Array(0) } as const;
    return this.receive(frame, session, peer);
  }

  types(): string[] {
    return this.sent.map(({ frame }) => frame.type);
  }
}
