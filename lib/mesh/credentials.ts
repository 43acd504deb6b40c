/** What a node proves itself with, and whom it lets in: one object for all handshakes of a mesh, changed while it runs. */
import { timingSafeEqual } from 'node:crypto';
import type { NodeId } from '../consensus/consensus.js';
import { QuorateError, checkName, configError } from '../errors.js';
import { checkPublicKey, signerOf } from './identity.js';
import type { NodeKey, NodeSigner } from './identity.js';
import { resolveSecret } from './secret.js';
import type { ClusterKeys, ClusterSecret } from './secret.js';

const maxListed = 1024;
const maxKeysOfPeer = 4;

/** The `identity` of {@link JoinMeshOptions}: this node's own key, and whose keys it knows. */
export interface IdentityOptions {
  /** This node's private key, or a function that fetches it, called once when joining. `quorate keygen` makes one. */
  readonly key: NodeKey | (() => Promise<NodeKey>);
  /**
   * The allow-list: node id → its public key, or its 1 to 4 keys while it changes from one to the next. At most 1024 ids. Nobody
   * else gets in, and a listed peer only with its own key. The node itself may be in it, so that all members share one list.
   *
   * Without a list a peer needs the secret only; its key, if it has one, is checked and shown.
   */
  readonly peers?: Readonly<Record<NodeId, string | readonly string[]>>;
  /**
   * Lets nobody in before {@link followKeyring} has read the replicated list as this node's disk knows it, so that a peer that it
   * revoked does not get in even for the moment between joining and following.
   * @defaultValue false
   */
  readonly awaitKeyring?: boolean;
}

/** A peer that the list names. */
export interface TrustedPeer {
  readonly id: NodeId;
  /** Its public keys, in the order they were listed. */
  readonly keys: readonly string[];
  /** Who says so: this node (its options, or a call of `trust`), or the replicated keyring. */
  readonly by: 'node' | 'keyring';
}

/** Options of {@link MeshIdentity.rotateSecret}. */
export interface RotateSecretOptions {
  /**
   * Closes the links of peers that proved themselves with a secret that is no longer accepted; members come back at once, with the
   * new one. For a secret that leaked: otherwise links outlive the secret that they were made with.
   * @defaultValue false
   */
  readonly relink?: boolean;
}

/** The identity of a mesh: `mesh.identity`. What it changes counts at once for every handshake, also for those under way. */
export interface MeshIdentity {
  /** This node's public key; `undefined` without the option `identity`. */
  readonly publicKey: string | undefined;
  /** The list in force, sorted by id: what this node was told, overruled by the keyring that it follows. */
  trusted(): TrustedPeer[];
  /**
   * Lists a peer with these keys in place of any others, on this node only, and takes back a `revoke` of this node. What a
   * followed keyring says of that peer still wins.
   *
   * @throws QuorateError `ERR_CONFIG` for a bad id or key, a key that is listed for another peer, or a list that is full.
   */
  trust(id: NodeId, keys: string | readonly string[]): void;
  /**
   * Refuses a peer from now on, on this node only and until it ends or calls `trust`, and closes its link. Wins over everything.
   *
   * @throws QuorateError `ERR_CONFIG` for a bad id, or this node's own.
   */
  revoke(id: NodeId): void;
  /**
   * Changes the cluster's secret while everything runs. In three steps, each done at every member (in any order) before the next
   * begins: `{ current: old, previous: new }`, then `{ current: new, previous: old }`, then `new`.
   *
   * @throws QuorateError as `joinMesh` does for a secret; `ERR_CONFIG` for `false`, or on a mesh that was joined with `false`.
   */
  rotateSecret(secret: ClusterSecret, options?: RotateSecretOptions): Promise<void>;
  /** Takes over what a keyring says. @internal */
  follow(list: FollowedList): void;
  /** Has the mesh emit a warning. @internal */
  warn(error: Error): void;
}

/** What a keyring says. @internal */
export interface FollowedList {
  /** Grows with each change. */
  readonly revision: number;
  readonly trusted: readonly (readonly [id: NodeId, keys: readonly string[]])[];
  readonly revoked: readonly NodeId[];
  /** Keys that nobody may use again. */
  readonly revokedKeys: readonly string[];
}

/** What a peer has proved: kept with its link, to be asked about again after a change. @internal */
export interface Standing {
  readonly id: NodeId;
  readonly publicKey: string | undefined;
  /** The key made of the secret it proved itself with. */
  readonly secretKey: Uint8Array | undefined;
}

/** Why a peer is not welcome. @internal */
export interface Objection {
  readonly code: 'ERR_PEER_KEY' | 'ERR_PEER_SECRET';
  readonly text: string;
}

/** What {@link Credentials} tells the mesh. @internal */
export interface CredentialsHost {
  /** The rules changed: who is linked and `unwelcome` loses its link now. */
  review(unwelcome: (standing: Standing) => Objection | undefined): void;
  onWarning(error: Error): void;
}

/** What {@link Credentials} is made with. @internal */
export interface CredentialsParts {
  readonly id: NodeId;
  readonly cluster: string;
  readonly keys: ClusterKeys;
  readonly signer?: NodeSigner;
  /** The allow-list; without it whoever is not listed needs the secret only. */
  readonly peers?: ReadonlyMap<NodeId, readonly string[]>;
  readonly awaitKeyring?: boolean;
}

/** @internal */
export class Credentials implements MeshIdentity {
  /** What it was made with. */
  readonly parts: CredentialsParts;
  readonly #id: NodeId;
  readonly #cluster: string;
  readonly #signer: NodeSigner | undefined;
  /** Whoever is not listed stays out. */
  readonly #closed: boolean;
  readonly #listed: Map<NodeId, readonly string[]>;
  readonly #revoked = new Set<NodeId>();
  #keyring: Keyring | undefined;
  #awaitsKeyring: boolean;
  #keys: ClusterKeys;
  #turn: Promise<void> = Promise.resolve();
  #host: CredentialsHost | undefined;

  constructor(parts: CredentialsParts) {
    this.parts = parts;
    this.#id = parts.id;
    this.#cluster = parts.cluster;
    this.#keys = parts.keys;
    this.#signer = parts.signer;
    this.#closed = parts.peers !== undefined;
    this.#listed = new Map(parts.peers);
    this.#awaitsKeyring = parts.awaitKeyring ?? false;
  }

  /**
   * Reads the options `secret` and `identity` of `joinMesh`.
   *
   * @throws QuorateError `ERR_SECRET_MISSING`, `ERR_SECRET_WEAK`, or `ERR_CONFIG`.
   */
  static async resolve(options: {
    readonly id: NodeId;
    readonly cluster: string;
    readonly secret: unknown;
    readonly identity: unknown;
  }): Promise<Credentials> {
    const { id, cluster, secret, identity } = options;
    const keys = await resolveSecret(secret, cluster);
    if (identity === undefined) return new Credentials({ id, cluster, keys });
    if (typeof identity !== 'object' || identity === null)
      throw configError('identity', typeof identity, 'an object: { key, peers?, awaitKeyring? }'); // might be the key
    const { key, peers, awaitKeyring = false } = identity as Readonly<Record<string, unknown>>;
    if (typeof awaitKeyring !== 'boolean')
      throw configError('identity.awaitKeyring', awaitKeyring, 'true or false');
    const list = peers === undefined ? undefined : checkList(peers);
    const signer = signerOf('identity.key', typeof key === 'function' ? await fetchKey(key) : key);
    const own = list?.get(id);
    if (own !== undefined && !own.includes(signer.publicKey)) {
      throw new QuorateError(
        'ERR_CONFIG',
        `identity.peers lists this node, ${id}, with another key than its own ${signer.publicKey}`,
      );
    }
    for (const [other, keysOf] of list ?? []) {
      if (other === id || !keysOf.includes(signer.publicKey)) continue;
      throw new QuorateError('ERR_CONFIG', `identity.peers lists this node's own key for ${other}`);
    }
    return new Credentials({ id, cluster, keys, signer, ...(list && { peers: list }), awaitKeyring });
  }

  /** Whom to tell of changes. */
  attach(host: CredentialsHost): void {
    this.#host = host;
  }

  get publicKey(): string | undefined {
    return this.#signer?.publicKey;
  }

  /** What the secret gives: the key to prove with first, then what is accepted as well; `undefined` for `secret: false`. */
  get keys(): ClusterKeys {
    return this.#keys;
  }

  sign(message: Uint8Array): Uint8Array | undefined {
    return this.#signer?.sign(message);
  }

  /** Why a peer that has proved so much is not let in. */
  objection(standing: Standing): Objection | undefined {
    if (this.#keys !== undefined && !this.#accepts(standing.secretKey))
      return { code: 'ERR_PEER_SECRET', text: 'the secret it proved itself with is no longer accepted' };
    const text = this.#keyObjection(standing.id, standing.publicKey);
    return text === undefined ? undefined : { code: 'ERR_PEER_KEY', text };
  }

  trusted(): TrustedPeer[] {
    const ids = new Set([...this.#listed.keys(), ...(this.#keyring?.trusted.keys() ?? [])]);
    const out: TrustedPeer[] = [];
    for (const id of [...ids].sort()) {
      const keys = this.#keysOf(id);
      if (keys.length > 0) out.push({ id, keys, by: this.#keyring?.trusted.has(id) ? 'keyring' : 'node' });
    }
    return out;
  }

  trust(id: NodeId, keys: string | readonly string[]): void {
    const checked = checkKeys(`keys of ${checkName('id', id)}`, keys);
    if (!this.#listed.has(id) && this.#listed.size >= maxListed)
      throw new QuorateError('ERR_CONFIG', `the list is full: it has ${maxListed} peers`);
    const own = this.#signer?.publicKey;
    if (id !== this.#id && own !== undefined && checked.includes(own))
      throw new QuorateError('ERR_CONFIG', `${own} is the key of this node`);
    for (const { id: other, keys: listed } of this.trusted()) {
      const shared = other === id ? undefined : checked.find((key) => listed.includes(key));
      if (shared !== undefined) throw new QuorateError('ERR_CONFIG', `${shared} is the key of ${other}`);
    }
    this.#listed.set(id, checked);
    this.#revoked.delete(id);
    this.#review();
  }

  revoke(id: NodeId): void {
    if (checkName('id', id) === this.#id) throw configError('id', id, "another node's id");
    if (!this.#revoked.has(id) && this.#revoked.size >= maxListed)
      throw new QuorateError('ERR_CONFIG', `this node has revoked ${maxListed} peers already`);
    this.#revoked.add(id);
    this.#listed.delete(id);
    this.#review();
  }

  rotateSecret(secret: ClusterSecret, options: RotateSecretOptions = {}): Promise<void> {
    const { relink = false } = options;
    // One after another: a secret that is slow to fetch must not undo a later one.
    const turn = this.#turn.then(async () => {
      if (typeof relink !== 'boolean') throw configError('relink', relink, 'true or false');
      if (this.#keys === undefined)
        throw new QuorateError(
          'ERR_CONFIG',
          'this mesh was joined with secret: false, there is none to change',
        );
      const keys = await resolveSecret(secret, this.#cluster);
      if (keys === undefined)
        throw configError('secret', secret, 'a secret; a mesh is opened by joining it anew');
      this.#keys = keys;
      if (relink) this.#review();
    });
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  follow(list: FollowedList): void {
    const { revision } = list;
    if (this.#keyring !== undefined && revision < this.#keyring.revision) {
      const text = `a keyring of revision ${revision}, older than the ${this.#keyring.revision} in force, is ignored`;
      this.warn(new QuorateError('ERR_PEER_KEY', text));
      return;
    }
    const news = this.#keyring === undefined || revision > this.#keyring.revision;
    this.#awaitsKeyring = false;
    this.#keyring = {
      revision,
      trusted: new Map(list.trusted),
      revoked: new Set(list.revoked),
      revokedKeys: new Set(list.revokedKeys),
      owners: new Map(list.trusted.flatMap(([id, keys]) => keys.map((key) => [key, id] as const))),
    };
    if (news) this.#warnOfOwnExclusion();
    this.#review();
  }

  warn(error: Error): void {
    this.#host?.onWarning(error);
  }

  /** Whether a node with that id could be let in, if it proved itself: gossip about others is not worth listening to. */
  couldAdmit(id: NodeId): boolean {
    if (this.#revoked.has(id) || this.#keyring?.revoked.has(id) === true) return false;
    const open = !this.#closed || this.#awaitsKeyring; // a keyring that is still to be read may list it
    return open || id === this.#id || this.#keysOf(id).length > 0;
  }

  #accepts(secretKey: Uint8Array | undefined): boolean {
    return secretKey !== undefined && this.#keys!.some((key) => timingSafeEqual(key, secretKey));
  }

  #keyObjection(id: NodeId, publicKey: string | undefined): string | undefined {
    if (this.#awaitsKeyring) return 'the keyring has not been read yet';
    if (this.#revoked.has(id)) return 'this node revoked it';
    const ring = this.#keyring;
    if (ring?.revoked.has(id)) return 'the keyring revoked it';
    if (publicKey !== undefined && ring?.revokedKeys.has(publicKey)) return 'the keyring revoked its key';
    if (!ring?.trusted.has(id) && !this.#listed.has(id))
      return this.#closed ? 'it is not on the list' : undefined;
    if (publicKey === undefined) return 'it is listed with a key and shows none';
    return this.#keysOf(id).includes(publicKey) ? undefined : 'its key is not the listed one';
  }

  /** The keys in force for an id: none if it is revoked, or not listed. */
  #keysOf(id: NodeId): readonly string[] {
    const ring = this.#keyring;
    if (this.#revoked.has(id) || ring?.revoked.has(id)) return [];
    const keys = ring?.trusted.get(id) ?? this.#listed.get(id) ?? [];
    // What the keyring ended, or gave to another id, is no longer this node's to list.
    return ring === undefined
      ? keys
      : keys.filter((key) => !ring.revokedKeys.has(key) && (ring.owners.get(key) ?? id) === id);
  }

  #warnOfOwnExclusion(): void {
    const own = this.#signer?.publicKey;
    const ring = this.#keyring!;
    const keys = ring.trusted.get(this.#id);
    let text: string | undefined;
    if (ring.revoked.has(this.#id)) text = 'the keyring revoked this node: members refuse it';
    else if (own !== undefined && ring.revokedKeys.has(own)) text = "the keyring revoked this node's key";
    else if (keys !== undefined && (own === undefined || !keys.includes(own)))
      text = 'the keyring lists this node with another key: members refuse it';
    if (text !== undefined) this.warn(new QuorateError('ERR_PEER_KEY', text));
  }

  #review(): void {
    this.#host?.review((standing) => this.objection(standing));
  }
}

interface Keyring {
  readonly revision: number;
  readonly trusted: ReadonlyMap<NodeId, readonly string[]>;
  readonly revoked: ReadonlySet<NodeId>;
  readonly revokedKeys: ReadonlySet<string>;
  /** Key → whose it is. */
  readonly owners: ReadonlyMap<string, NodeId>;
}

/** The option without a function in it: with the key that the function fetches. @internal */
export async function fetchIdentity(identity: unknown): Promise<unknown> {
  const { key } = (identity ?? {}) as { readonly key?: unknown };
  return typeof key === 'function' ? { ...(identity as object), key: await fetchKey(key) } : identity;
}

async function fetchKey(fetch: unknown): Promise<unknown> {
  try {
    return await (fetch as () => Promise<unknown>)();
  } catch (cause) {
    throw new QuorateError('ERR_CONFIG', 'identity.key: the function that fetches it failed', { cause });
  }
}

function checkList(peers: unknown): Map<NodeId, readonly string[]> {
  if (typeof peers !== 'object' || peers === null || Array.isArray(peers))
    throw configError('identity.peers', peers, 'an object: node id → public key');
  const entries = Object.entries(peers as Readonly<Record<string, unknown>>);
  if (entries.length > maxListed)
    throw configError('identity.peers', entries.length, `a list of at most ${maxListed} ids`);
  const list = new Map<NodeId, readonly string[]>();
  const owners = new Map<string, NodeId>();
  for (const [id, value] of entries) {
    const keys = checkKeys(`identity.peers.${checkName('identity.peers: an id', id)}`, value);
    for (const key of keys) {
      const owner = owners.get(key);
      // With one key two ids could pass for each other.
      if (owner !== undefined)
        throw new QuorateError('ERR_CONFIG', `identity.peers lists one key for both ${owner} and ${id}`);
      owners.set(key, id);
    }
    list.set(id, keys);
  }
  return list;
}

function checkKeys(option: string, value: unknown): readonly string[] {
  const keys: readonly unknown[] = Array.isArray(value) ? (value as unknown[]) : [value];
  if (keys.length === 0 || keys.length > maxKeysOfPeer)
    throw configError(option, keys.length, `1 to ${maxKeysOfPeer} public keys`);
  const checked = keys.map((key) => checkPublicKey(option, key));
  if (new Set(checked).size < checked.length)
    throw configError(option, 'one key twice', 'a list of different keys');
  return checked;
}
