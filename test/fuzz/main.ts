/** `npm run fuzz -- --surface S --count N --seed S [--from I]`; without a surface: all of them, one after another. */
import { parseArgs } from 'node:util';
import { run, Found, type Summary } from './run.js';
import { makeSurfaces, surfaceNames } from './surfaces.js';

const { values } = parseArgs({
  options: {
    surface: { type: 'string', multiple: true },
    count: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    from: { type: 'string' },
    list: { type: 'boolean', default: false },
  },
});

function whole(name: string, text: string, min: number): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < min) {
    process.stderr.write(`--${name} must be an integer of at least ${min}, got ${text}\n`);
    process.exit(2);
  }
  return value;
}

const MiB = 1024 * 1024;

function told(summary: Summary): string {
  const codes = [...summary.codes].sort((a, b) => b[1] - a[1]).map(([code, count]) => `${code} ${count}`);
  return [
    `${summary.surface}: ${summary.inputs} inputs in ${summary.seconds.toFixed(1)} s`,
    `${Math.round(summary.inputs / summary.seconds)} inputs/s`,
    codes.join(', '),
    `slowest ${summary.slowestMs.toFixed(1)} ms (input ${summary.slowestInput})`,
    `memory ${Math.round(summary.heapBefore / MiB)} → ${Math.round(summary.heapAfter / MiB)} MiB, at most ${Math.round(summary.heapMost / MiB)} MiB`,
    ...(summary.heldMost > 0 ? [`held at most ${summary.heldMost} bytes`] : []),
  ].join('; ');
}

async function main(): Promise<number> {
  const count = whole('count', values.count, 1);
  const seed = whole('seed', values.seed, 0);
  const from = values.from === undefined ? 0 : whole('from', values.from, 0);
  const names = values.surface ?? surfaceNames;
  const unknown = names.filter((name) => !surfaceNames.includes(name));
  if (values.list || unknown.length > 0) {
    process.stdout.write(`${surfaceNames.join('\n')}\n`);
    return unknown.length > 0 ? 2 : 0;
  }
  for (const name of names) {
    const surface = await makeSurfaces[name]!();
    let shown = Date.now();
    const onProgress = (inputs: number): void => {
      if (Date.now() - shown < 10_000) return;
      shown = Date.now();
      process.stderr.write(`${name}: ${inputs} of ${count}\n`);
    };
    try {
      process.stdout.write(`${told(await run(surface, { seed, count, from, onProgress }))}\n`);
    } catch (error) {
      if (!(error instanceof Found)) throw error;
      const again = `npm run fuzz -- --surface ${name} --count ${error.position + 1} --seed ${seed} --from ${error.position}`;
      process.stdout.write(
        `FOUND ${error.message}\n${Buffer.from(error.input).toString('hex').slice(0, 4000)}\n${again}\n`,
      );
      process.stdout.write(`${(error.cause as Error).stack ?? ''}\n`);
      return 1;
    }
  }
  return 0;
}

process.exitCode = await main();
