/** A transaction by three-phase commit, as its coordinator drives it. */
import { randomId } from '../../environment.js';
import { checkNumber, configError, QuorateError } from '../../errors.js';
import { asRefused, within } from '../calls.js';
import { LIMITS } from '../commands.js';
import type { TransactionProgress } from '../types.js';
import { MAX_PAYLOAD_BYTES, MAX_RESOURCES } from './limits.js';
import type { Plan, Task } from './plan.js';
import { MAX_SITES } from './protocol.js';
import type { ThreePhaseForm } from './siteTypes.js';
import { Site, sitesOf, type TransactionSites } from './transactionSites.js';

/** The resources of a transaction: named, or in a list. */
export type SiteParties = Readonly<Record<string, Site>> | readonly Site[];

/** A resource, within a transaction. */
export interface SiteHandle<Payload = unknown> {
  readonly node: string;
  readonly resource: string;
  /** Has it take part: its `prepare` is called with this once the function is through. Once a transaction. */
  readonly enlist: (payload: Payload) => void;
}

/** The handles of the resources, under the names of their sites. */
export type SiteHandles<P> = { readonly [K in keyof P]: P[K] extends Site<infer T> ? SiteHandle<T> : never };

/** What the function of a three-phase transaction is told beside its handles. */
export interface ThreePhaseContext {
  readonly id: string;
  /** Fires when the transaction is over before its function is. */
  readonly signal: AbortSignal;
  /** Ends it: `transact` rejects with `ERR_TRANSACTION_ABORTED` with this reason. Throws. */
  readonly abort: (reason: string, data?: unknown) => never;
}

/** Options of `transact` with {@link Site}s. */
export interface ThreePhaseOptions {
  readonly protocol: 'three-phase';
  /**
   * How it is brought to its end when somebody dies. `plain` is **safe only on synchronous networks**, where no message ever takes
   * longer than `patience`: a partition makes one part commit and the other abort.
   *
   * @defaultValue 'quorum'
   */
  readonly form?: ThreePhaseForm;
  /**
   * How long the whole may take, in milliseconds; from 1 to 300,000.
   *
   * @defaultValue 10000
   */
  readonly timeout?: number;
  /**
   * How long a site waits for the next step before it sees to the end by itself, in milliseconds; from 1 to 3,600,000. A resource that
   * takes longer to prepare aborts the transaction.
   *
   * @defaultValue 3000
   */
  readonly patience?: number;
  /** Ends the call: with `fate` `refused` nothing takes effect, with `ambiguous` the commit was under way. */
  readonly signal?: AbortSignal;
  /** Told how far it is. Must not throw. */
  readonly onProgress?: (progress: TransactionProgress) => void;
}

/** See {@link transact}. @internal */
export async function transactSites<const P extends SiteParties, T>(
  parties: P,
  fn: (handles: SiteHandles<P>, context: ThreePhaseContext) => Promise<T> | T,
  options: ThreePhaseOptions,
): Promise<T> {
  const sites = checkParties(parties);
  const { form, timeout, patience, signal, onProgress } = checkOptions(options);
  sites.check();
  if (signal?.aborted === true) throw aborted();
  const { environment } = sites;
  const stop = new AbortController();
  const onAbort = (): void => stop.abort(aborted());
  signal?.addEventListener('abort', onAbort, { once: true });
  const timer = environment.setTimer(timeout, () => {
    const message = `the transaction did not come to its end within ${timeout} ms`;
    stop.abort(new QuorateError('ERR_TIMEOUT', message, { fate: 'refused' }));
  });
  const tell = (progress: TransactionProgress): void => {
    try {
      onProgress?.(progress);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  };
  const id = randomId(environment);
  try {
    tell({ type: 'attempt', id, attempt: 1 });
    const enlisted = new Map<string, Task[]>();
    const context: ThreePhaseContext = {
      id,
      signal: stop.signal,
      abort: (reason, data) => {
        const message = `the transaction was aborted: ${reason}`;
        throw new QuorateError('ERR_TRANSACTION_ABORTED', message, { fate: 'refused', reason, data });
      },
    };
    const handles = handlesOf(sites, parties, enlisted) as SiteHandles<P>;
    const value = await within(Promise.resolve(fn(handles, context)), stop.signal);
    if (enlisted.size > 0)
      await commit({ sites, id, form, patience, timeout, enlisted, signal: stop.signal, tell });
    return value;
  } finally {
    timer.cancel();
    signal?.removeEventListener('abort', onAbort);
    stop.abort(new QuorateError('ERR_CLOSED', 'the transaction is over', { fate: 'refused' }));
  }
}

interface Commit {
  readonly sites: TransactionSites;
  readonly id: string;
  readonly form: ThreePhaseForm;
  readonly patience: number;
  readonly timeout: number;
  readonly enlisted: ReadonlyMap<string, readonly Task[]>;
  readonly signal: AbortSignal;
  readonly tell: (progress: TransactionProgress) => void;
}

async function commit(all: Commit): Promise<void> {
  const { sites, id, signal, tell } = all;
  const plan = await planOf(all);
  tell({ type: 'preparing', id, groups: plan.sites.map(({ node }) => node) });
  const outcome = await outcomeOf(all, plan);
  tell({ type: 'decided', id, outcome });
  const hosted = sites.hosted(id);
  if (outcome === 'abort') {
    const by = hosted?.toldBy;
    const message =
      by === undefined
        ? `the transaction was aborted: not all sites voted within ${all.patience} ms, or one here voted no`
        : `the transaction was aborted by ${by}`;
    throw new QuorateError('ERR_TRANSACTION_ABORTED', message, {
      fate: 'refused',
      reason: 'RESOURCE',
      data: by === undefined ? undefined : { by },
    });
  }
  const complete = await sites
    .until(() => sites.hosted(id)?.isComplete ?? true, signal)
    .then(
      () => true,
      () => false, // the sites see to it
    );
  tell({ type: 'finished', id, complete });
}

/** Waits for all nodes to be there; who is not even there at the beginning would only have it aborted. */
async function planOf({ sites, form, patience, enlisted, signal, timeout }: Commit): Promise<Plan> {
  const { node: self, parts } = sites;
  const others = [...enlisted.keys()].filter((node) => node !== self);
  const missing = (): string[] => others.filter((node) => parts.desk.incarnationOf(node) === undefined);
  try {
    await sites.until(() => missing().length === 0, signal);
  } catch (error) {
    const names = missing();
    if (!(error instanceof QuorateError) || error.code !== 'ERR_TIMEOUT' || names.length === 0)
      throw asRefused(error);
    const message = `${names.join(', ')}: not linked, or its sites are not open, within ${timeout} ms`;
    throw new QuorateError('ERR_NOT_READY', message, { fate: 'refused', data: { nodes: names } });
  }
  const incarnationOf = (node: string): string =>
    node === self ? parts.incarnation : parts.desk.incarnationOf(node)!;
  const nodes = [self, ...others];
  return {
    form,
    timeoutMs: patience,
    sites: nodes.map((node) => ({ node, incarnation: incarnationOf(node) })),
  };
}

/** The outcome; or why it is not known, with the fate. */
async function outcomeOf({ sites, id, enlisted, signal }: Commit, plan: Plan): Promise<'commit' | 'abort'> {
  try {
    return await sites.begin(id, plan, enlisted, signal);
  } catch (error) {
    if (error instanceof QuorateError && error.fate === 'refused' && !signal.aborted) throw error;
    const why = signal.aborted ? (signal.reason as QuorateError) : asRefused(error);
    if (signal.aborted && sites.hosted(id)?.cancel() === true) throw why;
    throw new QuorateError(why.code, `the commit was under way: ${why.message}`, {
      fate: 'ambiguous',
      data: { id },
      cause: error,
    });
  }
}

function handlesOf(sites: TransactionSites, parties: SiteParties, enlisted: Map<string, Task[]>): unknown {
  const handle = ({ node, resource }: Site): SiteHandle => ({
    node,
    resource,
    enlist: (value) => {
      const tasks = enlisted.get(node) ?? [];
      if (tasks.some((task) => task.resource === resource))
        throw configError('resource', resource, 'one that does not take part yet');
      const payload = payloadOf(sites, value);
      const bytes = tasks.reduce((sum, task) => sum + task.payload.length, payload.length);
      if (bytes > MAX_PAYLOAD_BYTES)
        throw new QuorateError(
          'ERR_TOO_LARGE',
          `the payloads for ${node} have ${bytes} bytes, at most ${MAX_PAYLOAD_BYTES} are allowed`,
          { fate: 'refused' },
        );
      if (tasks.length >= MAX_RESOURCES)
        throw configError('resources', tasks.length + 1, `at most ${MAX_RESOURCES} of a node`);
      if (!enlisted.has(node) && new Set([sites.node, ...enlisted.keys(), node]).size > MAX_SITES)
        throw configError(
          'replicas',
          enlisted.size + 1,
          `sites on at most ${MAX_SITES} nodes, this one included`,
        );
      enlisted.set(node, [...tasks, { resource, payload }]);
    },
  });
  if (Array.isArray(parties)) return (parties as Site[]).map(handle);
  return Object.fromEntries(
    Object.entries(parties as Readonly<Record<string, Site>>).map(([name, site]) => [name, handle(site)]),
  );
}

function payloadOf(sites: TransactionSites, value: unknown): Uint8Array {
  try {
    return sites.parts.codec.encode(value);
  } catch (error) {
    throw asRefused(error);
  }
}

function aborted(): QuorateError {
  return new QuorateError('ERR_ABORTED', 'the transaction was aborted by its signal', { fate: 'refused' });
}

function checkParties(parties: unknown): TransactionSites {
  if (typeof parties !== 'object' || parties === null)
    throw configError('replicas', parties, 'an object or a list of sites');
  const list = Object.values(parties) as unknown[];
  if (list.length === 0) throw configError('replicas', list.length, 'at least one site');
  let owner: TransactionSites | undefined;
  for (const each of list) {
    if (!(each instanceof Site))
      throw configError(
        'replicas',
        each,
        "sites made by `at`, which three-phase commit is for; groups have 'two-phase'",
      );
    owner ??= sitesOf(each);
    if (sitesOf(each) !== owner) throw configError('replicas', each, 'sites of one TransactionSites');
  }
  return owner!;
}

function checkOptions({ form = 'quorum', timeout = 10_000, patience = 3000, ...rest }: ThreePhaseOptions) {
  if (!['quorum', 'plain'].includes(form)) throw configError('form', form, "'quorum' or 'plain'");
  if ('requestId' in rest && rest.requestId !== undefined)
    throw configError('requestId', rest.requestId, 'left out with three-phase commit');
  checkNumber('timeout', timeout, 1, LIMITS.timeoutMs);
  checkNumber('patience', patience, 1, 3_600_000);
  if (rest.onProgress !== undefined && typeof rest.onProgress !== 'function')
    throw configError('onProgress', rest.onProgress, 'a function');
  return { form, timeout, patience, signal: rest.signal, onProgress: rest.onProgress };
}
