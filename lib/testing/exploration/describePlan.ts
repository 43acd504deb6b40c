/** A plan as text. */
import type { Fault } from './fault.js';
import type { RunPlan } from './plan.js';

/** What a plan says, one fault a line. */
export function describePlan(plan: RunPlan): string {
  const {
    seed,
    nodes,
    founders = nodes,
    witnesses = [],
    outside = [],
    faults,
    clients,
    thinkMs,
    safetyMs,
    core,
    rest,
  } = plan;
  const settings = (['network', 'disk', 'messages', 'clocks', 'snapshot', 'raft'] as const)
    .filter((name) => Object.keys(plan[name]).length > 0)
    .map((name) => `  ${name.padEnd(9)} ${inline(plan[name])}`);
  const others = Object.entries(rest).map(([id, fate]) => `${id} ${fate}`);
  return [
    `seed ${seed}: nodes ${nodes.join(' ')}, ${clients} clients (one call every ${thinkMs} ms each)`,
    ...(founders.length < nodes.length ? [`  founded by ${founders.join(' ')}`] : []),
    ...(witnesses.length > 0 ? [`  witnesses ${witnesses.join(' ')}`] : []),
    ...(outside.length > 0 ? [`  outside   ${outside.join(' ')}`] : []),
    ...(plan.priorities === undefined ? [] : [`  priority  ${inline(plan.priorities)}`]),
    ...settings,
    faults.length === 0
      ? `  no faults in ${safetyMs} ms`
      : `  ${faults.length} fault${faults.length === 1 ? '' : 's'} in ${safetyMs} ms:`,
    ...faults.map(({ at, fault }) => `  ${at.toFixed(0).padStart(7)} ms  ${describeFault(fault)}`),
    `  then ${core.join(' ')} mended${others.length === 0 ? '' : `, ${others.join(', ')}`}`,
  ].join('\n');
}

/** One fault, as `partition a+b | c for 500 ms`. */
export function describeFault(fault: Fault): string {
  const parts: string[] = [fault.kind];
  for (const [name, value] of Object.entries(fault)) {
    if (name === 'kind' || name === 'ms') continue;
    if (name === 'cuts' || name === 'resets')
      parts.push((value as string[][]).map((pair) => pair.join('-')).join(' '));
    else if (name === 'groups') parts.push((value as string[][]).map((group) => group.join('+')).join(' | '));
    else if (name === 'leaderAs') parts.push(`leader as ${String(value)}`);
    else if (name === 'from') parts.push(`${String(value)} >`);
    else if (name === 'add' || name === 'learn' || name === 'remove') {
      const ids = value as readonly string[];
      if (ids.length > 0) parts.push(`${name} ${ids.join('+')}`);
    } else if (typeof value === 'string') parts.push(value);
    else if (Array.isArray(value)) parts.push(value.join('+'));
    else if (value === true) parts.push(name);
    else if (value !== false)
      parts.push(typeof value === 'object' ? inline(value as object) : `${name} ${value}`);
  }
  if ('ms' in fault) parts.push(`for ${fault.ms} ms`);
  return parts.join(' ');
}

/** A value as `lossRate 0.1, bulk (latencyMs 5)`. */
function inline(value: object): string {
  return Object.entries(value)
    .filter(([, one]) => one !== undefined)
    .map(([name, one]) => `${name} ${textOf(one)}`)
    .join(', ');
}

function textOf(value: unknown): string {
  if (typeof value === 'number') return String(Number(value.toPrecision(4)));
  return typeof value === 'object' && value !== null ? `(${inline(value)})` : String(value);
}
