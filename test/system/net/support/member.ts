/** A node of the laboratory as the test sees it: its process, what it reported, and the history of its clients. */
import type { KeyValueInput } from '../../../../lib/testing/linearizability/keyValueModel.js';
import type { Operation } from '../../../../lib/testing/linearizability/model.js';
import type { Lab } from './lab.js';
import { lines, type Running } from './processes.js';
import type { Called, Done, Load, NodeSetup, Report, Request, View } from './protocol.js';
import { program } from './servers.js';

type Event = Extract<Report, { type: 'event' }>;

export class LabMember {
  readonly id: string;
  /** All views, the newest last; those of earlier runs too. */
  readonly views: View[] = [];
  readonly events: Event[] = [];
  readonly done: Done[] = [];
  readonly #lab: Lab;
  readonly #setup: NodeSetup;
  #running: Running | undefined;
  #called = new Map<number, Called>();
  readonly #asked = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  #sequence = 0;

  constructor(lab: Lab, setup: NodeSetup) {
    this.id = setup.id;
    this.#lab = lab;
    this.#setup = setup;
  }

  get running(): boolean {
    return this.#running !== undefined && this.#running.end === undefined;
  }

  /** How it sees things now; undefined before its first word of this run. */
  get view(): View | undefined {
    return this.running && this.#seen ? this.views.at(-1) : undefined;
  }
  #seen = false;

  /** Starts the process; resolves when its replica is open. */
  async start(): Promise<void> {
    this.#seen = false;
    const command = [process.execPath, '--enable-source-maps', program('node'), JSON.stringify(this.#setup)];
    const running = this.#lab.spawn(this.id, `node ${this.id}`, command);
    this.#running = running;
    const called = new Map<number, Called>();
    this.#called = called;
    const open = new Promise<void>((resolve, reject) => {
      lines(running.stdout, (line) => {
        const report = JSON.parse(line) as Report;
        if (report.type === 'open') resolve();
        else this.#take(report, called);
      });
      void running.ended.then((end) => {
        // What was asked of a node that died may have taken effect, and nobody knows.
        this.done.push(...called.values());
        called.clear();
        const error = new Error(end);
        for (const { reject: refuse } of this.#asked.values()) refuse(error);
        this.#asked.clear();
        reject(error);
      });
    });
    await open;
  }

  load(load: Load): void {
    this.#send({ type: 'load', ...load });
  }

  async rest(): Promise<void> {
    await this.#ask((seq) => ({ type: 'rest', seq }));
  }

  perform(input: KeyValueInput, timeoutMs: number): Promise<Done> {
    return this.#ask((seq) => ({ type: 'op', seq, input, timeoutMs })) as Promise<Done>;
  }

  digest(): Promise<{ readonly index: number; readonly digest: string }> {
    return this.#ask((seq) => ({ type: 'digest', seq })) as Promise<{ index: number; digest: string }>;
  }

  async kill(): Promise<void> {
    await this.#running?.kill();
  }

  /** Ends it in good order; returns how it ended. */
  async close(): Promise<string> {
    this.#send({ type: 'close' });
    return (await this.#running?.ended) ?? 'never started';
  }

  /** How it ended; undefined while it runs. */
  get end(): string | undefined {
    return this.#running?.end;
  }

  /** What its clients did: without what had no effect, and with what is unknown as such. */
  history(): Operation<KeyValueInput>[] {
    return [...this.done, ...this.#called.values()]
      .filter((done) => !('refused' in done))
      .map((done: Called & Partial<Done>) => ({
        process: done.process,
        call: done.call,
        return: done.return ?? Infinity,
        input: done.input,
        output: done.output,
      }));
  }

  #take(report: Report, called: Map<number, Called>): void {
    switch (report.type) {
      case 'view':
        this.#seen = true;
        this.views.push(report);
        return;
      case 'event':
        if (this.events.length < 100_000) this.events.push(report);
        return;
      case 'called':
        called.set(report.number, report);
        return;
      case 'ops':
        for (const done of report.done) {
          called.delete(done.number);
          this.done.push(done);
        }
        return;
      case 'answer':
        this.#asked.get(report.seq)?.resolve(report.value);
        this.#asked.delete(report.seq);
        return;
      case 'open':
    }
  }

  #ask(request: (seq: number) => Request): Promise<unknown> {
    const { end } = this.#running ?? { end: `node ${this.id} was never started` };
    if (end !== undefined) return Promise.reject(new Error(end));
    const seq = ++this.#sequence;
    return new Promise((resolve, reject) => {
      this.#asked.set(seq, { resolve, reject });
      this.#send(request(seq));
    });
  }

  #send(request: Request): void {
    this.#running?.stdin.write(`${JSON.stringify(request)}\n`);
  }
}
