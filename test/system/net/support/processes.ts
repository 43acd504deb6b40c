/** Running programs, in this network namespace or another, so that none outlives the test process. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';

/** Monotonic milliseconds that all processes of this machine share, so that histories can be put together. */
export const now = (): number => Number(process.hrtime.bigint()) / 1e6;

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until `condition` gives something, looking every few milliseconds; throws when that takes too long. */
export async function until<T>(
  what: string,
  condition: () => T | undefined | false,
  timeoutMs: number,
): Promise<T> {
  const end = now() + timeoutMs;
  for (;;) {
    const found = condition();
    if (found !== undefined && found !== false) return found;
    if (now() > end) throw new Error(`${what}: not within ${timeoutMs / 1000} s`);
    await sleep(10);
  }
}

/** Runs a program to its end; throws with what it said if it fails. */
export function run(command: string, args: readonly string[], input?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(command, args, { timeout: 20_000 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${command} ${args.join(' ')}: ${stderr.trim() || error.message}`));
    });
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input ?? '');
  });
}

/** A program that runs on, with its streams. */
export class Running {
  readonly what: string;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly ended: Promise<string>;
  #end: string | undefined;
  #errors = '';
  readonly #child: ChildProcess;

  /** The kernel kills it when this process dies, however that comes about. */
  constructor(what: string, command: readonly string[]) {
    this.what = what;
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...command], { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child = child;
    this.stdin = child.stdin;
    this.stdout = child.stdout;
    child.stdin.on('error', () => undefined);
    child.stderr.on('data', (data: Buffer) => {
      this.#errors = (this.#errors + data.toString()).slice(-4096);
    });
    this.ended = new Promise((resolve) => {
      const end = (how: string): void => {
        this.#end ??= `${what} ended (${how})${this.#errors === '' ? '' : `: ${this.#errors.trim()}`}`;
        resolve(this.#end);
      };
      child.on('error', (error) => end(error.message));
      child.on('close', (code, signal) => end(code === null ? String(signal) : `code ${code}`));
    });
  }

  /** How it ended; undefined while it runs. */
  get end(): string | undefined {
    return this.#end;
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.ended;
  }
}

/** Calls back with every whole line. */
export function lines(stream: Readable, onLine: (line: string) => void): void {
  let held = '';
  stream.setEncoding('utf8');
  stream.on('data', (text: string) => {
    const parts = (held + text).split('\n');
    held = parts.pop()!;
    for (const part of parts) onLine(part);
  });
}
