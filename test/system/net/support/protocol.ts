/** What a test and the node it started on a host say to each other, a JSON text a line. */
import type { KeyValueInput } from '../../../../lib/testing/linearizability/keyValueModel.js';

/** What a node is started with. */
export interface NodeSetup {
  readonly id: string;
  readonly members: readonly string[];
  readonly signaling: string;
  readonly secret: string;
  readonly directory: string;
  /** Further options of `webrtc` and of `joinMesh`, as they are. */
  readonly webrtc?: Readonly<Record<string, unknown>>;
  readonly mesh?: Readonly<Record<string, unknown>>;
}

/** Closed-loop clients: each waits for its answer, pauses, and goes on. */
export interface Load {
  readonly clients: number;
  readonly keys: number;
  readonly pauseMs: number;
  readonly timeoutMs: number;
}

export type Request =
  | { readonly type: 'op'; readonly seq: number; readonly input: KeyValueInput; readonly timeoutMs: number }
  | ({ readonly type: 'load' } & Load)
  /** End the clients; answered when the last one has its answer. */
  | { readonly type: 'rest'; readonly seq: number }
  | { readonly type: 'digest'; readonly seq: number }
  | { readonly type: 'close' };

/** A command about to be submitted, told before it is: should the node be killed, it may have taken effect. */
export interface Called {
  readonly number: number;
  readonly process: string;
  readonly call: number;
  readonly input: KeyValueInput;
}

/** An operation as its client saw it; times are monotonic milliseconds of the machine. */
export interface Done extends Called {
  /** Absent if nobody knows whether it took effect. */
  readonly return?: number;
  readonly output?: unknown;
  /** It had no effect. */
  readonly refused?: string;
}

/** How a node sees the mesh and the group. */
export interface View {
  readonly at: number;
  readonly peers: Readonly<Record<string, { readonly state: string; readonly path: string }>>;
  /** What `mesh.partition()` says; absent where there is none. */
  readonly partition?: { readonly state: string; readonly components: readonly (readonly string[])[] };
  readonly role: string;
  readonly leader?: string;
  readonly epoch: number;
  readonly quorum: boolean;
  readonly applied: number;
}

export type Report =
  | { readonly type: 'open'; readonly at: number }
  /** Whenever it changes, looked at every 10 ms. */
  | ({ readonly type: 'view' } & View)
  | { readonly type: 'event'; readonly at: number; readonly name: string; readonly args: readonly string[] }
  | ({ readonly type: 'called' } & Called)
  | { readonly type: 'ops'; readonly done: readonly Done[] }
  | { readonly type: 'answer'; readonly seq: number; readonly value: unknown };
