/** The user-space forwarder: compiled when first needed, and driven line by line. */
import { existsSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { lines, run, Running } from './processes.js';

/** What a path does to frames, each way. */
export interface Shape {
  /** One way, in milliseconds. */
  readonly delayMs?: number;
  /** The delay varies by so many milliseconds, up and down, uniformly; frames keep their order. */
  readonly jitterMs?: number;
  /** Of 100 frames, so many are lost, independently. */
  readonly lossPercent?: number;
  /** The bottleneck; 0 for none. */
  readonly bitsPerSecond?: number;
  /** What waits before the bottleneck, in bytes; what comes on top is dropped. 64 KiB unless told otherwise. */
  readonly queueBytes?: number;
}

/** Counts of one direction. `giant` frames came from segmentation offload that should be off. */
export interface ForwarderCounts {
  readonly passed: number;
  readonly lost: number;
  readonly full: number;
  readonly giant: number;
  readonly failed: number;
  readonly queued: number;
}

/** The root of the project, whichever directory this was compiled to. */
export function projectRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(directory, 'package.json'))) {
    if (dirname(directory) === directory) throw new Error('no package.json above this file');
    directory = dirname(directory);
  }
  return directory;
}

/** Compiles the forwarder if its source is newer; returns the program's path. */
export async function compiledForwarder(): Promise<string> {
  const source = join(projectRoot(), 'test/system/net/support/forwarder.c');
  const directory = join(projectRoot(), 'build/test/system/net');
  const program = join(directory, 'forwarder');
  if (existsSync(program) && statSync(program).mtimeMs >= statSync(source).mtimeMs) return program;
  mkdirSync(directory, { recursive: true });
  const fresh = `${program}.${process.pid}`;
  await run('cc', ['-O2', '-Wall', '-Wextra', '-std=gnu11', '-o', fresh, source]);
  renameSync(fresh, program);
  return program;
}

/** One process that forwards for all shaped hosts of a laboratory. */
export class Forwarder {
  readonly process: Running;
  readonly #answers: ((line: string) => void)[] = [];

  private constructor(process: Running) {
    this.process = process;
    lines(process.stdout, (line) => this.#answers.shift()?.(line));
    void process.ended.then((end) => {
      for (const answer of this.#answers.splice(0)) answer(`error ${end}`);
    });
  }

  /** `pairs`: names with the two interfaces, the host's side first; `prefix` enters the namespace. */
  static async start(
    prefix: readonly string[],
    pairs: ReadonlyMap<string, [string, string]>,
  ): Promise<Forwarder> {
    const program = await compiledForwarder();
    const args = Array.from(pairs, ([name, [a, b]]) => `${name}:${a}:${b}`);
    const forwarder = new Forwarder(new Running('forwarder', [...prefix, program, ...args]));
    const first = await forwarder.#answer();
    if (first !== 'ready') throw new Error(`forwarder: ${first}`);
    return forwarder;
  }

  /** Changes what happens to a host's frames from now on; what is left out stays. */
  async set(name: string, way: 'up' | 'down' | 'both', shape: Shape): Promise<void> {
    const settings = [
      ['delay', shape.delayMs],
      ['jitter', shape.jitterMs],
      ['loss', shape.lossPercent],
      ['rate', shape.bitsPerSecond],
      ['limit', shape.queueBytes],
    ].flatMap(([key, value]) => (value === undefined ? [] : [`${key!}=${value}`]));
    const answer = await this.#ask(`set ${name} ${way} ${settings.join(' ')}`);
    if (answer !== 'ok') throw new Error(`forwarder: ${answer}`);
  }

  async counts(name: string, way: 'up' | 'down'): Promise<ForwarderCounts> {
    const answer = await this.#ask(`stats ${name} ${way}`);
    if (!answer.startsWith('{')) throw new Error(`forwarder: ${answer}`);
    return JSON.parse(answer) as ForwarderCounts;
  }

  #ask(line: string): Promise<string> {
    const answer = this.#answer();
    this.process.stdin.write(`${line}\n`);
    return answer;
  }

  #answer(): Promise<string> {
    const { end } = this.process;
    if (end !== undefined) return Promise.resolve(`error ${end}`);
    return new Promise((resolve) => this.#answers.push(resolve));
  }
}
