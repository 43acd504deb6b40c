/** Options that make no sense are refused before anything runs. */
import assert from 'node:assert/strict';
import { QuorateError } from '../../errors.js';
import type { ConsensusSettings } from '../consensus.js';
import type { Suite } from './suite.js';
import { thrown } from './steps.js';

type Case = readonly [settings: Readonly<Record<string, unknown>>, ...named: string[]];

const cases: readonly Case[] = [
  [{ heartbeatMs: 0 }, 'heartbeatMs'],
  [{ heartbeatMs: '50' }, 'heartbeatMs'],
  [{ electionTimeoutMs: 9 }, 'electionTimeoutMs'],
  [{ electionTimeoutMs: Number.NaN }, 'electionTimeoutMs'],
  [{ heartbeatMs: 200, electionTimeoutMs: 300 }, 'heartbeatMs', '200', 'electionTimeoutMs', '300'],
  [{ maxMessageBytes: 1023 }, 'maxMessageBytes'],
  [{ maxMessageBytes: 2049, maxInflightBytes: 2048 }, 'maxMessageBytes', 'maxInflightBytes', '2049', '2048'],
  [{ maxMessageBytes: 2049, maxUncommittedBytes: 2048 }, 'maxMessageBytes', 'maxUncommittedBytes'],
];
const leases: readonly Case[] = [
  [{ lease: true }, 'lease'],
  [{ lease: { promiseMs: 0 } }, 'lease.promiseMs'],
  [{ lease: { promiseMs: 301 }, electionTimeoutMs: 300 }, 'lease.promiseMs', 'electionTimeoutMs'],
  [{ lease: { maxDrift: 0.51 } }, 'lease.maxDrift'],
];
const quorums: readonly Case[] = [
  [{ quorums: 'all' }, 'quorums'],
  [{ quorums: { commit: 0 } }, 'quorums.commit'],
  [{ quorums: { commit: 1.5 } }, 'quorums.commit'],
  [{ quorums: { commit: 2, election: 0 } }, 'quorums.election'],
];
const priorities: readonly Case[] = [-1, 101, 1.5, '1'].map((priority) => [{ priority }, 'priority']);
const quiet: readonly Case[] = [[{ quietAfterMs: -1 }, 'quietAfterMs']];

/** @internal */
export function optionsTests({ test, where }: Suite): void {
  const refuses =
    (list: readonly Case[]) =>
    (bench: { consensus: (settings: ConsensusSettings) => unknown }): Promise<void> => {
      for (const [settings, ...named] of list) {
        const what = JSON.stringify(settings);
        assert.throws(
          () => bench.consensus(settings),
          (error: unknown) => {
            assert.ok(error instanceof QuorateError, `${what}: ${String(error)}`);
            assert.equal(error.code, 'ERR_CONFIG', what);
            for (const name of named) assert.ok(error.message.includes(name), `${what}: ${error.message}`);
            return true;
          },
          what,
        );
      }
      return Promise.resolve();
    };

  test('out of range, or in contradiction, fail with ERR_CONFIG, which names them', refuses(cases));
  where('leases', 'of leases are checked', refuses(leases));
  where('quorums', 'of quorums are checked', refuses(quorums));
  where('priority', 'of priorities are checked', refuses(priorities));
  where('quiet', 'of rest are checked', refuses(quiet));

  where('quorums', 'that do not fit the founders are refused when a group is founded', async (bench) => {
    for (const wrong of [
      { commit: 4 },
      { commit: 1, election: 2 },
      { commit: 3, election: 1 },
      { commit: 2, election: 4 },
    ]) {
      const consensus = bench.consensus({ quorums: wrong });
      await thrown(() => bench.simulate({ consensus }), 'ERR_CONFIG');
      await thrown(() => bench.nodes.open('a', { consensus }), 'ERR_CONFIG');
    }
  });

  test('are none by default: a name, and a group that elects', async (bench) => {
    const consensus = bench.consensus();
    assert.match(consensus.name, /^[a-z][\w-]*$/i);
    await bench.elected({ consensus });
  });
}
