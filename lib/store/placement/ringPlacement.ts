/**
 * The ring as this node knows it. It goes by a version only once that is on its disk, and answers nobody who goes by another one: so
 * no write by an old version is taken by a member that has told, by a newer one, what it holds.
 *
 * @internal
 */
import type { NodeId } from '../../consensus/consensus.js';
import type { Environment } from '../../environment.js';
import { QuorateError } from '../../errors.js';
import { RequestType, type Request } from '../coordination/wire.js';
import type { StoreTable } from '../local/storeTable.js';
import type { Caller, Placement, Round } from './placement.js';
import type { Ring } from './ring.js';
import { decodeRing, encodeRing, NO_RING, peopleOf, ringsOf, type RingState } from './ringState.js';

export interface RingPlacementSetup {
  readonly self: NodeId;
  readonly copies: number;
  readonly table: StoreTable;
  readonly environment: Environment;
  readonly call: Caller;
  /** A peer sent what is no ring. */
  readonly punish: (peer: NodeId, why: string) => void;
}

export class RingPlacement implements Placement {
  readonly copies: number;
  readonly #setup: RingPlacementSetup;
  readonly #listeners = new Set<() => void>();
  #state: RingState = NO_RING;
  #rings: readonly Ring[] = [];
  #people: ReadonlySet<NodeId> = new Set();
  /** The newest that is, or is being, written down. */
  #newest = 0;

  /** Throws ERR_STORAGE_CORRUPT for a ring on disk that is none. */
  constructor(setup: RingPlacementSetup) {
    this.#setup = setup;
    this.copies = setup.copies;
    const { ring } = setup.table;
    if (ring === undefined) return;
    try {
      this.#go(decodeRing(ring));
    } catch (cause) {
      throw new QuorateError('ERR_STORAGE_CORRUPT', 'the ring on disk makes no sense', { cause });
    }
  }

  get state(): RingState {
    return this.#state;
  }

  get rings(): readonly Ring[] {
    return this.#rings;
  }

  get epoch(): number {
    return this.#state.version;
  }

  get people(): ReadonlySet<NodeId> {
    return this.#people;
  }

  get others(): readonly NodeId[] {
    return [...this.#people].filter((id) => id !== this.#setup.self);
  }

  round(key: string): Round {
    return this.roundOf(this.#setup.table.tree.leafOf(key));
  }

  /** Who takes part for the keys of a leaf. */
  roundOf(leaf: number): Round {
    const sets = this.#rings.map((ring) => ring.ownersOf(leaf));
    const [before, after] = sets;
    const same = after === undefined || before!.every((id) => after.includes(id));
    const others = new Set(sets.flat());
    others.delete(this.#setup.self);
    return { epoch: this.epoch, sets: same ? sets.slice(0, 1) : sets, others: [...others] };
  }

  /** Whether a member owns a leaf, by the ring before or the one after. */
  owns(id: NodeId, leaf: number): boolean {
    return this.#rings.some((ring) => ring.ownersOf(leaf).includes(id));
  }

  /** The leaves that this node and another one own. */
  shared(peer: NodeId): number[] {
    const { self, table } = this.#setup;
    const all = Array.from({ length: table.tree.leaves }, (_, leaf) => leaf);
    return this.#rings.length === 0
      ? []
      : all.filter((leaf) => this.owns(self, leaf) && this.owns(peer, leaf));
  }

  /** Has a callback called when there is another state, until the function that it returns is called. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  ready(timeoutMs: number): Promise<void> {
    const { self } = this.#setup;
    return this.until(
      () => this.#people.has(self),
      timeoutMs,
      () =>
        this.epoch === 0
          ? new QuorateError('ERR_NOT_READY', `the ring is not known after ${timeoutMs} ms`, {
              fate: 'refused',
            })
          : new QuorateError('ERR_NOT_A_MEMBER', `${self} is not a member of this store`, {
              fate: 'refused',
            }),
    );
  }

  /** Resolves once it is so. */
  until(holds: () => boolean, timeoutMs: number, otherwise: () => Error): Promise<void> {
    if (holds()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const timer = this.#setup.environment.setTimer(timeoutMs, () => {
        stop();
        reject(otherwise());
      });
      const stop = this.onChange(() => {
        if (!holds()) return;
        stop();
        timer.cancel();
        resolve();
      });
    });
  }

  /** Goes by a state, if it is newer, once it is on the disk. Rejects with what the disk says. */
  adopt(state: RingState): Promise<void> {
    if (state.revision <= this.#newest) return Promise.resolve();
    const { table } = this.#setup;
    if (state.version > 0 && (state.partitions !== table.tree.leaves || state.copies !== this.copies))
      throw new QuorateError('ERR_CODEC', 'a ring of another store');
    this.#newest = state.revision;
    return new Promise((resolve, reject) => {
      table.keepRing(encodeRing(state), (error) => {
        if (error) {
          reject(error);
          return;
        }
        if (state.revision > this.#state.revision) this.#go(state);
        for (const listener of [...this.#listeners]) listener();
        resolve();
      });
    });
  }

  /** What the sender of a request is told that goes by another version. */
  answer({ type, epoch }: Request): Uint8Array | undefined {
    return type === RequestType.ring || epoch === this.epoch ? undefined : encodeRing(this.#state);
  }

  async call(
    peer: NodeId,
    type: RequestType,
    body: Uint8Array,
    timeoutMs: number,
    epoch: number,
  ): Promise<Uint8Array> {
    const { call, punish } = this.#setup;
    if (epoch !== this.epoch) throw stale();
    try {
      return await call(peer, type, body, timeoutMs, epoch);
    } catch (error) {
      if (!isStale(error)) throw error;
      let theirs: RingState;
      try {
        theirs = decodeRing(error.data as Uint8Array);
        await this.adopt(theirs);
      } catch (cause) {
        if (cause instanceof QuorateError && cause.code === 'ERR_CODEC') punish(peer, cause.message);
        throw cause;
      }
      if (theirs.revision >= this.#state.revision || epoch !== this.epoch) throw error;
      // It is behind: it learns the ring from this node, and is asked again.
      await call(peer, RequestType.ring, encodeRing(this.#state), timeoutMs, epoch);
      return call(peer, type, body, timeoutMs, epoch);
    }
  }

  #go(state: RingState): void {
    const moves = state.version !== this.#state.version;
    this.#state = state;
    this.#newest = Math.max(this.#newest, state.revision);
    this.#people = peopleOf(state);
    if (moves) this.#rings = ringsOf(state);
  }
}

function stale(): QuorateError {
  return new QuorateError('ERR_REJECTED', 'stale epoch: the ring has another version meanwhile', {
    reason: 'STALE',
  });
}

/** Whether a call was not done since one side goes by another version of the ring. */
export function isStale(error: unknown): error is QuorateError & { readonly reason: 'STALE' } {
  return error instanceof QuorateError && error.code === 'ERR_REJECTED' && error.reason === 'STALE';
}
