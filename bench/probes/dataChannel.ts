/** What a data channel between two processes of one machine allows. */
import { connect } from '../lib/channels.js';
import { withWorkers } from '../lib/processes.js';
import { runAlone } from '../lib/run.js';
import type { BenchOptions } from '../lib/run.js';
import type { Spread } from '../lib/stats.js';
import { table } from '../lib/table.js';

const sizes = [64, 1024, 16 * 1024];

export interface DataChannelFigures {
  /** Microseconds there and back, 64 bytes. */
  readonly roundTrip: Spread;
  readonly oneWay: readonly { readonly bytes: number; readonly perSecond: number }[];
}

export function measureDataChannel({ seconds }: Pick<BenchOptions, 'seconds'>): Promise<DataChannelFigures> {
  return withWorkers(new URL('./dataChannelChild.js', import.meta.url), 2, async ([a, b]) => {
    await connect(a!, 'a', b!, 'b');
    await b!.call('echo', { peer: 'a' });
    const roundTrip = await a!.call<Spread>('roundTrips', { peer: 'b', bytes: 64, seconds });
    const oneWay = [];
    for (const bytes of sizes) {
      await b!.call('sink', { peer: 'a' });
      await a!.call('flood', { peer: 'b', bytes, seconds });
      const { messages, ms } = await b!.call<{ messages: number; ms: number }>('sunk');
      oneWay.push({ bytes, perSecond: (messages / ms) * 1000 });
    }
    return { roundTrip, oneWay };
  });
}

export async function reportDataChannel(options: BenchOptions): Promise<string> {
  const { roundTrip, oneWay } = await measureDataChannel(options);
  return [
    table('Data channel, round trip', ['size', 'p50 µs', 'p99 µs'], [['64 B', roundTrip.p50, roundTrip.p99]]),
    table(
      'Data channel, one way',
      ['size', 'messages/s', 'MB/s'],
      oneWay.map(({ bytes, perSecond }) => [`${bytes} B`, perSecond, (perSecond * bytes) / 1e6]),
    ),
  ].join('\n');
}

runAlone(import.meta.url, reportDataChannel);
