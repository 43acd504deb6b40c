/** A disk for the cluster simulation: writes become durable late, and a crash loses what is not. */
import { compareEpochs, lastOf, NO_EPOCH } from '../../../lib/consensus/consensus.js';
import type {
  Effects,
  Entry,
  HardState,
  Index,
  Recovered,
  SnapshotMeta,
} from '../../../lib/consensus/consensus.js';

/** A snapshot: what it says of itself, and the entries it stands for (the state machine is the list of them). */
export interface SimSnapshot {
  readonly meta: SnapshotMeta;
  readonly state: readonly Entry[];
}

type Write = (image: Image) => void;

/** What a disk holds at one moment. */
export class Image {
  hard: HardState | undefined;
  snapshot: SimSnapshot | undefined;
  entries: Entry[] = [];
  /** The index before the first entry, and its epoch. */
  start: Index = 0;
  startEpoch = NO_EPOCH;

  get last(): Index {
    const entry = this.entries.at(-1);
    return entry === undefined ? this.start : lastOf(entry);
  }

  at(index: Index): Entry | undefined {
    let low = 0;
    let high = this.entries.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.entries[middle]!.index <= index) low = middle;
      else high = middle - 1;
    }
    const entry = this.entries[low];
    return entry !== undefined && entry.index <= index && index <= lastOf(entry) ? entry : undefined;
  }

  /** Whether it holds this entry, in the log or in the snapshot. */
  holds(entry: Entry): boolean {
    if (this.snapshot !== undefined && this.snapshot.meta.index >= lastOf(entry)) return true;
    const mine = this.at(entry.index);
    return mine !== undefined && compareEpochs(mine.epoch, entry.epoch) === 0;
  }

  clone(): Image {
    return Object.assign(new Image(), this, { entries: [...this.entries] });
  }
}

export class SimDisk {
  /** As written, and as it would be found after a crash. */
  written = new Image();
  durable = new Image();
  #pending: Write[] = [];
  #flushed = 0;

  readonly incarnation: string;

  constructor(incarnation: string) {
    this.incarnation = incarnation;
  }

  /** The writes of one drain. Returns a mark for {@link SimDisk.flush}. */
  write(fx: Effects, install: SimSnapshot | undefined): number {
    const { hard, truncateFrom } = fx;
    const append = [...fx.append];
    this.#apply((image) => {
      if (hard !== undefined) image.hard = hard;
      if (install !== undefined) installTo(image, install);
      if (truncateFrom > 0) {
        if (truncateFrom <= image.start) throw new Error(`disk: ${truncateFrom} is compacted`);
        while (image.entries.length > 0 && lastOf(image.entries.at(-1)!) >= truncateFrom) {
          if (image.entries.at(-1)!.index < truncateFrom) throw new Error('disk: truncation inside an entry');
          image.entries.pop();
        }
      }
      for (const entry of append) {
        if (entry.index !== image.last + 1) throw new Error(`disk: ${entry.index} after ${image.last}`);
        image.entries.push(entry);
      }
    });
    return this.mark;
  }

  /** Stands for all that was written so far. */
  get mark(): number {
    return this.#flushed + this.#pending.length;
  }

  compact(snapshot: SimSnapshot, upTo: Index): void {
    this.#apply((image) => {
      if (snapshot.meta.index > (image.snapshot?.meta.index ?? 0)) image.snapshot = snapshot;
      if (upTo <= image.start) return;
      image.startEpoch = image.at(upTo)!.epoch;
      image.start = upTo;
      image.entries = image.entries.filter((entry) => entry.index > upTo);
    });
  }

  /** Writes become durable in their order, up to a mark. */
  flush(mark: number): void {
    for (const write of this.#pending.splice(0, Math.max(0, mark - this.#flushed))) {
      write(this.durable);
      this.#flushed++;
    }
  }

  /** A part of what was under way may have reached the disk; the rest is gone. */
  crash(part: number): void {
    this.flush(this.#flushed + Math.floor(part * (this.#pending.length + 1)));
    this.#pending = [];
    this.written = this.durable.clone();
  }

  /** `tail`: how many entries come back in memory. */
  recover(tail: number): Recovered | undefined {
    const image = this.durable;
    if (image.hard === undefined && image.snapshot === undefined && image.entries.length === 0)
      return undefined;
    const runs: { from: Index; epoch: Entry['epoch'] }[] = [];
    for (const entry of image.entries) {
      if (runs.length === 0 || compareEpochs(runs.at(-1)!.epoch, entry.epoch) !== 0) {
        runs.push({ from: entry.index, epoch: entry.epoch });
      }
    }
    return {
      hard: image.hard,
      snapshot: image.snapshot?.meta,
      runs,
      firstIndex: image.start + 1,
      lastIndex: image.last,
      lastTime: image.entries.at(-1)?.time ?? 0,
      configs: image.entries.filter((entry) => entry.kind === 'config'),
      tail: tail === 0 ? [] : image.entries.slice(-tail),
    };
  }

  #apply(write: Write): void {
    write(this.written);
    this.#pending.push(write);
  }
}

function installTo(image: Image, snapshot: SimSnapshot): void {
  const { index, epoch } = snapshot.meta;
  const held = image.at(index);
  const keeps = held !== undefined && compareEpochs(held.epoch, epoch) === 0 && lastOf(held) === index;
  image.entries = keeps ? image.entries.filter((entry) => entry.index > index) : [];
  image.start = index;
  image.startEpoch = epoch;
  image.snapshot = snapshot;
}
