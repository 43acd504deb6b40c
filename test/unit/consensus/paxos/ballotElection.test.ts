/** Ballot leader election by itself: who leads in which network, and how often that changes before it settles. */
import { expect } from 'chai';
import { compareEpochs, NO_EPOCH } from '../../../../lib/consensus/consensus.js';
import { BallotElection } from '../../../../lib/consensus/paxos/ballotElection.js';
import { majority } from '../../../../lib/consensus/quorum.js';
import { seeded } from '../../support/seeded.js';
import type { Epoch, NodeId } from '../../../../lib/consensus/consensus.js';

interface Node {
  readonly id: NodeId;
  readonly election: BallotElection;
  /** What its log would have promised: the newest ballot of a neighbour that took over. */
  promised: Epoch;
  leads: boolean;
  able: boolean;
  config: number;
}

/** Nodes that look around in rounds which end in any order. */
class Neighbourhood {
  readonly nodes: Map<NodeId, Node>;
  readonly links = new Set<string>();
  /** Who took over, in order. */
  readonly reigns: Epoch[] = [];
  readonly #random: () => number;

  constructor(ids: string, links: string, seed = 1, priorities: Record<NodeId, number> = {}) {
    this.#random = seeded(seed);
    this.nodes = new Map(
      Array.from(ids, (id) => {
        const election = new BallotElection(id, priorities[id] ?? 0);
        return [id, { id, election, promised: NO_EPOCH, leads: false, able: true, config: 0 }];
      }),
    );
    this.relink(links);
  }

  /** Links as in 'ab bc'; `full` for all. */
  relink(links: string): void {
    this.links.clear();
    const ids = [...this.nodes.keys()];
    const pairs = links === 'full' ? ids.flatMap((a) => ids.map((b) => a + b)) : links.split(' ');
    for (const [a, b] of pairs) if (a !== b) this.links.add(`${a}${b}`).add(`${b}${a}`);
  }

  /** A round of each node, in an order of chance: it asks at its beginning, and judges at its end. */
  round(): void {
    const order = [...this.nodes.values()].map((node) => ({ node, at: this.#random() }));
    for (const { node } of order.sort((a, b) => a.at - b.at)) {
      if (this.#judge(node)) this.#takeOver(node);
      const round = node.election.begin();
      for (const other of this.#neighbours(node))
        node.election.answered(other.id, round, other.election.answer(other));
    }
  }

  rounds(n: number): this {
    for (let i = 0; i < n; i++) this.round();
    return this;
  }

  /** Who leads in the eyes of those who are happy. */
  get leaders(): NodeId[] {
    return [...this.nodes.values()].filter(({ leads }) => leads).map(({ id }) => id);
  }

  happy(id: NodeId): boolean {
    const node = this.nodes.get(id)!;
    return node.election.answer(node).happy;
  }

  #judge({ election, config, promised, leads, able }: Node): boolean {
    const size = majority(this.nodes.size);
    const enough = (ids: ReadonlySet<NodeId>): boolean => ids.size + 1 >= size;
    return election.judge({ config, promised, leads, able, elects: enough, commits: enough });
  }

  #takeOver(node: Node): void {
    const ballot = node.election.takeOver(node);
    this.reigns.push(ballot);
    node.promised = ballot;
    node.leads = true;
    for (const other of this.#neighbours(node)) {
      if (compareEpochs(ballot, other.promised) <= 0) continue;
      other.promised = ballot;
      other.leads = false;
    }
  }

  #neighbours({ id }: Node): Node[] {
    return [...this.nodes.values()].filter((other) => this.links.has(id + other.id));
  }
}

const seeds = Array.from({ length: 50 }, (_, seed) => seed + 1);

/** Lets it settle with all links, and then `c` lead. */
function led(by: NodeId, ids: string, seed: number): Neighbourhood {
  const all = new Neighbourhood(ids, 'full', seed, { [by]: 1 });
  for (const node of all.nodes.values()) node.able = node.id === by;
  all.rounds(10);
  for (const node of all.nodes.values()) node.able = true;
  expect(all.leaders).to.deep.equal([by]);
  all.reigns.length = 0;
  return all;
}

/** Nothing changes any more, whatever the order of rounds. */
function expectSettled(one: Neighbourhood): void {
  const before = one.reigns.length;
  one.rounds(50);
  expect(one.reigns.length, 'changes after it settled').to.equal(before);
}

describe('ballot leader election', () => {
  for (const [what, ids, links] of [
    ['two nodes', 'ab', 'full'],
    ['a full mesh of three', 'abc', 'full'],
    ['a full mesh of five', 'abcde', 'full'],
    ['a chain of three', 'abc', 'ab bc'],
    ['a star of five', 'abcde', 'ab ac ad ae'],
    ['a ring of three with a tail', 'abcd', 'ab bc ca cd'],
    ['a ring of five', 'abcde', 'ab bc cd de ea'],
    ['a chain of five', 'abcde', 'ab bc cd de'],
  ] as const) {
    it(`finds a leader in ${what}, and keeps it`, () => {
      let reigns = 0;
      for (const seed of seeds) {
        const one = new Neighbourhood(ids, links, seed).rounds(20);
        expect(one.leaders.length, `seed ${seed}`).to.be.at.least(1);
        // All begin at once, and those who do not hear each other cannot wait for each other.
        expect(one.reigns.length, `seed ${seed}: takeovers`).to.be.at.most(4);
        reigns += one.reigns.length;
        expectSettled(one);
      }
      expect(reigns / seeds.length, 'takeovers on average').to.be.at.most(2);
    });
  }

  it('finds nobody where nobody hears enough', () => {
    for (const seed of seeds) {
      const one = new Neighbourhood('abcde', 'ab cd', seed).rounds(50);
      expect(one.reigns).to.deep.equal([]);
    }
  });

  it('of two that take over at once the one with the higher priority stays', () => {
    const one = new Neighbourhood('abc', 'full', 1, { a: 2, b: 1 });
    const [a, b] = [one.nodes.get('a')!, one.nodes.get('b')!];
    const [first, second] = [a.election.takeOver(a), b.election.takeOver(b)];
    expect(compareEpochs(first, second)).to.be.above(0);
  });

  it('a dead leader is followed by one other', () => {
    for (const seed of seeds) {
      const one = led('c', 'abcde', seed);
      one.relink('ab ad ae bd be de');
      one.rounds(8);
      expect(one.reigns.length, `seed ${seed}`).to.be.within(1, 2);
      expectSettled(one);
    }
  });

  describe('in the partial partitions of the paper', () => {
    it('quorum-loss: the one that still hears enough takes over, once', () => {
      for (const seed of seeds) {
        const one = led('c', 'abcde', seed);
        one.relink('ab ac ad ae');
        one.rounds(10);
        expect(
          one.reigns.map(({ node }) => node),
          `seed ${seed}`,
        ).to.deep.equal(['a']);
        expectSettled(one);
      }
    });

    it('constrained election: the one that still hears enough takes over, once, whatever its log', () => {
      for (const seed of seeds) {
        const one = led('c', 'abcde', seed);
        one.relink('ab ad ae bc bd be cd ce de');
        one.rounds(10);
        expect(one.reigns, `seed ${seed}: one link is cut`).to.deep.equal([]);
        one.relink('ab ad ae');
        one.rounds(10);
        expect(
          one.reigns.map(({ node }) => node),
          `seed ${seed}`,
        ).to.deep.equal(['a']);
        expectSettled(one);
      }
    });

    it('chained: the leader at the end of the chain stays, since the one in the middle hears it', () => {
      for (const seed of seeds) {
        const one = led('b', 'abc', seed);
        one.relink('ab ac');
        expectSettled(one);
        expect(one.leaders).to.deep.equal(['b']);
      }
    });

    it('a ring of five does not dethrone a leader whom two follow', () => {
      for (const seed of seeds) {
        const one = led('c', 'abcde', seed);
        one.relink('ab bc cd de ea');
        expectSettled(one);
      }
    });
  });

  it('a leader that gives way is followed, although it is heard', () => {
    for (const seed of seeds) {
      const one = led('c', 'abc', seed);
      const c = one.nodes.get('c')!;
      c.leads = c.able = false;
      one.rounds(8);
      expect(one.leaders, `seed ${seed}`).to.have.length(1).that.does.not.include('c');
    }
  });

  it('who promised somebody in this round waits for it instead of outbidding it', () => {
    const election = new BallotElection('b', 0);
    election.begin();
    const alone = { config: 0, leads: false, able: true, elects: () => true, commits: () => true };
    const promised = { config: 0, n: 1, priority: 0, node: 'a' };
    expect(election.judge({ ...alone, promised })).to.equal(false);
    election.begin();
    expect(election.judge({ ...alone, promised })).to.equal(true);
    expect(election.takeOver({ config: 0, promised }).n).to.equal(2);
  });

  // A third one that the answers of the new leader do not reach yet would outbid it otherwise.
  it('who promised somebody says so at once, not when its round ends', () => {
    const election = new BallotElection('b', 0);
    election.begin();
    const promised = { config: 1, n: 1, priority: 0, node: 'a' };
    expect(election.answer({ config: 1, promised: NO_EPOCH }).happy).to.equal(false);
    expect(election.answer({ config: 1, promised })).to.include({ leader: promised, happy: true });
    // That is nobody's ballot, and this one is of a configuration that is over.
    const nobody = { config: 2, n: 1, priority: 0, node: '' };
    expect(election.answer({ config: 2, promised: nobody }).happy).to.equal(false);
    expect(election.answer({ config: 2, promised }).happy).to.equal(false);
    expect(election.answer({ config: 1, promised }).ballot).to.equal(NO_EPOCH);
  });

  it('whose link with the leader ended is unhappy at once, also with one that it has just promised', () => {
    const election = new BallotElection('b', 0);
    election.begin();
    const promised = { config: 0, n: 1, priority: 0, node: 'a' };
    const sight = { config: 0, promised, leads: false, able: true };
    const enough = { elects: () => true, commits: () => true };
    expect(election.judge({ ...sight, ...enough })).to.equal(false);
    expect(election.answer(sight).happy).to.equal(true);
    election.lost(promised);
    expect(election.answer(sight)).to.include({ leader: promised, happy: false });
    // The same with one that no round has ended since.
    const next = { ...sight, promised: { ...promised, n: 2 } };
    election.lost(next.promised);
    expect(election.answer(next)).to.include({ leader: next.promised, happy: false });
    expect(election.judge({ ...next, ...enough })).to.equal(true);
  });

  it('what it promised before a restart is no news', () => {
    const promised = { config: 0, n: 3, priority: 0, node: 'a' };
    const election = new BallotElection('b', 0, promised);
    election.begin();
    expect(election.answer({ config: 0, promised })).to.deep.equal({
      config: 0,
      ballot: NO_EPOCH,
      leader: promised,
      happy: false,
    });
    const sight = { config: 0, promised, leads: false, able: true };
    expect(election.judge({ ...sight, elects: () => true, commits: () => true })).to.equal(true);
  });

  it('follows the ballots of its neighbours, and passes on none of which it was told by others', () => {
    const election = new BallotElection('b', 0);
    const heard = { config: 0, n: 1, priority: 0, node: 'a' };
    const toldOf = { config: 0, n: 9, priority: 0, node: 'x' };
    election.answered('a', election.begin(), { config: 0, ballot: heard, leader: toldOf, happy: true });
    const sight = { config: 0, promised: NO_EPOCH, leads: false, able: true };
    election.judge({ ...sight, elects: () => true, commits: () => true });
    expect(election.answer(sight).leader).to.deep.equal(heard);
  });

  it('late answers count for nothing', () => {
    const election = new BallotElection('b', 0);
    const old = election.begin();
    election.begin();
    const ballot = { config: 0, n: 1, priority: 0, node: 'a' };
    election.answered('a', old, { config: 0, ballot, leader: ballot, happy: true });
    const sight = { config: 0, promised: NO_EPOCH, leads: false, able: true };
    const elects = (ids: ReadonlySet<NodeId>): boolean => ids.size > 0;
    expect(election.judge({ ...sight, elects, commits: elects })).to.equal(false);
    expect(election.answer(sight).leader).to.equal(NO_EPOCH);
  });

  it('does not take over against one that is ahead by a configuration, and does over one that is behind', () => {
    const sight = {
      config: 1,
      promised: NO_EPOCH,
      leads: false,
      able: true,
      elects: () => true,
      commits: () => true,
    };
    for (const [config, takes] of [
      [2, false],
      [1, false],
      [0, true],
    ] as const) {
      const election = new BallotElection('b', 0);
      const happy = config < 2;
      election.answered('a', election.begin(), { config, ballot: NO_EPOCH, leader: NO_EPOCH, happy });
      expect(election.judge(sight), `${config}`).to.equal(takes);
    }
  });
});
