/** What every probe has in common when it is run from the command line. */
import { statfsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

export interface BenchOptions {
  /** Seconds of measuring per figure. */
  readonly seconds: number;
  /** Where files are written; the figures are those of its disk. */
  readonly dir: string;
}

/** Reads `--seconds N` and `--dir PATH`. */
export function benchOptions(args: string[] = process.argv.slice(2)): BenchOptions {
  const { values } = parseArgs({ args, options: { seconds: { type: 'string' }, dir: { type: 'string' } } });
  const seconds = Number(values.seconds ?? 2);
  if (!(seconds >= 0.1 && seconds <= 600)) {
    throw new Error(`--seconds must be a number from 0.1 to 600, got ${values.seconds ?? ''}`);
  }
  return { seconds, dir: values.dir ?? tmpdir() };
}

/** Runs a probe if its module is what node was started with. */
export function runAlone(module: string, probe: (options: BenchOptions) => Promise<string>): void {
  if (pathToFileURL(process.argv[1] ?? '').href !== module) return;
  Promise.resolve()
    .then(() => probe(benchOptions()))
    .then(
      (report) => process.stdout.write(`${report}\n`),
      (error: unknown) => {
        process.stderr.write(`${error instanceof Error ? error.stack! : String(error)}\n`);
        process.exitCode = 1;
      },
    );
}

/** Gives a body a directory of its own, and removes it. */
export async function withDirectory<T>(parent: string, body: (dir: string) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(join(parent, 'quorate-bench-'));
  try {
    return await body(dir);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

const tmpfsMagic = 0x01021994;

/** A word of warning where a flush would cost nothing. */
export function diskNote(dir: string): string {
  return statfsSync(dir).type === tmpfsMagic
    ? `${dir} is memory, not a disk: give another --dir`
    : `files in ${dir}`;
}
