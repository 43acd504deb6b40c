/** Sites of one transaction on a network in virtual time that loses, delays and cuts. */
import { CommitSite } from '../../../../lib/transactions/threePhase/protocol.js';
import type {
  SiteMessage,
  SiteRecord,
  ThreePhaseForm,
} from '../../../../lib/transactions/threePhase/siteTypes.js';
import { seeded } from '../../support/seeded.js';

interface Event {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

export interface SitesOptions {
  readonly form: ThreePhaseForm;
  readonly sites: readonly string[];
  readonly seed?: number;
  readonly votes?: Readonly<Record<string, boolean>>;
  readonly latencyMs?: readonly [number, number];
  readonly lossRate?: number;
}

export class Sites {
  now = 0;
  readonly sites: readonly string[];
  /** What each site has done, in the order in which it did; a restart may do it again. */
  readonly outcomes = new Map<string, ('commit' | 'abort')[]>();
  /** Looks at a message before it is sent; `false`: it is lost. */
  filter: (from: string, to: string, message: SiteMessage) => boolean = () => true;
  readonly #options: SitesOptions;
  readonly #live = new Map<string, CommitSite>();
  readonly #disks = new Map<string, SiteRecord>();
  readonly #random: () => number;
  #parts: readonly (readonly string[])[] = [];
  #events: Event[] = [];
  #order = 0;
  lossRate: number;

  constructor(options: SitesOptions) {
    this.#options = options;
    this.sites = options.sites;
    this.#random = seeded(options.seed ?? 1);
    this.lossRate = options.lossRate ?? 0;
    for (const id of this.sites) this.start(id);
  }

  begin(): void {
    const [first] = this.sites;
    this.#live.get(first!)?.begin(this.now);
    this.#drain(first!);
  }

  site(id: string): CommitSite | undefined {
    return this.#live.get(id);
  }

  start(id: string): void {
    const { form, sites } = this.#options;
    const stored = this.#disks.get(id);
    this.#live.set(id, new CommitSite({ id, sites, form, timeoutMs: 100, stored }, this.now));
    this.#drain(id);
  }

  crash(id: string): void {
    this.#live.delete(id);
  }

  partition(parts: readonly (readonly string[])[]): void {
    this.#parts = parts;
  }

  after(ms: number, run: () => void): void {
    this.#events.push({ at: this.now + ms, order: this.#order++, run });
  }

  run(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      let next: Event | undefined;
      for (const event of this.#events)
        if (
          event.at <= end &&
          (!next || event.at < next.at || (event.at === next.at && event.order < next.order))
        )
          next = event;
      if (!next) break;
      const chosen = next;
      this.#events = this.#events.filter((event) => event !== chosen);
      this.now = chosen.at;
      chosen.run();
    }
    this.now = end;
  }

  #drain(id: string): void {
    const site = this.#live.get(id);
    if (site === undefined) return;
    const { record, messages, askVote, outcome } = site.drain();
    // Stored at once: losing power before it would be losing power before the step.
    if (record !== undefined) this.#disks.set(id, record);
    for (const { to, message } of messages) this.#send(id, to, message);
    if (outcome !== undefined) this.outcomes.set(id, [...(this.outcomes.get(id) ?? []), outcome]);
    if (askVote) {
      this.after(1 + this.#random() * 5, () => {
        if (this.#live.get(id) !== site) return;
        site.voted(this.#options.votes?.[id] ?? true, this.now);
        this.#drain(id);
      });
    }
    const { deadline } = site;
    if (deadline < Infinity)
      this.after(Math.max(0, deadline - this.now) + 0.01, () => {
        if (this.#live.get(id) !== site || site.deadline !== deadline) return;
        site.tick(this.now);
        this.#drain(id);
      });
  }

  #reaches(from: string, to: string): boolean {
    if (this.#parts.length === 0) return true;
    return this.#parts.some((part) => part.includes(from) && part.includes(to));
  }

  #send(from: string, to: string, message: SiteMessage): void {
    if (!this.filter(from, to, message) || !this.#reaches(from, to) || this.#random() < this.lossRate) return;
    const [min, max] = this.#options.latencyMs ?? [1, 5];
    this.after(min + this.#random() * (max - min), () => {
      const site = this.#live.get(to);
      if (site === undefined || !this.#reaches(from, to)) return;
      site.receive(from, message, this.now);
      this.#drain(to);
    });
  }
}
