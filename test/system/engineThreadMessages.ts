/** What the test and a member of it say to each other. */
import type { ReplicaStatus } from '../../lib/replica/replicaTypes.js';

export interface MemberSetup {
  readonly id: string;
  readonly members: readonly string[];
  readonly signaling: string;
  readonly directory: string;
}

export type Request =
  | { readonly type: 'status' }
  /** Writes by `loops` loops until `stop`. */
  | { readonly type: 'write'; readonly loops: number }
  | { readonly type: 'stop' }
  /** Blocks the event loop of the app. */
  | { readonly type: 'block'; readonly ms: number }
  | { readonly type: 'close' }
  /** Calls `process.exit` with everything open. */
  | { readonly type: 'exit'; readonly code: number }
  /** Throws where nobody catches it: in the app's thread, or in the engine's. */
  | { readonly type: 'throw'; readonly where: 'app' | 'engine' };

export type Reply =
  | { readonly type: 'open' }
  | {
      readonly type: 'status';
      readonly status: ReplicaStatus;
      readonly stalls: number;
      readonly elections: number;
    }
  /** When each write was acknowledged, by the clock of the machine. */
  | { readonly type: 'stopped'; readonly acknowledged: readonly number[]; readonly failed: number }
  | { readonly type: 'blocked'; readonly from: number; readonly to: number }
  | { readonly type: 'failed'; readonly code: string };
