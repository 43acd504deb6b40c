/** What users are promised of a replica, for each consensus. */
import { describe, it } from 'mocha';
import { paxos, raft } from '../../../lib/replica/consensus.js';
import { testConsensus } from '../../../lib/testing/index.js';

describe('conformance', function () {
  // Seconds of computing for the longest, and machines are busy.
  this.timeout(60_000);

  const both = { leases: true, quorums: true, priority: true, readmit: true };
  testConsensus(
    { name: 'raft', consensus: raft, features: { ...both, quiet: true, witnesses: true } },
    { describe, it },
  );
  testConsensus({ name: 'paxos', consensus: paxos, features: both }, { describe, it });
});
