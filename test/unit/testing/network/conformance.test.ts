import { describe, it } from 'mocha';
import type { NetworkSettings } from '../../../../lib/testing/simulation/network/settings.js';
import type { Process } from '../../../../lib/testing/simulation/process.js';
import { testTransport } from '../../../../lib/testing/transport.js';
import { Lab } from './support.js';

function declare(name: string, settings: NetworkSettings): void {
  let lab: Lab;
  let process: Process;
  testTransport(
    {
      name,
      create: () => {
        lab = new Lab(settings);
        process = lab.process('all');
        return lab.network;
      },
      get environment() {
        return process;
      },
      sleep: (ms) => lab.run(ms),
      timeoutMs: 120_000,
    },
    { describe, it },
  );
}

declare('simulated', {});
declare('simulated, without any delay', { latencyMs: 0, tailMs: 0, rendezvousMs: 0 });
declare('simulated, slow and lossy', {
  latencyMs: 20,
  jitterMs: 10,
  tailMs: 5,
  lossRate: 0.1,
  bandwidth: 3e6,
});
