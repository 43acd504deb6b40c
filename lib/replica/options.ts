/** What openReplica takes, and what holds where it is left out. */
import type { AutopilotSettings } from '../engine/autopilot.js';
import type { WiredProtocol } from '../engine/codec.js';
import type { JoinAs } from '../engine/joining.js';
import { checkName, checkNumber, configError, QuorateError } from '../errors.js';
import type { Mesh } from '../mesh/mesh.js';
import type { Storage } from '../storage/storage.js';
import { checkAutopilot, type AutopilotOptions } from './autopilotOptions.js';
import { raft, type ConsensusOption } from './consensus.js';
import { checkPart } from './changeCall.js';
import { cbor, type Codec } from './codec.js';
import type { OutboxOptions } from './outbox/outboxTypes.js';
import type { StateMachine } from './stateMachine.js';

/** When a replica takes snapshots, how much of the log it keeps behind them, and how fast it sends them. */
export interface SnapshotOptions {
  /**
   * Take a snapshot when the log has grown by this many bytes since the last one. From 4096 to 2^40.
   *
   * @defaultValue 67108864 (64 MiB); 1048576 (1 MiB) on a witness, whose log is small
   */
  readonly logBytes?: number;
  /**
   * How many indexes of log to keep behind a snapshot, so that a member that lags a little needs no snapshot. From 0 to 10^9.
   *
   * @defaultValue 10000
   */
  readonly keepEntries?: number;
  /**
   * How many bytes of snapshots this node sends a second, to all members of the group together: so that bringing a member up to
   * date never takes a thin uplink whole. Bytes of content; what carries them is not counted. From 1024 to 2^40.
   *
   * @defaultValue no limit
   */
  readonly maxBytesPerSecond?: number;
}

/** Options of {@link openReplica}. */
export interface ReplicaOptions<M extends StateMachine> {
  /** The mesh this replica lives on. Closing the mesh closes it. */
  readonly mesh: Mesh;
  /** The group's name: 1 to 128 characters out of `A-Z a-z 0-9 . _ : @ -`. */
  readonly group: string;
  /** This process's copy of the replicated state. One object serves one replica. */
  readonly stateMachine: M;
  /** Where the log and the snapshots live. One storage serves all groups of a node. */
  readonly storage: Storage;
  /**
   * The ids of all members, this node's among them: founds the group if the storage does not hold it yet. What the storage holds
   * wins over it later. Without it, the group is reopened from the storage.
   */
  readonly members?: readonly string[];
  /**
   * Enter a group that exists: this node asks every member it meets to be let in, and needs nothing but the mesh and the group's
   * name. Not with `members`. What the storage holds wins: who is a member already just goes on.
   *
   * @defaultValue false
   */
  readonly join?: boolean;
  /**
   * What to enter the group as. A voter learns first, and counts once it has caught up. A witness votes, and has no state: its
   * `stateMachine` is not used, and calls that need the state fail with `ERR_WITNESS` (docs/witnesses.md); it is opened with
   * `join: true` and `as: 'witness'` each time. Only with `join`.
   *
   * @defaultValue 'voter'
   */
  readonly as?: 'voter' | 'learner' | 'witness';
  /**
   * Has the leader keep a number of voters by itself. See docs/operations.md.
   *
   * @defaultValue off: only people change the members
   */
  readonly autopilot?: AutopilotOptions;
  /**
   * The protocol that orders the commands.
   *
   * @defaultValue raft()
   */
  readonly consensus?: ConsensusOption;
  /** When to take snapshots. */
  readonly snapshot?: SnapshotOptions;
  /**
   * What happens while no quorum answers, by what the consensus core says. `wait`: calls wait up to their time-out. `reject`:
   * `submit` and linearizable queries fail at once with `ERR_NOT_READY`; before the first election of this process was begun or
   * heard of, they wait. `queue`: commands go into a durable outbox and are replayed in order, each exactly once, when a quorum
   * answers again, by a later process if need be; queries wait. See docs/no-quorum.md.
   *
   * @defaultValue 'wait'
   */
  readonly onNoQuorum?: 'wait' | 'reject' | 'queue';
  /** How much the outbox may hold; only with `onNoQuorum: 'queue'`. */
  readonly outbox?: OutboxOptions;
  /**
   * How commands, results and sessions become bytes. The same on all members.
   *
   * @defaultValue cbor()
   */
  readonly codec?: Codec;
  /**
   * How long `submit` and `query` wait unless they are told otherwise, in milliseconds. From 1 to 2^31 - 1.
   *
   * @defaultValue 30000
   */
  readonly timeout?: number;
  /**
   * The most commands, and the most reads, that may be in flight from this replica; above it they are refused with
   * `ERR_OVERLOADED`. From 1 to 1000000.
   *
   * @defaultValue 65536
   */
  readonly maxPending?: number;
  /**
   * The most bytes of commands that may be in flight from this replica. From 1024 to 2^40.
   *
   * @defaultValue 67108864 (64 MiB)
   */
  readonly maxPendingBytes?: number;
  /**
   * The most bytes of one encoded command; above it `submit` fails with `ERR_TOO_LARGE`. From 1 to 32 MiB.
   *
   * @defaultValue 16777216 (16 MiB)
   */
  readonly maxCommandBytes?: number;
  /**
   * Whether this member serves clients: mesh nodes outside the group that opened one with {@link openClient}. `false` refuses them
   * with `ERR_NOT_SERVED`; they use other members.
   *
   * @defaultValue true
   */
  readonly clients?: boolean;
  /** Ends the opening, and closes the replica when it fires later. */
  readonly signal?: AbortSignal;
}

/** The options, checked and complete. @internal */
export interface CheckedOptions {
  readonly group: string;
  readonly members: readonly string[] | undefined;
  readonly join: JoinAs | undefined;
  readonly autopilot: AutopilotSettings | undefined;
  readonly wired: WiredProtocol;
  readonly snapshotLogBytes: number;
  readonly keepEntries: number;
  /** Infinity for no limit. */
  readonly snapshotBytesPerSecond: number;
  readonly onNoQuorum: 'wait' | 'reject' | 'queue';
  readonly outbox: Required<OutboxOptions>;
  readonly codec: Codec;
  readonly timeout: number;
  readonly maxPending: number;
  readonly maxPendingBytes: number;
  readonly maxCommandBytes: number;
  readonly clients: boolean;
}

const MAX_MEMBERS = 63;

/** Checks the options; throws ERR_CONFIG naming the one that is wrong. @internal */
export function checkOptions<M extends StateMachine>(
  options: ReplicaOptions<M>,
  self: string,
): CheckedOptions {
  const group = checkName('group', options.group);
  const { stateMachine, storage, members, onNoQuorum = 'wait', snapshot = {} } = options;
  checkMachine(stateMachine);
  if (typeof (storage as { open?: unknown } | undefined)?.open !== 'function') {
    throw configError('storage', storage, 'a storage, such as diskStorage(directory) or memoryStorage()');
  }
  if (!['wait', 'reject', 'queue'].includes(onNoQuorum))
    throw configError('onNoQuorum', onNoQuorum, "'wait', 'reject' or 'queue'");
  if (onNoQuorum === 'queue' && typeof storage.openRecords !== 'function')
    throw configError('storage', storage, "one that can keep an outbox, for onNoQuorum: 'queue'");
  if (onNoQuorum !== 'queue' && options.outbox !== undefined)
    throw configError('outbox', options.outbox, "left out unless onNoQuorum is 'queue'");
  const { maxCommandBytes, outbox } = options;
  if (maxCommandBytes !== undefined && outbox?.maxBytes !== undefined && maxCommandBytes > outbox.maxBytes) {
    // It could never be taken in, however empty the outbox is.
    const message = `maxCommandBytes (${maxCommandBytes}) must be at most outbox.maxBytes (${outbox.maxBytes})`;
    throw new QuorateError('ERR_CONFIG', message);
  }
  const join = checkJoin(options);
  const wired = checkConsensus(options.consensus ?? raft(), members?.length, join);
  if (join === 'witness' && onNoQuorum === 'queue')
    throw configError(
      'onNoQuorum',
      onNoQuorum,
      "'wait' or 'reject' where as is 'witness', which takes no commands",
    );
  return {
    group,
    members: members === undefined ? undefined : checkMembers(members, self),
    join,
    autopilot: options.autopilot && checkAutopilot(options.autopilot, wired.protocol.transferMs ?? 1000),
    wired,
    snapshotLogBytes: checkNumber(
      'snapshot.logBytes',
      snapshot.logBytes ?? (join === 'witness' ? 2 ** 20 : 2 ** 26),
      4096,
      2 ** 40,
    ),
    keepEntries: checkNumber('snapshot.keepEntries', snapshot.keepEntries ?? 10_000, 0, 1e9),
    snapshotBytesPerSecond:
      snapshot.maxBytesPerSecond === undefined
        ? Infinity
        : checkNumber('snapshot.maxBytesPerSecond', snapshot.maxBytesPerSecond, 1024, 2 ** 40),
    onNoQuorum,
    outbox: {
      maxEntries: checkNumber('outbox.maxEntries', options.outbox?.maxEntries ?? 10_000, 1, 1_000_000),
      maxBytes: checkNumber('outbox.maxBytes', options.outbox?.maxBytes ?? 16 * 1024 * 1024, 1024, 2 ** 30),
    },
    codec: options.codec ?? cbor(),
    timeout: checkNumber('timeout', options.timeout ?? 30_000, 1, 2 ** 31 - 1),
    maxPending: checkNumber('maxPending', options.maxPending ?? 65_536, 1, 1_000_000),
    maxPendingBytes: checkNumber(
      'maxPendingBytes',
      options.maxPendingBytes ?? 64 * 1024 * 1024,
      1024,
      2 ** 40,
    ),
    maxCommandBytes: checkNumber(
      'maxCommandBytes',
      options.maxCommandBytes ?? 16 * 1024 * 1024,
      1,
      32 * 1024 * 1024,
    ),
    clients: checkFlag('clients', options.clients ?? true),
  };
}

/** Founders are counted; who joins or reopens takes what the group has. */
function checkConsensus(
  consensus: ConsensusOption,
  founders: number | undefined,
  join: JoinAs | undefined,
): WiredProtocol {
  if (join === 'witness' && consensus.witnesses === false)
    throw configError(
      'as',
      join,
      `'voter' or 'learner' with ${consensus.name}(), which needs the data to go on from a log`,
    );
  if (founders !== undefined) consensus.checkFounders?.(founders);
  return consensus.wired;
}

function checkFlag(option: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw configError(option, value, 'true or false');
  return value;
}

function checkJoin({
  join = false,
  as,
  members,
}: Pick<ReplicaOptions<StateMachine>, 'join' | 'as' | 'members'>): JoinAs | undefined {
  if (typeof join !== 'boolean') throw configError('join', join, 'true or false');
  if (join && members !== undefined)
    throw configError('join', join, 'left out where members found the group');
  if (!join && as !== undefined) throw configError('as', as, 'left out unless join is true');
  const part = checkPart('as', as ?? 'voter');
  return join ? part : undefined;
}

/** Throws ERR_CONFIG for what is no state machine. @internal */
export function checkMachine(machine: unknown): void {
  const { version, apply, snapshot, restore } = (machine ?? {}) as Record<string, unknown>;
  const whole = [apply, snapshot, restore].every((method) => typeof method === 'function');
  if (!whole) throw configError('stateMachine', machine, 'a state machine with apply, snapshot and restore');
  checkNumber('stateMachine.version', version, 1, 2 ** 31 - 1);
}

function checkMembers(members: readonly string[], self: string): readonly string[] {
  const given: unknown = members;
  if (!Array.isArray(given) || given.length === 0 || given.length > MAX_MEMBERS) {
    throw configError('members', members, `a list of 1 to ${MAX_MEMBERS} node ids`);
  }
  for (const [at, member] of members.entries()) checkName(`members[${at}]`, member);
  if (new Set(members).size !== members.length) {
    throw configError('members', members, 'a list without repeated ids');
  }
  if (!members.includes(self)) {
    throw configError('members', members, `a list that holds this node's own id ${self}`);
  }
  return members;
}
