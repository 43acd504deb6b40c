/** What two nodes tell each other through the rendezvous to set up a link. @internal */
/** Candidates that one lane of one set-up may have. */
export const maxCandidates = 32;
/** Most bytes of a message. */
const maxMessageBytes = 32_768;

/** Connections that the bulk lane may be spread over. */
export const maxBulkConnections = 8;

/** The connections of a link. A version that knows only the first two ignores the others. */
export const connectionNames = [
  'control',
  'bulk',
  'bulk2',
  'bulk3',
  'bulk4',
  'bulk5',
  'bulk6',
  'bulk7',
  'bulk8',
] as const;
export type ConnectionName = (typeof connectionNames)[number];

/** The place of a bulk connection among its like: 0 for the first. */
export function bulkIndex(name: ConnectionName): number {
  return Math.max(0, connectionNames.indexOf(name) - 1);
}

/** One signalling message. `session` names the set-up: messages of an abandoned one are ignored. */
export type SetupMessage =
  /** "I have no link to you; please offer": from the side that does not offer. */
  | {
      readonly kind: 'ask';
      /** Tells one ask from the next; older versions have none. */
      readonly id?: string;
    }
  | {
      readonly kind: 'offer' | 'answer';
      readonly session: string;
      readonly lane: ConnectionName;
      /** How many the offerer would like, and how many of them the answerer takes. */
      readonly bulkConnections: number;
      /** The offerer takes nothing but relayed paths: the answerer is to use its TURN servers too. */
      readonly bothRelay?: boolean;
      readonly sdp: string;
      readonly candidates: readonly string[];
    }
  | {
      readonly kind: 'candidate';
      readonly session: string;
      readonly lane: ConnectionName;
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
  const {
    v,
    kind,
    id,
    session,
    lane,
    sdp,
    candidates,
    bulkConnections = 1,
    bothRelay = false,
  } = value as Record<string, unknown>;
  if (v !== 1) return undefined;
  if (kind === 'ask') {
    if (id === undefined) return { kind };
    return isSessionName(id) ? { kind, id } : undefined;
  }
  if (!isSessionName(session) || !isConnectionName(lane) || !isTexts(candidates)) return undefined;
  if (kind === 'candidate') return { kind, session, lane, candidates };
  if ((kind !== 'offer' && kind !== 'answer') || typeof sdp !== 'string') return undefined;
  if (!isBulkCount(bulkConnections) || bulkIndex(lane) >= bulkConnections) return undefined;
  if (typeof bothRelay !== 'boolean') return undefined;
  return { kind, session, lane, bulkConnections, ...(bothRelay && { bothRelay }), sdp, candidates };
}

function isSessionName(value: unknown): value is string {
  return typeof value === 'string' && sessionPattern.test(value);
}

function isConnectionName(value: unknown): value is ConnectionName {
  return connectionNames.includes(value as ConnectionName);
}

function isBulkCount(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= maxBulkConnections;
}

function isTexts(value: unknown): value is readonly string[] {
  return (
    Array.isArray(value) && value.length <= maxCandidates && value.every((item) => typeof item === 'string')
  );
}
