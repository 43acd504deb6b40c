/** All of it in one run: the raw probes first, then what a replica makes of them. `--seconds N`, `--dir PATH`. */
import { cpus } from 'node:os';
import { reportCommits } from './endToEnd/commits.js';
import { reportGroups } from './endToEnd/groups.js';
import { reportFailover } from './endToEnd/failover.js';
import { reportProtocolRatio } from './endToEnd/protocolRatio.js';
import { reportProtocols } from './endToEnd/protocols.js';
import { reportSnapshot } from './endToEnd/snapshot.js';
import { reportThreads } from './endToEnd/threads.js';
import { benchOptions } from './lib/run.js';
import { reportDataChannel } from './probes/dataChannel.js';
import { reportFdatasync } from './probes/fdatasync.js';

const options = benchOptions();
console.log(
  `node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown processor'}, ${options.seconds} s a figure\n`,
);
for (const report of [
  reportDataChannel,
  reportFdatasync,
  reportCommits,
  reportProtocols,
  reportProtocolRatio,
  reportSnapshot,
  reportGroups,
  reportFailover,
  reportThreads,
])
  console.log(await report(options));
