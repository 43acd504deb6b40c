/** The outcomes that a node knows, and who waits for them. @internal */
import { QuorateError } from '../../errors.js';
import { MAX_REMEMBERED } from './limits.js';

type Outcome = 'commit' | 'abort';

export class Outcomes {
  /** Also of those that everybody has carried out: the newest ones. */
  readonly #known = new Map<string, Outcome>();
  readonly #waiting = new Map<string, Set<(outcome: Outcome | QuorateError) => void>>();

  get(id: string): Outcome | undefined {
    return this.#known.get(id);
  }

  set(id: string, outcome: Outcome): void {
    this.#known.set(id, outcome);
    if (this.#known.size > MAX_REMEMBERED) this.#known.delete(this.#known.keys().next().value!);
    this.#settle(id, outcome);
  }

  /** It never began. */
  fail(id: string, error: QuorateError): void {
    this.#settle(id, error);
  }

  failAll(error: QuorateError): void {
    for (const id of [...this.#waiting.keys()]) this.#settle(id, error);
  }

  /** Resolves once it is known; rejects when the signal fires, with its reason. */
  of(id: string, signal: AbortSignal | undefined): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      const known = this.#known.get(id);
      if (known !== undefined) {
        resolve(known);
        return;
      }
      const waiting = this.#waiting.get(id) ?? new Set();
      this.#waiting.set(id, waiting);
      const settle = (outcome: Outcome | Error): void => {
        waiting.delete(settle);
        if (waiting.size === 0 && this.#waiting.get(id) === waiting) this.#waiting.delete(id);
        signal?.removeEventListener('abort', onAbort);
        if (outcome instanceof Error) reject(outcome);
        else resolve(outcome);
      };
      const onAbort = (): void => settle(signal!.reason as Error);
      waiting.add(settle);
      if (signal?.aborted === true) onAbort();
      else signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  #settle(id: string, outcome: Outcome | QuorateError): void {
    for (const settle of [...(this.#waiting.get(id) ?? [])]) settle(outcome);
  }
}
