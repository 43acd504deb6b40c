/**
 * What a store does beyond its own keys where these are placed on a ring: members that come and go, calls for keys that this node does
 * not own, listings of all members' keys.
 *
 * @internal
 */
import type { NodeId } from '../../consensus/consensus.js';
import { checkName, checkNumber, configError, QuorateError } from '../../errors.js';
import type { Versions } from '../causality/version.js';
import { emptySet, join } from '../causality/versionSet.js';
import { storeNotReady } from '../coordination/quorum.js';
import type { StoreDesk } from '../coordination/desk.js';
import { RequestType, type Request } from '../coordination/wire.js';
import type { CheckedStore, WriteReport } from '../coordination/storeOptions.js';
import type { LocalStore } from '../local/localStore.js';
import type { ListOptions } from '../local/localTypes.js';
import {
  decodeForward,
  decodeOutcome,
  encodeDone,
  encodeFailure,
  encodeForward,
  type Forwarded,
} from './forward.js';
import {
  decodeListRequest,
  decodePage,
  encodeListRequest,
  encodePage,
  pageOf,
  type ListPage,
  type ListRequest,
} from './listing.js';
import type { Caller } from './placement.js';
import { Rebalancer, rebalanceOf, type RebalanceStatus } from './rebalancer.js';
import type { RingGroup } from './ringGroup.js';
import { isStale, RingPlacement } from './ringPlacement.js';
import { MAX_WEIGHT, type RingMember } from './ring.js';
import { decodeRing, type RingState } from './ringState.js';

/** Options of a change of the members of a store. */
export interface StoreMemberOptions {
  /** How long to wait for the keys to move, in milliseconds; 1 to 2^31 - 1. The move goes on after it. @defaultValue 600000 */
  readonly timeout?: number | undefined;
}

/** How the keys of a store are placed, where that is on a ring. */
export interface PlacementStatus {
  /** The version of the ring; 0 before this node knows one. */
  readonly version: number;
  /** The members on the ring; while keys move, those before. */
  readonly members: readonly { readonly id: string; readonly weight: number }[];
  /** How many partitions this node owns, of how many. */
  readonly owned: number;
  readonly partitions: number;
  /** Members that are off the ring, and may still hold what the others are to be told. */
  readonly leaving: readonly string[];
  /** The move of keys that is under way. */
  readonly rebalancing: RebalanceStatus | undefined;
}

/** What placement tells. */
export interface PlacementEvents {
  /** Keys begin to move, as the members change. */
  'rebalance:started': [RebalanceStatus];
  /** A member has more of what it gets. */
  'rebalance:progress': [RebalanceStatus];
  /** All keys are where the ring of this version says. */
  'rebalance:finished': [{ readonly version: number }];
  /** This node is not a member of the store any more, and holds nothing that others need. */
  removed: [];
}

/** What came of a call: what the key holds, and who has it. */
export interface Called {
  readonly set: Versions;
  readonly report: WriteReport;
}

export interface RingSideSetup {
  readonly local: LocalStore<unknown, unknown, unknown>;
  readonly desk: StoreDesk;
  readonly options: CheckedStore;
  readonly group: RingGroup;
  readonly call: Caller;
  emit<K extends keyof PlacementEvents>(event: K, ...args: PlacementEvents[K]): void;
  /** Does a call here, whose coordinator this node is then. */
  run(call: Forwarded): Promise<Called>;
  readonly failed: (peer: NodeId, error: Error) => void;
}

export class RingSide {
  readonly placement: RingPlacement;
  readonly #setup: RingSideSetup;
  readonly #rebalancer: Rebalancer;
  #before: RingState;
  #joined = false;
  #closed = false;

  constructor(setup: RingSideSetup) {
    this.#setup = setup;
    const { local, desk, options, group, call, failed } = setup;
    const { self, copies, timeout: timeoutMs } = options;
    const { environment, port } = desk;
    const punish = (peer: NodeId, why: string): void => port.punish(peer, why);
    this.placement = new RingPlacement({ self, copies, table: local.table, environment, call, punish });
    this.#before = this.placement.state;
    this.placement.onChange(() => this.#changed());
    this.#rebalancer = new Rebalancer({
      self,
      local,
      environment,
      placement: this.placement,
      group,
      timeoutMs,
      linked: () => new Set(port.linked().keys()),
      begin: () => this.#begin(),
      failed: (peer, error) => {
        if (error instanceof QuorateError && error.code === 'ERR_CODEC') punish(peer, error.message);
        failed(peer, error);
      },
    });
    const heard = (state: RingState): void => {
      // What the disk says of it is told as an event.
      this.placement.adopt(state).catch(() => undefined);
    };
    // The group ends with the store, or when this node was removed.
    group
      .follow((state) => {
        if (!this.#closed) heard(state);
      })
      .catch(() => undefined);
  }

  /** A link came up. */
  linked(): void {
    this.#rebalancer.kick();
  }

  /** Whether this node is the one to coordinate calls for a key: it held it before any move that is under way. */
  coordinates(key: string): boolean {
    return this.placement.round(key).sets[0]?.includes(this.#setup.options.self) ?? false;
  }

  /**
   * Runs something by the version of the ring that holds now; again, where that changed meanwhile, and `again` says that nothing can
   * happen twice by it.
   */
  async rounds<T>(
    timeoutMs: number,
    run: (epoch: number, leftMs: number) => Promise<T>,
    again: (error: unknown) => boolean,
  ): Promise<T> {
    const { environment } = this.#setup.desk;
    const deadline = environment.now() + timeoutMs;
    for (;;) {
      const { epoch } = this.placement;
      const left = deadline - environment.now();
      try {
        return await run(epoch, Math.max(1, left));
      } catch (error) {
        if (epoch === this.placement.epoch || left <= 0 || !again(error)) throw error;
      }
    }
  }

  /** Has an owner do a call. Rejects with what it failed with there; ERR_NOT_READY where no owner is linked. */
  forward(call: Forwarded): Promise<Called> {
    const reads = call.kind === 'get';
    // A write that may have arrived is not sent twice.
    const again = (error: unknown): boolean => reads || isStale(error);
    return this.rounds(call.timeoutMs, (epoch, left) => this.#forward(call, epoch, left), again);
  }

  async #forward(call: Forwarded, epoch: number, timeoutMs: number): Promise<Called> {
    const { desk, local, options } = this.#setup;
    const reads = call.kind === 'get';
    const owners = new Set(this.placement.round(call.key).sets.flat());
    const body = encodeForward({ ...call, timeoutMs });
    let last: unknown;
    for (const peer of owners) {
      if (!desk.port.linked().has(peer)) continue;
      let outcome: Uint8Array;
      try {
        outcome = await this.placement.call(peer, RequestType.forward, body, timeoutMs, epoch);
      } catch (error) {
        if (!(error instanceof QuorateError) || isStale(error)) throw error;
        last = error;
        if (reads || error.code === 'ERR_REJECTED') continue;
        throw new QuorateError(error.code, error.message, { fate: 'ambiguous', cause: error });
      }
      const called = desk.sound(peer, (): Called | QuorateError => {
        const told = decodeOutcome(outcome, options.copies);
        if (told instanceof QuorateError) return told;
        return { set: told.versions ? local.decodeSet(told.versions) : emptySet(), report: told.report };
      });
      if (called instanceof QuorateError) throw called;
      return called;
    }
    if (last !== undefined && reads) throw last as Error;
    const needed = call.level;
    throw storeNotReady(`${call.kind} of ${JSON.stringify(call.key)}`, {
      needed,
      answered: 0,
      members: this.placement.copies,
    });
  }

  /** Answers what a member asks beyond the keys of this node. Rejects with ERR_CODEC for what breaks the protocol. */
  async serve(peer: NodeId, { type, body }: Request): Promise<Uint8Array | undefined> {
    const { local, options } = this.#setup;
    if (type === RequestType.ring) {
      await this.placement.adopt(decodeRing(body));
      return new Uint8Array(0);
    }
    if (!this.placement.people.has(peer))
      throw new QuorateError('ERR_NOT_A_MEMBER', 'not a member of this store');
    if (type === RequestType.forward) {
      const call = decodeForward(body, options.copies);
      try {
        const { set, report } = await this.#setup.run(call);
        const versions = set.versions.length === 0 ? undefined : local.encode(set);
        return encodeDone({ versions, report });
      } catch (error) {
        return encodeFailure(error);
      }
    }
    if (type === RequestType.list) return encodePage(await this.#page(decodeListRequest(body)));
    return undefined;
  }

  #page(request: ListRequest): Promise<ListPage> {
    const { local, options } = this.#setup;
    const { table } = local;
    return pageOf(local, request, (key) => this.placement.owns(options.self, table.tree.leafOf(key)));
  }

  /** The keys of all members, by what `r` owners of each know. */
  async list(options: ListOptions, r: number, timeoutMs: number): Promise<[string, unknown][]> {
    const { prefix = '', after = '', limit = 1000 } = options;
    if (typeof prefix !== 'string') throw configError('prefix', prefix, 'a string');
    if (typeof after !== 'string') throw configError('after', after, 'a string');
    checkNumber('limit', limit, 1, 100_000);
    return this.rounds(
      timeoutMs,
      async (epoch, left) => {
        const { environment } = this.#setup.desk;
        const deadline = environment.now() + left;
        const out: [string, unknown][] = [];
        for (let from: string | undefined = after; from !== undefined && out.length < limit;) {
          const timeLeft = Math.max(1, deadline - environment.now());
          from = await this.#listPage({ prefix, after: from }, r, epoch, timeLeft, out);
        }
        return out.slice(0, limit);
      },
      () => true,
    );
  }

  /** Adds what one page of each member shows; resolves to the key to go on after, if there are more. */
  async #listPage(
    request: ListRequest,
    r: number,
    epoch: number,
    timeoutMs: number,
    out: [string, unknown][],
  ): Promise<string | undefined> {
    const { local, options, desk } = this.#setup;
    const { self } = options;
    const pages = new Map<NodeId, ListPage>();
    const body = encodeListRequest(request);
    const ask = async (peer: NodeId): Promise<void> => {
      const page = await this.placement.call(peer, RequestType.list, body, timeoutMs, epoch);
      pages.set(
        peer,
        desk.sound(peer, () => decodePage(page)),
      );
    };
    pages.set(self, await this.#page(request));
    await Promise.allSettled(this.placement.others.map(ask));
    this.#checkCoverage(pages, r);
    const ends = [...pages.values()].filter(({ more }) => more).map(({ keys }) => keys.at(-1)![0]);
    // Beyond the first end of a page not everybody has told what it holds.
    const end = ends.length === 0 ? undefined : ends.reduce((a, b) => (a < b ? a : b));
    const sets = new Map<string, Versions>();
    for (const [peer, { keys }] of pages)
      for (const [key, versions] of keys) {
        if (versions === undefined || (end !== undefined && key > end)) continue;
        const set = desk.sound(peer, () => local.decodeSet(versions));
        sets.set(key, join(sets.get(key) ?? emptySet(), set));
      }
    for (const key of [...sets.keys()].sort()) {
      const value = local.valueIn(sets.get(key)!);
      if (value !== undefined) out.push([key, value]);
    }
    return end;
  }

  #checkCoverage(pages: ReadonlyMap<NodeId, unknown>, needed: number): void {
    const { state, rings, copies } = this.placement;
    for (let leaf = 0; leaf < state.partitions; leaf++)
      for (const ring of rings) {
        const answered = ring.ownersOf(leaf).filter((id) => pages.has(id)).length;
        if (answered < needed) throw storeNotReady('list', { needed, answered, members: copies });
      }
  }

  /** Puts a member on the ring, or gives it another weight; resolves when the keys are where they belong. */
  async addMember(id: string, weight: number, timeoutMs: number): Promise<void> {
    checkName('id', id);
    checkNumber('weight', weight, 1, MAX_WEIGHT);
    await this.#submit({ op: 'change', id, weight }, timeoutMs);
    const there = ({ id: one, weight: has }: RingMember): boolean => one === id && has === weight;
    await this.#until(({ next, members }) => next === undefined && members.some(there), timeoutMs);
  }

  /** Takes a member off the ring; resolves when the others hold what it held. */
  async removeMember(id: string, lost: boolean, timeoutMs: number): Promise<void> {
    checkName('id', id);
    if (lost) await this.#submit({ op: 'lost', id }, timeoutMs);
    await this.#submit({ op: 'change', id, weight: 0 }, timeoutMs);
    const { self } = this.#setup.options;
    await this.#until(
      ({ next, members, leaving }) =>
        next === undefined &&
        !members.some((one) => one.id === id) &&
        // Who goes itself is told that by the group, which it leaves with it.
        (id === self || !leaving.includes(id)),
      timeoutMs,
    );
  }

  async #submit(command: Parameters<RingGroup['submit']>[0], timeoutMs: number): Promise<void> {
    const { group } = this.#setup;
    await group.submit(command, timeoutMs);
    // The state that follows from it is here, or newer: what waits for it must not see an older one.
    await this.placement.adopt(group.state);
  }

  #until(holds: (state: RingState) => boolean, timeoutMs: number): Promise<void> {
    return this.placement.until(
      () => holds(this.placement.state) && this.placement.state.queue.length === 0,
      timeoutMs,
      () => {
        const data = rebalanceOf(this.placement.state);
        return new QuorateError('ERR_TIMEOUT', `keys still move after ${timeoutMs} ms`, { data });
      },
    );
  }

  status(): PlacementStatus {
    const { state, rings } = this.placement;
    const { version, members, partitions, leaving } = state;
    let owned = 0;
    for (let leaf = 0; rings.length > 0 && leaf < partitions; leaf++)
      if (this.placement.owns(this.#setup.options.self, leaf)) owned++;
    return { version, members, owned, partitions, leaving, rebalancing: rebalanceOf(state) };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#rebalancer.close();
    await this.#setup.group.close();
  }

  async #begin(): Promise<void> {
    const { options, group, local } = this.#setup;
    const { founders } = options.ring!;
    const { timeout, copies, self } = options;
    const partitions = local.table.tree.leaves;
    const { version } = this.placement.state;
    if (founders !== undefined && version === 0)
      await group.submit({ op: 'found', members: founders, copies, partitions }, timeout);
    if (founders === undefined && version > 0 && !this.#joined)
      await group.submit({ op: 'change', id: self, weight: 1 }, timeout);
  }

  #changed(): void {
    const [before, { state }] = [this.#before, this.placement];
    this.#before = state;
    const { self } = this.#setup.options;
    if (this.placement.people.has(self)) this.#joined = true;
    else if (this.#joined) {
      this.#setup.emit('removed');
      return;
    }
    if (state.next === undefined) {
      if (before.next) this.#setup.emit('rebalance:finished', { version: state.version });
      return;
    }
    const event = state.version === before.version ? 'rebalance:progress' : 'rebalance:started';
    this.#setup.emit(event, rebalanceOf(state)!);
  }
}
