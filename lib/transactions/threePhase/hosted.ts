/** A transaction at one of its sites: the protocol, with a disk, links and resources. @internal */
import type { Environment, Timer } from '../../environment.js';
import type { TransactionResource } from '../resource.js';
import type { Plan, Task } from './plan.js';
import { CommitSite } from './protocol.js';
import { INITIAL, type Entry, type Kept } from './records.js';
import type { SiteEffects, SiteMessage } from './siteTypes.js';
import type { Message } from './wire.js';

/** How long until a resource, or another site, is told again, at first and at most. */
const RETRY_MS = 100;
const MAX_RETRY_MS = 5000;
const TELL_MS = 1000;
const MAX_TELL_MS = 30_000;

/** Where it lives. */
export interface Host {
  readonly node: string;
  readonly environment: Environment;
  /** `done` is called in order; never, where it failed and that was the end of all sites here. */
  append(entry: Entry, done: (error?: Error) => void): void;
  send(to: string, message: Message): void;
  resource(name: string): TransactionResource | undefined;
  payload(bytes: Uint8Array): unknown;
  warn(error: Error): void;
  /** It could not be written down, and nobody heard of it. */
  refused(hosted: Hosted, error: Error): void;
  /** The outcome is known, and durable. */
  ended(hosted: Hosted, outcome: 'commit' | 'abort'): void;
  /** This node has carried it out, or another one has. */
  progressed(hosted: Hosted): void;
  /** Everybody has carried it out. */
  forgotten(hosted: Hosted): void;
}

export class Hosted {
  readonly id: string;
  readonly since: number;
  readonly plan: Plan;
  /** At the coordinator: what each node is to do. */
  readonly #tasksOf: ReadonlyMap<string, readonly Task[]>;
  readonly #host: Host;
  readonly #site: CommitSite;
  readonly #tasks: readonly Task[];
  /** Its first record is durable. */
  #started = false;
  #stopped = false;
  /** What happens once the records before it are durable. */
  readonly #queue: { durable: boolean; readonly run: () => void }[] = [];
  #timer: Timer | undefined;
  #tellTimer: Timer | undefined;
  #tellMs = TELL_MS;
  #outcome: 'commit' | 'abort' | undefined;
  #done: boolean;
  /** Resources that are still to be told. */
  readonly #untold: Set<string>;
  /** The other sites that have carried it out. */
  readonly #doneBy = new Set<string>();
  /** Who said how it ended; nobody, if this site found out by itself. */
  #toldBy: string | undefined;

  constructor(host: Host, kept: Kept, tasksOf: ReadonlyMap<string, readonly Task[]> | undefined) {
    const { environment, node } = host;
    const { form, timeoutMs, sites } = kept.plan;
    this.#host = host;
    this.id = kept.id;
    this.since = kept.since;
    this.plan = kept.plan;
    this.#tasks = kept.tasks;
    this.#tasksOf = tasksOf ?? new Map();
    this.#done = kept.done;
    this.#untold = new Set(kept.done ? [] : kept.tasks.map(({ resource }) => resource));
    const isNew = kept.record === INITIAL;
    const options = { id: node, sites: sites.map((site) => site.node), form, timeoutMs };
    this.#site = new CommitSite(isNew ? options : { ...options, stored: kept.record }, environment.now());
    if (isNew) host.append({ type: 'begun', kept }, (error) => this.#begun(error));
    else this.#started = true;
  }

  /** Goes on where it was before a restart. */
  resume(): void {
    this.#drain();
  }

  get outcome(): 'commit' | 'abort' | undefined {
    return this.#outcome;
  }

  /** Whether it has promised to go along with either outcome, and does not know which. */
  get isInDoubt(): boolean {
    const { state } = this.#site;
    return this.#outcome === undefined && state !== 'initial';
  }

  /** Everybody has carried it out, as far as this site has heard. */
  get isComplete(): boolean {
    return this.#done && this.waitsFor.length === 0;
  }

  get toldBy(): string | undefined {
    return this.#toldBy;
  }

  /** Nodes that have not said that they have carried it out. */
  get waitsFor(): string[] {
    return this.plan.sites.map(({ node }) => node).filter((node) => !this.#hasDone(node));
  }

  get untold(): readonly string[] {
    return [...this.#untold];
  }

  #hasDone(node: string): boolean {
    return node === this.#host.node ? this.#done : this.#doneBy.has(node);
  }

  /** The coordinator asks for the votes. */
  begin(): void {
    this.#site.begin(this.#host.environment.now());
    this.#drain();
  }

  /** See {@link CommitSite.cancel}. */
  cancel(): boolean {
    const canceled = this.#site.cancel(this.#host.environment.now());
    this.#drain();
    return canceled;
  }

  /** `false`: no site that keeps the protocol says that. */
  receive(from: string, message: SiteMessage): boolean {
    if (message.type === 'outcome') {
      // Nobody commits what this site has not voted for.
      if (message.outcome === 'commit' && this.#site.state === 'initial') return false;
      this.#toldBy ??= from;
      // It has not heard that this site is through.
      if (this.#done) this.#host.send(from, { kind: 'done', id: this.id });
    }
    this.#site.receive(from, message, this.#host.environment.now());
    this.#drain();
    return true;
  }

  /** A site has carried out the outcome. */
  doneBy(node: string): void {
    // It may come before this site's own outcome is durable.
    if (!this.plan.sites.some((site) => site.node === node)) return;
    this.#doneBy.add(node);
    this.#host.progressed(this);
    this.#forgetIfComplete();
  }

  /** A site can be reached again. */
  met(node: string): void {
    if (!this.plan.sites.some((site) => site.node === node)) return;
    if (this.#outcome === undefined) {
      this.#site.retry(this.#host.environment.now());
      this.#setTimer();
    } else if (!this.#doneBy.has(node)) this.#tell(node);
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#tellTimer?.cancel();
  }

  #begun(error: Error | undefined): void {
    if (this.#stopped) return;
    if (error !== undefined) {
      this.stop();
      this.#host.refused(this, error);
      return;
    }
    this.#started = true;
    this.#drain();
  }

  /** Has what the protocol wants done: what it stores is durable before anybody hears of it. */
  #drain(): void {
    if (!this.#started || this.#stopped) return;
    const effects = this.#site.drain();
    this.#setTimer();
    const { record } = effects;
    const item = { durable: record === undefined, run: () => this.#carry(effects) };
    this.#queue.push(item);
    if (record === undefined) this.#work();
    else
      this.#host.append({ type: 'state', id: this.id, record }, () => {
        item.durable = true;
        this.#work();
      });
  }

  #work(): void {
    while (this.#queue[0]?.durable === true && !this.#stopped) this.#queue.shift()!.run();
  }

  #carry({ messages, askVote, outcome }: SiteEffects): void {
    for (const { to, message } of messages) this.#send(to, message);
    if (askVote) void this.#vote();
    if (outcome !== undefined) this.#end(outcome);
  }

  #send(to: string, message: SiteMessage): void {
    const isCalled = message.type === 'vote?';
    this.#host.send(to, {
      kind: 'step',
      id: this.id,
      message,
      plan: isCalled || message.type === 'elect' ? this.plan : undefined,
      tasks: isCalled ? (this.#tasksOf.get(to) ?? []) : undefined,
    });
  }

  async #vote(): Promise<void> {
    const votes = await Promise.all(this.#tasks.map((task) => this.#prepare(task)));
    if (this.#stopped) return;
    this.#site.voted(!votes.includes(false), this.#host.environment.now());
    this.#drain();
  }

  async #prepare({ resource: name, payload }: Task): Promise<boolean> {
    const resource = this.#host.resource(name);
    if (resource === undefined) {
      this.#host.warn(new Error(`${this.id} needs the resource ${name}, which this node does not have`));
      return false;
    }
    try {
      return await resource.prepare(this.id, this.#host.payload(payload));
    } catch (cause) {
      this.#host.warn(
        new Error(`the resource ${name} could not prepare ${this.id}: ${String(cause)}`, { cause }),
      );
      return false;
    }
  }

  #end(outcome: 'commit' | 'abort'): void {
    this.#outcome = outcome;
    this.#host.ended(this, outcome);
    this.#tellLater(this.plan.sites[0]!.node === this.#host.node ? RETRY_MS : this.#tellMs);
    if (this.#done) this.#finished();
    else void this.#carryOut(outcome);
  }

  /** Tells the resources of this node, again and again until each has taken it. */
  async #carryOut(outcome: 'commit' | 'abort'): Promise<void> {
    for (let waitMs = RETRY_MS; ; waitMs = Math.min(2 * waitMs, MAX_RETRY_MS)) {
      await Promise.all(
        this.#tasks.map(async ({ resource: name, payload }) => {
          if (!this.#untold.has(name)) return;
          try {
            const resource = this.#host.resource(name);
            if (resource === undefined) throw new Error('this node does not have it');
            await resource[outcome](this.id, this.#host.payload(payload));
            this.#untold.delete(name);
          } catch (cause) {
            this.#host.warn(
              new Error(
                `the resource ${name} did not ${outcome} ${this.id}; it is asked again: ${String(cause)}`,
                { cause },
              ),
            );
          }
        }),
      );
      if (this.#stopped) return;
      if (this.#untold.size === 0) break;
      const { environment } = this.#host;
      await new Promise<void>((resolve) => {
        this.#timer = environment.setTimer(waitMs * (0.75 + environment.random() / 2), resolve);
      });
    }
    this.#host.append({ type: 'done', id: this.id }, () => {
      if (this.#stopped) return;
      this.#done = true;
      this.#finished();
    });
  }

  #finished(): void {
    for (const { node } of this.plan.sites)
      if (node !== this.#host.node) this.#host.send(node, { kind: 'done', id: this.id });
    this.#host.progressed(this);
    this.#forgetIfComplete();
  }

  #forgetIfComplete(): void {
    if (!this.isComplete || this.#stopped) return;
    this.stop();
    this.#host.append({ type: 'forgotten', id: this.id }, () => undefined);
    this.#host.forgotten(this);
  }

  #tell(node: string): void {
    this.#send(node, { type: 'outcome', outcome: this.#outcome! });
  }

  /** Who has not said that it is through is told again: it may have been away, or its word was lost. */
  #tellLater(ms: number): void {
    const { environment } = this.#host;
    this.#tellTimer = environment.setTimer(ms * (1 + environment.random() / 2), () => {
      for (const node of this.waitsFor) if (node !== this.#host.node) this.#tell(node);
      this.#tellLater(this.#tellMs);
      this.#tellMs = Math.min(2 * this.#tellMs, MAX_TELL_MS);
    });
  }

  #setTimer(): void {
    if (this.#outcome !== undefined || this.#stopped) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    const { environment } = this.#host;
    const { deadline } = this.#site;
    if (deadline === Infinity) return;
    this.#timer = environment.setTimer(Math.max(1, deadline - environment.now()), () => {
      this.#site.tick(environment.now());
      this.#drain();
    });
  }
}
