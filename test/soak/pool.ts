/** Processes that run seeds, replaced when they die or hang. */
import { fork, type ChildProcess } from 'node:child_process';
import type { RunOutcome } from '../../lib/testing/exploration/runPlan.js';
import type { Broken, Done, Job } from './messages.js';

const workerFile = new URL('./worker.js', import.meta.url);

/** So much of what a process said on standard error is kept. */
const STDERR_CHARACTERS = 4000;

export class Pool {
  readonly #idle: Worker[] = [];
  readonly #all = new Set<Worker>();
  readonly #file: URL;
  #closed = false;

  constructor(file: URL = workerFile) {
    this.#file = file;
  }

  /** Does one run, in a process that is free or a new one. Whatever becomes of that process, this resolves. */
  async run(job: Job, limitMs: number): Promise<Done> {
    if (this.#closed) return failed(job, 'closed', 'the pool is closed', 0);
    const worker = this.#idle.pop() ?? new Worker(this.#file);
    this.#all.add(worker);
    const done = await worker.run(job, limitMs);
    // Closing forgets all of them.
    if (worker.alive && this.#all.has(worker)) this.#idle.push(worker);
    else this.#all.delete(worker);
    return done;
  }

  close(): void {
    this.#closed = true;
    for (const worker of this.#all) worker.kill();
    this.#all.clear();
  }
}

class Worker {
  alive = true;
  readonly #child: ChildProcess;
  #stderr = '';
  #broken: string | undefined;
  #answer: ((done: Done | undefined) => void) | undefined;

  constructor(file: URL) {
    const child = fork(file, {
      execArgv: ['--enable-source-maps'],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      serialization: 'advanced',
    });
    this.#child = child;
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_CHARACTERS);
    });
    child.on('message', (message: Done | Broken) => {
      if ('broken' in message) this.#broken = message.broken;
      else this.#answer?.(message);
    });
    child.on('error', (error) => (this.#broken ??= error.message));
    // Not 'exit': what was said before the end is to be heard first.
    child.on('close', (code, signal) => {
      this.alive = false;
      this.#broken ??= `the process ended with ${signal ?? `code ${code}`}\n${this.#stderr}`.trimEnd();
      this.#answer?.(undefined);
    });
  }

  async run(job: Job, limitMs: number): Promise<Done> {
    const began = performance.now();
    const limit = { reached: false };
    const timer = setTimeout(() => {
      limit.reached = true;
      this.kill();
    }, limitMs);
    const done = await new Promise<Done | undefined>((resolve) => {
      this.#answer = resolve;
      if (!this.alive) resolve(undefined);
      else this.#child.send(job, (error) => error !== null && this.kill());
    });
    clearTimeout(timer);
    this.#answer = undefined;
    if (done !== undefined) return done;
    const ms = performance.now() - began;
    if (limit.reached)
      return failed(job, 'hang', `no answer in ${(limitMs / 1000).toFixed(0)} real seconds`, ms);
    return failed(job, 'no crash', this.#broken ?? 'the process ended', ms);
  }

  kill(): void {
    this.alive = false;
    this.#child.kill('SIGKILL');
  }
}

function failed({ seed }: Job, invariant: string, message: string, ms: number): Done {
  const violation = { invariant, node: '', time: 0, message };
  const outcome: RunOutcome = {
    seed,
    violation,
    virtualMs: 0,
    events: 0,
    commitIndex: 0,
    hash: '',
    counts: {},
    trace: [],
  };
  return { outcome, ms };
}
