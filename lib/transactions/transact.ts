/** Transactions over several groups, as a user calls them. */
import { setMaxListeners } from 'node:events';
import { randomId } from '../environment.js';
import { checkNumber, configError, QuorateError } from '../errors.js';
import { cbor } from '../replica/codec.js';
import { GroupClient } from '../replica/client/groupClient.js';
import { Replica } from '../replica/replica.js';
import { Attempt, type Ending } from './attempt.js';
import { asRefused, sleep, within } from './calls.js';
import { LIMITS, MARK } from './commands.js';
import type { Asking, Drive } from './drive.js';
import {
  transactSites,
  type SiteHandles,
  type SiteParties,
  type ThreePhaseContext,
  type ThreePhaseOptions,
} from './threePhase/transactSites.js';
import { Site } from './threePhase/transactionSites.js';
import { transactionsOf } from './transactions.js';
import type {
  TransactionContext,
  TransactionHandle,
  TransactionHandles,
  TransactionParties,
  TransactionParty,
  TransactOptions,
} from './types.js';

/** How long until the next attempt, at first and at most. */
const RETRY_MS = 10;
const MAX_RETRY_MS = 500;

/**
 * Does something in several groups at once: all of it, or nothing. `fn` reads and writes through handles; when it resolves, what it
 * did is committed in all groups (two-phase commit, with the parts of the groups and the decision in their logs, after Spanner:
 * Corbett et al., OSDI 2012, section 4.2.1). When it throws, nothing of it takes effect and `transact` rejects with that.
 *
 * Transactions are strictly serializable: the outcome is as if they had run one after the other, in an order that keeps that of
 * those which did not overlap. What `fn` reads stays as it is until its transaction ends, so it never sees half of another one.
 * Everything it reads or writes is locked; of two that want the same the older one waits and the younger one begins again, so **`fn`
 * may run more than once** and should do nothing else than use its handles. A transaction that keeps giving way gets older, and is
 * served in the end.
 *
 * The groups' machines are made by {@link transactional}, and all groups have the same codec. The first one named is the home: the
 * decision is in its log. If this process dies before the decision, the members of the groups abort the transaction when its
 * `timeout` is over; if after, they carry it out.
 *
 * Throws {@link QuorateError}, with `fate` `refused` when nothing took or will take effect, and `ambiguous` when the commit was under
 * way (then only `transact` with the same `requestId` tells): `ERR_TRANSACTION_ABORTED` (`abort` was called, with its `reason`; or a
 * resource voted no, reason `RESOURCE`), `ERR_TIMEOUT`, `ERR_ABORTED`, `ERR_OVERLOADED` (a cap of a group), `ERR_TOO_LARGE`, `ERR_CODEC`,
 * `ERR_CONFIG`, `ERR_CLOSED`, `ERR_REPLICA_FAILED`, and what the machine throws for commands and queries.
 *
 * @example
 * ```ts
 * await transact({ from: accounts1, to: accounts2 }, async ({ from, to }, { abort }) => {
 *   const balance = (await from.query({ op: 'get', key: 'ann' }, { forUpdate: true })) ?? 0;
 *   if (balance < 10) abort('NOT_ENOUGH', { balance });
 *   await from.submit({ op: 'put', key: 'ann', value: balance - 10 });
 *   const other = (await to.query({ op: 'get', key: 'bob' }, { forUpdate: true })) ?? 0;
 *   await to.submit({ op: 'put', key: 'bob', value: other + 10 });
 * });
 * ```
 */
export function transact<const P extends TransactionParties, T>(
  replicas: P,
  fn: (handles: TransactionHandles<P>, context: TransactionContext) => Promise<T> | T,
  options?: TransactOptions,
): Promise<T>;
/**
 * The same among resources on single nodes, that no group stands behind: they prepare, and then all commit or all abort, by three-phase
 * commit. The sites are made by {@link TransactionSites.at}; this node is the coordinator, and takes part with its storage.
 *
 * In the quorum form (E3PC) the outcome is one, whatever the network does, and is found wherever a majority of the nodes is: so nobody
 * waits for a coordinator that is gone. The plain form needs no majority, and is safe only on synchronous networks.
 *
 * The function runs once; what it enlists is prepared after it. Throws {@link QuorateError} as above, and besides `ERR_NOT_READY`
 * (nodes that are not linked, or have not opened their sites), and `ERR_STORAGE_FULL`. With `fate` `ambiguous` it has `data.id`, by which
 * {@link TransactionSites.outcomeOf} tells.
 */
export function transact<const P extends SiteParties, T>(
  sites: P,
  fn: (handles: SiteHandles<P>, context: ThreePhaseContext) => Promise<T> | T,
  options: ThreePhaseOptions,
): Promise<T>;
export async function transact(
  parties: TransactionParties | SiteParties,
  fn: (handles: never, context: never) => unknown,
  options: TransactOptions | ThreePhaseOptions = {},
): Promise<unknown> {
  if (typeof fn !== 'function') throw configError('fn', fn, 'a function');
  if (options.protocol === 'three-phase')
    return transactSites(parties as SiteParties, fn as () => unknown, options);
  return transactGroups(parties as TransactionParties, fn as () => unknown, options);
}

async function transactGroups<const P extends TransactionParties, T>(
  replicas: P,
  fn: (handles: TransactionHandles<P>, context: TransactionContext) => Promise<T> | T,
  options: TransactOptions,
): Promise<T> {
  const parties = checkParties(replicas);
  const { timeout, requestId, signal } = checkOptions(options);
  if (signal?.aborted === true) throw aborted();
  const [home] = parties as [TransactionParty];
  const environment =
    home instanceof Replica ? transactionsOf(home).environment : GroupClient.environmentOf(home);
  const stop = new AbortController();
  setMaxListeners(0, stop.signal); // one for each operation that is under way
  const onAbort = (): void => stop.abort(aborted());
  signal?.addEventListener('abort', onAbort, { once: true });
  const timer = environment.setTimer(timeout, () => {
    const message = `the transaction did not come to its commit within ${timeout} ms`;
    stop.abort(new QuorateError('ERR_TIMEOUT', message, { fate: 'refused' }));
  });
  const drive: Drive = {
    environment,
    age: { time: environment.wallClock(), id: requestId ?? randomId(environment) },
    home: asking(home),
    parties: parties.map(asking),
    request: requestId,
    deadline: environment.now() + timeout,
    signal: stop.signal,
    resources: home instanceof Replica ? transactionsOf(home).resources : new Map(),
    tell: (progress) => {
      try {
        options.onProgress?.(progress);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    },
    warn: (error) => {
      if (home instanceof Replica) transactionsOf(home).warn(error);
    },
  };
  try {
    return await drivenBy(drive, replicas, fn);
  } finally {
    timer.cancel();
    signal?.removeEventListener('abort', onAbort);
    // What of this transaction is still at work ends; what it has decided is carried out all the same.
    stop.abort(new QuorateError('ERR_CLOSED', 'the transaction is over', { fate: 'refused' }));
  }
}

/** Tries until an attempt commits, or fails for good. */
async function drivenBy<P extends TransactionParties, T>(
  drive: Drive,
  replicas: P,
  fn: (handles: TransactionHandles<P>, context: TransactionContext) => Promise<T> | T,
): Promise<T> {
  const { environment, request, signal } = drive;
  for (let n = 1, waitMs = RETRY_MS; ; n++, waitMs = Math.min(2 * waitMs, MAX_RETRY_MS)) {
    if (request !== undefined) {
      const kept = await keptUnder(drive, request);
      if (kept.known) return kept.result as T;
    }
    const attempt = new Attempt(drive);
    drive.tell({ type: 'attempt', id: attempt.id, attempt: n });
    let value: T;
    let ending: Ending;
    try {
      value = await within(run(attempt, n, drive, replicas, fn), signal);
      if (attempt.failure) throw attempt.failure.error;
      if (request !== undefined) checkResult(value);
      ending = await attempt.commit(value);
    } catch (error) {
      attempt.rollBack();
      if (attempt.failure?.retry !== true) throw attempt.failure?.error ?? error;
      ending = { type: 'retry' };
    }
    if (ending.type === 'committed') return value!;
    attempt.rollBack();
    if (ending.type === 'done') return ending.result as T;
    await sleep(environment, waitMs * (0.5 + environment.random() / 2), signal);
  }
}

async function run<P extends TransactionParties, T>(
  attempt: Attempt,
  n: number,
  { signal }: Drive,
  replicas: P,
  fn: (handles: TransactionHandles<P>, context: TransactionContext) => Promise<T> | T,
): Promise<T> {
  const context: TransactionContext = {
    id: attempt.id,
    attempt: n,
    signal,
    abort: (reason, data) => {
      const message = `the transaction was aborted: ${reason}`;
      throw new QuorateError('ERR_TRANSACTION_ABORTED', message, { fate: 'refused', reason, data });
    },
    enlist: (resource, payload) => attempt.enlist(resource, payload),
  };
  const value = await fn(handlesOf(attempt, replicas), context);
  await attempt.settled();
  return value;
}

function handlesOf<P extends TransactionParties>(attempt: Attempt, replicas: P): TransactionHandles<P> {
  const handle = ({ group }: TransactionParty): TransactionHandle<never> => ({
    group,
    query: (query, { forUpdate = false } = {}) =>
      silent(attempt.step(group, 'query', query, forUpdate)) as Promise<never>,
    submit: (command) => silent(attempt.step(group, 'command', command, true)) as Promise<never>,
  });
  if (Array.isArray(replicas)) return (replicas as TransactionParty[]).map(handle) as never;
  const named = Object.entries(replicas as Readonly<Record<string, TransactionParty>>);
  return Object.fromEntries(named.map(([name, party]) => [name, handle(party)])) as never;
}

/** A step that fails while nobody waits for it fails the transaction; it must not end the process. */
function silent<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

async function keptUnder(
  { home, deadline, environment, signal }: Drive,
  request: string,
): Promise<{ known: boolean; result?: unknown }> {
  const timeout = Math.max(1, Math.ceil(deadline - environment.now()));
  try {
    const kept = await home.query([MARK, 'request', request], { timeout, signal });
    return kept as { known: boolean; result?: unknown };
  } catch (error) {
    throw asRefused(signal.aborted ? signal.reason : error);
  }
}

function asking(party: TransactionParty): Asking {
  return party;
}

function aborted(): QuorateError {
  return new QuorateError('ERR_ABORTED', 'the transaction was aborted by its signal', { fate: 'refused' });
}

/** Throws where a result cannot be kept under a request id. */
function checkResult(value: unknown): void {
  if (value === undefined) return;
  let bytes: number;
  try {
    bytes = cbor().encode(value).length;
  } catch (error) {
    throw asRefused(error);
  }
  if (bytes <= LIMITS.resultBytes) return;
  const message = `the result has ${bytes} bytes, at most ${LIMITS.resultBytes} are kept under a requestId`;
  throw new QuorateError('ERR_TOO_LARGE', message, { fate: 'refused' });
}

function checkParties(replicas: unknown): readonly TransactionParty[] {
  if (typeof replicas !== 'object' || replicas === null)
    throw configError('replicas', replicas, 'an object or a list of replicas and clients');
  const parties = Object.values(replicas) as unknown[];
  if (parties.length === 0 || parties.length > LIMITS.participants)
    throw configError('replicas', parties.length, `1 to ${LIMITS.participants} replicas and clients`);
  const groups = new Set<string>();
  for (const party of parties) {
    if (party instanceof Replica) transactionsOf(party as Replica);
    else if (party instanceof Site) throw configError('protocol', 'two-phase', "'three-phase' for sites");
    else if (!(party instanceof GroupClient))
      throw configError('replicas', party, 'replicas made by openReplica, and clients made by openClient');
    if (groups.has(party.group)) throw configError('replicas', party.group, 'replicas of different groups');
    groups.add(party.group);
  }
  return parties as TransactionParty[];
}

function checkOptions({
  protocol = 'two-phase',
  timeout = 10_000,
  requestId,
  signal,
  onProgress,
}: TransactOptions) {
  if ((protocol as string) !== 'two-phase')
    throw configError('protocol', protocol, "'two-phase' or 'three-phase'");
  checkNumber('timeout', timeout, 1, LIMITS.timeoutMs);
  const known =
    requestId === undefined ||
    (typeof requestId === 'string' && requestId.length > 0 && requestId.length <= 256);
  if (!known) throw configError('requestId', requestId, 'a string of 1 to 256 characters');
  if (onProgress !== undefined && typeof onProgress !== 'function')
    throw configError('onProgress', onProgress, 'a function');
  return { timeout, requestId, signal };
}
