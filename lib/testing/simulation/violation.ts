/** What a simulation says: that all is well, or what is not. */
import { QuorateError } from '../../errors.js';

/** An invariant that did not hold. */
export interface Violation {
  /** Which: `election safety`, `log matching`, `divergence`, … */
  readonly invariant: string;
  /** At which node it showed. */
  readonly node: string;
  /** Virtual milliseconds. */
  readonly time: number;
  readonly message: string;
}

/** What `check` found in order. */
export interface SimulationReport {
  readonly ok: true;
  /** Virtual milliseconds. */
  readonly now: number;
  /** Events that happened. */
  readonly events: number;
  /** The highest index that was committed. */
  readonly commitIndex: number;
  /** What happened how often: elections, snapshots, faults. */
  readonly counts: Readonly<Record<string, number>>;
}

/** The error for it; its message begins with the invariant. @internal */
export function violationError(seed: number, violation: Violation): QuorateError {
  const { invariant, time, node, message } = violation;
  const where = node === '' ? '' : `, node ${node}`;
  const text = `${invariant} (seed ${seed}, at ${time.toFixed(3)} ms${where}): ${message}`;
  return new QuorateError('ERR_INVARIANT', text, { data: violation });
}
