/**
 * Non-blocking atomic commitment among sites that are no replicated groups, for one transaction, as one site sees it. Pure: messages
 * and time go in, what is to be stored, sent and done comes out.
 *
 * - `quorum`: E3PC (Keidar, Dolev: "Increasing the Resilience of Distributed and Replicated Database Systems", JCSS 57, 1998). Every
 *   attempt to end the transaction has a ballot; nobody commits before a majority of the sites is prepared to in one attempt, nobody
 *   aborts after a yes before a majority is prepared to abort in one. Whoever is in a majority ends it; the others wait.
 * - `plain`: three-phase commit as it was (Skeen: "Nonblocking Commit Protocols", SIGMOD 1981), which goes by time-outs alone: who has
 *   voted yes and hears nothing aborts, who is prepared to commit and hears nothing commits. **Safe only where no message takes
 *   longer than the time-out: a partition splits it**, as test/unit/transactions/threePhase/split.test.ts shows.
 */
import { majority } from '../../consensus/quorum.js';
import { checkName, checkNumber, configError } from '../../errors.js';
import type { SiteEffects, SiteMessage, SiteRecord, SiteState, ThreePhaseForm } from './siteTypes.js';

/** What a site is made with. */
export interface SiteOptions {
  readonly id: string;
  /** All sites that take part, the same list everywhere; the first is the coordinator. */
  readonly sites: readonly string[];
  /** @defaultValue 'quorum' */
  readonly form?: ThreePhaseForm;
  /**
   * How long a site waits for the next step; each site of a list waits a little longer than the one before. In
   * milliseconds; from 1 to 3,600,000. In the quorum form it doubles with each attempt of its own, up to 64 times as much.
   */
  readonly timeoutMs: number;
  /** What it remembered, after a restart. */
  readonly stored?: SiteRecord | undefined;
}

const MAX_DOUBLINGS = 6;
/** Sites of one transaction. @internal */
export const MAX_SITES = 63;

interface Attempt {
  readonly ballot: number;
  readonly answers: Map<string, SiteRecord>;
  /** What it prepares for; undefined while it is being elected. */
  to: 'commit' | 'abort' | undefined;
  readonly prepared: Set<string>;
}

/**
 * A site of one transaction among resources that are no replicated groups: commits everywhere or nowhere, without waiting for a
 * coordinator that is gone. For replicated groups there is {@link transact}, which needs none of this.
 *
 * It is pure: give it messages and time, and after each call carry out what {@link CommitSite.drain} says, in its order. Messages may be
 * lost, late and doubled. A process that restarts makes its sites anew from what was stored, and is told outcomes that it had again.
 *
 * @throws QuorateError `ERR_CONFIG`, from the constructor.
 *
 * @example
 * ```ts
 * const site = new CommitSite({ id: 'a', sites: ['a', 'b', 'c'], form: 'quorum', timeoutMs: 1000 }, performance.now());
 * function carryOut() {
 *   const { record, messages, askVote, outcome } = site.drain();
 *   if (record) disk.write(record);                                   // durable before the rest
 *   for (const { to, message } of messages) send(to, message);
 *   if (outcome) resource[outcome](id);
 *   if (askVote) void resource.prepare(id).then((yes) => { site.voted(yes, performance.now()); carryOut(); });
 * }
 * site.begin(performance.now());
 * carryOut();
 * ```
 */
export class CommitSite {
  readonly id: string;
  readonly #sites: readonly string[];
  readonly #form: ThreePhaseForm;
  readonly #timeoutMs: number;
  #record: SiteRecord;
  #stored: SiteRecord;
  #attempt: Attempt | undefined;
  /** Who has voted yes, at the coordinator. */
  readonly #yes = new Set<string>();
  #begun = false;
  #asked = false;
  #messages: { to: string; message: SiteMessage }[] = [];
  #askVote = false;
  #told = false;
  /** Attempts of its own so far. */
  #attempts = 0;
  #deadline: number;

  constructor({ id, sites, form = 'quorum', timeoutMs, stored }: SiteOptions, now: number) {
    for (const site of sites) checkName('sites', site);
    const once = new Set(sites).size === sites.length && sites.includes(id) && sites.length <= MAX_SITES;
    if (!once) throw configError('sites', sites, `1 to ${MAX_SITES} different ids, with ${id} among them`);
    if (!['quorum', 'plain'].includes(form)) throw configError('form', form, "'quorum' or 'plain'");
    this.id = id;
    this.#sites = [...sites];
    this.#form = form;
    this.#timeoutMs = checkNumber('timeoutMs', timeoutMs, 1, 3_600_000, false);
    // The first attempt is the coordinator's: every site has promised to it.
    this.#record = stored ?? { state: 'initial', lastElected: this.#ballot(0, 0), lastAttempt: -1 };
    this.#stored = this.#record;
    this.#deadline = Infinity;
    // What began before a restart goes on: the vote was given, or not.
    if (stored !== undefined && !this.#over) this.#wait(now);
  }

  get state(): SiteState {
    return this.#record.state;
  }

  /** When {@link CommitSite.tick} is due; Infinity if nothing is waited for. */
  get deadline(): number {
    return this.#deadline;
  }

  get #over(): boolean {
    return this.#record.state === 'committed' || this.#record.state === 'aborted';
  }

  /** The coordinator asks all for their votes. */
  begin(now: number): void {
    if (this.#begun || this.#sites[0] !== this.id || this.#record.state !== 'initial') return;
    this.#begun = true;
    this.#broadcast({ type: 'vote?' }, now);
    this.#wait(now);
  }

  /** The resource's vote. */
  voted(yes: boolean, now: number): void {
    if (this.#record.state !== 'initial' || !this.#asked) return;
    if (!yes) {
      // Nobody is prepared to commit before all have voted yes: one no is the end of it.
      this.#finish('abort', now);
      return;
    }
    this.#become({ state: 'waiting' });
    this.#wait(now);
    this.#send(this.#sites[0]!, { type: 'vote' }, now);
  }

  /** A message of another site; its sender is known to be who it says it is. */
  receive(from: string, message: SiteMessage, now: number): void {
    if (!this.#sites.includes(from)) return;
    // Who asks for what is over is told how it ended; whatever else comes late is of no use.
    if (this.#over && message.type !== 'outcome') {
      if (['vote?', 'elect', 'prepare'].includes(message.type)) this.#tell(from, now);
      return;
    }
    switch (message.type) {
      case 'vote?':
        this.#begun = true;
        if (this.#record.state !== 'initial' || this.#asked) return;
        this.#asked = true;
        this.#askVote = true;
        return;
      case 'vote':
        this.#countVote(from, now);
        return;
      case 'elect':
        this.#promise(from, message.ballot, now);
        return;
      case 'elected':
        this.#countElected(from, message.ballot, message.record, now);
        return;
      case 'prepare':
        this.#prepare(from, message.ballot, message.to, now);
        return;
      case 'prepared':
        this.#countPrepared(from, message.ballot, message.to, now);
        return;
      case 'refused':
        if (this.#attempt !== undefined && message.ballot > this.#attempt.ballot) this.#attempt = undefined;
        if (message.ballot > this.#record.lastElected) this.#become({ lastElected: message.ballot });
        return;
      case 'outcome':
        this.#end(message.outcome);
        return;
    }
  }

  /**
   * The coordinator gives up. `false`: it is prepared to commit, or it is over, or it is another site; then nothing changes.
   */
  cancel(now: number): boolean {
    if (!this.#mayAbort) return false;
    this.#finish('abort', now);
    return true;
  }

  /** Others can be reached again: what waited for long is tried again soon. */
  retry(now: number): void {
    if (this.#deadline === Infinity || this.#form === 'plain') return;
    this.#attempts = 0;
    const before = this.#deadline;
    this.#wait(now);
    this.#deadline = Math.min(before, this.#deadline);
  }

  /**
   * A coordinator that is not prepared has not asked anybody to prepare, since it would have been the first to store that: so no
   * attempt, of whomever, can end in a commit.
   */
  get #mayAbort(): boolean {
    return this.#sites[0] === this.id && ['initial', 'waiting'].includes(this.#record.state);
  }

  /** Time has passed. */
  tick(now: number): void {
    if (this.#over || now < this.#deadline) return;
    if (this.#form === 'plain') {
      this.#timeOut(now);
      return;
    }
    this.#attempts++;
    this.#wait(now);
    // Who has not voted yes can still say no, and that ends it.
    if (this.#record.state === 'initial' || this.#mayAbort) {
      this.#finish('abort', now);
      return;
    }
    const last = Math.max(this.#record.lastElected, this.#attempt?.ballot ?? 0);
    const ballot = this.#ballot(Math.floor(last / this.#sites.length) + 1, this.#sites.indexOf(this.id));
    this.#attempt = { ballot, answers: new Map(), to: undefined, prepared: new Set() };
    this.#broadcast({ type: 'elect', ballot }, now);
  }

  /** What is to be done, in the order of {@link SiteEffects}; and begins afresh. */
  drain(): SiteEffects {
    const record = this.#record === this.#stored ? undefined : this.#record;
    this.#stored = this.#record;
    const messages = this.#messages;
    this.#messages = [];
    const askVote = this.#askVote;
    this.#askVote = false;
    let outcome: 'commit' | 'abort' | undefined;
    if (this.#over && !this.#told) {
      this.#told = true;
      outcome = this.#record.state === 'committed' ? 'commit' : 'abort';
    }
    return { record, messages, askVote, outcome };
  }

  // --- the first attempt -------------------------------------------------------------------------------------------

  #countVote(from: string, now: number): void {
    if (this.#sites[0] !== this.id || !this.#begun) return;
    this.#yes.add(from);
    if (this.#yes.size < this.#sites.length || this.#attempt !== undefined) return;
    const ballot = this.#ballot(0, 0);
    if (this.#record.lastElected > ballot) return; // somebody else has begun to end it
    this.#attempt = { ballot, answers: new Map(), to: 'commit', prepared: new Set() };
    this.#broadcast({ type: 'prepare', ballot, to: 'commit' }, now);
    this.#wait(now);
  }

  #prepare(from: string, ballot: number, to: 'commit' | 'abort', now: number): void {
    if (this.#form === 'quorum' && ballot < this.#record.lastElected) {
      this.#send(from, { type: 'refused', ballot: this.#record.lastElected }, now);
      return;
    }
    if (this.#record.state === 'initial') return; // it has not voted: nobody can have asked that
    const state = to === 'commit' ? 'prepared-commit' : 'prepared-abort';
    this.#become({ state, lastElected: ballot, lastAttempt: ballot });
    this.#send(from, { type: 'prepared', ballot, to }, now);
    this.#wait(now);
  }

  #countPrepared(from: string, ballot: number, to: 'commit' | 'abort', now: number): void {
    const attempt = this.#attempt;
    if (attempt?.ballot !== ballot || attempt.to !== to) return;
    attempt.prepared.add(from);
    const enough = this.#form === 'plain' ? this.#sites.length : this.#majority;
    if (attempt.prepared.size >= enough) this.#finish(to, now);
  }

  // --- further attempts (E3PC, section 4) --------------------------------------------------------------------------

  #promise(from: string, ballot: number, now: number): void {
    if (this.#form === 'plain') return;
    if (ballot < this.#record.lastElected) {
      this.#send(from, { type: 'refused', ballot: this.#record.lastElected }, now);
      return;
    }
    if (this.#record.state === 'initial') {
      this.#finish('abort', now);
      return;
    }
    this.#become({ lastElected: ballot });
    if (this.#attempt !== undefined && this.#attempt.ballot < ballot) this.#attempt = undefined;
    this.#send(from, { type: 'elected', ballot, record: this.#record }, now);
    this.#wait(now);
  }

  #countElected(from: string, ballot: number, record: SiteRecord, now: number): void {
    const attempt = this.#attempt;
    if (attempt?.ballot !== ballot || attempt.to !== undefined) return;
    attempt.answers.set(from, record);
    if (attempt.answers.size < this.#majority) return;
    const answers = [...attempt.answers.values()];
    if (answers.some(({ state }) => state === 'committed')) this.#finish('commit', now);
    else if (answers.some(({ state }) => state === 'aborted')) this.#finish('abort', now);
    else {
      // What a majority may have been prepared for in the newest attempt is what this one goes on with.
      const newest = Math.max(...answers.map(({ lastAttempt }) => lastAttempt));
      const all = answers.filter(({ lastAttempt }) => lastAttempt === newest);
      attempt.to = all.every(({ state }) => state === 'prepared-commit') ? 'commit' : 'abort';
      this.#broadcast({ type: 'prepare', ballot, to: attempt.to }, now);
      this.#wait(now);
    }
  }

  // --- plain -------------------------------------------------------------------------------------------------------

  #timeOut(now: number): void {
    if (this.#record.state === 'prepared-commit') this.#finish('commit', now);
    else this.#finish('abort', now);
  }

  // -----------------------------------------------------------------------------------------------------------------

  #finish(outcome: 'commit' | 'abort', now: number): void {
    this.#end(outcome);
    for (const site of this.#sites) if (site !== this.id) this.#tell(site, now);
  }

  #end(outcome: 'commit' | 'abort'): void {
    if (this.#over) return;
    this.#become({ state: outcome === 'commit' ? 'committed' : 'aborted' });
    this.#attempt = undefined;
    this.#deadline = Infinity;
  }

  #tell(site: string, now: number): void {
    this.#send(
      site,
      { type: 'outcome', outcome: this.#record.state === 'committed' ? 'commit' : 'abort' },
      now,
    );
  }

  #become(change: Partial<SiteRecord>): void {
    this.#record = { ...this.#record, ...change };
  }

  get #majority(): number {
    return majority(this.#sites.length);
  }

  /** Ballots of different sites are never the same. */
  #ballot(round: number, site: number): number {
    return round * this.#sites.length + site;
  }

  /**
   * Each site waits a little longer than the one before, so that they do not all want to end it at once; and longer with each
   * attempt, so that one comes to its end also where messages take longer than the time-out.
   */
  #wait(now: number): void {
    if (this.#over) return; // what was sent to itself may have ended it
    const place = this.#sites.indexOf(this.id);
    const patience = this.#timeoutMs * 2 ** Math.min(this.#attempts, MAX_DOUBLINGS);
    this.#deadline = now + patience * (1 + place / this.#sites.length);
  }

  #broadcast(message: SiteMessage, now: number): void {
    for (const site of this.#sites) this.#send(site, message, now);
  }

  #send(to: string, message: SiteMessage, now: number): void {
    if (to === this.id) this.receive(this.id, message, now);
    else this.#messages.push({ to, message });
  }
}
