/** Child processes that are called like objects, and never outlive their parent. */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

interface Call {
  readonly call: number;
  readonly method: string;
  readonly args: unknown;
}
interface Answer {
  readonly answer: number;
  readonly value?: unknown;
  readonly error?: string;
}
interface Notice {
  readonly notice: string;
  readonly value: unknown;
}

/** A child process as its parent sees it. */
export class Worker {
  readonly #process: ChildProcess;
  readonly #calls = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  readonly #listeners = new Map<string, (value: unknown) => void>();
  readonly #killOnExit = (): void => void this.#process.kill('SIGKILL');
  readonly #ended: Promise<void>;
  #next = 0;

  /** Forks the module, which calls {@link serve}. */
  constructor(module: URL, args: readonly string[] = []) {
    this.#process = fork(fileURLToPath(module), [...args], { serialization: 'advanced' });
    process.once('exit', this.#killOnExit);
    this.#process.on('message', (message) => this.#receive(message as Answer | Notice));
    this.#ended = new Promise((resolve) => {
      this.#process.once('exit', (code, signal) => {
        process.off('exit', this.#killOnExit);
        const error = new Error(`child process ${this.pid} ended (${signal ?? `code ${code}`})`);
        for (const { reject } of this.#calls.values()) reject(error);
        this.#calls.clear();
        resolve();
      });
    });
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  /** Calls a method of the child. Rejects when it throws or the child ends. */
  call<T>(method: string, args?: unknown): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const call = this.#next++;
      this.#calls.set(call, { resolve: resolve as (value: unknown) => void, reject });
      this.#process.send({ call, method, args } satisfies Call, (error) => {
        if (error !== null && this.#calls.delete(call)) reject(error);
      });
    });
  }

  /** Who hears what the child sends with {@link notify}. */
  on(notice: string, listener: (value: unknown) => void): void {
    this.#listeners.set(notice, listener);
  }

  async kill(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#ended;
  }

  #receive(message: Answer | Notice): void {
    if ('notice' in message) {
      this.#listeners.get(message.notice)?.(message.value);
      return;
    }
    const call = this.#calls.get(message.answer);
    this.#calls.delete(message.answer);
    if (message.error === undefined) call?.resolve(message.value);
    else call?.reject(new Error(message.error));
  }
}

/** Runs a body with children of one module, and ends them whatever comes. */
export async function withWorkers<T>(
  module: URL,
  count: number,
  body: (workers: readonly Worker[]) => Promise<T>,
): Promise<T> {
  const workers = Array.from({ length: count }, () => new Worker(module));
  try {
    return await body(workers);
  } finally {
    await Promise.all(workers.map((worker) => worker.kill()));
  }
}

/** The child's side: methods by name. The process ends with its parent, even one that was killed. */
export function serve(methods: Readonly<Record<string, (args: never) => unknown>>): void {
  process.once('disconnect', () => process.exit());
  process.on('message', (message) => {
    const { call, method, args } = message as Call;
    void Promise.resolve()
      .then(() => methods[method]!(args as never))
      .then(
        (value): Answer => ({ answer: call, value }),
        (error: unknown): Answer => ({
          answer: call,
          error: error instanceof Error ? error.stack! : String(error),
        }),
      )
      .then((answer) => process.send!(answer));
  });
}

/** Tells the parent something unasked. */
export function notify(notice: string, value: unknown): void {
  process.send!({ notice, value } satisfies Notice);
}
