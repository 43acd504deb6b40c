/** What a soak found, for people and for programs. */
import type { Count, Tally } from './tally.js';

const NAME_WIDTH = 38;

/** The figures as text. */
export function report(tally: Tally, elapsedMs: number): string {
  const { seeds, events, virtualMs, committed, workMs, violations, counts } = tally;
  const hours = virtualMs / 3_600_000;
  const lines = [
    `${group(seeds)} seeds in ${span(elapsedMs)}: ${verdict(violations.length)}`,
    '',
    `  ${((seeds / elapsedMs) * 1000).toFixed(1)} seeds a second, ${hours.toFixed(2)} virtual hours` +
      ` (${(virtualMs / elapsedMs).toFixed(0)} times as fast as time)`,
    `  ${group(events)} events at ${events === 0 ? '-' : ((workMs * 1000) / events).toFixed(1)} µs` +
      `, ${group(committed)} log entries committed`,
  ];
  const never: string[] = [];
  for (const [title, prefix] of sections(counts)) {
    const rows = [...counts].filter(([name]) => sectionOf(name) === prefix).sort(byName);
    const reached = rows.filter(([, { total }]) => total > 0);
    for (const [name, { total }] of rows) if (total === 0) never.push(name);
    if (reached.length === 0) continue;
    lines.push('', `${title.padEnd(NAME_WIDTH + 2)}${'times'.padStart(14)}${'in seeds'.padStart(12)}`);
    for (const [name, count] of reached) lines.push(row(name.slice(prefix.length), count, seeds));
  }
  if (never.length > 0) lines.push('', `Never reached: ${never.join(', ')}`);
  const wrong = new Map<string, number[]>();
  for (const { seed, violation } of violations)
    wrong.set(violation!.invariant, [...(wrong.get(violation!.invariant) ?? []), seed]);
  for (const [invariant, which] of wrong) {
    const shown = which.slice(0, 20).join(', ') + (which.length > 20 ? ', …' : '');
    lines.push('', `VIOLATED: ${invariant} in ${which.length} of ${group(seeds)} seeds: ${shown}`);
  }
  return lines.join('\n');
}

/** The figures as a value for JSON. */
export function figures(tally: Tally, elapsedMs: number, first: number): object {
  const { seeds, events, virtualMs, committed, workMs, violations, counts } = tally;
  return {
    seeds,
    first,
    elapsedMs: Math.round(elapsedMs),
    seedsPerSecond: (seeds / elapsedMs) * 1000,
    virtualHours: virtualMs / 3_600_000,
    events,
    microsecondsPerEvent: events === 0 ? null : (workMs * 1000) / events,
    entriesCommitted: committed,
    counts: Object.fromEntries([...counts].sort(byName)),
    neverReached: [...counts].filter(([, { total }]) => total === 0).map(([name]) => name),
    violations: violations.map(({ seed, violation }) => ({ seed, ...violation })),
    node: process.version,
  };
}

function verdict(violations: number): string {
  if (violations === 0) return 'no violation';
  return violations === 1 ? 'ONE VIOLATION' : `${violations} VIOLATIONS`;
}

function sections(counts: ReadonlyMap<string, Count>): [title: string, prefix: string][] {
  const prefixes = new Set([...counts.keys()].map(sectionOf));
  const known: [string, string][] = [
    ['Faults done', 'fault: '],
    ['States reached', ''],
    ['Calls', 'calls: '],
    ['Messages', 'messages: '],
    ['Network', 'network: '],
    ['Disks', 'disk: '],
  ];
  const more = [...prefixes].filter((prefix) => !known.some(([, other]) => other === prefix));
  return [...known, ...more.map((prefix): [string, string] => [prefix.slice(0, -2), prefix])];
}

function sectionOf(name: string): string {
  return /^[a-z]+: /.exec(name)?.[0] ?? '';
}

function row(name: string, { total, seeds }: Count, all: number): string {
  const share = `${((seeds / all) * 100).toFixed(seeds < all / 100 ? 2 : 0)} %`;
  return `  ${name.padEnd(NAME_WIDTH)}${group(total).padStart(14)}${group(seeds).padStart(12)}${share.padStart(9)}`;
}

function byName([a]: [string, unknown], [b]: [string, unknown]): number {
  return a < b ? -1 : 1;
}

/** 1234567 as 1 234 567. */
export function group(n: number): string {
  return Math.round(n)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ' ');
}

/** A length of time, as one says it. */
export function span(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 100) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  const rest = Math.floor(seconds % 60);
  if (minutes < 60) return `${minutes} min ${rest} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
