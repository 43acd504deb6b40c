/** What users are promised of a replica, for each consensus. */
import { describe, it } from 'mocha';
import { paxos, raft } from '../../../lib/replica/consensus.js';
import { testConsensus } from '../../../lib/testing/index.js';

describe('conformance', function () {
  // Seconds of computing for the longest, and machines are busy.
  this.timeout(60_000);

  // The seeds of all tests (test/unit/testing/exploration) and of `npm run soak` are many more.
  const seeds = 3;
  const both = { leases: true, quorums: true, priority: true, readmit: true };
  testConsensus(
    { name: 'raft', consensus: raft, features: { ...both, quiet: true, witnesses: true }, seeds },
    { describe, it },
  );
  testConsensus({ name: 'paxos', consensus: paxos, features: both, seeds }, { describe, it });
});
