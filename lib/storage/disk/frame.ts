/** A batch that is being gathered, and its bytes when it is written. */
import { crc32 } from '../../crc.js';
import { ByteWriter } from '../../bytes.js';
import type { Entry } from '../../consensus/consensus.js';
import { encodeEntries, ENTRY_OVERHEAD } from '../entryCodec.js';
import { ALIGNMENT, encodeFrameHeader, endMark, FRAME_HEADER, frameSize } from './format.js';
import { changes } from './meta.js';
import { GatherWriter } from './gatherWriter.js';
import type { ChunkPool } from './gatherWriter.js';
import type { GroupLog } from './groupLog.js';
import type { Segment } from './segment.js';

/** A block ends once it has so many bytes: the unit in which entries are read back. @internal */
export const BLOCK_BYTES = 65536;

/** @internal */
export class Frame {
  readonly segment: Segment;
  /** Where it goes in its segment. */
  readonly position: number;
  readonly sequence: number;
  /** Set for the first frame of a segment: what has to be done once it is durable. */
  onDurable: (() => void) | undefined;
  /** Its size, once it is complete. */
  bytes = 0;
  readonly done: ((error?: Error) => void)[] = [];
  readonly meta = new ByteWriter();
  readonly #body: GatherWriter;

  constructor(segment: Segment, sequence: number, pool: ChunkPool) {
    this.segment = segment;
    this.position = segment.end;
    this.sequence = sequence;
    this.#body = new GatherWriter(pool);
    this.#body.zeros(FRAME_HEADER);
  }

  /** Its size if it were written now. */
  get size(): number {
    return frameSize(this.#body.length - FRAME_HEADER, this.meta.length);
  }

  /** Adds entries of a group, as blocks, and tells the group's log where they will be. */
  append(log: GroupLog, entries: readonly Entry[]): void {
    let from = 0;
    while (from < entries.length) {
      const to = blockEnd(entries, from);
      const before = this.#body.length;
      this.#body.beginChecked();
      encodeEntries(this.#body, entries, from, to);
      this.#body.endChecked(this.segment.seed);
      const length = this.#body.length - before;
      changes.append(this.meta, log.name, length);
      log.addBlock(this.segment, entries, from, to, this.position + before, length);
      from = to;
    }
  }

  /** Its bytes; nothing may be added any more. */
  finish(): readonly Uint8Array[] {
    const body = this.#body;
    const bodyLength = body.length - FRAME_HEADER;
    const meta = this.meta.take();
    const { seed } = this.segment;
    const header = {
      bodyLength,
      metaLength: meta.length,
      sequence: this.sequence,
      metaCrc: crc32(meta, seed),
    };
    body.raw(meta);
    const crc = encodeFrameHeader(body.head, header, seed);
    body.u32(endMark(crc));
    const over = body.length % ALIGNMENT;
    if (over > 0) body.zeros(ALIGNMENT - over);
    return body.finish();
  }

  /** Lets go of its buffers. */
  release(): void {
    this.#body.release();
  }
}

/** A block is one entry that takes several indexes, or entries of one index each up to a size. */
function blockEnd(entries: readonly Entry[], from: number): number {
  if (entries[from]!.count > 1) return from + 1;
  let bytes = 0;
  let to = from;
  while (to < entries.length && entries[to]!.count === 1 && bytes < BLOCK_BYTES) {
    bytes += entries[to++]!.data.length + ENTRY_OVERHEAD / 4;
  }
  return to;
}
