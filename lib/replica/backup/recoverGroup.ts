/** A group that lost the majority of its members for good goes on with what one of them has. */
import { isWitness } from '../../consensus/consensus.js';
import { allMembers } from '../../consensus/membership.js';
import { configError, QuorateError } from '../../errors.js';
import { cbor, type Codec } from '../codec.js';
import { checkMachine } from '../options.js';
import type { StateMachine } from '../stateMachine.js';
import { foundAnew, withStore, type OfflineOptions } from './offline.js';
import { replayGroup } from './replay.js';

/** Options of {@link recoverGroup}. */
export interface RecoverOptions extends OfflineOptions {
  /** A machine as the replica has; it is brought to the end of the log, and is of no use afterwards. */
  readonly stateMachine: StateMachine;
  /**
   * The codec of the group.
   *
   * @defaultValue cbor()
   */
  readonly codec?: Codec;
  /** `true`, and nothing else: commands that others acknowledged, and this member never got, are gone. */
  readonly iUnderstandThatWritesMayBeLost: true;
}

/** What {@link recoverGroup} did, and what may be lost: keep it with the log of the incident. */
export interface RecoveryReport {
  readonly group: string;
  /** The only member of the group from now on. */
  readonly node: string;
  /** The genesis of the group as it is now, and of the one that is over. */
  readonly genesis: string;
  readonly formerGenesis: string;
  /** Who was a member of that, as far as this one knew. */
  readonly formerMembers: readonly string[];
  /** The last index of this member's log. All up to there was kept, whether it was committed or not. */
  readonly keptIndex: number;
  /** Up to here its disk says that it was committed, which may be far less than what was. What is between this and `keptIndex` may never have been acknowledged. */
  readonly commitIndex: number;
  /** The index at which the group goes on. */
  readonly index: number;
  /** The same in sentences, for people. */
  readonly notes: readonly string[];
}

/**
 * **Dangerous.** Makes this node the only member of a group of which the majority is lost for good, with what its storage holds.
 * For when nothing else is left: as long as a majority can come back, bring it back. Run it on one member only, the one with the
 * highest `commitIndex`, while its replica is closed; then open the replica with neither `members` nor `join`, and let new members
 * join.
 *
 * The data and all of the log are kept, entries included of which it is not known whether they were committed. What others
 * committed and this member never got is lost. The group gets a new genesis: former members that come back are refused with
 * `ERR_GENESIS_DIFFERS`, and enter it with a new, empty storage and `join: true`. As long as a majority of them is alive the former
 * group goes on beside the new one, and the two never mix.
 *
 * After a crash at any moment the storage holds the former group or the new one, whole; run it again in the first case.
 *
 * Throws {@link QuorateError}: `ERR_CONFIG`, `ERR_GROUP_UNKNOWN` when the storage holds no such group, `ERR_STORAGE_LOCKED` while a
 * replica has it open, `ERR_WITNESS` for a witness, which has no data,
 * `ERR_MACHINE_VERSION`, and what the storage throws.
 *
 * @example
 * ```ts
 * const report = await recoverGroup({
 *   storage: diskStorage('./data/a'), cluster: 'orders', node: 'a', group: 'settings', stateMachine: keyValue<string>(),
 *   iUnderstandThatWritesMayBeLost: true,
 * });
 * for (const note of report.notes) console.warn(note);
 * ```
 */
export async function recoverGroup(options: RecoverOptions): Promise<RecoveryReport> {
  const { group, node, stateMachine, codec = cbor(), iUnderstandThatWritesMayBeLost: sure } = options;
  if ((sure as unknown) !== true) throw configError('iUnderstandThatWritesMayBeLost', sure, 'true');
  checkMachine(stateMachine);
  return withStore(options, async (store, environment) => {
    const recovered = await store.recover(group);
    if (recovered === undefined)
      throw new QuorateError('ERR_GROUP_UNKNOWN', `the storage holds no group ${group}`);
    if (isWitness(recovered.hard?.protocol))
      throw new QuorateError(
        'ERR_WITNESS',
        `${node} was a witness of group ${group}: it holds no data to go on from. Recover from a member that does`,
      );
    const former = await replayGroup(store, environment, group, recovered, stateMachine, codec);
    const keptIndex = former.meta.index;
    const commitIndex = Math.max(recovered.hard?.commit ?? 0, recovered.snapshot?.index ?? 0);
    const { index, membership } = await foundAnew(store, environment, options, former);
    const formerMembers = allMembers(former.meta.membership).map(({ id }) => id);
    const others = formerMembers.filter((id) => id !== node);
    const notes = [
      `group ${group} was founded anew on ${node} alone: genesis ${membership.genesis}, before ${former.genesis}`,
      `kept: everything up to index ${keptIndex}, of which up to ${commitIndex} was known to be committed`,
      `lost: whatever the former members committed and ${node} never got`,
      others.length === 0
        ? 'it had no other member'
        : `no longer members: ${others.join(', ')}; they join with a new, empty storage`,
    ];
    const genesis = membership.genesis;
    return {
      group,
      node,
      genesis,
      formerGenesis: former.genesis,
      formerMembers,
      keptIndex,
      commitIndex,
      index,
      notes,
    };
  });
}
