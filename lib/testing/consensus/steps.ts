/** What tests of a consensus do again and again: wait, write, read, expect a refusal. */
import assert from 'node:assert/strict';
import { QuorateError, type ErrorCode } from '../../errors.js';
import type { QueryOptions, SubmitOptions } from '../../replica/replicaTypes.js';
import type { StateMachine } from '../../replica/stateMachine.js';
import { analyzeLinearizability } from '../linearizability/checkLinearizable.js';
import { keyValueModel } from '../linearizability/keyValueModel.js';
import type { Simulation } from '../simulation/simulation.js';
import type { Group } from './bench.js';

const WAIT_MS = 20_000;

/** Lets time pass until something holds. @internal */
export async function until<M extends StateMachine>(
  group: Simulation<M>,
  what: string,
  holds: () => boolean,
  maxMs = WAIT_MS,
): Promise<void> {
  if (await group.runUntil(holds, maxMs)) return;
  group.check();
  assert.fail(`not within ${maxMs} virtual ms: ${what}; ${states(group)}`);
}

function states<M extends StateMachine>(group: Simulation<M>): string {
  const of = (id: string): string => {
    const { role, leader, epoch, appliedIndex } = group.replica(id).status();
    return `${id} ${group.state(id)} ${role} of ${leader ?? '-'} in ${epoch} at ${appliedIndex}`;
  };
  return group.nodes.map(of).join(', ');
}

/** Waits until one of these leads; answers who. @internal */
export async function led<M extends StateMachine>(
  group: Simulation<M>,
  among: readonly string[] = group.nodes,
): Promise<string> {
  await until(group, `one of ${among.join(', ')} leads`, () => among.includes(group.leader() ?? ''));
  return group.leader()!;
}

/** Waits until these are up and stand at the newest index. @internal */
export async function level<M extends StateMachine>(
  group: Simulation<M>,
  ids: readonly string[] = group.nodes,
): Promise<void> {
  const isLevel = (id: string): boolean =>
    group.state(id) === 'up' && group.replica(id).status().appliedIndex >= group.commitIndex;
  await until(group, 'all stand at the same index', () => ids.every(isLevel));
}

/** Waits until a node is up. @internal */
export function up<M extends StateMachine>(group: Simulation<M>, id: string): Promise<void> {
  return until(group, `${id} is up`, () => group.state(id) === 'up');
}

/** Waits until these are all the members there are, each with the storage it has, and no change is under way. @internal */
export function settled<M extends StateMachine>(group: Simulation<M>, ids: readonly string[]): Promise<void> {
  const expected = ids.toSorted().join(' ');
  return until(
    group,
    `the members are ${expected}`,
    () => group.group.members.settled(ids) && ids.every((id) => members(group, id) === expected),
  );
}

/** The nodes that do not lead. @internal */
export function others<M extends StateMachine>(group: Simulation<M>): [string, string, ...string[]] {
  return group.nodes.filter((id) => id !== group.leader()) as [string, string, ...string[]];
}

/** Writes through a node, which may be starting still. @internal */
export async function put(
  group: Group,
  id: string,
  key: string,
  value: unknown,
  options: SubmitOptions = {},
) {
  if (group.state(id) === 'starting') await up(group, id);
  return group.settle(group.replica(id).submit({ op: 'put', key, value }, options));
}

/** Reads through a node, which may be starting still. @internal */
export async function get(group: Group, id: string, key: string, options: QueryOptions = {}) {
  if (group.state(id) === 'starting') await up(group, id);
  return group.settle(group.replica(id).query({ op: 'get', key }, options));
}

/** The voters of a group as one of its members knows them, and others in parentheses. @internal */
export function members<M extends StateMachine>(group: Simulation<M>, id: string): string {
  const list = group.replica(id).status().members;
  const name = (member: (typeof list)[number]): string =>
    member.as === 'voter' ? member.id : `(${member.id})`;
  return list.map(name).sort().join(' ');
}

/** What a call throws, at once or later. @internal */
export async function thrown(call: () => unknown, ...codes: readonly ErrorCode[]): Promise<QuorateError> {
  try {
    await call();
  } catch (error) {
    if (error instanceof QuorateError && codes.includes(error.code)) return error;
    throw error;
  }
  assert.fail(`it did not fail with ${codes.join(' or ')}`);
}

/** The error of a call that may fail, so that nobody has to wait for it; undefined when it went well. @internal */
export function failure(call: Promise<unknown>): Promise<QuorateError | undefined> {
  return call.then(
    () => undefined,
    (error: unknown) => {
      if (error instanceof QuorateError) return error;
      throw error;
    },
  );
}

/** There is an order of the calls that explains what all of them were answered. @internal */
export function assertLinearizable(group: Group): void {
  const { verdict, text } = analyzeLinearizability(keyValueModel(), group.history, { timeoutMs: 20_000 });
  assert.equal(verdict, 'ok', text);
}
