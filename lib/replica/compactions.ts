/**
 * Calls for a snapshot of this member's state, and for the log behind it to go. Each waits until a snapshot covers what was applied
 * here when it was made; all that wait share one. The engine is told of the newest call only, since what serves it serves them all.
 */
import type { Index } from '../consensus/consensus.js';
import type { AppNotice } from '../engine/door.js';
import type { Environment } from '../environment.js';
import { QuorateError, type ErrorCode } from '../errors.js';
import type { Applier } from './applier.js';
import { armLimits } from './callLimits.js';
import type { CallOptions, Compaction } from './replicaTypes.js';

/** How many calls may wait. */
const MAX_CALLS = 64;

interface Call {
  readonly token: number;
  /** What the snapshot has to cover. */
  readonly index: Index;
  readonly resolve: (compaction: Compaction) => void;
  readonly reject: (error: Error) => void;
}

export class Compactions {
  readonly #environment: Environment;
  readonly #applier: Pick<Applier, 'appliedIndex' | 'meta'>;
  readonly #say: (notice: AppNotice) => void;
  readonly #calls = new Set<Call>();
  #tokens = 0;

  constructor(
    environment: Environment,
    applier: Pick<Applier, 'appliedIndex' | 'meta'>,
    say: (notice: AppNotice) => void,
  ) {
    this.#environment = environment;
    this.#applier = applier;
    this.#say = say;
  }

  /** Resolves when a snapshot that covers what is applied now is durable. */
  ask(limits: CallOptions & { readonly timeout: number }): Promise<Compaction> {
    return new Promise((resolve, reject) => {
      if (limits.signal?.aborted === true)
        throw new QuorateError('ERR_ABORTED', 'the signal had fired already');
      if (this.#calls.size >= MAX_CALLS)
        throw new QuorateError('ERR_OVERLOADED', `${MAX_CALLS} calls wait for a snapshot already`);
      if (!this.#applier.meta) throw new QuorateError('ERR_NOT_READY', 'nothing of the group is here yet');
      const give = (code: ErrorCode, why: string): void =>
        call.reject(new QuorateError(code, `${why}; one may be taken all the same`));
      const disarm = armLimits(
        this.#environment,
        limits,
        () => give('ERR_TIMEOUT', `no snapshot was there after ${limits.timeout} ms`),
        () => give('ERR_ABORTED', 'waiting for the snapshot was aborted'),
      );
      const end = (): void => {
        disarm();
        this.#calls.delete(call);
      };
      const call: Call = {
        token: ++this.#tokens,
        index: this.#applier.appliedIndex,
        resolve: (compaction) => {
          end();
          resolve(compaction);
        },
        reject: (error) => {
          end();
          reject(error);
        },
      };
      this.#calls.add(call);
      this.#say({ type: 'compact', token: call.token, index: call.index });
    });
  }

  /** There is a snapshot at `index`, and the log behind it is gone. */
  done(index: Index): void {
    for (const call of [...this.#calls]) if (call.index <= index) call.resolve({ index });
  }

  /** The calls up to this one came to nothing. */
  failed(token: number, error: Error): void {
    for (const call of [...this.#calls]) if (call.token <= token) call.reject(error);
  }

  /** Rejects every call. */
  close(code: ErrorCode, why: string): void {
    for (const call of [...this.#calls]) call.reject(new QuorateError(code, why));
  }
}
