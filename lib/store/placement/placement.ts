/** Which members hold a key. @internal */
import type { NodeId } from '../../consensus/consensus.js';
import type { RequestType } from '../coordination/wire.js';

/** Who takes part for a key, by one version of the ring. */
export interface Round {
  readonly epoch: number;
  /** The owners; while keys move, those before and those after. A call needs its level in each of these. */
  readonly sets: readonly (readonly NodeId[])[];
  /** All of them but this node. */
  readonly others: readonly NodeId[];
}

export interface Placement {
  /** The version of the ring; 0 where there is none. */
  readonly epoch: number;
  /** How many members own a key. */
  readonly copies: number;
  /** All members but this node. */
  readonly others: readonly NodeId[];
  round(key: string): Round;
  /** Resolves once this node knows who owns what. Rejects with ERR_NOT_READY and ERR_NOT_A_MEMBER. */
  ready(timeoutMs: number): Promise<void>;
  /** Asks a member by this version of the ring; rejects as the desk does, with reason `STALE` where either goes by another one. */
  call(
    peer: NodeId,
    type: RequestType,
    body: Uint8Array,
    timeoutMs: number,
    epoch: number,
  ): Promise<Uint8Array>;
}

/** Asks as {@link Placement.call} does, by no version. */
export type Caller = (
  peer: NodeId,
  type: RequestType,
  body: Uint8Array,
  timeoutMs: number,
  epoch: number,
) => Promise<Uint8Array>;

/** Every member holds every key. */
export class Everywhere implements Placement {
  readonly epoch = 0;
  readonly copies: number;
  readonly others: readonly NodeId[];
  readonly call: Caller;
  readonly #round: Round;

  constructor(self: NodeId, others: readonly NodeId[], call: Caller) {
    this.copies = others.length + 1;
    this.others = others;
    this.call = call;
    this.#round = { epoch: 0, sets: [[self, ...others]], others };
  }

  round(): Round {
    return this.#round;
  }

  ready(): Promise<void> {
    return Promise.resolve();
  }
}
