/** What `npm run soak` was asked for. */
import { availableParallelism } from 'node:os';
import { parseArgs, type ParseArgsConfig } from 'node:util';
import { checkName, checkNumber, configError, QuorateError } from '../../lib/errors.js';
import type { FaultKind } from '../../lib/testing/exploration/fault.js';
import { faultKinds } from '../../lib/testing/exploration/planFaults.js';

/** The options, checked and complete. */
export interface SoakOptions {
  readonly help: boolean;
  /** How many seeds; Infinity when only the time is bounded. */
  readonly seeds: number;
  readonly from: number;
  /** Real minutes; Infinity when only the seeds are bounded. */
  readonly minutes: number;
  readonly nodes: readonly string[] | undefined;
  readonly kinds: readonly FaultKind[] | undefined;
  readonly consensus: 'raft' | 'paxos';
  /** Child processes. */
  readonly jobs: number;
  /** Newest events to keep of a run whose trace is shown. */
  readonly traceEvents: number;
  /** Stop after so many failures; Infinity: never. */
  readonly failures: number;
  /** Real seconds for making one failing run smaller; 0: leave it as it is. */
  readonly minimiseSeconds: number;
  /** Real seconds without an answer after which a seed counts as hanging. */
  readonly hangSeconds: number;
  readonly json: string | undefined;
  /** Replay this seed. */
  readonly seed: number | undefined;
  /** Replay the plan in this file. */
  readonly plan: string | undefined;
  /** Show everything in the trace. */
  readonly all: boolean;
}

export const usage = `Runs seeds of the simulation: each is a cluster, its faults and its clients.

  npm run soak -- [options]

Explore
  --seeds N             how many seeds, 1 to 10^9               (100; with --minutes as many as there is time for)
  --from S              the first seed, 0 to 2^53 - 1           (0)
  --minutes M           stop after so many minutes, above 0 to 10080
  --nodes a,b,c         ids of the nodes, 1 to 63               (3 or 5, as the seed decides)
  --kinds crash,cut,…   only these faults; 'none' for none      (all)
  --consensus P         raft or paxos                           (raft)
  --jobs J              processes, 1 to 256                     (one a core)
  --failures K          stop after K failing seeds, 1 to 10^6   (3)
  --keep-going          do not stop for failing seeds
  --minimise-seconds T  time for making a failing run smaller, 0 to 86400; 0 leaves it alone   (90)
  --hang-seconds T      a seed hangs that takes longer, 1 to 86400                             (120)
  --json FILE           write all figures there

Replay
  --seed S              run one seed and show its trace
  --plan FILE           run a plan that was saved; with --seed S under that seed
  --all                 show every event, not just what matters
  --trace-events N      how many of the newest events to keep, 1 to 10^7   (1000000)

Kinds of faults: ${faultKinds.map((kind) => kind.replaceAll(' ', '-')).join(', ')}.
Exit code: 0 all is well, 1 something does not hold, 2 the command was wrong.`;

const config = {
  help: { type: 'boolean', short: 'h' },
  seeds: { type: 'string' },
  from: { type: 'string' },
  minutes: { type: 'string' },
  nodes: { type: 'string' },
  kinds: { type: 'string' },
  consensus: { type: 'string' },
  jobs: { type: 'string' },
  'trace-events': { type: 'string' },
  failures: { type: 'string' },
  'keep-going': { type: 'boolean' },
  'minimise-seconds': { type: 'string' },
  'hang-seconds': { type: 'string' },
  json: { type: 'string' },
  seed: { type: 'string' },
  plan: { type: 'string' },
  all: { type: 'boolean' },
} as const satisfies ParseArgsConfig['options'];

/** Throws ERR_CONFIG naming the option and what it may be. */
export function parseOptions(args: readonly string[]): SoakOptions {
  const given = parse(args);
  const number = (
    name: keyof typeof config,
    fallback: number,
    min: number,
    max: number,
    integer = true,
  ): number => {
    const text = given[name];
    return text === undefined ? fallback : numberOf(name, String(text), min, max, integer);
  };
  const minutes = number('minutes', Infinity, Number.MIN_VALUE, 10_080, false);
  const seeds = number('seeds', minutes === Infinity ? 100 : Infinity, 1, 1e9);
  const from = number('from', 0, 0, Number.MAX_SAFE_INTEGER);
  if (from + (seeds === Infinity ? 0 : seeds) > Number.MAX_SAFE_INTEGER)
    throw configError('--from', from, 'such that --from plus --seeds is at most 2^53 - 1');
  if (given['keep-going'] === true && given.failures !== undefined)
    throw new QuorateError(
      'ERR_CONFIG',
      '--keep-going and --failures contradict each other: give one of them',
    );
  const replay = given.seed !== undefined || given.plan !== undefined;
  for (const other of ['seeds', 'from', 'minutes', 'json'] as const)
    if (replay && given[other] !== undefined)
      throw new QuorateError(
        'ERR_CONFIG',
        `--${other} explores, --seed and --plan replay: give one or the other`,
      );
  return {
    help: given.help === true,
    seeds,
    from,
    minutes,
    nodes: given.nodes === undefined ? undefined : nodesOf(given.nodes),
    kinds: given.kinds === undefined ? undefined : kindsOf(given.kinds),
    consensus: consensusOf(given.consensus ?? 'raft'),
    jobs: number('jobs', availableParallelism(), 1, 256),
    traceEvents: number('trace-events', 1e6, 1, 1e7),
    failures: given['keep-going'] === true ? Infinity : number('failures', 3, 1, 1e6),
    minimiseSeconds: number('minimise-seconds', 90, 0, 86_400, false),
    hangSeconds: number('hang-seconds', 120, 1, 86_400, false),
    json: given.json,
    seed: given.seed === undefined ? undefined : number('seed', 0, 0, Number.MAX_SAFE_INTEGER),
    plan: given.plan,
    all: given.all === true,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: config, strict: true, allowPositionals: false }).values;
  } catch (cause) {
    const { message } = cause as Error;
    throw new QuorateError('ERR_CONFIG', `${message.split('\n')[0]!} (--help shows what there is)`, {
      cause,
    });
  }
}

function numberOf(name: string, text: string, min: number, max: number, integer: boolean): number {
  // Number('') is 0, and so is Number(' ').
  const value = text.trim() === '' ? NaN : Number(text);
  if (Number.isNaN(value))
    throw configError(`--${name}`, text, `${integer ? 'an integer' : 'a number'} ${rangeOf(min, max)}`);
  if (min === Number.MIN_VALUE && !(value > 0 && value <= max))
    throw configError(`--${name}`, value, `a number ${rangeOf(min, max)}`);
  return checkNumber(`--${name}`, value, min, max, integer);
}

function rangeOf(min: number, max: number): string {
  return min === Number.MIN_VALUE ? `above 0 and at most ${max}` : `from ${min} to ${max}`;
}

function consensusOf(text: string): 'raft' | 'paxos' {
  if (text !== 'raft' && text !== 'paxos') throw configError('--consensus', text, 'raft or paxos');
  return text;
}

function nodesOf(text: string): string[] {
  const ids = text.split(',').map((id) => id.trim());
  if (ids.length > 63) throw configError('--nodes', ids.length, 'a list of 1 to 63 ids');
  for (const id of ids) checkName('--nodes', id);
  if (new Set(ids).size !== ids.length) throw configError('--nodes', text, 'a list without repeated ids');
  return ids;
}

function kindsOf(text: string): FaultKind[] {
  if (text.trim() === 'none') return [];
  const plain = (kind: string): string => kind.trim().toLowerCase().replaceAll('-', ' ');
  const known = new Map(faultKinds.map((kind) => [plain(kind), kind]));
  const chosen = text.split(',').map((name) => {
    const kind = known.get(plain(name));
    if (kind === undefined) {
      const names = faultKinds.map((one) => one.replaceAll(' ', '-')).join(', ');
      throw configError('--kinds', name, `'none', or a list out of ${names}`);
    }
    return kind;
  });
  return [...new Set(chosen)];
}
