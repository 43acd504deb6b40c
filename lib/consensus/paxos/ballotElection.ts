/**
 * Ballot leader election (Ng, Haridi, Carbone: Omni-Paxos, EuroSys 2023, §5; in the later form of its authors' repository): who
 * should lead, as seen by one node. In rounds it hears from its neighbours, and the node takes over only if it hears enough of them
 * to be promised by a quorum, is unhappy, and so are all whom it hears. A follower is happy as long as it hears its leader, and that
 * one is happy; a leader as long as enough follow it. Nobody passes on what others said: a ballot counts for those alone who hear
 * its owner, so that two who do not hear each other cannot outbid each other through a third (the livelock of gossiped ballots).
 *
 * Pure: who drives it sends the questions, hands in the answers, ends the rounds. It holds no promise: the log does.
 */
import { compareEpochs, NO_EPOCH } from '../consensus.js';
import type { Epoch, NodeId } from '../consensus.js';

/** What a neighbour answered. @internal */
export interface Answer {
  /** The number of the configuration in force. */
  readonly config: number;
  readonly ballot: Epoch;
  readonly leader: Epoch;
  readonly happy: boolean;
}

/** What a round is judged by. @internal */
export interface Sight {
  /** The number of the configuration in force. */
  readonly config: number;
  /** The newest ballot that this node promised, as leader or as follower. */
  readonly promised: Epoch;
  /** Leads, or is about to. */
  readonly leads: boolean;
  /** Could lead: it votes, its disk works. */
  readonly able: boolean;
  /** Whether these nodes, with this one, are enough to elect, and to lead. */
  readonly elects: (ids: ReadonlySet<NodeId>) => boolean;
  readonly commits: (ids: ReadonlySet<NodeId>) => boolean;
}

/** One node's view of who should lead. @internal */
export class BallotElection {
  readonly #self: NodeId;
  readonly #priority: number;
  #ballot = NO_EPOCH;
  #leader: Epoch;
  #happy = false;
  #round = 0;
  #answers = new Map<NodeId, Answer>();

  /** `promised`: what the disk remembers. */
  constructor(self: NodeId, priority: number, promised = NO_EPOCH) {
    this.#self = self;
    this.#priority = priority;
    this.#leader = promised;
  }

  /** The round that answers have to be of. */
  get round(): number {
    return this.#round;
  }

  /**
   * What this node answers now. Who has promised somebody since its last round ended is happy at once: the answers of the new leader
   * may be late at a third one, which would outbid it if nobody else told of it.
   */
  answer({ config, promised }: Pick<Sight, 'config' | 'promised'>): Answer {
    const isNews = compareEpochs(promised, this.#leader) > 0;
    const leader = isNews ? promised : this.#leader;
    const happy = isNews ? isSomebody(promised, config) : this.#happy;
    return { config, ballot: this.#ballot, leader, happy };
  }

  /** A neighbour answered. Late answers say nothing of now. */
  answered(id: NodeId, round: number, answer: Answer): void {
    if (round === this.#round) this.#answers.set(id, answer);
  }

  /** The link with whom it promised ended: whoever hears that one still is happy, and this node is not any more. */
  lost(promised: Epoch): void {
    this.#follow(promised);
    this.#happy = false;
  }

  /** Begins a round, without a look at the one before. */
  begin(): number {
    this.#answers = new Map();
    return ++this.#round;
  }

  /** Ends a round: whether this node should take over now, with {@link BallotElection.takeOver}. */
  judge(sight: Sight): boolean {
    const before = this.#leader;
    const answers = [...this.#answers].filter(([, { config }]) => config <= sight.config);
    // Who is ahead by a configuration knows better: first this node has to catch up.
    const ahead = answers.length < this.#answers.size;
    for (const [, { ballot }] of answers) this.#follow(ballot);
    // Prepared by one that is not a neighbour any more, or before a restart.
    this.#follow(sight.promised);
    const unknown = !isSomebody(this.#leader, sight.config);
    // Whoever was promised to in this round had no time yet to be heard: for one round it has the benefit of the doubt. Otherwise
    // two at the ends of a chain outbid each other for a while.
    if (this.#leader !== before && this.#leader === sight.promised && !unknown) {
      this.#happy = true;
      return false;
    }
    this.#happy =
      !unknown && (this.#leads(sight) ? this.#hasFollowers(sight, answers) : this.#hears(answers));
    if (this.#happy || ahead || !sight.able) return false;
    if (answers.some(([, { happy, config }]) => happy && config === sight.config)) return false;
    return sight.elects(new Set(answers.map(([id]) => id)));
  }

  /** The ballot of a new reign, above all that were heard of. */
  takeOver({ config, promised }: Pick<Sight, 'config' | 'promised'>): Epoch {
    const n = Math.max(this.#leader.n, promised.n) + 1;
    this.#ballot = this.#leader = { config, n, priority: this.#priority, node: this.#self };
    this.#happy = true;
    return this.#ballot;
  }

  #follow(ballot: Epoch): void {
    if (compareEpochs(ballot, this.#leader) > 0) this.#leader = ballot;
  }

  #leads({ leads }: Sight): boolean {
    return leads && this.#leader.node === this.#self;
  }

  #hasFollowers(sight: Sight, answers: readonly (readonly [NodeId, Answer])[]): boolean {
    const mine = answers.filter(([, { leader }]) => compareEpochs(leader, this.#leader) <= 0);
    if (sight.commits(new Set(mine.map(([id]) => id)))) return true;
    return answers.some(([, { leader, happy }]) => happy && compareEpochs(leader, this.#leader) > 0);
  }

  #hears(answers: readonly (readonly [NodeId, Answer])[]): boolean {
    return answers.some(([, { ballot, happy }]) => happy && compareEpochs(ballot, this.#leader) === 0);
  }
}

/** A ballot that somebody has in this configuration, or in one to come. */
function isSomebody({ config, node }: Epoch, current: number): boolean {
  return node !== '' && config >= current;
}
