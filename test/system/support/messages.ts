/** What a test and its members say to each other. */

export interface MemberSetup {
  readonly id: string;
  /** Who founds the group; left out by who joins it. */
  readonly members?: readonly string[] | undefined;
  /** It keeps no data. Only for who joins. */
  readonly witness: boolean;
  readonly signaling: string;
  readonly secret: string;
  readonly directory: string;
  readonly snapshotLogBytes: number;
}

export type Request =
  /** With `think`, milliseconds between two calls, reads go along with the writes, and all of it is recorded. */
  | { readonly type: 'write'; readonly writers: number; readonly think?: number }
  | { readonly type: 'stop' }
  | { readonly type: 'check'; readonly ids: readonly string[] }
  | { readonly type: 'status' }
  | {
      readonly type: 'change';
      readonly add?: readonly { readonly id: string; readonly as?: 'witness' }[];
      readonly remove?: readonly string[];
    }
  | { readonly type: 'transfer'; readonly to: string }
  | { readonly type: 'recorded' }
  | { readonly type: 'close' };

/** A call, in milliseconds of a clock that all processes of the machine share. */
export interface Recorded {
  readonly process: string;
  readonly call: number;
  readonly return: number;
  readonly input: 'write' | 'size';
  /** How many writes there were after it. */
  readonly output: number;
}

export type Reply =
  | { readonly type: 'open' }
  | { readonly type: 'acknowledged'; readonly id: string }
  | { readonly type: 'stopped' }
  | {
      readonly type: 'checked';
      readonly odd: readonly (readonly [string, number])[];
      readonly doubled: readonly (readonly [string, number])[];
      readonly index: number;
      readonly digest: string;
    }
  | {
      readonly type: 'status';
      readonly role: string;
      readonly epoch: number;
      readonly appliedIndex: number;
      readonly leader: string | undefined;
      /** Learners in brackets, witnesses in angle brackets. */
      readonly members: readonly string[];
    }
  /** A submit or a query was rejected. */
  | { readonly type: 'failed'; readonly call: string; readonly message: string }
  /** How a change or a transfer ended: the code of its error, empty without one. */
  | { readonly type: 'done'; readonly code: string; readonly message: string }
  | { readonly type: 'recorded'; readonly calls: readonly Recorded[] };
