/**
 * The contract that every consensus core implements, and the words it is written in.
 *
 * A core is pure: no clock, no I/O, no randomness but what it is handed. Whoever drives it feeds it
 * messages, ticks, proposals and I/O completions, each with the monotonic time `now`, and takes its
 * effects with {@link Consensus.drain}, once a turn of the event loop.
 */
import type { Membership } from './membership.js';

/** The name of a node, unique in its cluster. */
export type NodeId = string;

/** A position in the replicated log; the first is 1. */
export type Index = number;

/** Numbers the I/O that a core asks for; strictly increasing. */
export type IoToken = number;

/**
 * A reign: who leads, in which configuration. Totally ordered by (config, n, priority, node).
 * For Raft `n` is the term, `priority` is 0 and `node` the leader; for Paxos it is the ballot.
 */
export interface Epoch {
  readonly config: number;
  readonly n: number;
  readonly priority: number;
  readonly node: NodeId;
}

/** Before anything. */
export const NO_EPOCH: Epoch = { config: 0, n: 0, priority: 0, node: '' };

/** Negative when `a` is the older epoch, 0 when they are the same, positive otherwise. */
export function compareEpochs(a: Epoch, b: Epoch): number {
  if (a === b) return 0;
  if (a.config !== b.config) return a.config - b.config;
  if (a.n !== b.n) return a.n - b.n;
  if (a.priority !== b.priority) return a.priority - b.priority;
  return a.node < b.node ? -1 : a.node > b.node ? 1 : 0;
}

/**
 * What an entry is for. `user`: data for the state machine. `noop`: a new leader's first entry.
 * `config`: an encoded membership, in effect from when it is appended. `stop`: ends a configuration.
 */
export type EntryKind = 'user' | 'noop' | 'config' | 'stop';

/**
 * One record of the log. It may carry many commands: an entry whose `count` is c takes the c indexes
 * from `index` to `index + count - 1`, all of one epoch. Entries are never split or joined, so that
 * logs can be compared, truncated and compacted at their bounds.
 */
export interface Entry {
  readonly index: Index;
  /** How many indexes it takes; 1 for all kinds but `user`. */
  readonly count: number;
  /** Of the leader that made it. Entries of one reign share the object. */
  readonly epoch: Epoch;
  /** Milliseconds since 1970 by the leader's clock, never less than that of the entry before. */
  readonly time: number;
  readonly kind: EntryKind;
  readonly data: Uint8Array;
}

/** The last index an entry takes. */
export function lastOf(entry: Entry): Index {
  return entry.index + entry.count - 1;
}

/** What a hard state says that wrote the log: what a witness wrote holds no data, so nothing else can go on from it. */
export function diskProtocol(protocol: string, witness: boolean): string {
  return witness ? `${protocol}/witness` : protocol;
}

/** Whether a witness wrote it. */
export function isWitness(written: string | undefined): boolean {
  return written?.endsWith('/witness') ?? false;
}

/** What must survive a crash besides the log. Written together with the entries of the same token. */
export interface HardState {
  /** The protocol that wrote the log, with `/witness` behind it where that holds no data. */
  readonly protocol: string;
  /** The configuration this state belongs to; 0 until protocols are switched. */
  readonly config: number;
  /** Raft's current term, Paxos's highest promise. */
  readonly epoch: Epoch;
  /** Raft's vote in that term, or empty. */
  readonly vote: NodeId;
  /** Paxos's last accepted round. */
  readonly accepted?: Epoch;
  /** A commit index that was reached; may lag. */
  readonly commit: Index;
  /** The group's genesis id, once one was heard of, or empty. */
  readonly genesis: string;
  /** No promise not to vote that was given before ran longer, in milliseconds; left out: none was given. */
  readonly promiseMs?: number;
}

/** What a snapshot says of itself. It stands for the log up to and including `index`. */
export interface SnapshotMeta {
  /** The last index of the last entry it covers. */
  readonly index: Index;
  /** The epoch of that entry. */
  readonly epoch: Epoch;
  /** The time of that entry. */
  readonly time: number;
  readonly membership: Membership;
  readonly protocol: string;
}

/** What is known of a peer when contact is made with it. */
export interface PeerHello {
  /** The incarnation of the peer's storage; a member with another one than recorded does not count. */
  readonly incarnation: string;
  /** The group's genesis as the peer knows it, or empty. */
  readonly genesis: string;
  /** How much the peer would like to lead; 0 when it does not say. */
  readonly priority?: number;
  /** It keeps the log without what the entries carry, and can take part as a witness only. */
  readonly witness?: boolean;
}

/** Why a core did not take a proposal, a read or a request. */
export type Refusal =
  | 'notLeader'
  | 'preparing'
  | 'quota'
  | 'transferring'
  | 'configPending'
  | 'stopped'
  | 'tooLarge'
  | 'invalid'
  | 'noQuorum';

/**
 * Why a leader does not hand over the leadership. `notVoter`: the target is no voter, or its storage is not the one on record.
 * `notLinked`: there is no link to it. `lagging`: it is far behind, or does not answer. `transferring`: another transfer is
 * under way, or too many to this target were a short while ago. `preparing`, `configPending`: the reign, or a change of the membership, is not settled yet.
 */
export type TransferRefusal =
  | 'notLeader'
  | 'notVoter'
  | 'notLinked'
  | 'lagging'
  | 'transferring'
  | 'preparing'
  | 'configPending'
  | 'stopped';

/** The answer to a proposal: where it went, or why not. It may still be superseded. */
export type Accepted =
  | { readonly ok: true; readonly index: Index; readonly epoch: Epoch }
  | { readonly ok: false; readonly why: Refusal };

/** A node's part in a group. */
export type Role = 'leader' | 'candidate' | 'follower' | 'learner' | 'witness';

/** Where a core stands. A fresh object whenever something but an index changed. */
export interface CoreStatus {
  readonly role: Role;
  /** The leader as far as known, or empty. */
  readonly leader: NodeId;
  readonly epoch: Epoch;
  /**
   * Leader: a quorum answered within the last election time-out. Others: a leader is heard, or one that the last leader chose
   * is being elected.
   */
  readonly quorum: boolean;
  /** Leader: whom it is handing the leadership to. Otherwise empty. */
  readonly transferring: NodeId;
  readonly membership: Membership;
  /** The entry that holds it, or the snapshot; 0 before there is any. */
  readonly membershipIndex: Index;
  /** The newest membership that is known to be committed: the same object as `membership` when none is newer. */
  readonly stable: Membership;
  readonly stableIndex: Index;
  /** The group's genesis once it is known to be committed, or empty: what a hello tells. */
  readonly genesis: string;
  readonly commitIndex: Index;
  readonly lastIndex: Index;
  /** Nothing happens in the group, and this node lets time pass: see {@link Consensus.wake}. */
  readonly quiet: boolean;
  /** Set when the core has stopped for good: an I/O error, or a broken invariant. */
  readonly stopped: Error | undefined;
}

/** The bytes of the hot messages are made and checked outside the core; each protocol has its own set. */
export interface MessageBase {
  readonly type: string;
}

/** A message and where it goes. */
export interface Outgoing<M extends MessageBase = MessageBase> {
  readonly to: NodeId;
  readonly message: M;
}

/**
 * Entries that are no longer in a core's memory, wanted from storage for a follower that lags: whole ones, beginning with the
 * one that holds `from`, none beyond `to`.
 */
export interface FetchRequest {
  readonly request: number;
  readonly from: Index;
  readonly to: Index;
  readonly maxBytes: number;
}

/** A snapshot that should be streamed to a peer; `request` comes back in {@link Consensus.snapshotDone}. */
export interface SnapshotRequest {
  readonly request: number;
  readonly to: NodeId;
  /** The stream must cover at least this index. */
  readonly atLeast: Index;
  /** Other members that hold the log up to `atLeast`, and so may have such a snapshot: any of them can stream it instead. */
  readonly sources: readonly NodeId[];
  /** For a witness: only what the snapshot says of itself, without the state. */
  readonly bare: boolean;
}

/**
 * What a core wants done. The driver owns one object for each core; `drain` swaps and fills its arrays, so its
 * content is valid until the next drain.
 */
export interface Effects<M extends MessageBase = MessageBase> {
  /** 0: no I/O this time. Otherwise hard state, truncation, entries and install of this token are durable together. */
  io: IoToken;
  hard: HardState | undefined;
  /** Remove entries from this index on before appending; 0: no truncation. */
  truncateFrom: Index;
  append: Entry[];
  /**
   * A snapshot that was received whole: the log begins anew after it. Comes without truncation and entries; those wait for the
   * next drain.
   */
  install: SnapshotMeta | undefined;
  /** To be sent now. What has to wait for the disk is held back by the core until `persisted`. */
  send: Outgoing<M>[];
  /** Entries up to here are committed; the driver hands on those it has not yet handed on. */
  commit: Index;
  /** Reads that may be answered once `index` is applied. */
  reads: { context: number; index: Index }[];
  /** Reads that have to be asked again, or given up. */
  readsFailed: { context: number; why: Refusal }[];
  fetch: FetchRequest[];
  snapshotTo: SnapshotRequest[];
  /** Something in {@link CoreStatus} besides an index changed. */
  changed: boolean;
}

/** An empty {@link Effects}. */
export function createEffects<M extends MessageBase>(): Effects<M> {
  return {
    io: 0,
    hard: undefined,
    truncateFrom: 0,
    append: [],
    install: undefined,
    send: [],
    commit: 0,
    reads: [],
    readsFailed: [],
    fetch: [],
    snapshotTo: [],
    changed: false,
  };
}

/**
 * A change of the voters and learners; all of it takes effect at once, through joint consensus or a stop-sign. Who is to vote and
 * is no member yet learns until it has caught up; the change waits for that.
 */
export interface MembershipChange {
  /** New members, or learners that are to vote. */
  readonly addVoters?: readonly NodeId[];
  /** New members, or voters that are to learn only. */
  readonly addLearners?: readonly NodeId[];
  /** New members that vote and hold no data. A member that holds some cannot become one, nor the other way round. */
  readonly addWitnesses?: readonly NodeId[];
  readonly remove?: readonly NodeId[];
}

/** What a core holds in memory, in bytes of entries. */
export interface CoreLoad {
  /** The newest entries, of which the older go when they are committed and more than the cap. */
  readonly cachedBytes: number;
  /** Taken in and not committed; 0 unless it leads. */
  readonly uncommittedBytes: number;
  /** Under way to the one follower to which most is; in how many messages to the one to which most are. */
  readonly inflightBytes: number;
  readonly inflightMessages: number;
}

/** What a leader knows of another member. */
export interface MemberProgress {
  readonly id: NodeId;
  /** Up to here it has the log durably, the same as the leader's; 0 when that is not known. */
  readonly matched: Index;
  /**
   * `absent`: there is no link to it. `probe`: the leader feels for the place where the logs agree. `replicate`: it is fed.
   * `snapshot`: it needs one, or is getting it.
   */
  readonly state: 'absent' | 'probe' | 'replicate' | 'snapshot';
  /** The monotonic time at which it last answered in this reign; -Infinity when it has not. In a quiet group, now if it is linked. */
  readonly heardAt: number;
  /** Its storage is the one on record. */
  readonly counts: boolean;
}

/** A consensus core of one group on one node. */
export interface Consensus<M extends MessageBase = MessageBase> {
  readonly status: CoreStatus;
  /** There are effects to drain. Still set after a drain that handed out a snapshot alone: drain again. */
  readonly dirty: boolean;
  /** The monotonic time at which the next `tick` is needed; Infinity while quiet. */
  nextDeadline(): number;
  tick(now: number): void;
  /** Validates the message; never throws on a peer's data. `false`: it broke the protocol, and its sender should lose its link. */
  receive(now: number, from: NodeId, message: M): boolean;
  /** Appends one entry of kind `user` that carries `count` commands. `time` is the wall clock, in milliseconds since 1970. */
  propose(now: number, time: number, data: Uint8Array, count: number): Accepted;
  /**
   * Begins a change of the membership, at the leader. `ok` with the index of the entry that begins it, or of the membership in
   * force when that is as it should be. One at a time: `configPending` while the step before is under way. `invalid`: nobody would
   * vote, witnesses alone could be a quorum, or a member would have to hold data that it lacks. `noQuorum`: too few of those who
   * are to vote are there.
   */
  changeMembership(now: number, change: MembershipChange): Accepted;
  /** Asks for an index that makes a read linearizable; answered in `reads` or `readsFailed`, exactly once. */
  read(now: number, context: number): { ok: true } | { ok: false; why: Refusal };
  /**
   * Hands the leadership to a voter; when `to` is empty, to the one that has most of the log. Until that one leads, or the
   * transfer is given up after an election time-out (`status.transferring` is empty again), proposals are refused as
   * `transferring`. `ok` as well when the same transfer is under way already, or this node is `to` itself.
   */
  transfer(now: number, to: NodeId): { ok: true } | { ok: false; why: TransferRefusal };
  /** Something is about to be asked of the group, maybe elsewhere: a quiet core stops being quiet, and wakes the leader. */
  wake(now: number): void;
  /** All I/O up to this token is durable. */
  persisted(now: number, upTo: IoToken): void;
  /** Fail-stop: after this the core sends nothing, grants nothing and takes nothing. */
  ioFailed(error: Error): void;
  /**
   * The log up to `meta.index` is covered by a durable snapshot; entries up to `keepFrom - 1` may be forgotten. `bytes` is the
   * size of that snapshot, for who has to choose between it and the log; left out, the log is chosen as long as it reaches back.
   */
  compacted(meta: SnapshotMeta, keepFrom: Index, bytes?: number): void;
  /** Answers a fetch. */
  fetched(now: number, request: number, entries: readonly Entry[] | 'compacted'): void;
  /** A snapshot stream ended; on success the peer has it durably up to `index`. */
  snapshotDone(now: number, request: number, index: Index, ok: boolean): void;
  /**
   * A snapshot sent by `from` was received and stored whole. `true`: it is taken, and `install` follows in the next drain;
   * `false`: it is of no use any more.
   */
  install(now: number, from: NodeId, meta: SnapshotMeta): boolean;
  /**
   * This process stood still, and its monotonic clock may have stood still with it: whatever counts on that clock not to run
   * slow, as leases do, is void. A core that has no such thing leaves it out.
   */
  suspended?(now: number): void;
  /** Contact with a peer began or ended. A new session number means that what was in flight may be gone. */
  link(now: number, peer: NodeId, session: number, up: boolean, hello?: PeerHello): void;
  /** Entries from `from` up to `to`, as many as memory holds without a gap and `maxBytes` allows (at least one); empty when they are only on disk. */
  entries(from: Index, to: Index, maxBytes: number): readonly Entry[];
  /** Leader: how far each other member is, computed for each call. Otherwise empty. */
  progress(now: number): readonly MemberProgress[];
  /** What it holds now; computed for each call. */
  load(): CoreLoad;
  /** Fills `out`. */
  drain(now: number, out: Effects<M>): void;
}

/** What was measured of the way to a peer. A hint: time-outs follow it within bounds, and nothing is believed because of it. */
export interface Vitals {
  /** The round trip in milliseconds, smoothed; undefined until measured. */
  readonly rttMs: number | undefined;
  /** The worst stall of late that the peer tells of, in milliseconds, fading with age; 0 for none. */
  readonly stalledMs: number;
}

/** What a core starts from. */
export interface CoreSetup {
  readonly self: NodeId;
  /** The incarnation of this node's storage. */
  readonly incarnation: string;
  /** Take part as a witness: the entries come without what they carry. @defaultValue false */
  readonly witness?: boolean;
  /** Who founds the group; only used when nothing is recovered. */
  readonly founders: readonly NodeId[];
  /** A random id, used as genesis if this node turns out to be the founding leader. */
  readonly genesisCandidate: string;
  readonly now: number;
  /** A random number in [0, 1); the only source of randomness. */
  readonly random: () => number;
  /** What is known of the way to a peer now; undefined without a link. Left out: nothing is ever known. */
  readonly vitals?: (peer: NodeId) => Vitals | undefined;
  readonly recovered?: Recovered | undefined;
}

/** What a storage brought back. */
export interface Recovered {
  readonly hard: HardState | undefined;
  readonly snapshot: SnapshotMeta | undefined;
  /** The epochs of the entries in the log, as runs: each holds from `from` until the next run. Empty without entries. */
  readonly runs: readonly { readonly from: Index; readonly epoch: Epoch }[];
  /** First index in the log; equals `lastIndex + 1` when it is empty. */
  readonly firstIndex: Index;
  readonly lastIndex: Index;
  /** The time of the last entry, or 0. */
  readonly lastTime: number;
  /** The `config` entries of the log, in order: what the membership is made from. */
  readonly configs: readonly Entry[];
  /** The newest entries, without a gap up to `lastIndex`, as many as the storage read without effort. */
  readonly tail: readonly Entry[];
}

/** A consensus protocol, ready to make cores. What `raft()` and `paxos()` return. */
export interface ConsensusProtocol<M extends MessageBase = MessageBase> {
  readonly name: string;
  /** How much this node would like to lead, told to peers in the hello. @defaultValue 0 */
  readonly priority?: number;
  /** After how many milliseconds its cores give a transfer of the leadership up. @defaultValue 1000 */
  readonly transferMs?: number;
  create(setup: CoreSetup): Consensus<M>;
}
