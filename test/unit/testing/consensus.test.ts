/** What users are promised of a replica, for each consensus. */
import { describe, it } from 'mocha';
import { raft } from '../../../lib/replica/consensus.js';
import { testConsensus } from '../../../lib/testing/index.js';

describe('conformance', function () {
  // Seconds of computing for the longest, and machines are busy.
  this.timeout(60_000);

  testConsensus(
    {
      name: 'raft',
      consensus: raft,
      features: { leases: true, quorums: true, priority: true, quiet: true, witnesses: true, readmit: true },
    },
    { describe, it },
  );
});
