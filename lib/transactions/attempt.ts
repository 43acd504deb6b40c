/** One attempt of a transaction, from its first lock to its decision. @internal */
import { randomId } from '../environment.js';
import { QuorateError } from '../errors.js';
import { asRefused, saidByMachine, sleep, within } from './calls.js';
import { carryOut, type Hands } from './carryOut.js';
import { LIMITS, marked, type Enlisted, type Marked } from './commands.js';
import type { Answer } from './decisions.js';
import type { Asking, Drive } from './drive.js';
import type { StepAnswer } from './part.js';

/** How long a transaction that waits for locks waits before it asks again, at first and at most. */
const WAIT_MS = 5;
const MAX_WAIT_MS = 100;
/** How long telling others of an abort may take; who does not learn of it asks. */
const ROLLBACK_MS = 5000;

/** What became of an attempt. */
export type Ending =
  | { readonly type: 'committed' }
  /** Under the request id something was committed before. */
  | { readonly type: 'done'; readonly result: unknown }
  | { readonly type: 'retry' };

/** A group's part, as the driver sees it. */
interface Part {
  readonly party: Asking;
  /** The group has answered: it knows the transaction. */
  opened: boolean;
  /** Something was asked of it. */
  touched: boolean;
  commands: number;
  /** Steps go one after the other. */
  last: Promise<unknown>;
}

export class Attempt {
  readonly id: string;
  readonly #drive: Drive;
  readonly #at: number;
  readonly #parts = new Map<string, Part>();
  readonly #resources: Enlisted[] = [];
  /** Why this attempt cannot be committed. */
  #failure: { readonly retry: boolean; readonly error: QuorateError } | undefined;
  #registered = false;
  #over = false;

  constructor(drive: Drive) {
    this.#drive = drive;
    this.id = randomId(drive.environment);
    this.#at = drive.environment.wallClock();
    for (const party of drive.parties)
      this.#parts.set(party.group, {
        party,
        opened: false,
        touched: false,
        commands: 0,
        last: Promise.resolve(),
      });
  }

  get failure(): { readonly retry: boolean; readonly error: QuorateError } | undefined {
    return this.#failure;
  }

  enlist(name: string, payload: unknown): void {
    if (!this.#drive.resources.has(name)) {
      const known = [...this.#drive.resources.keys()].join(', ') || 'none';
      throw new QuorateError(
        'ERR_CONFIG',
        `resource must be one that the home's machine has here (${known}), got ${JSON.stringify(name)}`,
      );
    }
    if (this.#resources.length >= LIMITS.participants || this.#resources.some((one) => one.name === name))
      throw new QuorateError(
        'ERR_CONFIG',
        `resource must be another one each time, at most ${LIMITS.participants}, got ${JSON.stringify(name)}`,
      );
    this.#resources.push({ name, payload });
  }

  /** One operation in a group; rejects if the machine does, or if the attempt is lost. */
  step(group: string, kind: 'command' | 'query', body: unknown, exclusive: boolean): Promise<unknown> {
    const part = this.#parts.get(group)!;
    const work = part.last.then(() => this.#step(part, kind, body, exclusive));
    part.last = work.catch(() => undefined); // whoever asked has `work`
    return work;
  }

  async #step(part: Part, kind: 'command' | 'query', body: unknown, exclusive: boolean): Promise<unknown> {
    const { environment, age, home } = this.#drive;
    for (let waitMs = WAIT_MS; ; waitMs = Math.min(2 * waitMs, MAX_WAIT_MS)) {
      if (this.#failure) throw this.#failure.error;
      if (this.#over) throw new QuorateError('ERR_CLOSED', 'the transaction is over', { fate: 'refused' });
      part.touched = true;
      const step = marked('step', {
        id: this.id,
        age,
        home: home.group,
        at: this.#at,
        leaseMs: this.#leaseMs(),
        opened: part.opened,
        kind,
        exclusive,
        body,
      });
      let answer: StepAnswer;
      try {
        answer = (await part.party.submit(step, this.#limits())) as StepAnswer;
      } catch (error) {
        if (!saidByMachine(error)) throw this.#fail(this.#refused(error));
        // What was refused here never got there.
        if ((error as QuorateError).fate === 'refused') part.touched = part.opened;
        else part.opened = true;
        throw error;
      }
      if (answer.type === 'die' || answer.type === 'gone') {
        this.#drive.tell({ type: 'retry', id: this.id, group: part.party.group, why: answer.type });
        const message = `the transaction gave way to an older one in ${part.party.group}`;
        throw this.#fail(new QuorateError('ERR_TRANSACTION_ABORTED', message, { fate: 'refused' }), true);
      }
      part.opened = true;
      if (answer.type === 'ok') {
        if (kind === 'command') part.commands++;
        return answer.value;
      }
      this.#drive.tell({ type: 'waiting', id: this.id, group: part.party.group, holders: answer.holders });
      await this.#sleep(waitMs * (0.5 + environment.random()));
    }
  }

  /** Waits for what the function has begun and not waited for. */
  async settled(): Promise<void> {
    await Promise.all([...this.#parts.values()].map(({ last }) => last));
  }

  /** Commits what was done. Rejects with the fate; after `retry` or a refusal nothing took effect. */
  async commit(result: unknown): Promise<Ending> {
    this.#over = true;
    const { request, home } = this.#drive;
    const touched = [...this.#parts.values()].filter((part) => part.touched);
    const writers = touched.filter(({ commands }) => commands > 0);
    const readers = touched.filter(({ commands }) => commands === 0);
    if (this.#resources.length === 0) {
      if (writers.length === 0 && request === undefined) return this.#verify(readers);
      const [only] = touched;
      if (touched.length <= 1 && (request === undefined || only === undefined || only.party === home))
        return this.#single(only ?? this.#parts.get(home.group)!, result);
    }
    // All locks were granted before, and each group says that it still had them: so there was a moment in which all were held.
    const preparing = this.#prepare(writers);
    const verifying = this.#verify(readers);
    await Promise.allSettled([preparing, verifying]);
    const [answer, verified] = [await preparing, await verifying];
    if (answer !== undefined) return answer;
    if (verified.type === 'retry') return verified;
    return this.#decide(writers, result);
  }

  /** The locks of groups that were only read, held until now, are given back. */
  async #verify(readers: readonly Part[]): Promise<Ending> {
    const answers = await this.#all(readers, () => marked('verify', { id: this.id }));
    const lost = answers.findIndex((answer) => !(answer as { held: boolean }).held);
    if (lost >= 0) return this.#lost(readers[lost]!.party.group);
    return { type: 'committed' };
  }

  /** The home has decided against it: somebody was in doubt for too long, or there is a reason that another try would meet too. */
  #aborted({ why }: { readonly why?: string }, { group }: Asking): Ending {
    if (why === undefined) return this.#lost(group);
    const message = `the transaction was aborted by ${group}: ${why}`;
    throw new QuorateError('ERR_TRANSACTION_ABORTED', message, { fate: 'refused', reason: 'HOME' });
  }

  #lost(group: string): Ending {
    this.#drive.tell({ type: 'retry', id: this.id, group, why: 'gone' });
    return { type: 'retry' };
  }

  /** One group is all there is: it locks, votes and commits in one entry. */
  async #single(part: Part, result: unknown): Promise<Ending> {
    const { request } = this.#drive;
    if (!part.touched) return this.#alone(result);
    const command = marked('single', {
      id: this.id,
      steps: part.commands,
      request,
      result: request === undefined ? undefined : result,
    });
    const answer = await this.#final(part.party, command);
    if (answer.type === 'abort') return this.#aborted(answer, part.party);
    part.touched = false;
    if (answer.type === 'done') return answer;
    this.#drive.tell({ type: 'decided', id: this.id, outcome: 'commit' });
    this.#drive.tell({ type: 'finished', id: this.id, complete: true });
    return { type: 'committed' };
  }

  /** Nothing was done anywhere: what there is to commit is the request id. */
  async #alone(result: unknown): Promise<Ending> {
    const answer = await this.#prepare([]);
    return answer ?? this.#decide([], result);
  }

  /** Registers at the home and has all vote. Undefined: all said yes. */
  async #prepare(writers: readonly Part[]): Promise<Ending | undefined> {
    const { home, request } = this.#drive;
    const others = writers.filter(({ party }) => party !== home);
    const own = writers.find(({ party }) => party === home);
    this.#drive.tell({ type: 'preparing', id: this.id, groups: writers.map(({ party }) => party.group) });
    const register = marked('register', {
      id: this.id,
      at: this.#at,
      leaseMs: this.#leaseMs(),
      groups: others.map(({ party }) => party.group),
      resources: this.#resources,
      request,
      steps: own?.commands,
    });
    this.#registered = true;
    const registering = this.#ask(home, register) as Promise<Answer>;
    const voting = this.#all(others, ({ commands }) => marked('prepare', { id: this.id, steps: commands }));
    // Both are waited for, whichever fails: nothing of this attempt is to be under way afterwards.
    await Promise.allSettled([registering, voting]);
    const answer = await registering;
    if (answer.type === 'done') return answer;
    if (answer.type === 'abort') return this.#aborted(answer, home);
    const no = (await voting).findIndex((vote) => (vote as { vote: string }).vote !== 'yes');
    if (no >= 0) return this.#lost(others[no]!.party.group);
    await this.#prepareResources();
    return undefined;
  }

  async #prepareResources(): Promise<void> {
    await Promise.all(
      this.#resources.map(async ({ name, payload }) => {
        const resource = this.#drive.resources.get(name)!;
        let vote: boolean;
        try {
          vote = await this.#within(Promise.resolve(resource.prepare(this.id, payload)));
        } catch (cause) {
          if (cause instanceof QuorateError && (cause.code === 'ERR_TIMEOUT' || cause.code === 'ERR_ABORTED'))
            throw cause;
          throw new QuorateError(
            'ERR_TRANSACTION_ABORTED',
            `the resource ${name} could not prepare: ${String(cause)}`,
            { fate: 'refused', reason: 'RESOURCE', cause },
          );
        }
        if (!vote)
          throw new QuorateError('ERR_TRANSACTION_ABORTED', `the resource ${name} voted no`, {
            fate: 'refused',
            reason: 'RESOURCE',
          });
      }),
    );
  }

  /** From here on nobody but the home's log knows the outcome. */
  async #decide(writers: readonly Part[], result: unknown): Promise<Ending> {
    const { home, request } = this.#drive;
    const kept = request === undefined ? undefined : result;
    const answer = await this.#final(
      home,
      marked('decide', { id: this.id, outcome: 'commit', result: kept }),
    );
    if (answer.type === 'abort') return this.#aborted(answer, home);
    if (answer.type === 'done') return answer;
    for (const part of this.#parts.values()) part.touched = false;
    this.#drive.tell({ type: 'decided', id: this.id, outcome: 'commit' });
    const groups = writers.filter(({ party }) => party !== home).map(({ party }) => party.group);
    const carried = this.#carryOut('commit', groups);
    const complete = await this.#within(carried).catch(() => false);
    this.#drive.tell({ type: 'finished', id: this.id, complete });
    return { type: 'committed' };
  }

  /** Submits what decides: afterwards an error does not tell what became of it. */
  async #final(party: Asking, command: Marked): Promise<Answer> {
    let answer: Answer & { failed?: string };
    this.#checkTime();
    try {
      answer = (await party.submit(command, this.#limits())) as Answer;
    } catch (error) {
      if (error instanceof QuorateError && (error.fate === 'refused' || error.code === 'ERR_REJECTED'))
        throw this.#refused(error);
      // It may have been decided: nobody here may abort it any more.
      for (const part of this.#parts.values()) part.touched = false;
      this.#registered = false;
      const { code, message } = this.#refused(error);
      throw new QuorateError(code, `the commit was under way: ${message}`, {
        fate: 'ambiguous',
        requestId: this.#drive.request,
        cause: error,
      });
    }
    if (answer.failed !== undefined) this.#drive.warn(new Error(answer.failed));
    return answer;
  }

  /** Has nothing of this attempt take effect. Nobody but this driver decides commit, and it has not. Waits for nobody. */
  rollBack(): void {
    this.#over = true;
    const groups = [...this.#parts.values()].filter(({ touched }) => touched).map(({ party }) => party.group);
    if (!this.#registered) {
      void this.#carryOut('abort', groups);
      return;
    }
    const { home } = this.#drive;
    const decide = marked('decide', { id: this.id, outcome: 'abort', result: undefined });
    home.submit(decide, { timeout: ROLLBACK_MS }).then(
      () => this.#carryOut('abort', groups),
      () => undefined, // its members find out
    );
  }

  async #carryOut(outcome: 'commit' | 'abort', groups: readonly string[]): Promise<boolean> {
    const { environment, home, deadline, resources } = this.#drive;
    const registered = this.#registered;
    const leftMs = outcome === 'commit' ? Math.ceil(deadline - environment.now()) : 0;
    const timeout = Math.max(ROLLBACK_MS, leftMs);
    const hands: Hands = {
      ask: async (group, command) => {
        const part = this.#parts.get(group)!;
        await part.last; // a step must not come after its end
        return part.party.submit(command, { timeout });
      },
      resource: (name) => resources.get(name),
      warn: (error) => this.#drive.warn(error),
    };
    const complete = await carryOut(
      { id: this.id, outcome, groups, resources: registered ? this.#resources : [] },
      hands,
    );
    // Who is left out asks by itself, or is told by the members of the home.
    if (complete && registered)
      home.submit(marked('end', { id: this.id }), { timeout: ROLLBACK_MS }).catch(() => undefined);
    return complete;
  }

  async #all(parts: readonly Part[], command: (part: Part) => Marked): Promise<unknown[]> {
    const asked = parts.map((part) => this.#ask(part.party, command(part)));
    await Promise.allSettled(asked);
    return Promise.all(asked);
  }

  async #ask(party: Asking, command: Marked): Promise<unknown> {
    try {
      this.#checkTime();
      return await party.submit(command, this.#limits());
    } catch (error) {
      throw this.#refused(error);
    }
  }

  /** What the caller is told: of the time-out or the signal, if it was that. */
  #refused(error: unknown): QuorateError {
    const { signal } = this.#drive;
    return asRefused(signal.aborted ? signal.reason : error);
  }

  #fail(error: QuorateError, retry = false): QuorateError {
    this.#failure ??= { retry, error };
    return error;
  }

  #limits(): { timeout: number; signal: AbortSignal } {
    return { timeout: Math.max(1, Math.ceil(this.#leftMs())), signal: this.#drive.signal };
  }

  #leftMs(): number {
    return this.#drive.deadline - this.#drive.environment.now();
  }

  /** Locks last until the call is over. */
  #leaseMs(): number {
    return Math.min(LIMITS.timeoutMs, Math.max(1, Math.ceil(this.#leftMs())));
  }

  #checkTime(): void {
    const { signal } = this.#drive;
    if (signal.aborted) throw signal.reason as Error;
  }

  /** What a promise gives, unless the call is over before. */
  #within<T>(promise: Promise<T>): Promise<T> {
    return within(promise, this.#drive.signal);
  }

  #sleep(ms: number): Promise<void> {
    return sleep(this.#drive.environment, ms, this.#drive.signal);
  }
}
