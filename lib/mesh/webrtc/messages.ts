/** What two nodes tell each other through the rendezvous to set up a link. @internal */
import type { LaneName } from '../transport.js';

/** Candidates that one lane of one set-up may have. */
export const maxCandidates = 32;
/** Most bytes of a message. */
const maxMessageBytes = 32_768;

/** One signalling message. `session` names the set-up: messages of an abandoned one are ignored. */
export type SetupMessage =
  /** "I have no link to you; please offer": from the side that does not offer. */
  | { readonly kind: 'ask' }
  | {
      readonly kind: 'offer' | 'answer';
      readonly session: string;
      readonly lane: LaneName;
      readonly sdp: string;
      readonly candidates: readonly string[];
    }
  | {
      readonly kind: 'candidate';
      readonly session: string;
      readonly lane: LaneName;
      readonly candidates: readonly string[];
    };

/** Session names are random: 128 bits in hexadecimal. */
const sessionPattern = /^[0-9a-f]{32}$/;

export function encodeSetupMessage(message: SetupMessage): string {
  return JSON.stringify({ v: 1, ...message });
}

/** Reads what another member sent, which is not to be trusted; `undefined` for what makes no sense. */
export function decodeSetupMessage(payload: string): SetupMessage | undefined {
  if (payload.length > maxMessageBytes) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(payload);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { v, kind, session, lane, sdp, candidates } = value as Record<string, unknown>;
  if (v !== 1) return undefined;
  if (kind === 'ask') return { kind };
  if (typeof session !== 'string' || !sessionPattern.test(session)) return undefined;
  if (lane !== 'control' && lane !== 'bulk') return undefined;
  if (!isTexts(candidates)) return undefined;
  if (kind === 'candidate') return { kind, session, lane, candidates };
  if ((kind !== 'offer' && kind !== 'answer') || typeof sdp !== 'string') return undefined;
  return { kind, session, lane, sdp, candidates };
}

function isTexts(value: unknown): value is readonly string[] {
  return (
    Array.isArray(value) && value.length <= maxCandidates && value.every((item) => typeof item === 'string')
  );
}
