/**
 * A state machine and clients whose histories can be judged in linear time: every write has a serial of its own, every answer
 * says at which index it was true.
 */
import { defineMachine } from '../../machines/defineMachine.js';
import { checkLinearizable } from '../linearizability/checkLinearizable.js';
import type { ApplyContext, StateMachine } from '../../replica/stateMachine.js';
import type { HistoryOperation } from '../simulation/history.js';
import type { Random } from '../simulation/random.js';
import { serialsModel } from './serialsModel.js';
import type { ClientStep, Subject } from './subject.js';

interface State {
  /** Every write: its index, its key, its serial. */
  log: [index: number, key: number, serial: number][];
  /** The last serial of each key. */
  last: Record<string, number>;
  /** What the last writes carried, so that snapshots can be large. */
  ballast: Uint8Array[];
}

interface Write {
  readonly key: number;
  readonly serial: number;
  readonly ballast: Uint8Array;
}

/** What a write does and a read asks. */
export type SerialInput = ({ readonly op: 'write' } & Write) | { readonly op: 'read'; readonly key: number };
interface Output {
  readonly index: number;
  readonly serial: number;
}

/** Makes the machine. */
export function serialsMachine(): StateMachine {
  return defineMachine({
    version: 1,
    initial: (): State => ({ log: [], last: {}, ballast: [] }),
    commands: {
      write: (state, { key, serial, ballast }: Write, context: ApplyContext): Output => {
        const before = state.last[key] ?? 0;
        state.log.push([context.index, key, serial]);
        state.last[key] = serial;
        state.ballast[serial % BALLAST] = ballast;
        return { index: context.index, serial: before };
      },
    },
    queries: {
      read: (state, { key }: { key: number }): Output => ({
        index: state.log.at(-1)?.[0] ?? 0,
        serial: state.last[key] ?? 0,
      }),
      all: (state) => state.log,
    },
  });
}

/** How many writes' ballast the state keeps. */
const BALLAST = 8;

/** What the clients of one run do. */
function workload(setting: Random): (random: Random) => ClientStep {
  const keys = 1 + setting.integer(6);
  const bytes = setting.pick([0, 20, 400, 3000, 20_000]);
  const reads = setting.pick([0.1, 0.5, 0.8]);
  let serials = 0;
  return (random) => {
    const key = random.integer(keys);
    if (random.chance(reads)) return { query: { op: 'read', key } satisfies SerialInput };
    const serial = ++serials;
    const ballast = new Uint8Array(random.integer(bytes + 1));
    const requestId = random.chance(0.2) ? `chosen ${serial}` : undefined;
    return { command: { op: 'write', key, serial, ballast } satisfies SerialInput, requestId };
  };
}

/** The machine, its clients, and both judges. */
export const serials: Subject = {
  machine: serialsMachine,
  workload,
  judge(history, simulation, member, sample) {
    const log = simulation.replica(member).peek({ op: 'all' }) as [number, number, number][];
    const wrong = judgeSerials(history, log);
    if (wrong !== undefined || !sample) return wrong;
    const verdict = checkLinearizable(serialsModel, history, { timeoutMs: 2000 });
    simulation.count(`histories judged ${verdict}`);
    return verdict === 'illegal' ? 'no order of the calls explains the answers' : undefined;
  },
};

/**
 * Judges a history against the log in which all writes are found in the end. Answers what is wrong, or undefined. Linear, but for
 * sorting.
 */
export function judgeSerials(
  history: readonly HistoryOperation[],
  log: readonly (readonly [index: number, key: number, serial: number])[],
): string | undefined {
  const places = new Map<number, number>();
  for (const [at, [index, , serial]] of log.entries()) {
    if (places.has(serial)) return `serial ${serial} was applied twice`;
    if (at > 0 && index <= log[at - 1]![0]) return `index ${index} follows ${log[at - 1]![0]}`;
    places.set(serial, at);
  }
  // What was refused is not in the history.
  const known = new Set(history.map(({ input }) => (input as { readonly serial?: number }).serial));
  for (const [index, , serial] of log)
    if (!known.has(serial)) return `serial ${serial} was refused and is at ${index}`;
  const answered = history.filter((operation) => operation.return !== Infinity);
  for (const operation of answered) {
    const wrong = judgeAnswer(operation, log, places);
    if (wrong !== undefined) return wrong;
  }
  return judgeOrder(answered);
}

/** Whether what was answered was true at the index it names. */
function judgeAnswer(
  operation: HistoryOperation,
  log: readonly (readonly [index: number, key: number, serial: number])[],
  places: ReadonlyMap<number, number>,
): string | undefined {
  const input = operation.input as SerialInput;
  const { index, serial } = (operation.output ?? {}) as Partial<Output>;
  if (index === undefined || serial === undefined)
    return `${input.op} was answered ${String(operation.output)}`;
  let at: number;
  if (input.op === 'write') {
    const place = places.get(input.serial);
    if (place === undefined) return `serial ${input.serial} was acknowledged at ${index} and is lost`;
    if (log[place]![0] !== index)
      return `serial ${input.serial} was acknowledged at ${index} and is at ${log[place]![0]}`;
    at = place - 1;
  } else {
    at = placeOf(log, index);
    if (index > 0 && log[at]?.[0] !== index)
      return `a read answers of index ${index}, where there is no write`;
  }
  const expected = lastOfKey(log, at, input.key);
  if (serial === expected) return undefined;
  return `${input.op} of key ${input.key} at ${index} answers serial ${serial}, it was ${expected}`;
}

function placeOf(log: readonly (readonly [number, number, number])[], index: number): number {
  let low = 0;
  let high = log.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    if (log[middle]![0] <= index) low = middle + 1;
    else high = middle - 1;
  }
  return high;
}

function lastOfKey(log: readonly (readonly [number, number, number])[], at: number, key: number): number {
  for (let i = at; i >= 0; i--) if (log[i]![1] === key) return log[i]![2];
  return 0;
}

/** Real time: what was answered before another call began comes before it. */
function judgeOrder(answered: readonly HistoryOperation[]): string | undefined {
  const byCall = answered.toSorted((a, b) => a.call - b.call);
  const byReturn = answered.toSorted((a, b) => a.return - b.return);
  let floor = -1;
  let at = 0;
  for (const operation of byCall) {
    while (at < byReturn.length && byReturn[at]!.return < operation.call) {
      floor = Math.max(floor, (byReturn[at]!.output as Output).index);
      at++;
    }
    const { index } = operation.output as Output;
    const isWrite = (operation.input as SerialInput).op === 'write';
    if (isWrite ? index <= floor : index < floor) {
      const what = isWrite ? `a write at ${index}` : `a read of ${index}`;
      return `${what} was called at ${operation.call.toFixed(3)}, after an answer that showed ${floor}`;
    }
  }
  return undefined;
}
