/** Whether a replica takes calls, and how it ended. @internal */
import { QuorateError, type ErrorCode } from '../errors.js';
import type { CloseReason, ReplicaStatus } from './replicaTypes.js';

type State = ReplicaStatus['state'];

/** What is said to who calls a replica that is over. */
const ends = {
  closed: ['ERR_CLOSED', 'the replica is closed'],
  failed: ['ERR_REPLICA_FAILED', 'the replica has failed'],
  removed: ['ERR_NOT_A_MEMBER', 'this node was removed from the group'],
} satisfies Record<string, readonly [ErrorCode, string]>;

export class Life {
  /** Resolves with the reason when it was told; never rejects. */
  readonly over: Promise<CloseReason>;
  /** Tells the reason to who waits for it. */
  readonly tell: (reason: CloseReason) => void;
  #state: State = 'running';
  #closing: Promise<void> | undefined;

  constructor() {
    let settle!: (reason: CloseReason) => void;
    this.over = new Promise((resolve) => {
      settle = resolve;
    });
    this.tell = settle;
  }

  get state(): State {
    return this.#state;
  }

  get running(): boolean {
    return this.#state === 'running';
  }

  /** Whether it runs and nobody has closed it. */
  get open(): boolean {
    return this.running && !this.#closing;
  }

  /** Ends it, unless it was over before; says whether it was not. */
  end(state: Exclude<State, 'running'>): boolean {
    if (!this.running) return false;
    this.#state = state;
    return true;
  }

  /** Does the work of closing, once. */
  close(work: () => Promise<void>): Promise<void> {
    return (this.#closing ??= work());
  }

  /** Throws while it takes no calls. */
  check(fate: 'refused' | undefined, cause: Error | undefined): void {
    if (this.open) return;
    const [code, message] = ends[this.#state === 'running' ? 'closed' : this.#state];
    throw new QuorateError(code, message, { fate, cause });
  }
}
