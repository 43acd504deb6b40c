/**
 * What a node remembers of its sites, in a list of records of its storage. A record is appended for each step; when most of them say
 * nothing new the list is written anew.
 *
 * @internal
 */
import { ByteReader, ByteWriter } from '../../bytes.js';
import { QuorateError } from '../../errors.js';
import type { RecordFile } from '../../storage/storage.js';
import { MAX_ID, SLACK_BYTES } from './limits.js';
import {
  bad,
  decodePlan,
  decodeTasks,
  encodePlan,
  encodeTasks,
  end,
  nonEmpty,
  type Plan,
  type Task,
} from './plan.js';
import type { SiteRecord } from './siteTypes.js';
import { decodeRecord, encodeRecord } from './wire.js';

/** A transaction, as it is remembered. */
export interface Kept {
  readonly id: string;
  /** When this node heard of it, by its clock; milliseconds since 1970. */
  readonly since: number;
  readonly plan: Plan;
  readonly tasks: readonly Task[];
  readonly record: SiteRecord;
  /** The resources of this node have carried it out. */
  readonly done: boolean;
}

/** A site that has heard of a transaction and not voted. */
export const INITIAL: SiteRecord = { state: 'initial', lastElected: 0, lastAttempt: -1 };

const BEGUN = 1;
const STATE = 2;
const DONE = 3;
const FORGOTTEN = 4;

export type Entry =
  | { readonly type: 'begun'; readonly kept: Kept }
  | { readonly type: 'state'; readonly id: string; readonly record: SiteRecord }
  | { readonly type: 'done'; readonly id: string }
  /** All sites have carried it out. */
  | { readonly type: 'forgotten'; readonly id: string };

export function encodeEntry(entry: Entry): Uint8Array {
  const writer = new ByteWriter(128);
  switch (entry.type) {
    case 'begun': {
      const { id, since, plan, tasks, record, done } = entry.kept;
      writer.u8(BEGUN);
      writer.string(id);
      writer.f64(since);
      encodePlan(writer, plan);
      encodeTasks(writer, tasks);
      encodeRecord(writer, record);
      writer.u8(done ? 1 : 0);
      break;
    }
    case 'state':
      writer.u8(STATE);
      writer.string(entry.id);
      encodeRecord(writer, entry.record);
      break;
    case 'done':
      writer.u8(DONE);
      writer.string(entry.id);
      break;
    case 'forgotten':
      writer.u8(FORGOTTEN);
      writer.string(entry.id);
  }
  return writer.take();
}

/** Throws ERR_CODEC. */
export function decodeEntry(bytes: Uint8Array): Entry {
  const reader = new ByteReader(bytes);
  const type = reader.u8();
  const id = nonEmpty(reader, 'an id', MAX_ID);
  const entry = ((): Entry => {
    switch (type) {
      case BEGUN: {
        const since = reader.f64();
        if (!Number.isFinite(since)) throw bad('a time that is none');
        const [plan, tasks, record] = [decodePlan(reader), decodeTasks(reader), decodeRecord(reader)];
        const done = reader.u8();
        if (done > 1) throw bad('neither done nor not');
        return { type: 'begun', kept: { id, since, plan, tasks, record, done: done === 1 } };
      }
      case STATE:
        return { type: 'state', id, record: decodeRecord(reader) };
      case DONE:
        return { type: 'done', id };
      case FORGOTTEN:
        return { type: 'forgotten', id };
      default:
        throw bad(`a record of type ${type}`);
    }
  })();
  end(reader);
  return entry;
}

/** What is left of these records, in the order in which it began. Throws ERR_CODEC. */
export function replay(records: readonly Uint8Array[]): Map<string, Kept> {
  const kept = new Map<string, Kept>();
  for (const bytes of records) {
    const entry = decodeEntry(bytes);
    if (entry.type === 'begun') {
      kept.set(entry.kept.id, entry.kept);
      continue;
    }
    const known = kept.get(entry.id);
    if (known === undefined) throw bad(`${entry.id} has not begun`);
    if (entry.type === 'state') kept.set(entry.id, { ...known, record: entry.record });
    else if (entry.type === 'done') kept.set(entry.id, { ...known, done: true });
    else kept.delete(entry.id);
  }
  return kept;
}

/** The list, while it is open. */
export class SiteRecords {
  readonly #file: RecordFile;
  /** What the list would hold if it was written anew. */
  readonly #live = new Map<string, { kept: Kept; bytes: number }>();
  #liveBytes = 0;
  #replacing = false;
  /** How long the list is before it is worth writing anew. */
  #worthBytes = SLACK_BYTES;

  /** Throws ERR_STORAGE_CORRUPT. */
  constructor(file: RecordFile) {
    this.#file = file;
    try {
      for (const kept of replay(file.records).values()) this.#keep(kept);
    } catch (cause) {
      if (!(cause instanceof QuorateError) || cause.code !== 'ERR_CODEC') throw cause;
      throw new QuorateError(
        'ERR_STORAGE_CORRUPT',
        `the records of sites do not make sense: ${cause.message}`,
        {
          cause,
        },
      );
    }
  }

  kept(): IterableIterator<Kept> {
    return [...this.#live.values()].map(({ kept }) => kept).values();
  }

  get size(): number {
    return this.#live.size;
  }

  /** Bytes of what must be kept. */
  get bytes(): number {
    return this.#liveBytes;
  }

  /** Queues an entry; `done` is called in order, once it is durable or has failed. */
  append(entry: Entry, done: (error?: Error) => void): void {
    this.#note(entry);
    // What nobody was told of yet may be refused; the rest takes the room that was left for it.
    this.#file.append([encodeEntry(entry)], entry.type === 'begun', (error) => {
      if (error !== undefined && entry.type === 'begun') this.#drop(entry.kept.id);
      done(error);
    });
    if (this.#replacing || this.#file.bytes < this.#worthBytes) return;
    this.#replacing = true;
    const all = [...this.#live.values()].map(({ kept }) => encodeEntry({ type: 'begun', kept }));
    this.#file.replace(all, () => {
      this.#replacing = false;
      this.#worthBytes = 2 * this.#file.bytes + SLACK_BYTES;
    });
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  #note(entry: Entry): void {
    if (entry.type === 'begun') {
      this.#keep(entry.kept);
      return;
    }
    const known = this.#live.get(entry.id);
    if (known === undefined) return;
    if (entry.type === 'forgotten') this.#drop(entry.id);
    else if (entry.type === 'done') known.kept = { ...known.kept, done: true };
    else known.kept = { ...known.kept, record: entry.record };
  }

  #keep(kept: Kept): void {
    const bytes = encodeEntry({ type: 'begun', kept }).length + 16;
    this.#live.set(kept.id, { kept, bytes });
    this.#liveBytes += bytes;
  }

  #drop(id: string): void {
    const known = this.#live.get(id);
    if (known === undefined) return;
    this.#live.delete(id);
    this.#liveBytes -= known.bytes;
  }
}
