/** The commands and queries of transactions in the log of a group. They come from other members: every field is checked. @internal */
import {
  bad,
  flagOf,
  isRecord,
  listOf,
  numberOf,
  oneOf,
  optional,
  text,
  textOf,
  type Fields,
} from './fields.js';

/** Begins every command and query of transactions; a machine's own must not be arrays that begin with it. */
export const MARK = 'quorate:transaction';

/** Limits that are the same on all members, for ever; changing one needs a new version of the wrapper. */
export const LIMITS = {
  /** Transactions that a group takes part in at once. */
  branches: 4096,
  /** Commands of one transaction in one group, and their bytes. */
  steps: 1024,
  stepBytes: 4 * 1024 * 1024,
  /** Keys and prefixes that are locked in a group, and those of one transaction. */
  locks: 65_536,
  branchLocks: 4096,
  /** Bytes of the commands of all transactions under way in a group. */
  bytes: 64 * 1024 * 1024,
  /** Transactions whose decision a group keeps; and outcomes kept under a request id, with the bytes of their results. */
  decisions: 65_536,
  requests: 65_536,
  requestBytes: 64 * 1024 * 1024,
  resultBytes: 65_536,
  /** For how long a request id is remembered after its commit, by log time. */
  requestMs: 3_600_000,
  /** How far the log time of a home may be from the clock of who begins a transaction; also how long tombstones may live, twice. */
  stampMs: 600_000,
  /** The longest that a transaction may take. */
  timeoutMs: 300_000,
  participants: 64,
  keyBytes: 65_536,
} as const;

/** A transaction's place in the order of ages: smaller is older. Kept over its attempts, so that it gets older than all others. */
export interface Age {
  readonly time: number;
  readonly id: string;
}

/** Whether `a` is older. */
export function older(a: Age, b: Age): boolean {
  return a.time < b.time || (a.time === b.time && a.id < b.id);
}

/** A resource of the user's that takes part, and what it is told. */
export interface Enlisted {
  readonly name: string;
  readonly payload: unknown;
}

/** One operation of a transaction in a group: takes the locks that it needs, and rehearses. */
export interface StepCommand {
  readonly id: string;
  readonly age: Age;
  /** The group whose log holds the decision. */
  readonly home: string;
  /** When the attempt began, by the clock of who drives it. */
  readonly at: number;
  /** For how long the locks are kept without another step, by log time. */
  readonly leaseMs: number;
  /** The transaction has been here before: if it is not known, it was thrown out. */
  readonly opened: boolean;
  readonly kind: 'command' | 'query';
  /** A query takes exclusive locks, as a command does. */
  readonly exclusive: boolean;
  readonly body: unknown;
}

/** Makes the group's part last until the decision. */
export interface PrepareCommand {
  readonly id: string;
  /** So many commands the group must have. */
  readonly steps: number;
}

/** The home learns of a transaction, before anybody's part is asked to last. */
export interface RegisterCommand {
  readonly id: string;
  readonly at: number;
  readonly leaseMs: number;
  readonly groups: readonly string[];
  readonly resources: readonly Enlisted[];
  readonly request: string | undefined;
  /** The commands of the home itself, if it has a part; it is prepared in the same moment. */
  readonly steps: number | undefined;
}

/** Decides; the first decision in the log counts. */
export interface DecideCommand {
  readonly id: string;
  readonly outcome: 'commit' | 'abort';
  /** What is kept under the request id. */
  readonly result: unknown;
}

/** A transaction with one group: all phases in one entry. */
export interface SingleCommand {
  readonly id: string;
  readonly steps: number;
  readonly request: string | undefined;
  readonly result: unknown;
}

/** Who is in doubt asks; for an id that is not known, an abort is written. */
export interface InquireCommand {
  readonly id: string;
  readonly at: number;
}

/** What becomes of the group's part. */
export interface FinishCommand {
  readonly id: string;
  readonly outcome: 'commit' | 'abort';
}

/** Whether the locks were held all the time; gives them back. Or: nobody will ask for the decision any more. */
export interface IdCommand {
  readonly id: string;
}

export interface TransactionCommands {
  readonly step: StepCommand;
  readonly prepare: PrepareCommand;
  readonly register: RegisterCommand;
  readonly decide: DecideCommand;
  readonly single: SingleCommand;
  readonly inquire: InquireCommand;
  readonly finish: FinishCommand;
  readonly verify: IdCommand;
  readonly end: IdCommand;
}

export type Operation = keyof TransactionCommands;

/** A command as it is submitted. */
export type Marked<K extends Operation = Operation> = readonly [typeof MARK, K, TransactionCommands[K]];

export function marked<K extends Operation>(op: K, command: TransactionCommands[K]): Marked<K> {
  // No property that is undefined: codecs such as JSON would leave it out, others would not.
  const given = Object.entries(command).filter(([, value]) => value !== undefined);
  return [MARK, op, Object.fromEntries(given) as unknown as TransactionCommands[K]];
}

/** The query for what is kept under a request id. */
export type RequestQuery = readonly [typeof MARK, 'request', string];

export function isMarked(value: unknown): value is readonly unknown[] {
  return Array.isArray(value) && value[0] === MARK;
}

/** Checks a command that begins with the mark. Throws ERR_CODEC, on every member alike. */
export function readCommand(value: readonly unknown[]): Marked {
  const [, op, body] = value;
  if (value.length !== 3 || typeof op !== 'string' || !Object.hasOwn(readers, op) || !isRecord(body))
    throw bad('it is not [mark, operation, fields]');
  return [MARK, op as Operation, readers[op as Operation](body)] as Marked;
}

const readers: { readonly [K in Operation]: (fields: Fields) => TransactionCommands[K] } = {
  step: (fields) => ({
    id: idOf(fields),
    age: ageOf(fields['age']),
    home: textOf(fields, 'home', 128),
    at: numberOf(fields, 'at', 0, 2 ** 53),
    leaseMs: numberOf(fields, 'leaseMs', 1, LIMITS.timeoutMs),
    opened: flagOf(fields, 'opened'),
    kind: oneOf(fields, 'kind', ['command', 'query']),
    exclusive: flagOf(fields, 'exclusive'),
    body: fields['body'],
  }),
  prepare: (fields) => ({ id: idOf(fields), steps: numberOf(fields, 'steps', 0, LIMITS.steps) }),
  register: (fields) => ({
    id: idOf(fields),
    at: numberOf(fields, 'at', 0, 2 ** 53),
    leaseMs: numberOf(fields, 'leaseMs', 1, LIMITS.timeoutMs),
    groups: listOf(fields, 'groups', LIMITS.participants).map((group) => text('groups', group, 128)),
    resources: listOf(fields, 'resources', LIMITS.participants).map(enlistedOf),
    request: optional(fields, 'request', (value) => text('request', value, 256)),
    steps: optional(fields, 'steps', () => numberOf(fields, 'steps', 0, LIMITS.steps)),
  }),
  decide: (fields) => ({
    id: idOf(fields),
    outcome: oneOf(fields, 'outcome', ['commit', 'abort']),
    result: fields['result'],
  }),
  single: (fields) => ({
    id: idOf(fields),
    steps: numberOf(fields, 'steps', 0, LIMITS.steps),
    request: optional(fields, 'request', (value) => text('request', value, 256)),
    result: fields['result'],
  }),
  inquire: (fields) => ({ id: idOf(fields), at: numberOf(fields, 'at', 0, 2 ** 53) }),
  finish: (fields) => ({ id: idOf(fields), outcome: oneOf(fields, 'outcome', ['commit', 'abort']) }),
  verify: (fields) => ({ id: idOf(fields) }),
  end: (fields) => ({ id: idOf(fields) }),
};

export function idOf(fields: Fields): string {
  return textOf(fields, 'id', 64);
}

export function ageOf(value: unknown): Age {
  if (!isRecord(value)) throw bad('age is no object');
  return { time: numberOf(value, 'time', 0, 2 ** 53), id: textOf(value, 'id', 256) };
}

export function enlistedOf(value: unknown): Enlisted {
  if (!isRecord(value)) throw bad('a resource is no object');
  return { name: textOf(value, 'name', 128), payload: value['payload'] };
}
