/** Carrying out a decision: every group and every resource learns it, and then the home may forget it. @internal */
import type { Enlisted, Marked } from './commands.js';
import { marked } from './commands.js';
import type { Outcome } from './decisions.js';
import type { TransactionResource } from './resource.js';

/** What there is to carry out. */
export interface Verdict {
  readonly id: string;
  readonly outcome: Outcome;
  readonly groups: readonly string[];
  readonly resources: readonly Enlisted[];
}

/** Who does it. */
export interface Hands {
  /** Has a group apply a command; rejects if that may not have happened. */
  ask(group: string, command: Marked): Promise<unknown>;
  resource(name: string): TransactionResource | undefined;
  /** Something went otherwise than it should. */
  warn(error: Error): void;
}

/** Whether all have learned it. Never rejects. */
export async function carryOut({ id, outcome, groups, resources }: Verdict, hands: Hands): Promise<boolean> {
  const told = groups.map(async (group) => {
    const answer = (await hands.ask(group, marked('finish', { id, outcome }))) as FinishAnswer;
    if (answer.failed !== undefined) hands.warn(brokenMachine(id, group, answer.failed));
    return answer.done;
  });
  const done = resources.map(async ({ name, payload }) => {
    const resource = hands.resource(name);
    if (resource === undefined) return false;
    try {
      await resource[outcome](id, payload);
    } catch (cause) {
      hands.warn(
        new Error(`the resource ${name} did not ${outcome} ${id}; it is asked again: ${String(cause)}`, {
          cause,
        }),
      );
      return false;
    }
    return true;
  });
  const results = await Promise.allSettled([...told, ...done]);
  return results.every((result) => result.status === 'fulfilled' && result.value);
}

/** What a group answers to `finish`. */
export interface FinishAnswer {
  readonly done: boolean;
  readonly failed?: string;
}

/** A command did not go as it was rehearsed: the machine's `touches` or `rehearse` is wrong. */
export function brokenMachine(id: string, group: string, why: string): Error {
  return new Error(
    `a command of the transaction ${id} went otherwise in ${group} than when it was rehearsed, which is a bug of its state machine: ${why}`,
  );
}
