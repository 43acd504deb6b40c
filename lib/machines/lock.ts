/** Named locks that expire. */
import type { ApplyContext, TypedStateMachine } from '../replica/stateMachine.js';
import { defineMachine } from './defineMachine.js';
import { checkedName } from './names.js';

const MAX_TTL_MS = 2 ** 31 - 1;
/** How many locks each acquire looks at for ones that expired, so that forgotten ones do not pile up. */
const SWEEP = 2;

/** Who holds a lock, and until when. */
export interface LockHolder {
  readonly owner: string;
  /**
   * The fencing token: larger than that of any holder before. Hand it to whatever the lock guards, and let that
   * refuse tokens below the largest it has seen: a holder that was paused may act after its lock expired.
   */
  readonly token: number;
  /** When the lock expires unless it is renewed: milliseconds since 1970 on the clock of the group's log. */
  readonly expires: number;
}

/** The commands of {@link lock} and their results. */
export type LockCommands = {
  /**
   * Takes a lock if it is free or has expired. `owner` (default: the submitting node) names who wants it: whoever
   * holds it already keeps it, with the same token, for another `ttlMs` (1 to 2^31 - 1 milliseconds). `ok` says
   * whether `owner` holds it now, the rest is who does.
   */
  readonly acquire: {
    readonly input: { readonly name: string; readonly owner?: string | undefined; readonly ttlMs: number };
    readonly result: LockHolder & { readonly ok: boolean };
  };
  /** Holds a lock for another `ttlMs` from now. `ok` is false if this token's hold has ended: stop at once. */
  readonly renew: {
    readonly input: { readonly name: string; readonly token: number; readonly ttlMs: number };
    readonly result: { readonly ok: boolean; readonly expires: number };
  };
  /** Gives a lock back. `ok` is false if this token's hold had ended. */
  readonly release: {
    readonly input: { readonly name: string; readonly token: number };
    readonly result: { readonly ok: boolean };
  };
};

/** The queries of {@link lock} and their answers. */
export type LockQueries = {
  /** The holder, or `undefined`. A query sees the time of the last command, so a lock may be over by the wall clock. */
  readonly get: { readonly input: { readonly name: string }; readonly result: LockHolder | undefined };
  /** All locks that are held, in the order of their names. */
  readonly list: { readonly input: unknown; readonly result: [name: string, holder: LockHolder][] };
};

interface LockState {
  /** The time of the last command. */
  now: number;
  readonly held: Map<string, LockHolder>;
}

/**
 * Replicated locks: each has at most one holder, who keeps it until released or expired. Time is that of the
 * log (assigned by the leader, never going back), so all members agree on when a lock ends.
 *
 * `ERR_REJECTED` has the reason `INVALID_NAME` (names and owners are strings of 1 to 256 characters) or
 * `INVALID_TTL`, with what was expected in `data`.
 *
 * @example
 * ```ts
 * const replica = await openReplica({ mesh, group: 'locks', members, storage, stateMachine: lock() });
 * const hold = await replica.submit({ op: 'acquire', name: 'nightly-job', ttlMs: 30_000 });
 * if (hold.ok) {
 *   await writeReport({ fence: hold.token });
 *   await replica.submit({ op: 'release', name: 'nightly-job', token: hold.token });
 * }
 * ```
 */
export function lock(): TypedStateMachine<LockCommands, LockQueries> {
  return defineMachine({
    version: 1,
    initial: (): LockState => ({ now: 0, held: new Map() }),
    commands: { acquire, renew, release },
    queries: {
      get: (state, q: LockQueries['get']['input']) => live(state, q.name),
      list: (state) =>
        [...state.held.keys()]
          .sort()
          .map((name): [string, LockHolder | undefined] => [name, live(state, name)])
          .filter((pair): pair is [string, LockHolder] => pair[1] !== undefined),
    },
  });
}

function acquire(
  state: LockState,
  c: LockCommands['acquire']['input'],
  context: ApplyContext,
): LockHolder & { ok: boolean } {
  const name = checkedName(c.name, context);
  const owner = c.owner === undefined ? context.origin : checkedName(c.owner, context);
  const expires = context.time + checkedTtl(c.ttlMs, context);
  state.now = context.time;
  forgetExpired(state);
  const holder = live(state, name);
  if (holder !== undefined && holder.owner !== owner) return { ok: false, ...holder };
  const taken: LockHolder = { owner, token: holder?.token ?? context.index, expires };
  state.held.set(name, taken);
  return { ok: true, ...taken };
}

function renew(
  state: LockState,
  c: LockCommands['renew']['input'],
  context: ApplyContext,
): LockCommands['renew']['result'] {
  const name = checkedName(c.name, context);
  const expires = context.time + checkedTtl(c.ttlMs, context);
  state.now = context.time;
  const holder = live(state, name);
  if (holder?.token !== c.token) return { ok: false, expires: holder?.expires ?? 0 };
  state.held.set(name, { ...holder, expires });
  return { ok: true, expires };
}

function release(
  state: LockState,
  c: LockCommands['release']['input'],
  context: ApplyContext,
): { ok: boolean } {
  const name = checkedName(c.name, context);
  state.now = context.time;
  const ok = live(state, name)?.token === c.token;
  if (ok) state.held.delete(name);
  return { ok };
}

function live(state: LockState, name: string): LockHolder | undefined {
  const holder = state.held.get(name);
  return holder !== undefined && holder.expires > state.now ? holder : undefined;
}

/** Looks at the locks in turn: those that are held go to the end of the Map. */
function forgetExpired(state: LockState): void {
  for (let i = Math.min(SWEEP, state.held.size); i > 0; i--) {
    const [name, holder] = state.held.entries().next().value!;
    state.held.delete(name);
    if (holder.expires > state.now) state.held.set(name, holder);
  }
}

function checkedTtl(ttlMs: unknown, context: ApplyContext): number {
  if (typeof ttlMs === 'number' && Number.isInteger(ttlMs) && ttlMs >= 1 && ttlMs <= MAX_TTL_MS) return ttlMs;
  context.reject('INVALID_TTL', { expected: `an integer from 1 to ${MAX_TTL_MS}`, got: ttlMs });
}
