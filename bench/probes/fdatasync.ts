/** What the disk allows: write and fdatasync, one at a time, on a file that was filled with zeroes before. */
import { closeSync, fdatasync, fsyncSync, openSync, write, writeSync } from 'node:fs';
import { join } from 'node:path';
import { diskNote, runAlone, withDirectory } from '../lib/run.js';
import type { BenchOptions } from '../lib/run.js';
import { Samples, spread } from '../lib/stats.js';
import type { Spread } from '../lib/stats.js';
import { table } from '../lib/table.js';

const fileBytes = 16 * 1024 * 1024;
const sizes = [128, 4096];

/** Microseconds per write and flush. */
export interface FdatasyncFigure extends Spread {
  readonly bytes: number;
}

export function measureFdatasync({ seconds, dir }: BenchOptions): Promise<FdatasyncFigure[]> {
  return withDirectory(dir, async (own) => {
    const fd = openSync(join(own, 'log'), 'w');
    try {
      writeSync(fd, new Uint8Array(fileBytes));
      fsyncSync(fd);
      const figures: FdatasyncFigure[] = [];
      for (const bytes of sizes) figures.push({ bytes, ...spread(await writeAndFlush(fd, bytes, seconds)) });
      return figures;
    } finally {
      closeSync(fd);
    }
  });
}

/** With callbacks: the promises of node:fs cost a good part of a flush. */
function writeAndFlush(fd: number, bytes: number, seconds: number): Promise<Samples> {
  const block = new Uint8Array(bytes).fill(1);
  const samples = new Samples();
  const end = performance.now() + seconds * 1000;
  let at = 0;
  return new Promise((resolve, reject) => {
    const next = (): void => {
      const start = performance.now();
      if (start >= end) {
        resolve(samples);
        return;
      }
      at = (at + bytes) % (fileBytes - bytes);
      write(fd, block, 0, bytes, at, (writeError) => {
        if (writeError) {
          reject(writeError);
          return;
        }
        fdatasync(fd, (flushError) => {
          if (flushError) {
            reject(flushError);
            return;
          }
          samples.add((performance.now() - start) * 1000);
          next();
        });
      });
    };
    next();
  });
}

export async function reportFdatasync(options: BenchOptions): Promise<string> {
  const figures = await measureFdatasync(options);
  const rows = figures.map(({ bytes, p50, p99 }) => [`${bytes} B`, p50, p99]);
  return table(`Write and fdatasync (${diskNote(options.dir)})`, ['size', 'p50 µs', 'p99 µs'], rows);
}

runAlone(import.meta.url, reportFdatasync);
