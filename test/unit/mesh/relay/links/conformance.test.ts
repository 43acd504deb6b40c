import { describe, it } from 'mocha';
import { testTransport } from '../../../../../lib/testing/transport.js';
import type { Conditions } from './lab.js';
import { Lab, labTransport } from './lab.js';

const networks: Readonly<Record<string, Conditions>> = {
  'a clean network': { loss: 0, twice: 0, delayMs: 1, jitterMs: 0 },
  'a network that loses 10 %, doubles 10 % and reorders': { loss: 0.1, twice: 0.1, delayMs: 1, jitterMs: 8 },
};

for (const [name, conditions] of Object.entries(networks)) {
  const lab = new Lab(7);
  lab.conditions = conditions;
  testTransport(
    {
      name: `relayed links over ${name}`,
      create: () => labTransport(lab),
      environment: lab.environment,
      sleep: (ms) => lab.run(ms),
    },
    { describe, it },
  );
}
