/** Runs seeds in a copy of the library until an invariant breaks: `child.js LIB FROM COUNT KINDS CONSENSUS`. Reports to its parent. */
import { pathToFileURL } from 'node:url';
import type { FaultKind } from '../../lib/testing/exploration/fault.js';
import type { planRun } from '../../lib/testing/exploration/plan.js';
import type { runPlan } from '../../lib/testing/exploration/runPlan.js';
import type { Word } from './hunt.js';
import { planMembers } from '../../lib/testing/exploration/memberPlan.js';
import { planMesh } from '../../lib/testing/exploration/meshPlan.js';
import { planStorm } from '../../lib/testing/exploration/storm.js';
import type { RunPlan } from '../../lib/testing/exploration/plan.js';

function say(word: Word): Promise<void> {
  return new Promise((resolve, reject) => {
    process.send!(word, (error: Error | null) => {
      if (error === null) resolve();
      else reject(error);
    });
  });
}

const [lib = '', from = '', count = '', kinds = '', consensus = ''] = process.argv.slice(2);
const at = pathToFileURL(`${lib}/`);
const { planRun: plan } = (await import(new URL('testing/exploration/plan.js', at).href)) as {
  planRun: typeof planRun;
};
const { runPlan: run } = (await import(new URL('testing/exploration/runPlan.js', at).href)) as {
  runPlan: typeof runPlan;
};
function planOf(seed: number): RunPlan {
  if (kinds === 'storm') return planStorm(seed);
  if (kinds === 'growth') return planMembers(seed);
  return kinds === 'mesh' ? planMesh(seed) : plan(seed, options);
}

const options = kinds === '' ? {} : { kinds: kinds.split(',') as FaultKind[] };
for (let seed = Number(from); seed < Number(from) + Number(count); seed++) {
  await say({ type: 'begun', seed });
  const { violation } = await run(
    consensus === 'paxos' ? { ...planOf(seed), consensus, witnesses: undefined } : planOf(seed),
  );
  if (violation === undefined) continue;
  const { invariant, message } = violation;
  await say({ type: 'caught', seed, by: invariant, message });
  break;
}
process.disconnect();
