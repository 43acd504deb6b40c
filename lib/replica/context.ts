/** The context that a state machine is given with each command. */
import { QuorateError } from '../errors.js';
import { detach } from './detach.js';
import { Failure } from './outcome.js';
import { LogRandom } from './prng.js';
import type { ApplyContext } from './stateMachine.js';

/** What `reject` throws. */
class Rejection {
  readonly failure: Failure;

  constructor(failure: Failure) {
    this.failure = failure;
  }
}

/** One object for all commands of a replica. */
export class MachineContext implements ApplyContext {
  index = 0;
  time = 0;
  origin = '';
  #genesis: string | undefined;
  #random: LogRandom | undefined;

  set genesis(genesis: string) {
    if (genesis === this.#genesis) return;
    this.#genesis = genesis;
    this.#random = undefined;
  }

  begin(time: number, origin: string): void {
    this.time = time;
    this.origin = origin;
  }

  seek(index: number): void {
    this.index = index;
    this.#random?.seek(index);
  }

  // Bound, so that machines can take them out of the context.
  readonly random = (): number => {
    if (!this.#random) {
      this.#random = new LogRandom(this.#genesis ?? '');
      this.#random.seek(this.index);
    }
    return this.#random.next();
  };

  readonly reject = (code: string, data?: unknown): never => {
    const detached = data === undefined ? undefined : detach(data);
    // eslint-disable-next-line @typescript-eslint/only-throw-error -- a private signal, caught by failureOf
    throw new Rejection(
      new Failure('ERR_REJECTED', `the state machine rejected the command: ${code}`, code, detached),
    );
  };

  /** The failure that an error thrown by `apply` stands for. */
  failureOf(error: unknown): Failure {
    if (error instanceof Rejection) return error.failure;
    if (
      error instanceof QuorateError &&
      (error.code === 'ERR_UNKNOWN_OPERATION' || error.code === 'ERR_CODEC')
    ) {
      return new Failure(error.code, error.message);
    }
    return new Failure(
      'ERR_COMMAND_FAILED',
      `apply threw: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}
