/** Whether a history of transactions is serializable: a search for cycles in the graph of who depends on whom. */
import { configError } from '../../errors.js';
import { DependencyGraph, type Dependency, type Edge } from './dependencyGraph.js';

/** A version of a key that a transaction saw. */
export interface VersionRead {
  readonly key: string;
  /** Its number: the versions of a key in the order in which they were written. 0: what was there at the beginning. */
  readonly version: number;
  /** The id of the transaction that wrote it; left out for version 0. */
  readonly by?: string | undefined;
}

/** A version of a key that a transaction wrote. */
export interface VersionWrite {
  readonly key: string;
  /** From 1. */
  readonly version: number;
}

/** A transaction as its client saw it. */
export interface TransactionRecord {
  readonly id: string;
  /**
   * `unknown`: its client could not learn the outcome. It counts as committed if somebody who was committed saw what it wrote.
   */
  readonly outcome: 'committed' | 'aborted' | 'unknown';
  /** When it began, and when its client knew that it was over; any clock that all share. */
  readonly call: number;
  readonly return: number;
  /** What it saw, without what it wrote itself. */
  readonly reads: readonly VersionRead[];
  /** What it wrote, in its order; the last version of a key is what it leaves behind. */
  readonly writes: readonly VersionWrite[];
}

/**
 * What is wrong with a history, by the names of Adya ("Weak Consistency", 1999) and Elle (Kingsbury, Alvaro, VLDB 2020): `G0` write
 * cycle, `G1a` aborted read, `G1b` intermediate read, `G1c` circular information flow, `G-single` one anti-dependency (read skew),
 * `G2` several (write skew); with `-realtime` when the cycle is none without the order in which transactions were called.
 * `duplicate version`: two wrote the same version (lost update). `unwritten version`: what was read nobody wrote.
 */
export type AnomalyType =
  | 'G0'
  | 'G1a'
  | 'G1b'
  | 'G1c'
  | 'G-single'
  | 'G2'
  | 'G0-realtime'
  | 'G1c-realtime'
  | 'G-single-realtime'
  | 'G2-realtime'
  | 'duplicate version'
  | 'unwritten version';

/** Something that must not be. */
export interface Anomaly {
  readonly type: AnomalyType;
  readonly transactions: readonly string[];
  readonly message: string;
}

/** Options of {@link checkSerializable}. */
export interface SerializabilityOptions {
  /**
   * Whether a transaction that began after another was over must also come after it (strict serializability).
   *
   * @defaultValue true
   */
  readonly realTime?: boolean;
}

/** What {@link checkSerializable} found. */
export interface SerializabilityReport {
  readonly ok: boolean;
  readonly anomalies: readonly Anomaly[];
  /** Transactions that count as committed. */
  readonly committed: number;
}

/**
 * Checks whether some order of the committed transactions explains what all of them read. Each key has versions with numbers, and who
 * reads one tells who wrote it: keep both in the value, such as `{ version, by, balance }`.
 *
 * Two transactions depend on each other when they touch the same key and one of them writes it; a history is serializable exactly if
 * the graph of these dependencies has no cycle (Adya, Liskov, O'Neil: "Generalized Isolation Level Definitions", 2000). Linear in the
 * size of the history unless there is a cycle, of which the shortest is then shown.
 *
 * @throws QuorateError `ERR_CONFIG` for records that make no sense.
 *
 * @example
 * ```ts
 * const { ok, anomalies } = checkSerializable(history);
 * if (!ok) throw new Error(anomalies.map(({ message }) => message).join('\n'));
 * ```
 */
export function checkSerializable(
  history: readonly TransactionRecord[],
  { realTime = true }: SerializabilityOptions = {},
): SerializabilityReport {
  const all = checkRecords(history);
  const committed = countedAsCommitted(history, all);
  const anomalies: Anomaly[] = [];
  const places = new Map(committed.map((record, at) => [record.id, at]));
  const graph = new DependencyGraph(committed.length);
  const versions = versionsOf(committed, places, anomalies);
  for (const [key, writers] of versions)
    for (let i = 1; i < writers.length; i++) graph.add(writers[i - 1]!.by, writers[i]!.by, 'ww', key);
  for (const [at, record] of committed.entries())
    for (const read of record.reads) {
      const problem = badRead(read, all);
      if (problem !== undefined) {
        const message = `${record.id} read version ${read.version} of ${read.key}, ${problem[1]}`;
        anomalies.push({ type: problem[0], transactions: [record.id, read.by ?? ''], message });
        continue;
      }
      const writer = read.by === undefined ? undefined : places.get(read.by);
      if (writer !== undefined) graph.add(writer, at, 'wr', read.key);
      const next = after(versions.get(read.key) ?? [], read.version);
      if (next !== undefined) graph.add(at, next.by, 'rw', read.key);
    }
  if (realTime) addRealTime(graph, committed);
  for (const component of graph.components()) anomalies.push(describe(graph, component, committed));
  return { ok: anomalies.length === 0, anomalies, committed: committed.length };
}

function checkRecords(history: readonly TransactionRecord[]): Map<string, TransactionRecord> {
  const given: unknown = history;
  if (!Array.isArray(given)) throw configError('history', given, 'a list of transactions');
  const all = new Map<string, TransactionRecord>();
  for (const record of history) {
    if (all.has(record.id)) throw configError('id', record.id, 'another one for each transaction');
    for (const { version } of [...record.reads, ...record.writes])
      if (!Number.isInteger(version) || version < 0)
        throw configError('version', version, 'an integer from 0');
    all.set(record.id, record);
  }
  return all;
}

/** The committed ones, and those of unknown outcome that were seen. */
function countedAsCommitted(
  history: readonly TransactionRecord[],
  all: ReadonlyMap<string, TransactionRecord>,
): TransactionRecord[] {
  const counted = new Set(history.filter(({ outcome }) => outcome === 'committed'));
  for (const record of counted)
    for (const { by } of record.reads) {
      const writer = by === undefined ? undefined : all.get(by);
      if (writer?.outcome === 'unknown') counted.add(writer); // and in its turn what it saw
    }
  return history.filter((record) => counted.has(record));
}

interface Writer {
  readonly version: number;
  readonly by: number;
}

/** Who wrote the versions of each key that were left behind, in their order. */
function versionsOf(
  committed: readonly TransactionRecord[],
  places: ReadonlyMap<string, number>,
  anomalies: Anomaly[],
): Map<string, Writer[]> {
  const versions = new Map<string, Writer[]>();
  const written = new Map<string, string>();
  for (const { id, writes } of committed) {
    const last = new Map<string, number>();
    for (const { key, version } of writes) {
      const name = `${version} ${key}`;
      const other = written.get(name);
      if (other !== undefined) {
        const message = `${other} and ${id} both wrote version ${version} of ${key}: an update was lost`;
        anomalies.push({ type: 'duplicate version', transactions: [other, id], message });
      }
      written.set(name, id);
      last.set(key, version);
    }
    for (const [key, version] of last) {
      let list = versions.get(key);
      if (list === undefined) versions.set(key, (list = []));
      list.push({ version, by: places.get(id)! });
    }
  }
  for (const list of versions.values()) list.sort((a, b) => a.version - b.version);
  return versions;
}

/** The first version of a sorted list that is newer. */
function after(writers: readonly Writer[], version: number): Writer | undefined {
  let low = 0;
  let high = writers.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (writers[middle]!.version > version) high = middle;
    else low = middle + 1;
  }
  return writers[low];
}

function badRead(
  { key, version, by }: VersionRead,
  all: ReadonlyMap<string, TransactionRecord>,
): [AnomalyType, string] | undefined {
  if (version === 0) return undefined;
  const writer = by === undefined ? undefined : all.get(by);
  const own = writer?.writes.filter((write) => write.key === key) ?? [];
  if (!own.some((write) => write.version === version)) return ['unwritten version', 'which nobody wrote'];
  if (writer!.outcome === 'aborted') return ['G1a', `which ${by ?? ''} wrote, and was aborted`];
  const left = own[own.length - 1]!.version;
  return left === version ? undefined : ['G1b', `which ${by ?? ''} overwrote itself by ${left}`];
}

/** From each transaction to those that began after it was over; only where no other lies between. */
function addRealTime(graph: DependencyGraph, committed: readonly TransactionRecord[]): void {
  const moments = committed.flatMap((record, at) => [
    { time: record.call, at, ends: false },
    { time: record.return, at, ends: true },
  ]);
  // At the same moment calls come first: those two overlapped.
  moments.sort((a, b) => a.time - b.time || Number(a.ends) - Number(b.ends));
  let over = new Set<number>();
  const before = new Map<number, ReadonlySet<number>>();
  for (const { at, ends } of moments) {
    if (!ends) {
      for (const earlier of over) graph.add(earlier, at, 'rt', '');
      before.set(at, new Set(over));
      continue;
    }
    // What was over when this one began precedes whatever this one precedes.
    over = new Set([...over].filter((earlier) => before.get(at)?.has(earlier) !== true)).add(at);
  }
}

const kinds: readonly [AnomalyType, readonly Dependency[], number][] = [
  ['G0', ['ww'], 0],
  ['G1c', ['ww', 'wr'], 0],
  ['G-single', ['ww', 'wr', 'rw'], 1],
  ['G2', ['ww', 'wr', 'rw'], 2],
  ['G0-realtime', ['ww', 'rt'], 0],
  ['G1c-realtime', ['ww', 'wr', 'rt'], 0],
  ['G-single-realtime', ['ww', 'wr', 'rw', 'rt'], 1],
  ['G2-realtime', ['ww', 'wr', 'rw', 'rt'], 2],
];

function describe(
  graph: DependencyGraph,
  component: readonly number[],
  committed: readonly TransactionRecord[],
): Anomaly {
  for (const [type, types, rw] of kinds) {
    const cycle = graph.cycle(component, types, rw);
    if (cycle === undefined) continue;
    const ids = cycle.map(([at]) => committed[at]!.id);
    const steps = cycle.map(([at, edge]) => `${committed[at]!.id} ${said(edge, committed[edge.to]!.id)}`);
    return { type, transactions: ids, message: `${type}: ${steps.join('; ')}` };
  }
  throw new Error('a component without a cycle');
}

function said({ type, key }: Edge, other: string): string {
  switch (type) {
    case 'ww':
      return `wrote the version of ${key} before that of ${other}`;
    case 'wr':
      return `wrote what ${other} read of ${key}`;
    case 'rw':
      return `read the version of ${key} that ${other} overwrote`;
    case 'rt':
      return `was over before ${other} began`;
  }
}
