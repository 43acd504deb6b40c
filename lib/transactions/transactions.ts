/** The transactions of a group, as one of its members sees them; and how those that nobody sees to come to their end. */
import type { Environment, Timer } from '../environment.js';
import { configError } from '../errors.js';
import { Emitter } from '../events.js';
import { meshEnvironment, type Mesh } from '../mesh/mesh.js';
import { GroupClient } from '../replica/client/groupClient.js';
import { openClient } from '../replica/client/openClient.js';
import type { Codec } from '../replica/codec.js';
import type { Replica } from '../replica/replica.js';
import { brokenMachine, carryOut, type FinishAnswer } from './carryOut.js';
import { marked, type Marked } from './commands.js';
import type { Answer, Decision } from './decisions.js';
import type { Asking } from './drive.js';
import type { TransactionResource } from './resource.js';
import type { Transactional } from './transactional.js';

/** How long a transaction is left to whoever drives it: by the member that leads, and by the others. */
const LEADER_MS = 250;
const OTHERS_MS = 1000;
/** How long until the next try, at first and at most. */
const POLL_MS = 100;
const MAX_POLL_MS = 5000;
/** How long one try may take. */
const TRY_MS = 5000;
/** Tries under way at once. */
const MAX_TRIES = 16;
/** Clients of groups that this node has no replica of. */
const MAX_CLIENTS = 64;

/** A transaction that a group has voted for, and whose outcome it does not know. */
export interface InDoubt {
  readonly id: string;
  /** The group whose log has the decision. */
  readonly home: string;
  /** When it began, by the clock of who drives it; milliseconds since 1970. */
  readonly since: number;
  readonly commands: number;
}

/** A transaction whose home this group is, and that is not at its end. */
export interface Unfinished {
  readonly id: string;
  readonly state: 'pending' | 'commit' | 'abort';
  readonly groups: readonly string[];
  readonly resources: readonly string[];
  /** Those of them that this member does not have: it waits for one that has, and stays listed until there is one. */
  readonly missing: readonly string[];
  readonly since: number;
}

/** The events of {@link Transactions} and their arguments. */
export interface TransactionsEvents {
  /** Whoever drives a transaction is slow or gone: this member asks for its outcome, or carries it out. */
  recovering: [id: string];
  /** This member has brought a transaction to its end. */
  recovered: [id: string, outcome: 'commit' | 'abort'];
  /** A resource threw, or a machine did otherwise than it had rehearsed. */
  warning: [error: Error];
}

/** Figures of {@link Transactions}. */
export interface TransactionsMetrics {
  /** Transactions that have locks in the group. */
  readonly underWay: number;
  readonly inDoubt: number;
  readonly unfinished: number;
  /** Since the replica was opened: tries to bring a transaction to its end, and those that did. */
  readonly tries: number;
  readonly recovered: number;
}

/** What this member waits to try again. */
interface Work {
  dueAt: number;
  delayMs: number;
  running: boolean;
}

/** Where replicas with transactions live, by mesh and group. */
const neighbours = new WeakMap<Mesh, Map<string, Replica>>();
const known = new WeakMap<object, Transactions>();

/**
 * The transactions of a group, as this member sees them.
 *
 * @throws QuorateError `ERR_CONFIG` for what is no replica whose machine was made by {@link transactional}.
 */
export function transactionsOf(replica: Replica): Transactions {
  const found = known.get(replica);
  if (found === undefined)
    throw configError('replica', replica, 'a replica whose state machine was made by transactional()');
  return found;
}

/** Sees to the transactions of a replica, until it closes. @internal */
export function beginTransactions(machine: Transactional, replica: Replica, mesh: Mesh, codec: Codec): void {
  let others = neighbours.get(mesh);
  if (others === undefined) neighbours.set(mesh, (others = new Map<string, Replica>()));
  const here = others;
  here.set(replica.group, replica);
  const transactions = new Transactions(machine, replica, meshEnvironment(mesh), async (group) => {
    return here.get(group) ?? (await openClient({ mesh, group, codec }));
  });
  known.set(replica, transactions);
  void replica.closed.then(() => {
    if (here.get(replica.group) === replica) here.delete(replica.group);
    Transactions.stop(transactions);
  });
}

/**
 * The transactions of a group, as one of its members sees them. Made with the replica; see {@link transactionsOf}.
 *
 * Every member sees to it that transactions end whose driver is gone: those in doubt ask their home, and the home's members carry
 * out what was decided. The leader begins after 250 ms, the others after a second; who gets no clear answer asks again after 100 ms,
 * then less and less often, up to 5 s.
 *
 * @example
 * ```ts
 * for (const { id, home, since } of transactionsOf(replica).inDoubt()) console.log(id, home, new Date(since));
 * ```
 */
export class Transactions extends Emitter<TransactionsEvents> {
  /** @internal */
  readonly environment: Environment;
  readonly #machine: Transactional;
  readonly #replica: Replica;
  readonly #reach: (group: string) => Promise<Replica | GroupClient>;
  readonly #clients = new Map<string, Promise<Replica | GroupClient>>();
  readonly #work = new Map<string, Work>();
  #timer: Timer | undefined;
  #timerAt = Infinity;
  #tries = 0;
  #running = 0;
  #recovered = 0;
  #stopped = false;

  /** @internal */
  constructor(
    machine: Transactional,
    replica: Replica,
    environment: Environment,
    reach: (group: string) => Promise<Replica | GroupClient>,
  ) {
    super();
    this.#machine = machine;
    this.#replica = replica;
    this.environment = environment;
    this.#reach = reach;
    machine.onOpen = () => this.#wakeAt(this.environment.now() + this.#patienceMs());
    machine.onOpen();
  }

  /** The resources that this member can tell a decision. @internal */
  get resources(): ReadonlyMap<string, TransactionResource> {
    return this.#machine.resources;
  }

  /** Transactions that this group has voted for and whose outcome it does not know, as far as applied here. */
  inDoubt(): InDoubt[] {
    return [...this.#machine.inDoubt()].map(({ id, home, at, steps }) => {
      return { id, home, since: at, commands: steps.length };
    });
  }

  /** Transactions whose home this group is and that are not at their end, as far as applied here. */
  unfinished(): Unfinished[] {
    return [...this.#machine.decisions.open()].map(({ id, outcome, groups, resources: enlisted, at }) => {
      const resources = enlisted.map(({ name }) => name);
      const missing = resources.filter((name) => !this.#machine.resources.has(name));
      return { id, state: outcome, groups, resources, missing, since: at };
    });
  }

  /** Figures, as far as applied here. */
  metrics(): TransactionsMetrics {
    return {
      underWay: this.#machine.branches.size,
      inDoubt: this.inDoubt().length,
      unfinished: this.unfinished().length,
      tries: this.#tries,
      recovered: this.#recovered,
    };
  }

  /** @internal */
  warn(error: Error): void {
    this.emit('warning', error);
  }

  /** @internal */
  static stop(transactions: Transactions): void {
    transactions.#stopped = true;
    transactions.#timer?.cancel();
    transactions.#work.clear();
    for (const opening of transactions.#clients.values())
      opening
        .then((party) => (party instanceof GroupClient ? party.close() : undefined))
        .catch(() => undefined);
    transactions.#clients.clear();
    transactions.removeAllListeners();
  }

  /** Members do not all ask at once. */
  #patienceMs(): number {
    const leads = this.#replica.status().role === 'leader';
    return leads ? LEADER_MS : OTHERS_MS * (1 + this.environment.random() / 2);
  }

  #wakeAt(at: number): void {
    if (this.#stopped || at >= this.#timerAt) return;
    this.#timer?.cancel();
    this.#timerAt = at;
    this.#timer = this.environment.setTimer(Math.max(1, at - this.environment.now()), () => {
      this.#timerAt = Infinity;
      this.#look();
    });
  }

  /** Begins what is due. */
  #look(): void {
    if (this.#stopped) return;
    const now = this.environment.now();
    const open = new Set<string>();
    const { decisions } = this.#machine;
    for (const { id, home, at } of this.#machine.inDoubt())
      // What this group knows as its home is seen to below.
      if (home !== this.#replica.group || decisions.get(id) === undefined)
        this.#see(id, open, now, () => this.#inquire(id, home, at));
    for (const decision of decisions.open()) this.#see(decision.id, open, now, () => this.#finish(decision));
    for (const [id, { running }] of this.#work) if (!open.has(id) && !running) this.#work.delete(id);
    let next = Infinity;
    for (const { dueAt, running } of this.#work.values()) if (!running) next = Math.min(next, dueAt);
    // Those that found no room come when another try is over.
    if (this.#running < MAX_TRIES) this.#wakeAt(Math.max(next, now + 1));
  }

  #see(
    id: string,
    open: Set<string>,
    now: number,
    move: () => Promise<'commit' | 'abort' | undefined>,
  ): void {
    open.add(id);
    let work = this.#work.get(id);
    if (work === undefined) {
      // First seen now: this look is already `patience` after it began, or more.
      work = { dueAt: now + this.#patienceMs(), delayMs: POLL_MS, running: false };
      this.#work.set(id, work);
    }
    if (work.running || work.dueAt > now || this.#running >= MAX_TRIES) return;
    void this.#try(id, work, move);
  }

  async #try(id: string, work: Work, move: () => Promise<'commit' | 'abort' | undefined>): Promise<void> {
    work.running = true;
    this.#running++;
    this.#tries++;
    if (work.delayMs === POLL_MS) this.emit('recovering', id);
    let outcome: 'commit' | 'abort' | undefined;
    try {
      outcome = await move();
    } catch {
      // No answer is no news: it is asked again.
    }
    this.#running--;
    if (this.#stopped) return;
    work.running = false;
    if (outcome !== undefined) {
      this.#recovered++;
      this.#work.delete(id);
      this.emit('recovered', id, outcome);
    } else {
      work.dueAt = this.environment.now() + work.delayMs * (0.75 + this.environment.random() / 2);
      work.delayMs = Math.min(2 * work.delayMs, MAX_POLL_MS);
    }
    this.#wakeAt(Math.max(this.environment.now() + 1, outcome === undefined ? work.dueAt : 0));
  }

  /** In doubt: the home's log tells. */
  async #inquire(id: string, home: string, at: number): Promise<'commit' | 'abort' | undefined> {
    const { type } = (await this.#ask(home, marked('inquire', { id, at }))) as Answer;
    if (type !== 'commit' && type !== 'abort') return undefined;
    const { group } = this.#replica;
    const answer = (await this.#ask(group, marked('finish', { id, outcome: type }))) as FinishAnswer;
    if (answer.failed !== undefined) this.warn(brokenMachine(id, group, answer.failed));
    return answer.done ? type : undefined;
  }

  /** At home: what is pending for too long is aborted, what is decided is carried out. */
  async #finish(decision: Decision): Promise<'commit' | 'abort' | undefined> {
    const { id, at, groups, resources } = decision;
    const { group } = this.#replica;
    let { outcome } = decision;
    if (outcome === 'pending') {
      const { type } = (await this.#ask(group, marked('inquire', { id, at }))) as Answer;
      if (type !== 'commit' && type !== 'abort') return undefined;
      outcome = type;
    }
    const complete = await carryOut(
      { id, outcome, groups, resources },
      {
        ask: (other, command) => this.#ask(other, command),
        resource: (name) => this.#machine.resources.get(name),
        warn: (error) => this.warn(error),
      },
    );
    if (!complete) return undefined;
    await this.#ask(group, marked('end', { id }));
    return outcome;
  }

  async #ask(group: string, command: Marked): Promise<unknown> {
    const party = group === this.#replica.group ? this.#replica : await this.#partyOf(group);
    return (party as unknown as Asking).submit(command, { timeout: TRY_MS });
  }

  /** A replica on this node, or a client. A replica may come and go: who is closed is not asked again. */
  async #partyOf(group: string): Promise<Replica | GroupClient> {
    let opening = this.#clients.get(group);
    const party = await opening?.catch(() => undefined);
    if (opening === undefined || party === undefined || party.status().state !== 'running') {
      this.#makeRoom();
      this.#clients.set(group, (opening = this.#reach(group)));
    }
    return opening;
  }

  #makeRoom(): void {
    if (this.#clients.size < MAX_CLIENTS) return;
    const [group, oldest] = this.#clients.entries().next().value!;
    this.#clients.delete(group);
    oldest.then((party) => (party instanceof GroupClient ? party.close() : undefined)).catch(() => undefined);
  }
}
