/**
 * The write path: batches become frames, one flush is in flight, everything queued behind it goes with the next. Segments are
 * prepared ahead, sealed once they are left, and removed once nothing in them is needed.
 */
import { QuorateError } from '../../errors.js';
import { TRAILER, encodeTrailer } from './format.js';
import { Frame } from './frame.js';
import { captureParts, encodeFooter, footerCrc } from './footer.js';
import type { CapturedPart } from './footer.js';
import { ChunkPool } from './gatherWriter.js';
import type { GroupTable } from './groupTable.js';
import type { Headroom } from './headroom.js';
import { isFull, syncFile, writeFully } from './io.js';
import type { FailStop } from './io.js';
import { beginMeta } from './meta.js';
import { newSegment, prepareSegment } from './segment.js';
import type { Segment, SegmentMaker } from './segment.js';

/** A frame that has so many bytes takes no more batches. */
const FRAME_BYTES = 8 << 20;

/** From this size of frames on segments are not filled with zeros beforehand. */
const LARGE_FRAME = 256 << 10;

/** A segment that is to be sealed: what it held when it was left. @internal */
export interface Leaving {
  readonly segment: Segment;
  readonly parts: readonly CapturedPart[];
  /** Of its last frame. */
  readonly sequence: number;
}

/** @internal */
export interface JournalSetup {
  readonly maker: SegmentMaker;
  readonly table: GroupTable;
  readonly failStop: FailStop;
  readonly headroom: Headroom;
  /** All segments, oldest first; the last with frames is the active one, one more may be prepared. */
  readonly segments: Segment[];
  readonly active: Segment;
  readonly prepared: Segment | undefined;
  readonly sequence: number;
}

/** @internal */
export class Journal {
  readonly #maker: SegmentMaker;
  readonly #table: GroupTable;
  readonly #failStop: FailStop;
  readonly #headroom: Headroom;
  readonly #pool = new ChunkPool();
  readonly #segments: Segment[];
  /** Where the next frame goes. */
  #active: Segment;
  /** Ready, or being made ready, to follow the active one. */
  #next: Segment | undefined;
  #preparing: Promise<void> | undefined;
  /** Frames that are complete, in order. */
  readonly #queue: Frame[] = [];
  /** The frame that takes the next batch. */
  #open: Frame | undefined;
  #flushing: Frame | undefined;
  /** The callbacks of a durable frame are being called. */
  #settling = false;
  #sequence: number;
  #durable: number;
  /** Up to where the log is durable: in which segment, and where in it. */
  #durableSegment: number;
  #durableEnd: number;
  readonly #background = new Set<Promise<void>>();
  #closing = false;
  /** The size of frames lately, smoothed. */
  #frameBytes = 0;

  constructor(setup: JournalSetup) {
    this.#maker = setup.maker;
    this.#table = setup.table;
    this.#failStop = setup.failStop;
    this.#headroom = setup.headroom;
    this.#segments = setup.segments;
    this.#active = setup.active;
    this.#next = setup.prepared;
    this.#sequence = setup.sequence;
    this.#durable = setup.sequence;
    this.#durableSegment = setup.active.number;
    this.#durableEnd = setup.active.end;
    this.#failStop.onFail((error) => this.#failAll(error));
  }

  /** The sequence of the newest frame that is durable. */
  get durable(): number {
    return this.#durable;
  }

  /** Whether what is at that place is durable. */
  isDurable(segment: Segment, position: number): boolean {
    if (segment.number !== this.#durableSegment) return segment.number < this.#durableSegment;
    return position < this.#durableEnd;
  }

  /** The segments that were left and are durable as a whole, oldest first. */
  left(): readonly Segment[] {
    return this.#segments.filter(({ number }) => number < this.#durableSegment);
  }

  /** The frame that takes a batch of about `bytes`; in a new segment if the active one has no room for it. */
  frameFor(bytes: number): Frame {
    const open = this.#open;
    if (open !== undefined) {
      const size = open.size + bytes;
      const fits = size <= FRAME_BYTES && open.position + size <= this.#maker.segmentBytes;
      if (fits || open.done.length === 0) return open;
      this.#closeFrame(open);
    }
    const active = this.#active;
    if (active.end + bytes > this.#maker.segmentBytes && active.end > active.header.length)
      return this.#rotate();
    return this.#newFrame();
  }

  /** The batch is in the frame: calls back once it is durable, and starts the flush if none is under way. */
  submit(frame: Frame, done: (error?: Error) => void): void {
    frame.done.push(done);
    if (this.#flushing === undefined && !this.#settling) this.#flush();
  }

  /** Calls back once all that was submitted so far is durable; at once if it is. */
  barrier(done: (error?: Error) => void): void {
    const failed = this.#failStop.failed;
    const newest = this.#newest();
    if (failed) done(failed);
    else if (newest === undefined) done();
    else newest.done.push(done);
  }

  /** Writes the footer of a segment that was left, unless it is gone already. */
  seal(leaving: Leaving): void {
    if (this.#segments.includes(leaving.segment)) this.#run('sealing a segment', this.#writeFooter(leaving));
  }

  /** Removes segments in which nothing is needed any more. */
  collect(): void {
    this.#table.died = false;
    for (let i = 0; i < this.#segments.length; i++) {
      const segment = this.#segments[i]!;
      if (segment.number >= this.#durableSegment) return;
      if (segment.live) continue;
      if (segment.deadBy > this.#durable || segment.readers > 0 || segment.sealing) {
        this.#table.died = true; // later
        continue;
      }
      this.#segments.splice(i--, 1);
      this.#track(this.#removeSegment(segment));
    }
  }

  async close(): Promise<void> {
    this.#closing = true;
    if (!this.#failStop.failed) await new Promise<void>((resolve) => this.barrier(() => resolve()));
    while (this.#background.size > 0) await Promise.all(this.#background);
    for (const segment of this.#segments) await segment.handle?.close().catch(() => undefined);
    await this.#next?.handle?.close().catch(() => undefined);
  }

  #newest(): Frame | undefined {
    if (this.#open !== undefined && this.#open.done.length > 0) return this.#open;
    return this.#queue.at(-1) ?? this.#flushing;
  }

  #newFrame(): Frame {
    const frame = new Frame(this.#active, ++this.#sequence, this.#pool);
    // The first frame of a segment makes older ones superfluous.
    const first = frame.position === this.#active.header.length;
    beginMeta(frame.meta, first ? this.#table : undefined);
    this.#open = frame;
    return frame;
  }

  #closeFrame(frame: Frame): void {
    this.#open = undefined;
    frame.bytes = frame.size;
    this.#frameBytes += (frame.bytes - this.#frameBytes) / 8;
    this.#active.end = frame.position + frame.bytes;
    this.#queue.push(frame);
  }

  #rotate(): Frame {
    const segment = this.#active;
    const leaving = { segment, parts: captureParts(segment), sequence: this.#sequence };
    this.#active = this.#next ?? newSegment(this.#maker, segment.number + 1);
    this.#segments.push(this.#active);
    this.#next = undefined;
    const frame = this.#newFrame();
    frame.onDurable = () => this.seal(leaving);
    return frame;
  }

  #flush(): void {
    if (this.#open !== undefined && this.#queue.length === 0 && this.#open.done.length > 0)
      this.#closeFrame(this.#open);
    const frame = this.#queue[0];
    if (frame === undefined || this.#failStop.failed) return;
    const { handle } = frame.segment;
    if (handle === undefined) {
      this.#prepare(frame.segment);
      return;
    }
    this.#queue.shift();
    this.#flushing = frame;
    handle.write(
      frame.finish(),
      frame.position,
      this.#maker.sync === 'dsync' ? this.#flushed : this.#written,
    );
  }

  readonly #written = (error: Error | null): void => {
    if (error) this.#failStop.fail(error, 'writing the log');
    else if (!this.#failStop.failed) this.#flushing!.segment.handle!.sync(this.#flushed);
  };

  readonly #flushed = (error: Error | null): void => {
    const frame = this.#flushing;
    if (error) this.#failStop.fail(error, 'flushing the log');
    if (this.#failStop.failed || frame === undefined) return;
    this.#durable = frame.sequence;
    this.#durableSegment = frame.segment.number;
    this.#durableEnd = frame.position + frame.bytes;
    this.#headroom.wrote(frame.position + frame.bytes - Math.max(frame.position, frame.segment.allocated));
    frame.release();
    frame.onDurable?.();
    // What these write joins the frame that is flushed next.
    this.#flushing = undefined;
    this.#settling = true;
    callAll(frame.done);
    this.#settling = false;
    this.#flush();
    if (this.#table.died) this.collect();
    this.#prepareAhead();
  };

  /** The next segment is made ready while the active one fills. */
  #prepareAhead(): void {
    const { segmentBytes } = this.#maker;
    if (this.#next !== undefined || this.#closing || this.#active.end < segmentBytes / 4) return;
    if (
      this.#preparing !== undefined ||
      this.#active.handle === undefined ||
      this.#headroom.bytes < segmentBytes
    )
      return;
    this.#next = newSegment(this.#maker, this.#active.number + 1);
    this.#prepare(this.#next);
  }

  #prepare(segment: Segment): void {
    if (this.#preparing !== undefined) return;
    this.#preparing = this.#makeReady(segment).finally(() => {
      this.#preparing = undefined;
      if (this.#flushing === undefined && !this.#settling) this.#flush();
    });
    this.#track(this.#preparing);
  }

  async #makeReady(segment: Segment): Promise<void> {
    const unneeded = (): boolean =>
      this.#failStop.failed !== undefined || (this.#closing && segment === this.#next);
    try {
      // Zeros make the flush of a small frame cheaper; under large ones they only mean writing everything twice.
      const size = this.#frameBytes > LARGE_FRAME ? segment.header.length : this.#maker.segmentBytes;
      segment.handle = await prepareSegment(segment, this.#maker, size, unneeded);
      this.#headroom.wrote(size);
      if (segment.handle === undefined && segment === this.#next) this.#next = undefined;
    } catch (error) {
      // A segment that nothing waits for yet may be made later, when there is space again.
      if (segment === this.#next && isFull(error)) {
        this.#next = undefined;
        this.#headroom.full();
      } else {
        this.#failStop.fail(error, 'preparing a segment');
      }
    }
  }

  async #writeFooter({ segment, parts, sequence }: Leaving): Promise<void> {
    const { environment } = this.#maker;
    segment.sealing = true;
    try {
      const { handle, seed } = segment;
      if (handle === undefined) throw new QuorateError('ERR_INTERNAL', `${segment.path} is sealed already`);
      const footer = await encodeFooter(parts, environment);
      const trailer = encodeTrailer(
        { footerLength: footer.length, footerCrc: footerCrc(footer, seed), sequence },
        seed,
      );
      if (this.#failStop.failed) return;
      // Cut first: whatever follows the last frame is then the footer.
      await handle.truncate(segment.end);
      await writeFully(handle, [footer, trailer], segment.end);
      await syncFile(handle);
      this.#headroom.wrote(footer.length + TRAILER);
    } finally {
      segment.sealing = false;
    }
    await this.#closeSealed(segment);
    this.collect();
  }

  /** From now on its content is read through handles of their own. */
  async #closeSealed(segment: Segment): Promise<void> {
    const { handle } = segment;
    while (segment.readers > 0) await new Promise<void>((resolve) => segment.onIdle.push(resolve));
    segment.handle = undefined;
    await handle?.close();
  }

  /** A segment that stays behind does no harm: replaying it changes nothing, and it goes the next time. */
  async #removeSegment(segment: Segment): Promise<void> {
    await segment.handle?.close().catch(() => undefined);
    await this.#maker.environment.files.remove(segment.path).catch(() => undefined);
  }

  #run(what: string, work: Promise<void>): void {
    this.#track(work.catch((error: unknown) => void this.#failStop.fail(error, what)));
  }

  #track(work: Promise<void>): void {
    const tracked = work.finally(() => this.#background.delete(tracked));
    this.#background.add(tracked);
  }

  #failAll(error: QuorateError): void {
    const frames = [this.#flushing, ...this.#queue, this.#open];
    this.#flushing = undefined;
    this.#open = undefined;
    this.#queue.length = 0;
    for (const frame of frames) if (frame !== undefined) callAll(frame.done, error);
  }
}

/** Calls them in order; one that throws does not keep the others from being called, and its error surfaces by itself. */
function callAll(callbacks: ((error?: Error) => void)[], error?: Error): void {
  for (const callback of callbacks) {
    try {
      callback(error);
    } catch (thrown) {
      queueMicrotask(() => {
        throw thrown;
      });
    }
  }
}
