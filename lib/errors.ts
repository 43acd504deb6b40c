/**
 * Every code a {@link QuorateError} can carry. Match on the code, never on the message.
 */
export type ErrorCode =
  // configuration and life cycle
  | 'ERR_CONFIG' // an option has a wrong type or is out of range
  | 'ERR_CLOSED' // the object was closed
  | 'ERR_ABORTED' // the caller's AbortSignal fired
  | 'ERR_TIMEOUT' // the call's time-out ran out
  | 'ERR_INTERNAL' // a bug in this library
  | 'ERR_INVARIANT' // a simulation found something that must never be
  // submitting and querying
  | 'ERR_NOT_READY' // no leader, or no quorum
  | 'ERR_OVERLOADED' // too much is in flight; try again later
  | 'ERR_CIRCUIT_OPEN' // a circuit breaker let the call not through; it was never made
  | 'ERR_OUTBOX_FULL' // the outbox holds as much as it may
  | 'ERR_TOO_LARGE' // a command or frame is above its cap
  | 'ERR_TRANSACTION_ABORTED' // the transaction was aborted; nothing of it took effect anywhere
  | 'ERR_REJECTED' // the state machine rejected the command on purpose
  | 'ERR_COMMAND_FAILED' // apply threw; the command had no effect anywhere
  | 'ERR_QUERY_FAILED' // query threw
  | 'ERR_RESOLVER_FAILED' // the function that resolves conflicts of a store threw
  | 'ERR_UNKNOWN_OPERATION' // the machine has no such command or query
  | 'ERR_AMBIGUOUS' // the fate of a command could not be learned
  | 'ERR_LEADER_CHANGED' // a read's leader lost its leadership before confirming it
  | 'ERR_SESSION_EXPIRED' // the session of this request id is gone; never applied as new
  | 'ERR_RESULT_EXPIRED' // the command was applied; its result is no longer kept
  | 'ERR_CODEC' // bytes that do not decode
  // groups
  | 'ERR_ENGINE_FAILED' // the thread that the engine lives in has ended
  | 'ERR_GROUP_EXISTS' // this mesh already runs a replica of that group
  | 'ERR_GROUP_UNKNOWN' // storage holds no such group, and no members were given
  | 'ERR_MEMBERSHIP' // the members stay as they are; the message says why
  | 'ERR_TRANSFER_FAILED' // the leadership stays where it is; the message says why
  | 'ERR_MEMBERS_DIFFER' // the founders' lists of two members differ
  | 'ERR_GENESIS_DIFFERS' // two groups of the same name that were founded apart
  | 'ERR_WITNESS' // this member holds no state
  | 'ERR_NOT_SERVED' // the linked members of the group do not serve clients
  | 'ERR_NOT_A_MEMBER' // this node is not in the group's membership
  | 'ERR_REPLICA_FAILED' // the replica stopped itself after a fault
  | 'ERR_MACHINE_VERSION' // a snapshot or group of another state machine version
  // sagas
  | 'ERR_SAGA_UNKNOWN' // the group knows no saga with this id, or not any more
  | 'ERR_SAGA_EXISTS' // the id is another saga's
  | 'ERR_SAGA_DEFINITION' // other steps under the same name and version
  | 'ERR_SAGA_FAILED' // the saga ended, but not completed
  | 'ERR_SAGA_PIVOT' // the saga is past its point of no return
  | 'ERR_SAGA_NOT_STUCK' // there is nothing to decide for an operator
  // storage
  | 'ERR_STORAGE_LOCKED' // another process or object has the directory
  | 'ERR_STORAGE_CORRUPT' // bytes on disk that fail their check
  | 'ERR_STORAGE_FOREIGN' // the directory belongs to another cluster or node
  | 'ERR_STORAGE_VERSION' // the directory was written by an unknown version
  | 'ERR_STORAGE_FAILED' // a write or flush failed; the storage is poisoned
  | 'ERR_STORAGE_FULL' // the headroom is used up; proposals are refused
  | 'ERR_BACKUP_CORRUPT' // a backup that was changed or cut short; the message names the place
  | 'ERR_BACKUP_VERSION' // a backup in a format that this version does not read
  | 'ERR_COMPACTED' // the log no longer holds that index
  // mesh
  | 'ERR_SECRET_MISSING' // `secret` is undefined
  | 'ERR_SECRET_WEAK' // a secret under 128 bits
  | 'ERR_PEER_SECRET' // the peer does not hold the cluster secret
  | 'ERR_PEER_REDUNDANT' // a relayed link that is not needed: its direct one works again, or there is another; told to nobody
  | 'ERR_PEER_KEY' // the peer is not listed, was revoked, or cannot prove its listed key
  | 'ERR_PEER_STRANGER' // another cluster, or an id that is not its own
  | 'ERR_PEER_FINGERPRINT' // somebody sits between the two ends
  | 'ERR_PEER_REPLAY' // an old handshake was played again
  | 'ERR_PEER_VERSION' // no common wire version
  | 'ERR_PEER_PROTOCOL' // a frame that breaks the protocol
  | 'ERR_PEER_DUPLICATE' // an older incarnation of a node that is linked already
  | 'ERR_PEER_TIMEOUT' // the handshake or connection took too long
  | 'ERR_PEER_REPLACED' // a newer incarnation of this node's id took over
  | 'ERR_SIGNALING' // the signalling server refused or broke the protocol
  | 'ERR_SIGNALING_UNAUTHORIZED'; // the signalling server's `authorize` said no

/**
 * What became of a command whose submit failed.
 *
 * - `refused`: it never entered the log; safe to submit again.
 * - `ambiguous`: it may commit later; submit again only with the same `requestId`.
 * - `lost`: it was acknowledged below `majority` and then undone.
 */
export type Fate = 'refused' | 'ambiguous' | 'lost';

/** What a {@link QuorateError} can be made with beside its code and message. */
export interface QuorateErrorOptions {
  readonly fate?: Fate | undefined;
  readonly requestId?: string | undefined;
  readonly cause?: unknown;
  /** What a state machine gave to `reject(code, data)`. */
  readonly data?: unknown;
  /** The code that a state machine gave to `reject(code, data)`. */
  readonly reason?: string | undefined;
}

/**
 * The one error class of this library. `code` says what happened; `fate`, where a command is
 * concerned, says whether it may still take effect.
 *
 * @example
 * ```ts
 * try {
 *   await replica.submit(command);
 * } catch (error) {
 *   if (error instanceof QuorateError && error.fate === 'ambiguous') {
 *     await replica.submit(command, { requestId: error.requestId }); // applied once, whatever happened
 *   }
 * }
 * ```
 */
export class QuorateError extends Error {
  readonly code: ErrorCode;
  readonly fate?: Fate;
  readonly requestId?: string;
  readonly reason?: string;
  readonly data?: unknown;

  constructor(code: ErrorCode, message: string, options: QuorateErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = code === 'ERR_ABORTED' ? 'AbortError' : 'QuorateError';
    this.code = code;
    if (options.fate !== undefined) this.fate = options.fate;
    if (options.requestId !== undefined) this.requestId = options.requestId;
    if (options.reason !== undefined) this.reason = options.reason;
    if (options.data !== undefined) this.data = options.data;
  }
}

/** A configuration error that names the option, the value received and what is allowed. @internal */
export function configError(option: string, value: unknown, expected: string): QuorateError {
  return new QuorateError('ERR_CONFIG', `${option} must be ${expected}, got ${describe(value)}`);
}

/** Checks a number option against an inclusive range; returns it. @internal */
export function checkNumber(
  option: string,
  value: unknown,
  min: number,
  max: number,
  integer = true,
): number {
  const valid =
    typeof value === 'number' && value >= min && value <= max && (!integer || Number.isInteger(value));
  if (!valid) {
    throw configError(option, value, `${integer ? 'an integer' : 'a number'} from ${min} to ${max}`);
  }
  return value;
}

/** Checks a name (node id, group, cluster): 1 to 128 characters out of `A-Z a-z 0-9 . _ : @ -`. @internal */
export function checkName(option: string, value: unknown): string {
  if (!isName(value)) {
    throw configError(option, value, 'a string of 1 to 128 characters out of A-Z a-z 0-9 . _ : @ -');
  }
  return value;
}

/** Whether a value is spelled as ids are: 1 to 128 characters out of `A-Z a-z 0-9 . _ : @ -`. @internal */
export function isName(value: unknown): value is string {
  return typeof value === 'string' && /^[A-Za-z0-9._:@-]{1,128}$/.test(value);
}

function describe(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object';
  return String(value);
}
