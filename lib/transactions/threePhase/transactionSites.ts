/** The resources of a node that take part in three-phase commits, and those of others. */
import type { Environment } from '../../environment.js';
import { checkName, configError, QuorateError } from '../../errors.js';
import { Emitter } from '../../events.js';
import type { Codec } from '../../replica/codec.js';
import { within } from '../calls.js';
import type { TransactionResource } from '../resource.js';
import type { SiteDesk } from './desk.js';
import { Hosted, type Host } from './hosted.js';
import { MAX_ID, MAX_KEPT, MAX_KEPT_BYTES, MAX_OPEN, MAX_RESOURCE_NAME } from './limits.js';
import { Outcomes } from './outcomes.js';
import type { Plan, Task } from './plan.js';
import { INITIAL, type SiteRecords } from './records.js';
import { isPlausible, type Message } from './wire.js';

/** The events of {@link TransactionSites} and their arguments. */
export interface TransactionSitesEvents {
  /** A transaction has ended here. */
  ended: [id: string, outcome: 'commit' | 'abort'];
  /** A resource threw, or is not here. */
  warning: [error: Error];
  /** The storage failed: nothing is taken part in any more, until the sites are opened anew. */
  failed: [error: Error];
}

/** A transaction that this node has voted for, and whose outcome it does not know. */
export interface SiteInDoubt {
  readonly id: string;
  /** The nodes that take part, the coordinator first. */
  readonly sites: readonly string[];
  /** When this node heard of it, by its clock; milliseconds since 1970. */
  readonly since: number;
}

/** A transaction that has ended, and that not everybody has carried out, as far as this node has heard. */
export interface SiteUnfinished extends SiteInDoubt {
  readonly outcome: 'commit' | 'abort';
  /** Nodes that have not said that they are through. */
  readonly waitsFor: readonly string[];
  /** Resources of this node that have not taken it yet. */
  readonly resources: readonly string[];
}

/** Figures of {@link TransactionSites}. */
export interface TransactionSitesMetrics {
  /** Transactions that this node takes part in and whose outcome it does not know. */
  readonly open: number;
  readonly inDoubt: number;
  readonly unfinished: number;
  /** Since the sites were opened. */
  readonly committed: number;
  readonly aborted: number;
}

/** A resource of a node, as something that `transact` with `protocol: 'three-phase'` can be called with. */
export class Site<Payload = unknown> {
  readonly node: string;
  readonly resource: string;
  /** What {@link SiteHandle.enlist} takes. Type information only. */
  declare readonly payload?: Payload;

  /** @internal */
  constructor(node: string, resource: string) {
    this.node = node;
    this.resource = resource;
  }
}

/** What the sites of a node are made of. @internal */
export interface SitesParts {
  readonly node: string;
  readonly incarnation: string;
  readonly desk: SiteDesk;
  readonly records: SiteRecords;
  readonly resources: ReadonlyMap<string, TransactionResource>;
  readonly codec: Codec;
  readonly release: () => Promise<void>;
}

const owners = new WeakMap<Site, TransactionSites>();

/** Whose site it is. @internal */
export function sitesOf(site: Site): TransactionSites {
  return owners.get(site)!;
}

/**
 * The resources of this node that take part in three-phase commits, and the way to those of other nodes. Made by {@link openSites}.
 *
 * What this node has voted for is on its disk: after a restart, once its sites are open again, it finds out how that ended, or brings
 * it to its end with the others.
 */
export class TransactionSites extends Emitter<TransactionSitesEvents> {
  /** @internal */
  readonly parts: SitesParts;
  readonly #hosted = new Map<string, Hosted>();
  readonly #outcomes = new Outcomes();
  readonly #watchers = new Set<() => void>();
  readonly #host: Host;
  readonly #leave: () => void;
  readonly #counts = { commit: 0, abort: 0 };
  #undecided = 0;
  #failed: QuorateError | undefined;
  #closing: Promise<void> | undefined;
  #onClosed: () => void = () => undefined;

  /** @internal */
  constructor(parts: SitesParts) {
    super();
    this.parts = parts;
    const { desk, records, resources, codec, node } = parts;
    this.#host = {
      node,
      environment: desk.environment,
      append: (entry, done) => {
        records.append(entry, (error) => {
          const isFull = error instanceof QuorateError && error.code === 'ERR_STORAGE_FULL';
          if (error !== undefined && !isFull) this.#fail(error);
          else done(error);
        });
      },
      send: (to, message) => desk.send(to, message),
      resource: (name) => resources.get(name),
      payload: (bytes) => codec.decode(bytes),
      warn: (error) => this.emit('warning', error),
      refused: (hosted, error) => this.#refused(hosted, error),
      ended: (hosted, outcome) => {
        this.#undecided--;
        if (!this.#closing) this.#counts[outcome]++;
        this.#outcomes.set(hosted.id, outcome);
        this.emit('ended', hosted.id, outcome);
      },
      progressed: () => this.#changed(),
      forgotten: (hosted) => {
        this.#hosted.delete(hosted.id);
        this.#changed();
      },
    };
    for (const kept of records.kept()) {
      this.#hosted.set(kept.id, new Hosted(this.#host, kept, undefined));
      this.#undecided++;
    }
    this.#leave = desk.open({
      incarnation: parts.incarnation,
      receive: (peer, message) => this.#receive(peer, message),
      met: (peer) => {
        for (const hosted of [...this.#hosted.values()]) hosted.met(peer);
        this.#changed();
      },
    });
    for (const hosted of [...this.#hosted.values()]) hosted.resume();
  }

  /** The id of this node. */
  get node(): string {
    return this.parts.node;
  }

  /** @internal */
  get environment(): Environment {
    return this.parts.desk.environment;
  }

  /**
   * A resource of a node, this one included, to call `transact` with.
   *
   * @throws QuorateError `ERR_CONFIG` for what is no id, or no name of 1 to 128 characters.
   */
  at<Payload = unknown>(node: string, resource: string): Site<Payload> {
    checkName('node', node);
    if (typeof resource !== 'string' || resource.length === 0 || resource.length > MAX_RESOURCE_NAME)
      throw configError('resource', resource, `a name of 1 to ${MAX_RESOURCE_NAME} characters`);
    const site = new Site<Payload>(node, resource);
    owners.set(site, this);
    return site;
  }

  /** Transactions that this node has voted for and whose outcome it does not know. */
  inDoubt(): SiteInDoubt[] {
    return [...this.#hosted.values()].filter(({ isInDoubt }) => isInDoubt).map(described);
  }

  /** Transactions that have ended, and that not everybody has carried out. */
  unfinished(): SiteUnfinished[] {
    const ended = [...this.#hosted.values()].filter(({ outcome }) => outcome !== undefined);
    return ended.map((hosted) => {
      return {
        ...described(hosted),
        outcome: hosted.outcome!,
        waitsFor: hosted.waitsFor,
        resources: hosted.untold,
      };
    });
  }

  /**
   * How a transaction has ended, once this node knows; one that it never heard of may never end. The last 16,384 are remembered, until
   * the sites are closed, and longer what not everybody has carried out.
   *
   * @throws QuorateError `ERR_CONFIG`, `ERR_ABORTED`, `ERR_CLOSED`, `ERR_STORAGE_FAILED`.
   */
  async outcomeOf(id: string, options: { readonly signal?: AbortSignal } = {}): Promise<'commit' | 'abort'> {
    if (typeof id !== 'string' || id.length === 0 || id.length > MAX_ID)
      throw configError('id', id, `a string of 1 to ${MAX_ID} characters`);
    const known = this.#outcomes.get(id);
    if (known !== undefined) return known;
    this.check();
    const { signal } = options;
    if (signal === undefined) return this.#outcomes.of(id, undefined);
    const stop = new AbortController();
    const onAbort = (): void => stop.abort(new QuorateError('ERR_ABORTED', 'nobody waits for the outcome'));
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    return this.#outcomes.of(id, stop.signal).finally(() => signal.removeEventListener('abort', onAbort));
  }

  /**
   * Says that a node will never come back: what has ended is kept for it no longer. Without this, each transaction that it took part
   * in and did not carry out is kept for ever, so that it can be told. It changes nothing about what is in doubt.
   *
   * @throws QuorateError `ERR_CONFIG` for what is no id of another node.
   */
  abandon(node: string): void {
    if (checkName('node', node) === this.node) throw configError('node', node, "another node's id");
    for (const hosted of [...this.#hosted.values()]) hosted.doneBy(node);
  }

  /** Figures. */
  metrics(): TransactionSitesMetrics {
    return {
      open: this.#undecided,
      inDoubt: this.inDoubt().length,
      unfinished: this.#hosted.size - this.#undecided,
      committed: this.#counts.commit,
      aborted: this.#counts.abort,
    };
  }

  /** Takes part in nothing any more; what is under way goes on when the sites are opened again. Idempotent. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  /** The same as {@link TransactionSites.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** @internal */
  onClosed(callback: () => void): void {
    this.#onClosed = callback;
  }

  /** Throws where nothing can be begun. @internal */
  check(): void {
    if (this.#closing) throw new QuorateError('ERR_CLOSED', 'the sites were closed', { fate: 'refused' });
    if (this.#failed) throw this.#failed;
  }

  /** What is known here of how it ended, as it is. @internal */
  hosted(id: string): Hosted | undefined {
    return this.#hosted.get(id);
  }

  /** Begins a transaction here, and resolves once its outcome is durable here. Rejects if it never began, or by the signal. @internal */
  begin(
    id: string,
    plan: Plan,
    tasksOf: ReadonlyMap<string, readonly Task[]>,
    signal: AbortSignal,
  ): Promise<'commit' | 'abort'> {
    this.check();
    const full = this.#full();
    if (full !== undefined) throw new QuorateError('ERR_OVERLOADED', full, { fate: 'refused' });
    const hosted = this.#add(id, plan, tasksOf.get(this.node) ?? [], tasksOf);
    const outcome = this.#outcomes.of(id, signal);
    hosted.begin();
    return outcome;
  }

  /** Resolves once it is so; looked at when somebody has come or got through. Rejects by the signal. @internal */
  until(condition: () => boolean, signal: AbortSignal): Promise<void> {
    let look!: () => void;
    const met = new Promise<void>((resolve) => {
      look = () => {
        if (condition()) resolve();
      };
    });
    this.#watchers.add(look);
    look();
    return within(met, signal).finally(() => this.#watchers.delete(look));
  }

  #changed(): void {
    for (const look of [...this.#watchers]) look();
  }

  #full(): string | undefined {
    if (this.#undecided >= MAX_OPEN)
      return `${MAX_OPEN} transactions are open at this node, at most so many may`;
    const { size, bytes } = this.parts.records;
    if (size < MAX_KEPT && bytes < MAX_KEPT_BYTES) return undefined;
    return `this node keeps ${size} transactions of ${bytes} bytes, at most ${MAX_KEPT} of ${MAX_KEPT_BYTES}`;
  }

  #add(
    id: string,
    plan: Plan,
    tasks: readonly Task[],
    tasksOf?: ReadonlyMap<string, readonly Task[]>,
  ): Hosted {
    const since = this.environment.wallClock();
    const kept = { id, since, plan, tasks, record: INITIAL, done: false };
    const hosted = new Hosted(this.#host, kept, tasksOf);
    this.#hosted.set(id, hosted);
    this.#undecided++;
    return hosted;
  }

  #receive(peer: string, message: Exclude<Message, { kind: 'hello' }>): boolean {
    if (this.#closing || this.#failed) return true;
    const { id } = message;
    const known = this.#hosted.get(id);
    if (message.kind === 'done') {
      known?.doneBy(peer);
      return true;
    }
    if (known === undefined) return this.#hear(peer, message);
    const { message: step } = message;
    return isPlausible(peer, step, known.plan) && known.receive(peer, step);
  }

  /** Of what this node does not know, or not any more. */
  #hear(peer: string, { id, message, plan, tasks }: Extract<Message, { kind: 'step' }>): boolean {
    const { type } = message;
    const { desk } = this.parts;
    // It never had a part in it, or is through: either way it will not ask.
    if (type === 'outcome') desk.send(peer, { kind: 'done', id });
    if (plan === undefined) return true;
    const here = plan.sites.find(({ node }) => node === this.node);
    if (here === undefined || !isPlausible(peer, message, plan)) return false;
    // It may have voted, and lost what it knew: so it says nothing.
    if (here.incarnation !== this.parts.incarnation) return true;
    if (this.#full() !== undefined) {
      // A no to the coordinator is the end of it; to anybody else a word that is not written down would be a lie.
      const outcome = { type: 'outcome', outcome: 'abort' } as const;
      if (type === 'vote?')
        desk.send(peer, { kind: 'step', id, message: outcome, plan: undefined, tasks: undefined });
      return true;
    }
    return this.#add(id, plan, tasks ?? []).receive(peer, message);
  }

  #refused(hosted: Hosted, error: Error): void {
    this.#hosted.delete(hosted.id);
    this.#undecided--;
    const code = error instanceof QuorateError ? error.code : 'ERR_STORAGE_FAILED';
    this.#outcomes.fail(hosted.id, new QuorateError(code, error.message, { fate: 'refused', cause: error }));
    this.emit('warning', error);
  }

  #fail(error: Error): void {
    if (this.#failed !== undefined) return;
    this.#failed = new QuorateError('ERR_STORAGE_FAILED', `the sites stopped: ${error.message}`, {
      cause: error,
    });
    for (const hosted of this.#hosted.values()) hosted.stop();
    this.#leave();
    this.#outcomes.failAll(this.#failed);
    this.emit('failed', error);
  }

  async #close(): Promise<void> {
    this.#onClosed();
    for (const hosted of this.#hosted.values()) hosted.stop();
    if (this.#failed === undefined) this.#leave();
    this.#outcomes.failAll(new QuorateError('ERR_CLOSED', 'the sites were closed'));
    try {
      await this.parts.records.close();
    } finally {
      await this.parts.release();
      this.removeAllListeners();
    }
  }
}

function described({ id, plan, since }: Hosted): SiteInDoubt {
  return { id, since, sites: plan.sites.map(({ node }) => node) };
}
