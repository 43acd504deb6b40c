/** Looks for the seed that shows a bug. */
import { fork, type ChildProcess } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { Mutant } from './mutant.js';
import { build, remove, withTests } from './workshop.js';

/** A run of a few virtual seconds that takes longer than this in real time will not end. */
const HUNG_MS = 60_000;

/** What the child process says. */
export type Word =
  | { readonly type: 'begun'; readonly seed: number }
  | { readonly type: 'caught'; readonly seed: number; readonly by: string; readonly message: string };

/** How a hunt ended. */
export interface Catch {
  /** How many seeds were run, the one that shows it included; 0: unit tests were run. */
  readonly seeds: number;
  readonly seed: number;
  /** The invariant; or `hang` or `crash`, when the process did not get that far. Undefined: not caught. */
  readonly by: string | undefined;
  readonly message: string;
}

/** Runs at most `count` seeds from `from` on, in a process of its own, with the bug or without any. */
export async function hunt(
  mutant: Mutant | undefined,
  from: number,
  count: number,
  kinds = mutant?.kinds,
): Promise<Catch> {
  const lib = build(mutant);
  const found =
    mutant?.tests === undefined
      ? await run(lib, from, count, String(kinds ?? ''), mutant?.consensus ?? 'raft')
      : await runTests(withTests(lib, mutant.tests));
  remove(lib);
  return found;
}

function run(lib: string, from: number, count: number, kinds: string, consensus: string): Promise<Catch> {
  const script = fileURLToPath(new URL('child.js', import.meta.url));
  const child = fork(script, [lib, String(from), String(count), kinds, consensus], {
    execArgv: ['--max-old-space-size=1024'],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  return new Promise((resolve, reject) => {
    let seed = from;
    let verdict: Omit<Catch, 'seeds' | 'seed'> = { by: undefined, message: '' };
    let alarm = watch(child, () => (verdict = hung));
    child.on('message', (word: Word) => {
      clearTimeout(alarm);
      alarm = watch(child, () => (verdict = hung));
      seed = word.seed;
      if (word.type === 'caught') verdict = { by: word.by, message: word.message };
    });
    let complaint = '';
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      complaint = (complaint + text).slice(-2000);
    });
    child.on('error', reject);
    child.on('close', (code) => {
      clearTimeout(alarm);
      if (code !== 0 && verdict.by === undefined) verdict = { by: 'crash', message: complaint.trim() };
      resolve({ seeds: seed - from + 1, seed, ...verdict });
    });
  });
}

/** Unit tests, in the copy. What they catch is caught as far as they pass without the bug: `npm test` sees to that. */
function runTests(tests: string): Promise<Catch> {
  const mocha = createRequire(import.meta.url).resolve('mocha/bin/mocha.js');
  const files = tests.endsWith('.js') ? tests : `${tests}/**/*.test.js`;
  const child = fork(mocha, ['--no-config', '--bail', '--timeout', '60000', '--reporter', 'dot', files], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  let said = '';
  let failed = false;
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    said += text;
    // What failed follows, and may be long.
    failed ||= /\b\d+ failing\b/.test(said);
    said = said.slice(-4000);
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      // A file that cannot be loaded tests nothing, and is no catch.
      if (code !== 0 && !failed) reject(new Error(`${tests}: the tests did not run: ${said}`));
      else resolve({ seeds: 0, seed: 0, by: failed ? 'unit tests' : undefined, message: said.trim() });
    });
  });
}

const hung = { by: 'hang', message: `a run did not end within ${HUNG_MS / 1000} s` };

function watch(child: ChildProcess, late: () => void): NodeJS.Timeout {
  return setTimeout(() => {
    late();
    child.kill('SIGKILL');
  }, HUNG_MS);
}
