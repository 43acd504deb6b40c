/** Which events of a run a reader wants to see. */
import type { TraceEvent } from '../simulation/trace.js';

/** Always; near the violation only; only when everything is asked for. */
export type Weight = 'always' | 'close up' | 'all';

/** Heartbeats, their answers and credits are no longer than this. */
const SMALL_BYTES = 16;

const outstanding: ReadonlySet<string> = new Set([
  ...['VIOLATION', 'start', 'up', 'failed', 'kill', 'power loss'],
  ...['leader', 'candidate', 'follower', 'learner', 'witness', 'truncate', 'install'],
  ...['disk stall', 'disk flip', 'disk wipe'],
]);
const routine: ReadonlySet<string> = new Set(['rendezvous', 'disk kill']);

/** `named`: the trace says what messages say, so that bytes that arrive are of no interest. */
export function classify({ kind, node, detail }: TraceEvent, named: boolean): Weight {
  if (outstanding.has(kind)) return 'always';
  if (kind === 'disk crash') return /lost 0 zeroed 0 garbage 0$/.test(detail) ? 'all' : 'always';
  if (kind.startsWith('disk ')) {
    if (isDiskError(detail)) return 'always';
    return kind === 'disk sync' ? 'close up' : 'all';
  }
  if (kind === 'deliver') return named || isSmall(detail) ? 'all' : 'close up';
  if (kind === 'message') return /^\S+ heartbeat /.test(detail) ? 'all' : 'close up';
  if (kind === 'resend' || kind === 'link' || kind === 'unlink' || kind === 'commit') return 'close up';
  if (routine.has(kind)) return 'all';
  return node === '' ? 'always' : 'close up';
}

/** Whether what a disk was asked for failed: its error comes last. */
export function isDiskError(detail: string): boolean {
  return / E[A-Z]{2,}$/.test(detail);
}

function isSmall(detail: string): boolean {
  const [, , messages, bytes] = detail.split(' ');
  return Number(bytes) <= SMALL_BYTES * Number(messages);
}
