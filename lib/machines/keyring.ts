/** The replicated allow-list: which node ids may get into the mesh, and with which keys. */
import type { ApplyContext, TypedStateMachine } from '../replica/stateMachine.js';
import { defineMachine } from './defineMachine.js';
import { refused } from './operations.js';
import type { Problem } from './operations.js';

const MAX_IDS = 1024;
const MAX_KEYS_OF_ID = 4;
/** Revoked ids, and revoked keys: they are kept for ever, since a key that was stolen once is stolen. */
const MAX_REVOKED = 4096;

/** What a {@link keyring} says of one id. */
export interface KeyringEntry {
  /** Its public keys; none if it was revoked, or never added. */
  readonly keys: string[];
  readonly revoked: boolean;
}

/** All that a {@link keyring} says, each list sorted. */
export interface KeyringList {
  /** The index in the log of the latest change; 0 before the first. */
  readonly revision: number;
  readonly trusted: [id: string, keys: string[]][];
  readonly revoked: string[];
  /** Keys that nobody may use again: of revoked ids, and retired ones. */
  readonly revokedKeys: string[];
}

/** The commands of {@link keyring} and their results. */
export type KeyringCommands = {
  /**
   * Lists a key for an id, which may have 4 at once while it changes from one to the next. Takes back the revocation of the id,
   * not that of its former keys. The result is the id's keys.
   */
  readonly add: { readonly input: { readonly id: string; readonly key: string }; readonly result: string[] };
  /** Ends one key of an id that has others, for good: the last step of changing it. The result is the id's keys. */
  readonly retire: {
    readonly input: { readonly id: string; readonly key: string };
    readonly result: string[];
  };
  /**
   * Puts an id out, listed here or only in the nodes' own options, and ends its keys for good. The result is whether that was news.
   */
  readonly revoke: { readonly input: { readonly id: string }; readonly result: boolean };
};

/** The queries of {@link keyring} and their answers. */
export type KeyringQueries = {
  /** What is said of one id. */
  readonly get: { readonly input: { readonly id: string }; readonly result: KeyringEntry };
  /** Everything. */
  readonly list: { readonly input: unknown; readonly result: KeyringList };
};

interface State {
  revision: number;
  readonly trusted: Map<string, string[]>;
  readonly revoked: Map<string, true>;
  readonly revokedKeys: Map<string, true>;
}

type OneKey = KeyringCommands['add']['input'];
type OneId = KeyringCommands['revoke']['input'];

/**
 * The allow-list of a mesh as a replicated state machine; {@link followKeyring} puts it into force. Keys are public keys as
 * `generateIdentity` and `quorate keygen` print them. Any member of the group may change it.
 *
 * `ERR_REJECTED` has the reason `INVALID_ID` or `INVALID_KEY`; `KEY_IN_USE` (listed for another id), `KEY_REVOKED` (it was ended
 * for good), `LAST_KEY` (retire: the id has no other; add one first, or revoke the id), `LAST_TRUSTED` (revoke: nobody would be
 * left on the list), `REVOKES_SUBMITTER` (a node that put itself out could not take it back: ask another member), or `FULL` (1024
 * ids, 4 keys an id, 4096 revoked ids and keys). What is rejected changes nothing.
 *
 * @example
 * ```ts
 * const ring = await openReplica({ mesh, group: 'keyring', members, storage, stateMachine: keyring() });
 * followKeyring({ mesh, replica: ring });
 * await ring.submit({ op: 'add', id: 'd', key: 'ed25519:3Cq…' }); // d may join, everywhere
 * await ring.submit({ op: 'revoke', id: 'b' }); // b loses its links, everywhere, and stays out
 * ```
 */
export function keyring(): TypedStateMachine<KeyringCommands, KeyringQueries> {
  return defineMachine({
    version: 1,
    initial: (): State => ({
      revision: 0,
      trusted: new Map(),
      revoked: new Map(),
      revokedKeys: new Map(),
    }),
    commands: { add, retire, revoke },
    queries: {
      get: (state, q: KeyringQueries['get']['input']): KeyringEntry => ({
        keys: [...(state.trusted.get(q.id) ?? [])],
        revoked: state.revoked.has(q.id),
      }),
      list: (state): KeyringList => ({
        revision: state.revision,
        trusted: [...state.trusted.keys()].sort().map((id) => [id, [...state.trusted.get(id)!]]),
        revoked: [...state.revoked.keys()].sort(),
        revokedKeys: [...state.revokedKeys.keys()].sort(),
      }),
    },
    validate: (command) => {
      const problem = malformed(command, command.op !== 'revoke');
      if (problem !== undefined) throw refused(problem);
    },
  });
}

function add(state: State, c: OneKey, context: ApplyContext): string[] {
  const { id, key } = checked(c, true, context);
  const keys = state.trusted.get(id) ?? [];
  if (keys.includes(key)) return [...keys];
  if (state.revokedKeys.has(key)) context.reject('KEY_REVOKED', { id, key });
  for (const [other, listed] of state.trusted) {
    // With one key two ids could pass for each other.
    if (listed.includes(key)) context.reject('KEY_IN_USE', { id, key, by: other });
  }
  if (keys.length >= MAX_KEYS_OF_ID) context.reject('FULL', { id, keys: keys.length });
  if (keys.length === 0 && state.trusted.size >= MAX_IDS) context.reject('FULL', { ids: MAX_IDS });
  state.trusted.set(id, [...keys, key]);
  state.revoked.delete(id);
  state.revision = context.index;
  return [...keys, key];
}

function retire(state: State, c: OneKey, context: ApplyContext): string[] {
  const { id, key } = checked(c, true, context);
  const keys = state.trusted.get(id) ?? [];
  if (!keys.includes(key)) return [...keys];
  if (keys.length === 1) context.reject('LAST_KEY', { id });
  if (state.revokedKeys.size >= MAX_REVOKED) context.reject('FULL', { revokedKeys: MAX_REVOKED });
  const left = keys.filter((other) => other !== key);
  state.trusted.set(id, left);
  state.revokedKeys.set(key, true);
  state.revision = context.index;
  return [...left];
}

function revoke(state: State, c: OneId, context: ApplyContext): boolean {
  const { id } = checked(c, false, context);
  const keys = state.trusted.get(id) ?? [];
  if (state.revoked.has(id)) return false;
  if (id === context.origin) context.reject('REVOKES_SUBMITTER', { id });
  if (keys.length > 0 && state.trusted.size === 1) context.reject('LAST_TRUSTED', { id });
  if (state.revoked.size >= MAX_REVOKED || state.revokedKeys.size + keys.length > MAX_REVOKED)
    context.reject('FULL', { revoked: MAX_REVOKED });
  state.trusted.delete(id);
  state.revoked.set(id, true);
  for (const key of keys) state.revokedKeys.set(key, true);
  state.revision = context.index;
  return true;
}

function checked<C extends OneId>(command: C, withKey: boolean, context: ApplyContext): C {
  const problem = malformed(command, withKey);
  if (problem !== undefined) context.reject(problem.reason, { expected: problem.message });
  return command;
}

/** Checks the form only: the curve is the mesh's business, and a key that is no point on it lets nobody in. */
function malformed(
  command: { readonly id?: unknown; readonly key?: unknown },
  withKey: boolean,
): Problem | undefined {
  const { id, key } = command;
  if (typeof id !== 'string' || !/^[A-Za-z0-9._:@-]{1,128}$/.test(id))
    return { reason: 'INVALID_ID', message: 'id must be 1 to 128 characters out of A-Z a-z 0-9 . _ : @ -' };
  // 32 bytes are 42 characters and 4 bits, so the last one is one of sixteen: a key has one text only.
  if (withKey && (typeof key !== 'string' || !/^ed25519:[\w-]{42}[AEIMQUYcgkosw048]$/.test(key)))
    return { reason: 'INVALID_KEY', message: 'key must be "ed25519:" and 43 characters of base64url' };
  return undefined;
}
