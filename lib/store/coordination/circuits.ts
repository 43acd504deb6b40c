/**
 * A circuit breaker for each member, for the requests of reads and writes: a member that takes frames and does not answer costs no
 * time-outs for long. Comparing and handing over go past it: they are what finds out that a member answers again.
 *
 * @internal
 */
import type { NodeId } from '../../consensus/consensus.js';
import type { Environment } from '../../environment.js';
import { QuorateError } from '../../errors.js';
import { circuitBreaker, type CircuitBreaker, type CircuitState } from '../../failure/circuitBreaker.js';

/** Of the last so many requests half have to time out. */
const CALLS = 20;
const MINIMUM_CALLS = 5;
/** For how long a circuit stays open, in milliseconds. */
const OPEN_MS = 2000;

export class Circuits {
  readonly #environment: Environment;
  readonly #breakers = new Map<NodeId, CircuitBreaker>();

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  /** Makes a call, or rejects with ERR_CIRCUIT_OPEN. */
  run<T>(member: NodeId, call: () => Promise<T>): Promise<T> {
    let breaker = this.#breakers.get(member);
    if (breaker === undefined) {
      breaker = circuitBreaker({
        name: `the circuit to ${member}`,
        window: { calls: CALLS },
        minimumCalls: MINIMUM_CALLS,
        openMs: OPEN_MS,
        now: () => this.#environment.now(),
        // A link that is gone is told at once, and mended by others.
        isFailure: (error) => error instanceof QuorateError && error.code === 'ERR_TIMEOUT',
      });
      this.#breakers.set(member, breaker);
    }
    return breaker.run(call);
  }

  /** The member answers, or has a new link: what was before says nothing any more. */
  reset(member: NodeId): void {
    this.#breakers.delete(member);
  }

  /** Those that do not let all calls through. */
  states(): Record<NodeId, CircuitState> {
    const out: Record<NodeId, CircuitState> = {};
    for (const [member, { state }] of this.#breakers) if (state !== 'closed') out[member] = state;
    return out;
  }
}
