/** Request ids: an app's own, or one that names a sequence of a session, as an ambiguous error carries it. */
import { configError } from '../errors.js';

/** A command's place in the sequence of a session. */
export interface SequenceId {
  readonly session: number;
  readonly sequence: number;
}

const own = /^q:(\d{1,15}):(\d{1,15})$/;

export function formatRequestId({ session, sequence }: SequenceId): string {
  return `q:${session}:${sequence}`;
}

/** Reads a request id: a sequence, or a string of the app's. Throws ERR_CONFIG for anything else. */
export function parseRequestId(value: unknown): SequenceId | string {
  if (typeof value !== 'string' || value.length === 0 || value.length > 256) {
    throw configError('requestId', value, 'a string of 1 to 256 characters');
  }
  const match = own.exec(value);
  return match ? { session: Number(match[1]), sequence: Number(match[2]) } : value;
}
