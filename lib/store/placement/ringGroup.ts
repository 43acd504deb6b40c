/**
 * The group of a store in which the versions of its ring are agreed on. Every member of the store is in it; the first few vote.
 *
 * @internal
 */
import type { NodeId } from '../../consensus/consensus.js';
import { configError, QuorateError } from '../../errors.js';
import type { Mesh } from '../../mesh/mesh.js';
import { openReplica } from '../../replica/openReplica.js';
import type { Replica } from '../../replica/replica.js';
import type { CommandOf } from '../../replica/stateMachine.js';
import type { Storage } from '../../storage/storage.js';
import { ringMachine, type RingMachine } from './ringMachine.js';
import { peopleOf, type RingState } from './ringState.js';

/** The most members that vote: more make the group slower, and no safer. */
const VOTERS = 7;

export interface RingGroupSetup {
  readonly mesh: Mesh;
  readonly name: string;
  readonly storage: Storage;
  /** The first members; undefined for one that comes later. */
  readonly founders: readonly NodeId[] | undefined;
}

export class RingGroup {
  readonly #replica: Replica<RingMachine>;
  /** Members that were seen in the store: who is not there any more goes from the group, too. */
  readonly #seen = new Set<NodeId>();
  #tending = false;

  private constructor(replica: Replica<RingMachine>) {
    this.#replica = replica;
  }

  /** Throws as `openReplica` does. */
  static async open({ mesh, name, storage, founders }: RingGroupSetup): Promise<RingGroup> {
    const voters = founders && [...founders].sort().slice(0, VOTERS);
    const options = { mesh, group: `ring@${name}`, storage, stateMachine: ringMachine(), clients: false };
    const replica = voters?.includes(mesh.id)
      ? await openReplica({ ...options, members: voters })
      : await openReplica({ ...options, join: true, as: 'learner' });
    return new RingGroup(replica);
  }

  /** The state that is here now. */
  get state(): RingState {
    return this.#replica.peek({ op: 'ring' });
  }

  /** Tells each state, from the one that is here now. */
  async follow(heard: (state: RingState) => void): Promise<void> {
    const tell = (): void => {
      const { state } = this;
      for (const id of peopleOf(state)) this.#seen.add(id);
      heard(state);
    };
    for await (const change of this.#replica.changes()) if (change.index > 0) tell();
  }

  /** Has something changed. Throws ERR_CONFIG for what makes no sense, and as `submit` does. */
  async submit(command: CommandOf<RingMachine>, timeout: number): Promise<unknown> {
    try {
      return await this.#replica.submit(command as never, { timeout });
    } catch (error) {
      if (!(error instanceof QuorateError) || error.code !== 'ERR_REJECTED') throw error;
      const { reason, data } = error;
      const { copies } = (data ?? {}) as { copies?: number };
      if (reason === 'TOO_FEW') throw configError('members', copies! - 1, `at least n, which is ${copies}`);
      if (reason === 'TOO_MANY')
        throw configError('members', 65, 'at most 64, with at most 64 changes waiting');
      if (reason === 'DIFFERS')
        throw configError('n and merkleLeaves', data, 'those the store was made with');
      throw error;
    }
  }

  /** Where this node leads the group: has those go that are not in the store any more, and enough of the others vote. */
  async tend(timeout: number): Promise<void> {
    const { role, members } = this.#replica.status();
    if (role !== 'leader' || this.state.version === 0 || this.#tending) return;
    // Not by what this node's placement goes by, which may be older than what was seen: who has just come would have to go.
    const people = peopleOf(this.state);
    const gone = members.find(({ id }) => this.#seen.has(id) && !people.has(id));
    const voters = members.filter(({ as }) => as === 'voter').length;
    const raised = members.find(({ id, as }) => as === 'learner' && people.has(id));
    this.#tending = true;
    try {
      const now = gone && peopleOf(await this.#replica.query({ op: 'ring' }, { timeout }));
      if (gone && !now?.has(gone.id)) await this.#replica.removeMember(gone.id, { timeout });
      else if (raised && voters < VOTERS) await this.#replica.addMember(raised.id, { as: 'voter', timeout });
    } catch (error) {
      // It led no longer, or the members changed under it: whoever leads then tends.
      if (!(error instanceof QuorateError)) throw error;
    } finally {
      this.#tending = false;
    }
  }

  close(): Promise<unknown> {
    return this.#replica.close();
  }
}
