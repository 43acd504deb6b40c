/** A saga of five steps on real processes: what its processes and the world outside, which is the test, say to each other. */

export const STEPS = ['one', 'two', 'three', 'four', 'five'] as const;
export const LEASE_MS = 800;

export type Request =
  | { readonly type: 'start'; readonly id: string; readonly fails: boolean }
  /** The world has done what it was asked for, or had done it before. */
  | { readonly type: 'done'; readonly call: number }
  | { readonly type: 'state'; readonly id: string };

export type Reply =
  | { readonly type: 'open' }
  | { readonly type: 'started' }
  /** A handler asks the world for an effect. */
  | {
      readonly type: 'act';
      readonly call: number;
      readonly saga: string;
      readonly key: string;
      readonly token: number;
    }
  | { readonly type: 'state'; readonly state: string; readonly steps: readonly string[] };
