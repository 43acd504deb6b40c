/**
 * What the parts of a Paxos core share, besides what those of any core do: ballots, what was promised, and the configuration in
 * force.
 *
 * A node promises and accepts in its own configuration only. The next one begins for it when it knows that the stop-sign of its own
 * is committed; that is written with the first promise of the next one. So whoever has promised anything in a configuration knows,
 * also after a restart, what ended the one before, and can tell others.
 */
import { compareEpochs, NO_EPOCH } from '../consensus.js';
import { CoreState } from '../core/state.js';
import type { CoreSetup, Epoch, HardState, Index, NodeId } from '../consensus.js';
import type { PaxosOptions } from './options.js';

/** The shared state of a Paxos core. @internal */
export class PaxosState extends CoreState<Epoch> {
  /**
   * The newest ballot that was promised: nothing is accepted of older ones. `term` is the ballot that this node takes part in: the
   * same, or one of a configuration that it does not know yet.
   */
  declare promised: Epoch;
  /** What was promised by now ends the reign that this node took part in so far. */
  outdated = false;

  constructor(setup: CoreSetup, options: Required<PaxosOptions>) {
    super(setup, options, false);
  }

  get epoch(): Epoch {
    return this.term;
  }

  override get committedOnly(): boolean {
    return this.isAhead(this.term);
  }

  compare(a: Epoch, b: Epoch): number {
    return compareEpochs(a, b);
  }

  mayLead(id: NodeId, term: Epoch): boolean {
    return term.node === id;
  }

  /** Whether a ballot is of a configuration that this node does not know yet. */
  isAhead(ballot: Epoch): boolean {
    return ballot.config > this.configs.number;
  }

  override advanceCommit(index: Index): void {
    super.advanceCommit(index);
    this.keepUp();
  }

  /**
   * Promises as much as the log says by now. Of an older configuration than the one in force nothing is promised or accepted any
   * more; nor of an older ballot than that of the last entry, which came as a committed one.
   */
  keepUp(): void {
    const { lastEpoch } = this.log;
    let least = this.promised;
    if (!this.isAhead(this.term) && compareEpochs(this.term, least) > 0) least = this.term;
    if (!this.isAhead(lastEpoch) && compareEpochs(lastEpoch, least) > 0) least = lastEpoch;
    least = floor(least, this.configs.number);
    if (compareEpochs(least, this.promised) === 0) return;
    this.promised = least;
    this.disk.voteChanged();
    this.outdated = compareEpochs(this.term, least) < 0;
  }

  /** Ends a reign that is over by what was promised since. */
  settle(): void {
    this.outdated = false;
    if (compareEpochs(this.term, this.promised) < 0) this.follow(this.promised, '');
  }

  /** Follows nobody any more: its silence, or an end of the contact. */
  forsake(): void {
    if (this.isAhead(this.term)) this.term = this.promised;
    this.follow(this.term, '');
  }

  protected override recoverHard(hard: HardState | undefined): void {
    const written = hard?.epoch ?? NO_EPOCH;
    const { lastEpoch } = this.log;
    const promised = compareEpochs(written, lastEpoch) > 0 ? written : lastEpoch;
    this.term = this.promised = floor(promised, this.configs.number);
  }

  protected override termChanged(): void {
    if (!this.isAhead(this.term)) this.promised = this.term;
    super.termChanged();
  }
}

/** The ballot itself, or one below all of a configuration, where it is of an older one. */
function floor(ballot: Epoch, config: number): Epoch {
  return ballot.config >= config ? ballot : { config, n: ballot.n, priority: 0, node: '' };
}
