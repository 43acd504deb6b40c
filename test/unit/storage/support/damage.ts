/** Damages the files of a disk, and tells what is read of it then. */
import { expect } from 'chai';
import { QuorateError } from '../../../../lib/errors.js';
import type { DiskStorageOptions } from '../../../../lib/storage/diskStorage.js';
import type { FaultyDisk, Inode } from './faultyDisk.js';
import { contentOf, DIRECTORY, openOn } from './harness.js';

const MAGIC = Buffer.from('FRM1');

/** What is read of a damaged disk: its content, or the code of the error, from opening or from reading. */
export async function outcome(disk: FaultyDisk, options: DiskStorageOptions = {}): Promise<string> {
  try {
    const store = await openOn(disk, options);
    try {
      return await contentOf(store);
    } finally {
      await store.close();
    }
  } catch (error) {
    if (!(error instanceof QuorateError)) throw error;
    expect(error.message).to.include(DIRECTORY);
    return error.code;
  }
}

/** A copy of the disk with another content of one file. */
export function damage(
  disk: FaultyDisk,
  path: string,
  change: (content: Buffer) => Buffer | undefined,
): FaultyDisk {
  const copy = disk.copy();
  const inode = copy.files().get(path)!;
  const content = change(Buffer.from(inode.current)) ?? inode.current;
  inode.current = content;
  inode.durable = Buffer.from(content);
  return copy;
}

export function flip(disk: FaultyDisk, path: string, byte: number, bit: number): FaultyDisk {
  return damage(disk, path, (content) => {
    content[byte]! ^= 1 << bit;
    return content;
  });
}

/** Where the frames of a segment begin. */
export function framesOf({ current }: Inode): number[] {
  const places: number[] = [];
  for (let at = current.indexOf(MAGIC); at >= 0; at = current.indexOf(MAGIC, at + 1)) places.push(at);
  return places;
}

export function segmentsOf(disk: FaultyDisk): string[] {
  return [...disk.files().keys()].filter((path) => path.endsWith('.seg')).sort();
}

/** Just behind the last byte that is not zero. */
export function endOf({ current }: Inode): number {
  let end = current.length;
  while (current[end - 1] === 0) end--;
  return end;
}
