/** What a store is opened with, and what its calls take. */
import { createHash } from 'node:crypto';
import { majority } from '../../consensus/quorum.js';
import { checkName, checkNumber, configError, QuorateError } from '../../errors.js';
import type { Mesh } from '../../mesh/mesh.js';
import type { Codec } from '../../replica/codec.js';
import type { Storage } from '../../storage/storage.js';
import type { StoreLimits } from '../local/limits.js';
import type { WriteOptions } from '../local/localTypes.js';
import { checkResolution, type Resolution } from '../resolve/resolution.js';

/**
 * How many members have to take part before a call answers, this node among them: itself alone, a number, more than half of the
 * members, or all. Counted against the members that the store has, not those that can be reached.
 */
export type Level = 'local' | 'majority' | 'all' | number;

/** Options of {@link openStore}. */
export interface StoreOptions<V, Input = V, Op = never> {
  /** The mesh that it lives on. */
  readonly mesh: Mesh;
  /** Its name: 1 to 120 characters out of `A-Z a-z 0-9 . _ : @ -`. */
  readonly name: string;
  /**
   * The ids of all nodes that the store begins with, this one among them; 1 to 64, the same on all of them. What the storage says wins
   * over it later, where keys are placed on a ring. Left out only with `join`.
   */
  readonly members?: readonly string[] | undefined;
  /**
   * How many members hold a key: from 1 to the number of members. With fewer than all of them the keys are placed on a ring, and members
   * can come and go: see docs/store.md. The same on all members.
   *
   * @defaultValue all members, each of which holds all keys
   */
  readonly n?: number | undefined;
  /** `'ring'`: the keys are placed on a ring though `n` is the number of members, as for a store that more members will come to. */
  readonly placement?: 'all' | 'ring' | undefined;
  /**
   * Come to a store that is there, whose keys are placed on a ring: this node is added to it. Needs `n`, and no `members`.
   *
   * @defaultValue false
   */
  readonly join?: boolean | undefined;
  /** Where this node keeps it; the same storage may serve groups. */
  readonly storage: Storage;
  /** What becomes of writes that did not know of each other; the same on all members. @defaultValue `siblings()` */
  readonly resolve?: Resolution<V, Input, Op> | undefined;
  /** Members that must have read before a read answers. @defaultValue 'majority' */
  readonly r?: Level | undefined;
  /** Members that must have written, durably, before a write resolves. @defaultValue 'majority' */
  readonly w?: Level | undefined;
  /** After how many milliseconds a call gives up; 1 to 2^31 - 1. @defaultValue 5000 */
  readonly timeout?: number | undefined;
  /** After how many milliseconds, on average, a member compares itself with another one; 100 to 2^30. @defaultValue 30000 */
  readonly repairIntervalMs?: number | undefined;
  /** How much this member holds. */
  readonly limits?: StoreLimits | undefined;
  /** Leaves of the hash tree, a power of two from 2 to 65536, the same on all members; about a hundredth of the keys. @defaultValue 1024 */
  readonly merkleLeaves?: number | undefined;
  /** From how far ahead on, in milliseconds, a timestamp is not followed; 0 to 2^31 - 1. @defaultValue 500 */
  readonly maxClockOffsetMs?: number | undefined;
  /** How values become bytes, the same on all members. @defaultValue `cbor()` */
  readonly codec?: Codec | undefined;
}

/** Options of a read. */
export interface StoreReadOptions {
  /** @defaultValue that of the store */
  readonly r?: Level | undefined;
  /** In milliseconds. @defaultValue that of the store */
  readonly timeout?: number | undefined;
}

/** Options of a write. */
export interface StoreWriteOptions extends WriteOptions {
  /** @defaultValue that of the store */
  readonly w?: Level | undefined;
  /** In milliseconds. @defaultValue that of the store */
  readonly timeout?: number | undefined;
}

/** A half more, as chance has it, is still in reach of a timer of Node, which fires at once beyond 2^31 - 1 ms. */
const MAX_REPAIR_INTERVAL_MS = 2 ** 30;

/** What came of a write: how many members hold it, and who missed it. */
export interface WriteReport {
  /** Members that had it on their disks when the write resolved, this node among them. */
  readonly acknowledged: number;
  /**
   * Members known by then to have missed it: they do not count towards `w`. This node remembers it for them on its disk, and hands it over
   * when they can be reached.
   */
  readonly hinted: readonly string[];
}

/** @internal */
export interface CheckedStore {
  readonly name: string;
  readonly self: string;
  /** The other members to begin with. */
  readonly others: readonly string[];
  /** Where keys are placed on a ring: who it begins with, undefined for a node that joins. */
  readonly ring: { readonly founders: readonly string[] | undefined } | undefined;
  /** How many members hold a key. */
  readonly copies: number;
  readonly r: number;
  readonly w: number;
  readonly timeout: number;
  readonly repairIntervalMs: number;
  /** Equal on members that can work together. */
  readonly agreement: string;
}

/** Throws ERR_CONFIG and ERR_NOT_A_MEMBER. @internal */
export function checkStoreOptions<V, Input, Op>(
  options: StoreOptions<V, Input, Op>,
  resolve: Resolution<V, Input, Op>,
  self: string,
): CheckedStore {
  const { timeout = 5000, repairIntervalMs = 30_000, merkleLeaves = 1024 } = options;
  const name = checkName('name', options.name);
  if (name.length > 120) throw configError('name', name, 'at most 120 characters');
  const { join = false } = options;
  const placement: unknown = options.placement;
  if (typeof join !== 'boolean') throw configError('join', join, 'true or false');
  if (placement !== undefined && placement !== 'all' && placement !== 'ring')
    throw configError('placement', placement, "'all' or 'ring'");
  if (join && (options.members !== undefined || placement === 'all'))
    throw configError('join', join, "left out where members begin the store, or where placement is 'all'");
  const given: unknown = join ? [self] : options.members;
  if (!Array.isArray(given) || given.length < 1 || given.length > 64 || new Set(given).size !== given.length)
    throw configError('members', given, 'a list of 1 to 64 different ids');
  const members = (given as unknown[]).map((id) => checkName('members', id)).sort();
  if (!members.includes(self))
    throw new QuorateError(
      'ERR_NOT_A_MEMBER',
      `this node, ${self}, is not among the members ${members.join(', ')}`,
    );
  if (join && options.n === undefined) throw configError('n', options.n, 'given where a node joins');
  const copies = checkNumber('n', options.n ?? members.length, 1, join ? 64 : members.length);
  const placed = join || placement === 'ring' || copies < members.length;
  if (placed && placement === 'all')
    throw configError(
      'n',
      copies,
      `left out or ${members.length}, the number of members, where placement is 'all'`,
    );
  const { name: resolution } = checkResolution(resolve);
  const said = JSON.stringify(
    placed ? [2, copies, resolution, merkleLeaves] : [1, members, resolution, merkleLeaves],
  );
  return {
    name,
    self,
    others: members.filter((id) => id !== self),
    ring: placed ? { founders: join ? undefined : members } : undefined,
    copies,
    r: countOf('r', options.r ?? 'majority', copies),
    w: countOf('w', options.w ?? 'majority', copies),
    timeout: checkNumber('timeout', timeout, 1, 2 ** 31 - 1, false),
    repairIntervalMs: checkNumber('repairIntervalMs', repairIntervalMs, 100, MAX_REPAIR_INTERVAL_MS, false),
    agreement: createHash('sha256').update(said).digest('hex').slice(0, 16),
  };
}

/** How many members a level means. Throws ERR_CONFIG. @internal */
export function countOf(option: string, level: Level, members: number): number {
  if (level === 'local') return 1;
  if (level === 'majority') return majority(members);
  if (level === 'all') return members;
  if (typeof level === 'number' && Number.isInteger(level) && level >= 1 && level <= members) return level;
  throw configError(option, level, `'local', 'majority', 'all' or an integer from 1 to ${members}`);
}
