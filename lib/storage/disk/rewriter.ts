/**
 * Lets go of segments that are kept for little. A busy group leaves its segments by taking snapshots; a quiet one never does, and a
 * few bytes of it keep a whole segment. So when the log has become much larger than what is needed of it, the entries of such
 * segments are appended once more, where the log is written anyway, and the segments can be removed (Rosenblum and Ousterhout: The
 * Design and Implementation of a Log-Structured File System, 1992).
 *
 * For a group it is a truncation and the same entries again, in one batch: it is there as a whole after a crash, or not at all,
 * and the old segments go only when it is durable. The group does not notice.
 */
import { lastOf } from '../../consensus/consensus.js';
import type { Entry, Index } from '../../consensus/consensus.js';
import type { GroupWrite } from '../storage.js';
import { readEntries } from './entryReader.js';
import type { ReadSource } from './entryReader.js';
import type { GroupLog, Part } from './groupLog.js';
import type { GroupTable } from './groupTable.js';
import type { Headroom } from './headroom.js';
import type { FailStop } from './io.js';
import type { Segment } from './segment.js';

/** So many segments a log may have, whatever they hold. */
const FREE_SEGMENTS = 4;
/** Beyond that it may be so many times as large as what is needed of it. */
const SLACK = 2;
/** Entries are read in steps of so many bytes. */
const READ_BYTES = 1 << 20;

/** What a {@link Rewriter} works with. @internal */
export interface RewriterSetup {
  readonly segmentBytes: number;
  readonly table: GroupTable;
  readonly source: ReadSource;
  readonly headroom: Headroom;
  readonly failStop: FailStop;
  /** The segments whose frames are all durable, oldest first: not the active one. */
  left(): readonly Segment[];
  write(writes: readonly GroupWrite[], done: (error?: Error) => void): void;
}

/** @internal */
export class Rewriter {
  readonly #setup: RewriterSetup;
  #running: Promise<void> | undefined;
  #closed = false;
  /** Bytes that were written again, ever. */
  rewritten = 0;

  constructor(setup: RewriterSetup) {
    this.#setup = setup;
  }

  /** A segment was left: looks whether others have become superfluous but for little. */
  consider(): void {
    if (this.#closed || this.#running !== undefined || !this.#isWasteful()) return;
    this.#running = this.#run()
      .catch((error: unknown) => void this.#setup.failStop.fail(error, 'writing entries again'))
      .finally(() => (this.#running = undefined));
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }

  #isWasteful(): boolean {
    let bytes = 0;
    let live = 0;
    for (const segment of this.#setup.left()) {
      bytes += segment.end;
      live += liveBytes(segment);
    }
    return bytes > Math.max(FREE_SEGMENTS * this.#setup.segmentBytes, SLACK * live);
  }

  /** Never more than half of what was written since the last time, so that the log gets shorter by it. */
  async #run(): Promise<void> {
    let budget = this.#setup.segmentBytes / 2;
    const tried = new Set<Segment>();
    while (!this.#closed && this.#isWasteful()) {
      const segment = this.#cheapest(budget, tried);
      if (segment === undefined) return;
      tried.add(segment);
      for (const part of [...segment.parts]) {
        const bytes = await this.#move(part);
        budget -= bytes;
        this.rewritten += bytes;
      }
    }
  }

  /** The segment of which least is needed, if that can be moved for so many bytes. */
  #cheapest(budget: number, tried: ReadonlySet<Segment>): Segment | undefined {
    const most = Math.min(budget, this.#setup.headroom.bytes);
    let cheapest: Segment | undefined;
    let least = Infinity;
    for (const segment of this.#setup.left()) {
      if (!segment.live || tried.has(segment)) continue;
      let cost = 0;
      for (const part of segment.parts) cost += this.#bytesFrom(part);
      if (cost <= most && cost < least) {
        cheapest = segment;
        least = cost;
      }
    }
    return cheapest;
  }

  /** The part can only be moved along with what follows it in its group. */
  #bytesFrom(part: Part): number {
    const log = this.#setup.table.groups.get(part.name);
    let bytes = 0;
    for (let i = log?.parts.length ?? 0; i > 0; i--) {
      const one = log!.parts[i - 1]!;
      bytes += one.bytes;
      if (one === part) return bytes;
    }
    return Infinity;
  }

  /** Writes the entries of a part, and those after them, again. Returns how many bytes; 0 when the group was faster. */
  async #move(part: Part): Promise<number> {
    const { table } = this.#setup;
    const log = table.groups.get(part.name);
    if (log?.parts.includes(part) !== true) return 0;
    const { revision } = log;
    const from = Math.max(part.firstIndex, log.firstIndex);
    const bytes = this.#bytesFrom(part);
    let entries: Entry[];
    try {
      entries = await this.#read(log, from, log.lastIndex);
    } catch {
      // What cannot be read stays where it is, and poisons nothing: whoever needs it is told then.
      return 0;
    }
    // Between this look and the write nothing can happen.
    if (this.#closed || table.groups.get(part.name) !== log || log.revision !== revision) return 0;
    const written = await new Promise<boolean>((resolve) => {
      this.#setup.write([{ group: part.name, truncateFrom: from, entries }], (error) =>
        resolve(error === undefined),
      );
    });
    return written ? bytes : 0;
  }

  async #read(log: GroupLog, from: Index, to: Index): Promise<Entry[]> {
    const entries: Entry[] = [];
    for (let next = from; next <= to; next = lastOf(entries.at(-1)!) + 1) {
      for (const entry of await readEntries(this.#setup.source, log, next, to, READ_BYTES))
        entries.push(entry);
    }
    return entries;
  }
}

function liveBytes(segment: Segment): number {
  let bytes = 0;
  for (const part of segment.parts) bytes += part.bytes;
  return bytes;
}
