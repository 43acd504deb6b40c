/** Readers of the recorded histories, and the model of those with appends. */
import { readFileSync } from 'node:fs';
import type { Model, Operation } from '../../../../lib/testing/linearizability/model.js';
import type { RegisterInput } from '../../../../lib/testing/linearizability/registerModel.js';

const DIRECTORY = 'test/data/linearizability';

export type RegisterOperation = Operation<RegisterInput<number>, number | boolean | null | undefined>;

export function readVerdicts(): Record<string, boolean> {
  return JSON.parse(readFileSync(`${DIRECTORY}/verdicts.json`, 'utf8')) as Record<string, boolean>;
}

type Pending<I> = { process: number; call: number; input: I };

export function readRegisterHistory(name: string): RegisterOperation[] {
  const history: RegisterOperation[] = [];
  const pending = new Map<number, Pending<RegisterInput<number>>>();
  for (const [time, line] of lines(name).entries()) {
    const match = /jepsen\.util - (\d+)\s+:(\w+)\s+:(\w+)\s+(.*)$/.exec(line);
    if (match === null) throw new Error(`${name}: ${line}`);
    const process = Number(match[1]);
    const [, , kind, op, argument] = match;
    const numbers = (argument!.match(/\d+/g) ?? []).map(Number);
    if (kind === 'invoke') {
      const input: RegisterInput<number> =
        op === 'read'
          ? { op: 'read' }
          : op === 'write'
            ? { op: 'write', value: numbers[0]! }
            : { op: 'cas', expected: numbers[0]!, value: numbers[1]! };
      if (pending.has(process)) throw new Error(`${name}: process ${process} calls twice`);
      pending.set(process, { process, call: time, input });
      continue;
    }
    const call = pending.get(process);
    if (call === undefined) throw new Error(`${name}: process ${process} did not call`);
    pending.delete(process);
    if (kind === 'info') history.push({ ...call, return: Infinity, output: undefined });
    else {
      const output = op === 'read' ? (numbers[0] ?? null) : op === 'cas' ? kind === 'ok' : undefined;
      history.push({ ...call, return: time, output });
    }
  }
  for (const call of pending.values()) history.push({ ...call, return: Infinity, output: undefined });
  return history;
}

export type TextInput = { op: 'get' | 'put' | 'append'; key: string; value: string };

/** Strings under keys, with append, which the library's own machine does not have. */
export const textModel: Model<string, TextInput, string | undefined> = {
  init: () => '',
  step(state, { op, value }, output) {
    if (op === 'get') return { ok: output === undefined || output === state, state };
    return { ok: true, state: op === 'put' ? value : state + value };
  },
  partition(history) {
    const keys = new Set(history.map((operation) => operation.input.key));
    return [...keys].map((key) => history.filter((operation) => operation.input.key === key));
  },
};

export function readTextHistory(name: string): Operation<TextInput, string | undefined>[] {
  const history: Operation<TextInput, string | undefined>[] = [];
  const pending = new Map<number, Pending<TextInput>>();
  for (const [time, line] of lines(name).entries()) {
    const match = /:process (\d+), :type :(\w+), :f :(\w+), :key "(.*)", :value (nil|"(.*)")\}/.exec(line);
    if (match === null) throw new Error(`${name}: ${line}`);
    const process = Number(match[1]);
    const value = match[6] ?? '';
    if (match[2] === 'invoke') {
      pending.set(process, {
        process,
        call: time,
        input: { op: match[3] as TextInput['op'], key: match[4]!, value },
      });
    } else {
      history.push({
        ...pending.get(process)!,
        return: time,
        output: match[3] === 'get' ? value : undefined,
      });
    }
  }
  return history;
}

function lines(name: string): string[] {
  return readFileSync(`${DIRECTORY}/${name}`, 'utf8')
    .split('\n')
    .filter((line) => line.trim() !== '');
}
