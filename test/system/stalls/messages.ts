/** What a run and its members say to each other. Times are milliseconds of the machine's monotonic clock. */
import type { KeyValueInput } from '../../../lib/testing/linearizability/keyValueModel.js';
import type { Operation } from '../../../lib/testing/linearizability/model.js';

export interface MemberSetup {
  readonly id: string;
  readonly members: readonly string[];
  readonly signaling: string;
  readonly secret: string;
  readonly directory: string;
}

/** How an event loop is blocked: with a busy processor, or with an idle one. */
export type StallKind = 'spin' | 'sleep';

export type Request =
  | { readonly type: 'load'; readonly clients: number; readonly pauseMs: number; readonly recorded: boolean }
  | { readonly type: 'unload' }
  | { readonly type: 'stall'; readonly ms: number; readonly kind: StallKind }
  | { readonly type: 'status' }
  | { readonly type: 'close' };

/** Something that a member's mesh or replica said. */
export interface Told {
  readonly at: number;
  readonly by: string;
  readonly event: 'up' | 'suspect' | 'unreachable' | 'path' | 'stall' | 'leader' | 'warning';
  /** The peer; the leader; the path and the peer; the warning. */
  readonly about: string;
  /** Of `unreachable`: whether this member's own detector took the peer for dead. If not, the link was closed on it. */
  readonly convicted?: boolean;
  /** Of `stall`. */
  readonly ms?: number;
}

export type RecordedOperation = Operation<KeyValueInput>;

/** An operation on its way between processes: JSON knows neither Infinity nor undefined. */
export type SentOperation = Omit<RecordedOperation, 'return' | 'output'> & {
  readonly return: number | null;
  readonly output?: unknown;
};

export interface Status {
  readonly role: string;
  readonly epoch: number;
  readonly leader: string | undefined;
  readonly peers: readonly { readonly id: string; readonly state: string; readonly path: string }[];
  /** Commands that clients of this member had acknowledged. */
  readonly commits: number;
}

export type Reply =
  | { readonly type: 'open' }
  | { readonly type: 'told'; readonly told: Told }
  | { readonly type: 'operation'; readonly operation: SentOperation }
  | { readonly type: 'unloaded' }
  | { readonly type: 'stalled'; readonly from: number; readonly until: number }
  | { readonly type: 'status'; readonly status: Status };

/** The clock that all processes of a machine share. */
export const now = (): number => Number(process.hrtime.bigint()) / 1e6;
export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
