/** Clients of one member: puts, swaps and linearizable reads, each waiting for its answer and then a little. */
import { QuorateError } from '../../../lib/errors.js';
import type { KeyValueMachine } from '../../../lib/machines/keyValue.js';
import type { Replica } from '../../../lib/replica/replica.js';
import { now, sleep, type SentOperation } from './messages.js';

/** Keys live for so long, so that no part of a long history grows large. */
const keyMs = 10_000;
const keysAtOnce = 4;

export class Clients {
  commits = 0;
  readonly #replica: Replica<KeyValueMachine<string>>;
  readonly #name: string;
  readonly #record: (operation: SentOperation) => void;
  readonly #seen = new Map<string, string | undefined>();
  #running = false;
  #loops: Promise<void>[] = [];
  #values = 0;

  constructor(
    replica: Replica<KeyValueMachine<string>>,
    name: string,
    record: (operation: SentOperation) => void,
  ) {
    this.#replica = replica;
    this.#name = name;
    this.#record = record;
  }

  start(clients: number, pauseMs: number, recorded: boolean): void {
    this.#running = true;
    for (let client = 0; client < clients; client++) this.#loops.push(this.#loop(client, pauseMs, recorded));
  }

  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#loops);
    this.#loops = [];
  }

  async #loop(client: number, pauseMs: number, recorded: boolean): Promise<void> {
    while (this.#running) {
      const operation = await this.#operate(`${this.#name}.${client}`);
      if (recorded && operation !== undefined) this.#record(operation);
      if (pauseMs > 0) await sleep(pauseMs * (0.5 + Math.random()));
    }
  }

  /** One operation; `undefined` if it is known to have had no effect. */
  async #operate(client: string): Promise<SentOperation | undefined> {
    const key = `${Math.floor(now() / keyMs)}.${Math.floor(Math.random() * keysAtOnce)}`;
    const dice = Math.random();
    const call = now();
    if (dice < 0.35) {
      try {
        const output = await this.#replica.query({ op: 'get', key });
        this.#saw(key, output);
        return { process: client, call, return: now(), input: { op: 'get', key }, output };
      } catch (error) {
        if (error instanceof QuorateError) return undefined;
        throw error;
      }
    }
    const value = `${this.#name}.${++this.#values}`;
    const input =
      dice < 0.5
        ? ({ op: 'cas', key, expected: this.#seen.get(key), value } as const)
        : ({ op: 'put', key, value } as const);
    let requestId: string | undefined;
    for (;;) {
      try {
        const output = await this.#replica.submit(input, requestId === undefined ? undefined : { requestId });
        this.commits++;
        this.#saw(key, 'current' in output ? output.current : value);
        return { process: client, call, return: now(), input, output };
      } catch (error) {
        if (!(error instanceof QuorateError)) throw error;
        if (error.fate === 'ambiguous') requestId = error.requestId;
        else if (error.fate !== 'refused') throw error;
        if (!this.#running)
          return requestId === undefined ? undefined : { process: client, call, return: null, input };
      }
    }
  }

  #saw(key: string, value: string | undefined): void {
    if (this.#seen.size > 64) this.#seen.clear();
    this.#seen.set(key, value);
  }
}
