import { expect } from 'chai';
import { raft } from '../../../lib/replica/consensus.js';

describe('the time-outs of raft()', () => {
  it('are refused when they contradict each other, with both values', () => {
    expect(() => raft({ electionTimeoutMs: 900, maxElectionTimeoutMs: 800 }))
      .to.throw('raft.electionTimeoutMs (900) must be at most raft.maxElectionTimeoutMs (800)')
      .with.property('code', 'ERR_CONFIG');
    expect(() => raft({ maxElectionTimeoutMs: 200 }), 'with the default of the other').to.throw(
      'raft.electionTimeoutMs (300) must be at most raft.maxElectionTimeoutMs (200)',
    );
  });

  it('are refused out of range', () => {
    for (const value of [-1, 1, 9, 600_001, NaN, Infinity, 10.5, '2000'])
      expect(() => raft({ diskStallMs: value as number }), String(value))
        .to.throw(/raft\.diskStallMs.*0 or an integer from 10 to 600000/)
        .with.property('code', 'ERR_CONFIG');
    for (const value of [9, 600_001, NaN])
      expect(() => raft({ maxElectionTimeoutMs: value }), String(value)).to.throw(
        /raft\.maxElectionTimeoutMs/,
      );
  });

  it('may be fixed, or longer than the usual bound', () => {
    raft({ electionTimeoutMs: 300, maxElectionTimeoutMs: 300 });
    raft({ electionTimeoutMs: 5000 });
    for (const diskStallMs of [0, 10, 600_000]) raft({ diskStallMs });
  });
});
