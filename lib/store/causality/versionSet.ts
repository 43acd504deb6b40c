/**
 * Dotted version vector sets (Almeida, Baquero, Gonçalves, Preguiça, Fonte: "Scalable and Accurate Causality Tracking for Eventually
 * Consistent Stores", DAIS 2014): the versions of a key that nobody has replaced yet, each with the dot of the event that wrote it,
 * and the context, a clock of all events of the key that are known. A version whose dot is in the context and that is not there was
 * replaced.
 *
 * The paper packs both into triples (actor, n, values), where a value's place tells its dot. Here the dots are written out: the
 * numbers of an actor may have gaps then, and any version can go, not the oldest of an actor alone. {@link triples} shows the
 * paper's form.
 *
 * @internal
 */
import { QuorateError } from '../../errors.js';
import { compareDots, VectorClock, type Dot } from './vectorClock.js';

/** Something that was written by the event `dot`; nothing else ever was. */
export interface Dotted {
  readonly dot: Dot;
}

/** What is known of a key. Never changed. */
export interface VersionSet<V extends Dotted> {
  /** Covers the dots of the versions, and with an event of an actor all earlier ones of that actor at this key. */
  readonly context: VectorClock;
  /** In the order of their dots. */
  readonly versions: readonly V[];
}

const nothing: VersionSet<never> = { context: VectorClock.empty, versions: [] };

/** Nothing is known. */
export function emptySet<V extends Dotted>(): VersionSet<V> {
  return nothing;
}

/** What is known after a write whose writer had seen `seen`. Throws when its dot is not a new one. */
export function put<V extends Dotted>(set: VersionSet<V>, seen: VectorClock, version: V): VersionSet<V> {
  const { actor, counter } = version.dot;
  if (set.context.covers(version.dot) || seen.covers(version.dot))
    throw new QuorateError('ERR_INTERNAL', `event ${counter} of ${actor} is not new`);
  const kept = set.versions.filter(({ dot }) => !seen.covers(dot));
  return {
    context: set.context.merge(seen).with(version.dot),
    versions: [...kept, version].sort((a, b) => compareDots(a.dot, b.dot)),
  };
}

/** What is known by two together. Answers `a` itself if `b` adds nothing. */
export function join<V extends Dotted>(a: VersionSet<V>, b: VersionSet<V>): VersionSet<V> {
  const context = a.context.merge(b.context);
  const versions: V[] = [];
  let changed = context !== a.context;
  let next = 0;
  for (const version of a.versions) {
    while (next < b.versions.length && compareDots(b.versions[next]!.dot, version.dot) < 0)
      if (takeFrom(b.versions[next++]!)) changed = true;
    const same = b.versions[next];
    if (same !== undefined && compareDots(same.dot, version.dot) === 0) next++;
    else if (b.context.covers(version.dot)) {
      changed = true; // the other knows it and no longer has it
      continue;
    }
    versions.push(version);
  }
  while (next < b.versions.length) if (takeFrom(b.versions[next++]!)) changed = true;
  return changed ? { context, versions } : a;

  function takeFrom(version: V): boolean {
    if (a.context.covers(version.dot)) return false;
    versions.push(version);
    return true;
  }
}

/** Whether `a` knows all that `b` does. */
export function contains<V extends Dotted>(a: VersionSet<V>, b: VersionSet<V>): boolean {
  return join(a, b) === a;
}

/**
 * Keeps the newest version alone, by an order in which whatever replaces a version is newer than it. Without that, replicas that
 * pruned different sets would each drop what the other one kept.
 */
export function keepNewest<V extends Dotted>(
  set: VersionSet<V>,
  compare: (a: V, b: V) => number,
): { readonly set: VersionSet<V>; readonly losers: readonly V[] } {
  if (set.versions.length < 2) return { set, losers: [] };
  const newest = set.versions.reduce((best, version) => (compare(version, best) > 0 ? version : best));
  const losers = set.versions.filter((version) => version !== newest);
  return { set: { context: set.context, versions: [newest] }, losers };
}

/** The form of the paper: (actor, n, versions newest first), for sets in which the version at place i has the dot (actor, n - i). */
export function triples<V extends Dotted>({ context, versions }: VersionSet<V>): [string, number, V[]][] {
  return [...context.entries()].map(([actor, n]) => {
    const own = versions.filter(({ dot }) => dot.actor === actor).reverse();
    if (own.some(({ dot }, i) => dot.counter !== n - i))
      throw new QuorateError('ERR_INTERNAL', `the dots of ${actor} have gaps`);
    return [actor, n, own];
  });
}
