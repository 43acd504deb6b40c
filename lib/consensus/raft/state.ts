/** What the parts of a Raft core share, besides what those of any core do: the numbers of terms, and the vote. */
import { CoreState } from '../core/state.js';
import type { CoreSetup, Epoch, HardState, NodeId } from '../consensus.js';
import type { RaftOptions } from './options.js';

/** The shared state of a Raft core. @internal */
export class State extends CoreState<number> {
  declare readonly options: Required<RaftOptions>;
  declare config: number;
  declare vote: NodeId;

  constructor(setup: CoreSetup, options: Required<RaftOptions>) {
    super(setup, options, true);
  }

  get epoch(): Epoch {
    return { config: this.config, n: this.term, priority: 0, node: this.leader };
  }

  compare(a: number, b: number): number {
    return a - b;
  }

  mayLead(id: NodeId, term: number): boolean {
    const { lastEpoch } = this.log;
    // Two leaders in one term: only when a founding member lost its memory after it had voted.
    return lastEpoch.n !== term || lastEpoch.node === id;
  }

  protected override recoverHard(hard: HardState | undefined): void {
    this.config = hard?.config ?? 0;
    this.term = Math.max(hard?.epoch.n ?? 0, this.log.lastEpoch.n);
    this.vote = this.term === hard?.epoch.n ? hard.vote : '';
  }

  protected override termChanged(): void {
    this.vote = '';
    super.termChanged();
  }
}
