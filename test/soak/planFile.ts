/** Plans as files, so that a failure can be run again exactly. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { configError, QuorateError } from '../../lib/errors.js';
import type { RunPlan } from '../../lib/testing/exploration/plan.js';
import { faultKinds } from '../../lib/testing/exploration/planFaults.js';

/** Where failures are saved. */
const DIRECTORY = 'build/soak';

export function planPath(seed: number, smaller: boolean): string {
  return `${DIRECTORY}/seed-${seed}${smaller ? '-minimised' : ''}.json`;
}

export async function savePlan(path: string, plan: RunPlan): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `${JSON.stringify(plan, null, 2)}\n`);
}

/** Throws ERR_CONFIG for what is no plan. */
export async function loadPlan(path: string): Promise<RunPlan> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, 'utf8'));
  } catch (cause) {
    throw new QuorateError('ERR_CONFIG', `--plan ${path} cannot be read: ${(cause as Error).message}`, {
      cause,
    });
  }
  return checkPlan(value);
}

/** What a plan says in detail is checked by the simulation that it is for. */
export function checkPlan(value: unknown): RunPlan {
  if (typeof value !== 'object' || value === null)
    throw configError('--plan', value, 'a file with a plan in it');
  const plan = value as Record<keyof RunPlan, unknown>;
  for (const name of ['seed', 'applyMs', 'clients', 'thinkMs', 'safetyMs'] as const)
    if (typeof plan[name] !== 'number') throw configError(`--plan: ${name}`, plan[name], 'a number');
  for (const name of ['network', 'disk', 'messages', 'clocks', 'snapshot', 'raft', 'rest'] as const)
    if (typeof plan[name] !== 'object' || plan[name] === null)
      throw configError(`--plan: ${name}`, plan[name], 'an object');
  for (const name of ['nodes', 'core', 'faults'] as const)
    if (!Array.isArray(plan[name])) throw configError(`--plan: ${name}`, plan[name], 'a list');
  for (const [at, planned] of (plan.faults as unknown[]).entries()) {
    if (typeof planned !== 'object' || planned === null)
      throw configError(`--plan: faults[${at}]`, planned, 'an object');
    const { at: time, fault } = planned as { at?: unknown; fault?: { kind?: unknown } };
    if (typeof time !== 'number') throw configError(`--plan: faults[${at}].at`, time, 'a number');
    if (!faultKinds.some((kind) => kind === fault?.kind))
      throw configError(`--plan: faults[${at}].fault.kind`, fault?.kind, `one of ${faultKinds.join(', ')}`);
  }
  return value as RunPlan;
}
