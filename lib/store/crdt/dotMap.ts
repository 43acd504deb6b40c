/**
 * What sets, maps, flags and registers are made of: entries by key, each with the dot of the write that put it there, and the clock of
 * all writes that are known. An entry whose dot a clock covers and that is not there was removed; so nothing has to be kept of what is
 * gone (Bieniusa et al.: "An optimized conflict-free replicated set", 2012).
 *
 * @internal
 */
import { compareDots, VectorClock } from '../causality/vectorClock.js';
import { join, type Dotted } from '../causality/versionSet.js';
import type { CrdtContext } from './crdt.js';
import { clockData, clockOf, dotOf, listOf, malformed } from './data.js';

/** Never changed. */
export interface DotMap<Entry extends Dotted> {
  readonly clock: VectorClock;
  /** By key; no list is empty, and each is in the order of its dots. */
  readonly entries: ReadonlyMap<string, readonly Entry[]>;
}

const nothing: DotMap<never> = { clock: VectorClock.empty, entries: new Map() };

export function emptyMap<Entry extends Dotted>(): DotMap<Entry> {
  return nothing;
}

/** In the place of all entries that were seen at a key come these; with `everywhere` all other keys lose theirs too. */
export function replace<Entry extends Dotted>(
  map: DotMap<Entry>,
  key: string,
  entries: readonly Entry[],
  { dot, seen }: CrdtContext,
  everywhere = false,
): DotMap<Entry> {
  const after = new Map(everywhere ? [] : map.entries);
  if (entries.length > 0) after.set(key, entries);
  else after.delete(key);
  return { clock: map.clock.merge(seen).with(dot), entries: after };
}

export function mergeMaps<Entry extends Dotted>(a: DotMap<Entry>, b: DotMap<Entry>): DotMap<Entry> {
  const entries = new Map<string, readonly Entry[]>();
  for (const key of new Set([...a.entries.keys(), ...b.entries.keys()])) {
    const mine = { context: a.clock, versions: a.entries.get(key) ?? [] };
    const theirs = { context: b.clock, versions: b.entries.get(key) ?? [] };
    const { versions } = join(mine, theirs);
    if (versions.length > 0) entries.set(key, versions);
  }
  return { clock: a.clock.merge(b.clock), entries };
}

/** As data: the clock, then the entries by key, each as its dot and what `fields` gives. */
export function mapData<Entry extends Dotted>(
  { clock, entries }: DotMap<Entry>,
  fields: (entry: Entry) => readonly unknown[],
): unknown {
  const keys = [...entries.keys()].sort();
  const data = (entry: Entry): unknown[] => [entry.dot.actor, entry.dot.counter, ...fields(entry)];
  return [clockData(clock), keys.map((key) => [key, entries.get(key)!.map(data)])];
}

/** Throws ERR_CODEC. `entry` checks the fields after the dot. */
export function mapOf<Entry extends Dotted>(
  data: unknown,
  entry: (dot: Entry['dot'], fields: readonly unknown[], key: string) => Entry,
): DotMap<Entry> {
  const [first, second] = listOf(data, 2);
  const clock = clockOf(first);
  const entries = new Map<string, readonly Entry[]>();
  let last: string | undefined;
  for (const item of listOf(second)) {
    const [key, list] = listOf(item, 2);
    if (typeof key !== 'string' || (last !== undefined && key <= last)) throw malformed('keys out of order');
    const own = listOf(list).map((one) => {
      const [actor, counter, ...fields] = listOf(one);
      return entry(dotOf(actor, counter), fields, key);
    });
    if (own.length === 0) throw malformed('a key without entries');
    for (const [i, { dot }] of own.entries()) {
      if (!clock.covers(dot)) throw malformed('an entry that its clock does not cover');
      if (i > 0 && compareDots(own[i - 1]!.dot, dot) >= 0) throw malformed('entries out of order');
    }
    entries.set((last = key), own);
  }
  return { clock, entries };
}
