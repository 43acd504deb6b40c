/** What a snapshot says of transactions, checked: it may come from another member. @internal */
import type { LockRange } from '../replica/rehearsal.js';
import type { Branch, Step } from './branches.js';
import { ageOf, enlistedOf, idOf, LIMITS } from './commands.js';
import type { Decision, Kept } from './decisions.js';
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
import type { Claim, LockMode } from './lockTable.js';

const MAX_TIME = 2 ** 53;
const MODES = ['shared', 'exclusive'] as const;

/** What a machine knows of transactions. */
export interface TransactionsImage {
  readonly branches: readonly Branch[];
  readonly decisions: readonly Decision[];
  readonly requests: readonly (readonly [string, Kept])[];
}

/** Throws ERR_CODEC for what is none. */
export function readImage(value: unknown): TransactionsImage {
  const fields = record('the image', value);
  const branches = listOf(fields, 'branches', LIMITS.branches).map(branchOf);
  const decisions = listOf(fields, 'decisions', 2 * LIMITS.decisions).map(decisionOf);
  const requests = listOf(fields, 'requests', LIMITS.requests).map(requestOf);
  unique(
    'branches',
    branches.map(({ id }) => id),
  );
  unique(
    'decisions',
    decisions.map(({ id }) => id),
  );
  unique(
    'requests',
    requests.map(([request]) => request),
  );
  return { branches, decisions, requests };
}

function branchOf(value: unknown): Branch {
  const fields = record('a branch', value);
  const { locks } = fields;
  if (!(locks instanceof Map) || locks.size > LIMITS.branchLocks)
    throw bad('the locks of a branch are no Map');
  return {
    id: idOf(fields),
    age: ageOf(fields['age']),
    home: textOf(fields, 'home', 128),
    at: numberOf(fields, 'at', 0, MAX_TIME),
    prepared: flagOf(fields, 'prepared'),
    expires: numberOf(fields, 'expires', 0, MAX_TIME),
    steps: listOf(fields, 'steps', LIMITS.steps).map(stepOf),
    bytes: numberOf(fields, 'bytes', 0, LIMITS.stepBytes),
    locks: new Map([...(locks as Map<unknown, unknown>)].map(([name, lock]) => [nameOf(name), lockOf(lock)])),
    wants: optional(fields, 'wants', claimOf),
  };
}

function stepOf(value: unknown): Step {
  const fields = record('a step', value);
  return {
    command: fields['command'],
    index: numberOf(fields, 'index', 0, Number.MAX_SAFE_INTEGER),
    time: numberOf(fields, 'time', 0, MAX_TIME),
    origin: textOf(fields, 'origin', 128),
    seed: numberOf(fields, 'seed', 0, 1),
  };
}

function nameOf(value: unknown): string {
  if (typeof value !== 'string') throw bad('a lock has no name');
  return value;
}

function lockOf(value: unknown): readonly [LockRange, LockMode] {
  if (!Array.isArray(value) || value.length !== 2) throw bad('a lock is no pair');
  return [rangeOf(value[0]), oneOf({ mode: value[1] as unknown }, 'mode', MODES)];
}

function rangeOf(value: unknown): LockRange {
  if (typeof value === 'string') return value;
  const { prefix } = record('a range', value);
  if (typeof prefix !== 'string') throw bad('a range has no prefix');
  return { prefix };
}

function claimOf(value: unknown): Claim {
  const fields = record('a claim', value);
  return {
    ranges: listOf(fields, 'ranges', LIMITS.locks).map(rangeOf),
    mode: oneOf(fields, 'mode', MODES),
  };
}

function decisionOf(value: unknown): Decision {
  const fields = record('a decision', value);
  return {
    id: idOf(fields),
    at: numberOf(fields, 'at', 0, MAX_TIME),
    deadline: numberOf(fields, 'deadline', 0, MAX_TIME),
    groups: listOf(fields, 'groups', LIMITS.participants).map((group) => text('groups', group, 128)),
    resources: listOf(fields, 'resources', LIMITS.participants).map(enlistedOf),
    request: optional(fields, 'request', (request) => text('request', request, 256)),
    outcome: oneOf(fields, 'outcome', ['pending', 'commit', 'abort']),
    ended: flagOf(fields, 'ended'),
  };
}

function requestOf(value: unknown): readonly [string, Kept] {
  if (!Array.isArray(value) || value.length !== 2) throw bad('a request is no pair');
  const fields = record('what is kept', value[1]);
  const kept: Kept = {
    result: fields['result'],
    bytes: numberOf(fields, 'bytes', 0, LIMITS.resultBytes),
    time: numberOf(fields, 'time', 0, MAX_TIME),
  };
  return [text('request', value[0], 256), kept];
}

function record(what: string, value: unknown): Fields {
  if (!isRecord(value)) throw bad(`${what} is no object`);
  return value;
}

function unique(what: string, names: readonly string[]): void {
  if (new Set(names).size !== names.length) throw bad(`${what} that are there twice`);
}
