/** Which way commands go: straight to the log, or not, as `onNoQuorum` says. @internal */
import type { GroupStatus } from '../engine/door.js';
import { QuorateError } from '../errors.js';
import type { CheckedOptions } from './options.js';

export class Detour {
  readonly #onNoQuorum: CheckedOptions['onNoQuorum'];
  /** The core has heard of a leader, or has begun to look for one: what it says of a quorum counts from now on. */
  #decided = false;
  /** Commands do not go straight to the log: there is no quorum, and the app did not choose to wait for one. */
  taken = false;

  constructor(onNoQuorum: CheckedOptions['onNoQuorum']) {
    this.#onNoQuorum = onNoQuorum;
  }

  /** Decides anew: `taken` is the one figure that `submit` looks at. `waiting`: so many commands are in the outbox. */
  decide(status: GroupStatus | undefined, waiting: number): void {
    const quorum = status?.quorum ?? false;
    this.#decided ||= quorum || status?.role === 'candidate';
    if (this.#onNoQuorum === 'reject') this.taken = this.#decided && !quorum;
    else if (this.#onNoQuorum === 'queue') this.taken = !quorum || waiting > 0;
  }

  /** Throws ERR_NOT_READY for what needs a quorum, when there is none and the app does not want to wait. */
  check(fate?: 'refused'): void {
    if (this.taken && this.#onNoQuorum === 'reject')
      throw new QuorateError('ERR_NOT_READY', 'no quorum answers', { fate });
  }
}
