/** Whether a node may open a group with what its storage holds. @internal */
import { diskProtocol, type CoreStatus, type NodeId } from '../consensus/consensus.js';
import { allMembers, findMember } from '../consensus/membership.js';
import { QuorateError } from '../errors.js';

/**
 * Who knows that it was removed does not wait for a word about it; but for those whose word may be the only one there is: where a
 * membership ends a configuration, those who decide it are those who leave (removal.ts).
 */
export function checkMembership(group: string, self: NodeId, { membership, stable }: CoreStatus): void {
  const belongs = findMember(membership, self) ?? findMember(stable, self);
  if (belongs !== undefined || stable.genesis === '' || stable.config !== undefined) return;
  const members = allMembers(stable).map(({ id }) => id);
  throw new QuorateError(
    'ERR_NOT_A_MEMBER',
    `${self} is no member of group ${group} any more, or not yet, as far as its storage knows (members: ${members.join(', ')}); open it with \`join\` to enter it`,
  );
}

/** What a witness wrote, only a witness can go on from, and the other way round. */
export function checkKind(
  group: string,
  protocol: string,
  witness: boolean,
  written: string | undefined,
): void {
  if (written === undefined || written === diskProtocol(protocol, witness)) return;
  const message =
    written === diskProtocol(protocol, !witness)
      ? `this node is ${witness ? 'no' : 'a'} witness of group ${group}: open it ${witness ? 'without' : 'with join: true and'} as: 'witness', or remove the member and its storage first`
      : `the storage holds group ${group} as ${written} wrote it, not ${protocol}`;
  throw new QuorateError('ERR_CONFIG', message);
}
