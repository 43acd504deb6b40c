/** Bit rot, with an atlas of what must stay whole. */
import type { Random } from '../random.js';
import type { File } from './tree.js';

/** A bit that changed. */
export interface FlippedBit {
  readonly path: string;
  readonly offset: number;
  /** From 0, the lowest, to 7. */
  readonly bit: number;
}

/**
 * The newest batch is in one of so many files of the log: the one that is written, the one before it if the first write to it
 * was lost, and the one prepared after it.
 */
const NEWEST = 3;
const ATTEMPTS = 100;

/** Changes a bit somewhere; undefined when there is nothing that may be damaged. @internal */
export function flipBit(files: readonly File[], random: Random): FlippedBit | undefined {
  const candidates = files.filter(({ content }) => content.length > 0);
  if (candidates.length === 0) return undefined;
  const protectedFiles = new Set(
    candidates
      .filter(({ path }) => path.endsWith('.seg'))
      .sort((a, b) => (a.path < b.path ? 1 : -1))
      .slice(0, NEWEST),
  );
  for (let i = 0; i < ATTEMPTS; i++) {
    const file = random.pick(candidates);
    const { content, lastWrites, path } = file;
    // Files of the log are mostly zeros ahead of what was written: there is little to damage in them.
    const { used } = content;
    const offset = random.integer(used > 0 && random.chance(0.9) ? used : content.length);
    const bit = random.integer(8);
    if (protectedFiles.has(file) && lastWrites.covers(offset)) continue;
    content.flip(offset, bit);
    return { path, offset, bit };
  }
  return undefined;
}
