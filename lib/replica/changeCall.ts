/** A change of the members, as a call: what it asks for, when it has come about, and how it speaks. */
import type { MembershipChange } from '../consensus/consensus.js';
import { allMembers, type Member } from '../consensus/membership.js';
import type { RequestFailure } from '../engine/door.js';
import type { JoinAs } from '../engine/joining.js';
import { checkName, configError } from '../errors.js';
import type { Wanted } from './leaderCalls.js';
import type { MembersChange } from './replicaTypes.js';

const maxChanges = 63;

/** Checks a change; throws ERR_CONFIG. */
export function checkChange({ add = [], remove = [] }: MembersChange): Required<MembershipChange> {
  if (!isShortList(add)) throw configError('add', add, `a list of at most ${maxChanges} members`);
  if (!isShortList(remove)) throw configError('remove', remove, `a list of at most ${maxChanges} ids`);
  const seen = new Set<string>();
  const once = (option: string, id: string): string => {
    checkName(option, id);
    if (seen.has(id)) throw configError(option, id, 'an id that the change names once');
    seen.add(id);
    return id;
  };
  const added: Record<JoinAs, string[]> = { voter: [], learner: [], witness: [] };
  for (const [at, given] of add.entries()) {
    const { id, as = 'voter' } = Object(given) as (typeof add)[number];
    once(`add[${at}].id`, id);
    added[checkPart(`add[${at}].as`, as)].push(id);
  }
  return {
    addVoters: added.voter,
    addLearners: added.learner,
    addWitnesses: added.witness,
    remove: remove.map((id, at) => once(`remove[${at}]`, id)),
  };
}

/** Checks as what a node becomes a member; throws ERR_CONFIG. */
export function checkPart(option: string, as: unknown): JoinAs {
  if (as !== 'voter' && as !== 'learner' && as !== 'witness')
    throw configError(option, as, "'voter', 'learner' or 'witness'");
  return as;
}

function isShortList(value: unknown): boolean {
  return Array.isArray(value) && value.length <= maxChanges;
}

/** The members are as the change wants them, and that is committed. */
export function membersChanged(change: Required<MembershipChange>): Wanted {
  const { addVoters, addLearners, addWitnesses, remove } = change;
  const names = [
    ...addVoters.map((id) => `${id} is no voter`),
    ...addLearners.map((id) => `${id} is no learner`),
    ...addWitnesses.map((id) => `${id} is no witness`),
    ...remove.map((id) => `${id} is a member still`),
  ];
  return {
    request: { type: 'change', change },
    reached: ({ stable }) => {
      if (stable.outgoing.length > 0 || stable.genesis === '') return false;
      const among = (members: readonly Member[], id: string): boolean =>
        members.some((member) => member.id === id);
      const everybody = allMembers(stable);
      const witnesses = stable.voters.filter(({ witness }) => witness);
      const full = stable.voters.filter(({ witness }) => !witness);
      return (
        addVoters.every((id) => among(full, id)) &&
        addWitnesses.every((id) => among(witnesses, id)) &&
        addLearners.every((id) => among(stable.learners, id) && stable.next?.voters.includes(id) !== true) &&
        remove.every((id) => !among(everybody, id))
      );
    },
    missing: names.join(', ') || 'the members are not as they should be',
    refused: 'the members stay as they are',
    explain,
    code: 'ERR_MEMBERSHIP',
  };
}

function explain(why: RequestFailure): string {
  switch (why) {
    case 'invalid':
      return 'nobody would be left to vote, there would be too many, witnesses alone could be a majority, one would have to hold data, or the protocol has no witnesses';
    case 'noQuorum':
      return 'of the voters that would be left, too few answer the leader';
    case 'configPending':
      return 'another change is under way';
    case 'preparing':
      return 'the leader is new, and nothing of its reign is committed yet';
    case 'transferring':
      return 'the leadership is being handed over, or there were too many requests just now';
    case 'stopped':
      return 'the leader has stopped';
    default:
      return 'no leader could be asked';
  }
}
