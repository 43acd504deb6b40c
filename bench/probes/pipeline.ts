/**
 * The bare pipeline: three processes, entries of 100 bytes batched per turn in frames of at most 16 KiB, sent by one to two
 * others; all three write and fdatasync with one flush in flight; an entry is done when two of three hold it. No consensus,
 * codec, session or state machine: the ceiling to measure a replica against, in the same run.
 */
import { connect } from '../lib/channels.js';
import { withWorkers } from '../lib/processes.js';
import { diskNote, runAlone, withDirectory } from '../lib/run.js';
import type { BenchOptions } from '../lib/run.js';
import { ratio, table } from '../lib/table.js';
import type { PipelineRun } from './pipelineChild.js';

export const outstandings = [1, 16, 64, 256, 1024] as const;

export interface PipelineFigure extends PipelineRun {
  readonly outstanding: number;
  readonly durable: boolean;
}

/** One figure, in fresh processes. */
export function measurePipeline(
  { seconds, dir }: BenchOptions,
  outstanding: number,
  durable: boolean,
): Promise<PipelineFigure> {
  return withDirectory(dir, (own) =>
    withWorkers(new URL('./pipelineChild.js', import.meta.url), 3, async ([leader, one, two]) => {
      await connect(leader!, 'leader', one!, 'one');
      await connect(leader!, 'leader', two!, 'two');
      const place = durable ? own : undefined;
      await Promise.all([one!.call('follow', { dir: place }), two!.call('follow', { dir: place })]);
      const run = await leader!.call<PipelineRun>('lead', { dir: place, outstanding, seconds });
      return { ...run, outstanding, durable };
    }),
  );
}

export async function reportPipeline(options: BenchOptions): Promise<string> {
  const rows = [];
  for (const outstanding of outstandings) {
    const disk = await measurePipeline(options, outstanding, true);
    const memory = await measurePipeline(options, outstanding, false);
    rows.push([
      `${outstanding}`,
      ...[disk.perSecond, disk.p50, disk.p99],
      ...[memory.perSecond, memory.p50, memory.p99],
      ratio(disk.perSecond, memory.perSecond),
    ]);
  }
  const head = [
    'outstanding',
    'durable/s',
    'p50 ms',
    'p99 ms',
    'memory/s',
    'p50 ms',
    'p99 ms',
    'durable/memory',
  ];
  return table(`The bare pipeline, three processes, 100 B (${diskNote(options.dir)})`, head, rows);
}

runAlone(import.meta.url, reportPipeline);
