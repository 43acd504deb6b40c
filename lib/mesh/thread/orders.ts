/** What the app's thread and the engine's say to each other beside the lines of meshes. @internal */
import type { MessagePort } from 'node:worker_threads';
import type { PackedError } from '../../threads/errors.js';
import type { JoinPlan } from './items.js';

/** What the engine's thread is asked. */
export type ThreadOrder =
  /** Joins a mesh, whose line goes over the port; answered with its first {@link Mirror}. */
  | { readonly type: 'join'; readonly plan: JoinPlan; readonly port: MessagePort }
  /** No mesh is open: rest. */
  | { readonly type: 'park' };

/** What it is told. */
export type ToThread =
  /** What a test does to a {@link MemoryNetwork}. */
  | {
      readonly type: 'network';
      readonly number: number;
      readonly call: 'cut' | 'heal' | 'setLatency';
      readonly args: readonly unknown[];
    }
  /** The process exits: close what native code has open, then set the flag. */
  | { readonly type: 'exit' }
  /** Nothing of native code was ever loaded: end. */
  | { readonly type: 'end' };

/** What it tells: something in it threw, and it ends. */
export interface FromThread {
  readonly type: 'crashed';
  readonly error: PackedError;
}

/** What it is started with. */
export interface ThreadData {
  /** Where the clock of the app's thread begins, in milliseconds since 1970. */
  readonly timeOrigin: number;
  /** Set to 1 when nothing native is open any more. */
  readonly rested: SharedArrayBuffer;
}
