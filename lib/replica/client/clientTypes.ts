/** What openClient takes, and what a client tells. */
import { checkName, checkNumber, configError } from '../../errors.js';
import type { Mesh } from '../../mesh/mesh.js';
import { cbor, type Codec } from '../codec.js';
import type { StateMachine } from '../stateMachine.js';

/** Options of {@link openClient}. */
export interface ClientOptions<M extends StateMachine = StateMachine> {
  /** The mesh to reach the members over. Closing the mesh closes the client. */
  readonly mesh: Mesh;
  /** The group's name: 1 to 128 characters out of `A-Z a-z 0-9 . _ : @ -`. */
  readonly group: string;
  /**
   * A machine of the group's kind: gives commands and answers their types, and its `validate` is asked before a command is sent.
   * It is never applied to, and need not be the client's alone.
   */
  readonly stateMachine?: M;
  /**
   * How commands, queries and answers become bytes: the same as the members'.
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
   * The most calls that may be in flight; above it they are refused with `ERR_OVERLOADED`. From 1 to 8192, which is also what a
   * member has under way for all clients of one node.
   *
   * @defaultValue 4096
   */
  readonly maxPending?: number;
  /**
   * The most bytes of commands and queries that may be in flight. From 1024 to 2^30.
   *
   * @defaultValue 16777216 (16 MiB)
   */
  readonly maxPendingBytes?: number;
  /**
   * The most bytes of one encoded command or query; above it the call fails with `ERR_TOO_LARGE`. From 1 to 32 MiB. Members have a
   * cap of their own for commands.
   *
   * @defaultValue 16777216 (16 MiB)
   */
  readonly maxCommandBytes?: number;
  /** Ends the opening, and closes the client when it fires later. */
  readonly signal?: AbortSignal;
}

/** Where a client stands. */
export interface ClientStatus {
  /** The node that it lives on. */
  readonly id: string;
  readonly group: string;
  readonly state: 'running' | 'closed';
  /** The member that commands and queries go to now; undefined while none is linked that serves and has a quorum. */
  readonly member: string | undefined;
  /** The group's leader as far as the members said, or undefined. */
  readonly leader: string | undefined;
  /** Why a linked member does not serve this client, such as `ERR_NOT_SERVED`, while no other serves it. */
  readonly refused: { readonly code: string; readonly message: string } | undefined;
  /** Calls that are not settled, and streams that are not ended. */
  readonly pending: { readonly commands: number; readonly queries: number; readonly streams: number };
}

/** The options, checked and complete. @internal */
export interface CheckedClientOptions {
  readonly group: string;
  readonly stateMachine: Pick<StateMachine, 'validate'> | undefined;
  readonly codec: Codec;
  readonly timeout: number;
  readonly maxPending: number;
  readonly maxPendingBytes: number;
  readonly maxCommandBytes: number;
}

const MiB = 1024 * 1024;

/** Checks the options; throws ERR_CONFIG naming the one that is wrong. @internal */
export function checkClientOptions(options: ClientOptions): CheckedClientOptions {
  const { stateMachine, codec } = options;
  if (stateMachine !== undefined && typeof (stateMachine as { apply?: unknown } | null)?.apply !== 'function')
    throw configError('stateMachine', stateMachine, 'a state machine, or left out');
  if (codec !== undefined && (typeof codec.encode !== 'function' || typeof codec.decode !== 'function'))
    throw configError('codec', codec, 'a codec with encode and decode, or left out');
  return {
    group: checkName('group', options.group),
    stateMachine,
    codec: codec ?? cbor(),
    timeout: checkNumber('timeout', options.timeout ?? 30_000, 1, 2 ** 31 - 1),
    maxPending: checkNumber('maxPending', options.maxPending ?? 4096, 1, 8192),
    maxPendingBytes: checkNumber('maxPendingBytes', options.maxPendingBytes ?? 16 * MiB, 1024, 2 ** 30),
    maxCommandBytes: checkNumber('maxCommandBytes', options.maxCommandBytes ?? 16 * MiB, 1, 32 * MiB),
  };
}
