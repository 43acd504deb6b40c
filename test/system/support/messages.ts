/** What a test and its members say to each other. */

export interface MemberSetup {
  readonly id: string;
  readonly members: readonly string[];
  readonly signaling: string;
  readonly secret: string;
  readonly directory: string;
  readonly snapshotLogBytes: number;
}

export type Request =
  | { readonly type: 'write'; readonly writers: number }
  | { readonly type: 'stop' }
  | { readonly type: 'check'; readonly ids: readonly string[] }
  | { readonly type: 'status' }
  | { readonly type: 'close' };

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
    };
