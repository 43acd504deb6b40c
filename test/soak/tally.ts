/** Sums over the runs of a soak. */
import type { FaultKind } from '../../lib/testing/exploration/fault.js';
import { faultKinds } from '../../lib/testing/exploration/planFaults.js';
import type { RunOutcome } from '../../lib/testing/exploration/runPlan.js';
import type { Done } from './messages.js';

/** How often something happened, and in how many runs. */
export interface Count {
  total: number;
  seeds: number;
}

/** What a soak that is worth its time comes to see; what it never saw is said. */
const expected: readonly string[] = [
  'reigns',
  'became candidate',
  'became follower',
  'truncations',
  'snapshots installed',
  'states compared',
  'restarts',
  'kills',
  'power losses',
  'commands applied',
  'commands submitted again',
  'runs that served and converged',
  'runs that reached their members',
  'runs that admitted a storage again in the end',
  'memberships committed',
  'changes of the members done',
  'removals of the leader asked for',
  'removals of dead nodes asked for',
  'transfers done',
  'stops',
  'stops of the leader',
  'disks replaced',
  'snapshots sent',
  'snapshots sent by followers',
  'snapshots resumed',
  'transfers broken',
  'commands submitted from outside',
  'histories judged ok',
  'replicas failed (ERR_STORAGE_FAILED)',
  'replicas failed (ERR_STORAGE_CORRUPT)',
  ...['ok', 'ambiguous', 'refused', 'crashed'].map((end) => `calls: ${end}`),
  ...['lost', 'duplicated', 'reordered'].map((fate) => `messages: ${fate}`),
  ...[
    'cuts',
    'clogs',
    'heals',
    'resets',
    'linksBroken',
    'packetsLost',
    'retransmissions',
    'setupsFailed',
  ].map((kind) => `network: ${kind}`),
  ...['write', 'sync', 'read', 'open', 'rename'].map((operation) => `disk: ${operation} failed`),
  ...['full', 'stall', 'flip', 'wipe', 'sync lost', 'write interrupted'].map((kind) => `disk: ${kind}`),
  ...['kept', 'lost', 'zeroed'].map((fate) => `disk: sector ${fate}`),
  'disk: name lost',
];

export class Tally {
  seeds = 0;
  events = 0;
  virtualMs = 0;
  committed = 0;
  /** Real milliseconds that the runs took, on all processes together. */
  workMs = 0;
  readonly violations: RunOutcome[] = [];
  readonly counts = new Map<string, Count>();

  /** `kinds`: the faults that may be done. */
  constructor(kinds: readonly FaultKind[] = faultKinds) {
    for (const name of [...expected, ...kinds.map((kind) => `fault: ${kind}`)])
      this.counts.set(name, { total: 0, seeds: 0 });
  }

  add({ outcome, ms }: Done): void {
    this.seeds++;
    this.events += outcome.events;
    this.virtualMs += outcome.virtualMs;
    this.committed += outcome.commitIndex;
    this.workMs += ms;
    if (outcome.violation !== undefined) this.violations.push(outcome);
    for (const [name, n] of Object.entries(outcome.counts)) {
      const count = this.counts.get(name) ?? { total: 0, seeds: 0 };
      count.total += n;
      if (n > 0) count.seeds++;
      this.counts.set(name, count);
    }
  }
}
