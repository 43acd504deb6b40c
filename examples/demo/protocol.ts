/** What the demo's processes say to each other over their parent's pipe. Nothing of this is part of quorate. */

export interface NodeSetup {
  readonly id: string;
  readonly members: readonly string[];
  readonly signaling: string;
  readonly secret: string;
  readonly directory: string;
}

/** From the demo to a node. */
export type Order =
  | { readonly type: 'load'; readonly outstanding: number }
  | { readonly type: 'stop' }
  /** Check that these writes are here, and tell the digest of the state. */
  | { readonly type: 'verify'; readonly acknowledged: Readonly<Record<string, readonly number[]>> }
  | { readonly type: 'close' };

/** From a node to the demo. */
export type Report =
  | { readonly type: 'open'; readonly restored: number }
  | {
      readonly type: 'status';
      readonly role: string;
      readonly leader: string | undefined;
      readonly epoch: number;
      readonly commit: number;
      readonly applied: number;
    }
  /** Sequences acknowledged since the last report, how many failed, and a sample of latencies in milliseconds. */
  | {
      readonly type: 'writes';
      readonly acknowledged: readonly number[];
      readonly failed: number;
      readonly latencies: readonly number[];
    }
  | { readonly type: 'stopped' }
  | {
      readonly type: 'verified';
      readonly missing: number;
      readonly checked: number;
      readonly index: number;
      readonly digest: string;
    };
