/** What openSagas takes, and what it tells. */
import type { Replica } from '../../replica/replica.js';
import type { CallOptions } from '../../replica/replicaTypes.js';
import type { QuorateError } from '../../errors.js';
import type { SagaState, SagaStepState } from './record.js';
import type { SagasMachine } from './sagasMachine.js';

/** Options of {@link openSagas}. */
export interface OpenSagasOptions {
  /** A replica of {@link sagas}. Closing it ends the running of sagas here. */
  readonly replica: Replica<SagasMachine>;
  /**
   * For how long this member keeps its sagas without being heard, in milliseconds of the log's time; then others go on with them.
   * While there are sagas it says so three times in that time, with a command. From 100 to 3600000.
   *
   * @defaultValue 10000
   */
  readonly lease?: number;
  /**
   * How many handlers run here at the same time; more wait. From 1 to 100000.
   *
   * @defaultValue 256
   */
  readonly concurrency?: number;
  /**
   * How long a handler whose signal has fired is waited for, in milliseconds. What it answers meanwhile counts; then its outcome is
   * unknown. From 1 to 2^31 - 1.
   *
   * @defaultValue 5000
   */
  readonly settle?: number;
}

/** An error as the log keeps it. */
export interface SagaFailure {
  readonly code: string;
  /** Cut off after 1000 characters. */
  readonly message: string;
  /** Left out above 4 KiB, or where the codec cannot carry it. */
  readonly data?: unknown;
}

/**
 * Why a saga turned back, or was given up. `step`: a step failed for good. `cancelled`: somebody called `cancel`. `timeout`: its own
 * time was over. `resolved`: an operator decided so.
 */
export interface SagaCause {
  readonly kind: 'step' | 'cancelled' | 'timeout' | 'resolved';
  readonly step?: string;
  /** What the step threw, or the reason that was given. */
  readonly error?: SagaFailure;
}

/** Where a step stands. */
export interface SagaStepStatus {
  readonly id: string;
  readonly state: SagaStepState;
  /** How many attempts were begun; once it is being undone, of its compensation. */
  readonly attempts: number;
  /** It needs an operator, or at least deserves a look: see `resolve`. */
  readonly stuck: boolean;
  /** Milliseconds since 1970, by the clock of the log; absent if it does not wait. */
  readonly retryAt?: number;
  /** Of the last attempt that failed. */
  readonly error?: SagaFailure;
}

/** Where a saga stands. */
export interface SagaStatus {
  readonly id: string;
  readonly name: string;
  readonly version: number;
  readonly state: SagaState;
  /** Whether one of its steps is stuck. */
  readonly stuck: boolean;
  /** The place of its start in the log; what `list` goes by. */
  readonly index: number;
  /** The node that runs it, or undefined: it has ended, or no member that lives has its definition. */
  readonly owner: string | undefined;
  /** The owner's fencing token. */
  readonly token: number;
  /** Milliseconds since 1970, by the clock of the log, as all times here. */
  readonly started: number;
  readonly deadline?: number;
  readonly ended?: number;
  readonly cause?: SagaCause;
  /** In the order of the definition. */
  readonly steps: readonly SagaStepStatus[];
}

/** What `start` takes. */
export interface StartSagaOptions<Input> extends CallOptions {
  /**
   * Names the saga: 1 to 128 characters out of `A-Z a-z 0-9 . _ : @ -`. Starting it again does nothing, while it is under way and
   * for the definition's `retention` after its end.
   */
  readonly id: string;
  readonly input: Input;
}

/** What `cancel` takes. */
export interface CancelSagaOptions extends CallOptions {
  /** At most 1000 characters. @defaultValue '' */
  readonly reason?: string;
}

/**
 * What an operator decides about a stuck saga.
 *
 * - `retry`: its stuck steps (or `step`) are tried again, at once.
 * - `skip`: `step` counts as done, or undone; `result` stands for what it would have returned.
 * - `compensate`: the saga turns back, even past its pivot.
 * - `abandon`: it ends as it is. Also for a saga that no member can run.
 */
export type SagaResolution = CallOptions & {
  /** Kept in the saga's cause. At most 1000 characters. @defaultValue '' */
  readonly reason?: string;
} & (
    | { readonly action: 'retry'; readonly step?: string }
    | { readonly action: 'skip'; readonly step: string; readonly result?: unknown }
    | { readonly action: 'compensate' }
    | { readonly action: 'abandon' }
  );

/** Which sagas `list` tells. */
export interface ListSagasOptions extends CallOptions {
  /** `active`: running or compensating. @defaultValue all */
  readonly state?: SagaState | 'active';
  /** Only those that are stuck, or only the others. @defaultValue all */
  readonly stuck?: boolean;
  /** Only those of a definition. @defaultValue all */
  readonly name?: string;
  /** Only those whose `index` is larger: for pages. @defaultValue 0 */
  readonly after?: number;
  /** From 1 to 10000. @defaultValue 1000 */
  readonly limit?: number;
}

/** What `close` takes. */
export interface CloseSagasOptions {
  /**
   * Let handlers that run come to their end first, for at most `timeout`; no others are begun.
   *
   * @defaultValue false: their signals fire, and they have `settle` milliseconds
   */
  readonly drain?: boolean;
  /** In milliseconds; from 1 to 2^31 - 1. @defaultValue 5000 */
  readonly timeout?: number;
}

/**
 * The events of {@link Sagas}. Every member tells of every saga, as changes are applied there; of several changes at once it may tell
 * the last.
 */
export interface SagasEvents {
  /** A saga was started, or went on. */
  'saga:progress': [status: SagaStatus];
  /** It ended. */
  'saga:ended': [status: SagaStatus];
  /** One of its steps is stuck: see `resolve`. */
  'saga:stuck': [status: SagaStatus];
  /** It was started with other steps than this member defines under its name and version: it is not run here. */
  'saga:mismatch': [error: QuorateError];
  /** This member keeps its sagas no longer, since no quorum heard it in time; or it does again. */
  'lease:lost': [];
  'lease:regained': [];
  /** Something that a person should look at. */
  warning: [error: Error];
}
