/** Candidates that overtook the offer they belong to, which two ways and datagrams let happen. @internal */
import type { NodeId } from '../../consensus/consensus.js';
import type { SetupMessage } from './messages.js';

type Candidates = Extract<SetupMessage, { kind: 'candidate' }>;

const maxSessions = 32;
const maxMessages = 18;

/** Keeps them for a while: the newest sessions, a few messages each, of 16 KiB at most. */
export class EarlyCandidates {
  readonly #kept = new Map<string, Candidates[]>();

  keep(from: NodeId, message: Candidates): void {
    const key = `${from} ${message.session}`;
    const kept = this.#kept.get(key);
    if (kept !== undefined) {
      if (kept.length < maxMessages) kept.push(message);
      return;
    }
    if (this.#kept.size >= maxSessions) {
      const oldest = this.#kept.keys().next();
      if (oldest.done !== true) this.#kept.delete(oldest.value);
    }
    this.#kept.set(key, [message]);
  }

  take(from: NodeId, session: string): readonly Candidates[] {
    const key = `${from} ${session}`;
    const kept = this.#kept.get(key) ?? [];
    this.#kept.delete(key);
    return kept;
  }
}
