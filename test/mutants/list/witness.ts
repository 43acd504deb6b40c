/** Bugs of witnesses. */
import type { Mutant } from '../mutant.js';

const tests = 'consensus/scenarios/witness.test.ts';

export const witnessMutants: readonly Mutant[] = [
  {
    name: 'a witness runs',
    file: 'consensus/raft/election.ts',
    find: 'if (state.witness) return false;',
    replace: 'if (state.witness && state.now < 0) return false;',
    pitfall: 'a leader that has no data',
    within: 0,
    tests,
  },
  {
    name: 'a witness is sent what entries carry',
    file: 'consensus/core/replication.ts',
    find: 'if (peer.witness) entries = entries.map(bare);',
    replace: '',
    pitfall: 'a witness that needs the disk of a member',
    within: 0,
    tests,
  },
  {
    name: 'a witness gets ahead of who may lead',
    file: 'consensus/core/replication.ts',
    find: 'peer.witness ? this.#lastForWitnesses() : log.last',
    replace: 'peer.witness && this.#lastForWitnesses() < 0 ? 0 : log.last',
    pitfall: 'liveness: a witness that nobody is as far as',
    within: 0,
    tests,
  },
  {
    name: 'a witness is asked for snapshots',
    file: 'consensus/core/snapshotChoice.ts',
    find: 'if (id === to || !up || witness || ',
    replace: 'if (id === to || !up || (witness && id === "") || ',
    pitfall: 'a snapshot without the state reaches a member that holds data',
    within: 0,
    tests,
  },
  {
    name: 'witnesses are a quorum',
    file: 'consensus/reconfiguration.ts',
    find: 'count(voters, witnesses) >= commitSize(voters.size, membership.quorums)',
    replace: 'count(voters, witnesses) >= voters.size',
    pitfall: 'something is committed that nobody holds',
    within: 0,
    tests,
  },
  {
    name: 'autopilot replaces a dead witness',
    file: 'consensus/autopilot.ts',
    find: 'one.id !== self && !one.witness && !one.up',
    replace: 'one.id !== self && !one.up',
    pitfall: 'autopilot asks for a change that is refused, for ever',
    within: 0,
    tests: 'consensus/autopilot.test.ts',
  },
  {
    name: 'autopilot leaves a quorum of witnesses',
    file: 'consensus/autopilot.ts',
    find: '.length < majority(n - k);',
    replace: '.length <= majority(n - k);',
    pitfall: 'something is committed that nobody holds',
    within: 0,
    tests: 'consensus/autopilot.test.ts',
  },
  {
    name: 'a group is recovered from a witness',
    file: 'replica/backup/recoverGroup.ts',
    find: 'if (isWitness(recovered.hard?.protocol))',
    replace: 'if (isWitness(undefined))',
    pitfall: 'a group goes on without its data',
    within: 0,
    tests: 'replica/witness.test.ts',
  },
];
