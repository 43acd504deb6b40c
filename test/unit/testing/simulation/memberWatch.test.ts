/** What the simulation knows of the members of a group: the judge of their changes, and who can be done without. */
import { expect } from 'chai';
import type { Entry, Epoch } from '../../../../lib/consensus/consensus.js';
import { encodeMembership, type Member, type Membership } from '../../../../lib/consensus/membership.js';
import { DiskWatch } from '../../../../lib/testing/simulation/watch/diskWatch.js';
import { GroupWatch } from '../../../../lib/testing/simulation/watch/groupWatch.js';
import { breach } from '../../../../lib/testing/simulation/watch/memberWatch.js';

const epoch: Epoch = { config: 0, n: 1, priority: 0, node: 'a' };
/** `a b2`: a with its first storage, b with its second; `c0` was never met. */
const membersOf = (text: string): Member[] =>
  text
    .split(' ')
    .filter(Boolean)
    .map((name) => ({ id: name[0]!, incarnation: name[1] === '0' ? '' : `${name[0]}${name[1] ?? 1}` }));
const membership = (voters: string, outgoing = ''): Membership => {
  return {
    genesis: 'g',
    founders: ['a'],
    voters: membersOf(voters),
    outgoing: membersOf(outgoing),
    learners: [],
  };
};
const config = (index: number, of: Membership): Entry => {
  return { index, count: 1, epoch, time: 0, kind: 'config', data: encodeMembership(of) };
};

class Lab {
  readonly found: string[] = [];
  readonly group = new GroupWatch(
    (invariant, _, message) => void this.found.push(`${invariant}: ${message}`),
    ['a', 'b', 'c'],
  );
  readonly #disks = new Map<string, DiskWatch>();
  readonly #entries: Entry[] = [];

  /** All that there is knows of the group, and of the memberships so far. */
  constructor(...names: readonly string[]) {
    for (const name of names) this.disk(name);
  }

  disk(name: string, genesis = 'g'): DiskWatch {
    const incarnation = `${name[0]}${name[1] ?? 1}`;
    const disk = new DiskWatch(name[0]!, incarnation, this.group.report);
    this.group.disks.set(incarnation, disk);
    this.#disks.set(name, disk);
    disk.write({ group: 'g', hard: { protocol: 'raft', config: 0, epoch, vote: '', commit: 0, genesis } });
    disk.acknowledged();
    for (const entry of this.#entries) this.#append(disk, entry);
    return disk;
  }

  commit(of: Membership): this {
    const entry = config(this.#entries.length + 1, of);
    this.#entries.push(entry);
    for (const disk of this.#disks.values()) this.#append(disk, entry);
    this.group.committed('a', entry, of, epoch);
    return this;
  }

  /** A membership that is in the log of one, and not committed. */
  pending(name: string, of: Membership): this {
    this.#append(this.#disks.get(name)!, config(this.#entries.length + 1, of));
    return this;
  }

  #append(disk: DiskWatch, entry: Entry): void {
    disk.write({ group: 'g', entries: [entry] });
    disk.acknowledged();
  }

  get members() {
    return this.group.members;
  }
}

describe('the watch over the members', () => {
  it('lets voters change through a joint membership alone', () => {
    const sound: [Membership, Membership][] = [
      [membership('a0'), membership('a')],
      [membership('a b0'), membership('a b')],
      [membership('a'), membership('a b', 'a')],
      [membership('a b', 'a'), membership('a b')],
      [membership('a b c'), membership('a b2 c', 'a b c')],
      [membership('a b2 c', 'a b c'), membership('a b2 c')],
      [membership('a b c'), membership('d', 'a b c')],
    ];
    for (const [before, after] of sound) expect(breach(before, after)).to.equal(undefined);
    const wrong: [Membership, Membership, RegExp][] = [
      [membership('a'), membership('a b'), /other voters, and was no joint one/],
      [membership('a b'), membership('a'), /other voters, and was no joint one/],
      [membership('a b'), membership('a b2'), /replaces the storage of b/],
      [membership('a b'), membership('a b c', 'a'), /other outgoing voters/],
      [membership('a b c'), membership('a b2 c', 'a b2 c'), /other outgoing voters/],
      [membership('a b', 'a'), membership('a c'), /ends a joint one with other voters/],
      [membership('a b', 'a'), membership('a b', 'a'), /follows a joint one and is joint/],
    ];
    for (const [before, after, what] of wrong) expect(breach(before, after)).to.match(what);
  });

  it('tells of a membership that may not follow, and of a second genesis', () => {
    const lab = new Lab('a', 'b', 'c').commit(membership('a')).commit(membership('a b'));
    expect(lab.found).to.have.length(1);
    expect(lab.found[0]).to.match(/^membership: a commits a membership at 2 that has other voters/);
    lab.commit({ ...membership('a b'), genesis: 'h' });
    expect(lab.found[1]).to.match(/^state machine safety: a commits a second genesis/);
  });

  it('knows who can elect: those on record with the storage they have, in both halves, and in what is not committed yet', () => {
    const lab = new Lab('a', 'b', 'c', 'd');
    expect(lab.members.mayElect(['a', 'b'])).to.equal(true);
    expect(lab.members.mayElect(['a', 'd']), 'one of three founders').to.equal(false);
    lab.commit(membership('a b c'));
    expect(lab.members.mayElect(['a', 'b'])).to.equal(true);
    expect(lab.members.mayElect(['a', 'd'])).to.equal(false);
    lab.commit(membership('a d', 'a b c'));
    expect(lab.members.mayElect(['a', 'b'])).to.equal(false);
    expect(lab.members.mayElect(['a', 'b', 'd'])).to.equal(true);
    lab.commit(membership('a d'));
    expect(lab.members.mayElect(['a', 'b', 'c'])).to.equal(false);
    expect(lab.members.mayElect(['a', 'd'])).to.equal(true);
    lab.pending('d', membership('b c', 'a d'));
    expect(lab.members.mayElect(['a', 'd']), 'd may win, and needs b and c').to.equal(false);
    expect(lab.members.mayElect(['a', 'b', 'c', 'd'])).to.equal(true);
    lab.members.wiped('a');
    expect(lab.members.mayElect(['a', 'b', 'c', 'd']), 'a lost its disk').to.equal(false);
  });

  it('lets a minority of each membership lose its disk, until it is admitted again', () => {
    const none = new Set<string>();
    const lab = new Lab('a', 'b', 'c');
    expect(lab.members.mayLoseDisk('a', none), 'nothing is founded').to.equal(false);
    lab.commit(membership('a b c0'));
    expect(lab.members.mayLoseDisk('a', none), 'c was never met').to.equal(false);
    lab.commit(membership('a b c'));
    expect(lab.members.mayLoseDisk('a', none)).to.equal(true);
    expect(lab.members.mayLoseDisk('a', new Set('b'))).to.equal(false);
    expect(lab.members.mayLoseDisk('z', none), 'no member').to.equal(true);
    lab.members.wiped('a');
    expect(lab.members.strangers(['a', 'b'])).to.deep.equal(['a']);
    expect(lab.members.settled(['a', 'b'])).to.equal(false);
    expect(lab.members.mayLoseDisk('b', none)).to.equal(false);
    lab.disk('a2');
    lab.commit(membership('a2 b c', 'a b c'));
    expect(lab.members.mayLoseDisk('b', none), 'the old half has lost one').to.equal(false);
    lab.commit(membership('a2 b c'));
    expect(lab.members.settled(['a', 'b'])).to.equal(true);
    expect(lab.members.mayLoseDisk('b', none)).to.equal(true);
    lab.pending('c', membership('b', 'a2 b c'));
    expect(lab.members.mayLoseDisk('b', none), 'it may be all there is').to.equal(false);
    expect(lab.found).to.deep.equal([]);
  });

  it('lets a minority of those who are about to vote lose its disk, once they are on record', () => {
    const none = new Set<string>();
    const toBe = (voters: string, learners: string, next: string): Membership => {
      return {
        ...membership(voters),
        learners: membersOf(learners),
        next: { voters: next.split(' '), learners: [] },
      };
    };
    const lab = new Lab('a', 'b', 'c', 'd');
    lab.commit(membership('a')).commit(toBe('a', 'b0', 'b'));
    expect(lab.members.mayLoseDisk('b', none), 'it is waited for').to.equal(true);
    lab.commit(toBe('a', 'b', 'b'));
    expect(lab.members.mayLoseDisk('b', none), 'it may be all there is').to.equal(false);
    lab.commit(toBe('a', 'b c0 d0', 'b c d'));
    expect(lab.members.mayLoseDisk('b', none), 'c and d have to come first').to.equal(true);
    lab.members.wiped('b');
    lab.commit(toBe('a', 'b c d', 'b c d'));
    expect(lab.members.mayLoseDisk('c', none), 'b has lost its own').to.equal(false);
    const other = new Lab('a', 'b', 'c').commit(membership('a b c'));
    other.pending('b', toBe('a b c', '', 'a b'));
    expect(other.members.mayLoseDisk('c', none), 'it is to go').to.equal(true);
    expect(other.members.mayLoseDisk('a', none), 'it is to be one of two').to.equal(false);
    expect([...lab.found, ...other.found]).to.deep.equal([]);
  });

  it('lets nobody found a group again whose founders have forgotten it', () => {
    const lab = new Lab('a', 'b', 'c');
    expect(lab.members.mayFound('a'), 'there is none yet').to.equal(true);
    lab.commit(membership('a b c'));
    lab.members.wiped('b');
    expect(lab.members.mayFound('b'), 'a and c know it').to.equal(true);
    lab.members.wiped('c');
    expect(lab.members.mayFound('c'), 'b and c could found another').to.equal(false);
    expect(lab.members.mayFound('a'), 'it knows').to.equal(true);
    lab.disk('b2');
    expect(lab.members.mayFound('c')).to.equal(true);
  });
});

describe('durability', () => {
  it('is judged by the membership that counted, before this turn or now', () => {
    const lab = new Lab('a', 'b');
    const before = membership('a');
    const entry = config(1, before);
    const disk = lab.group.disks.get('a1')!;
    disk.write({ group: 'g', entries: [entry] });
    disk.acknowledged();
    lab.group.committed('a', entry, membership('a b', 'a'), epoch, before);
    expect(lab.found).to.deep.equal([]);
    const other = new Lab('a', 'b');
    other.group.committed('a', entry, membership('a b', 'a'), epoch);
    expect(other.found[0]).to.match(/^durability: a commits 1@/);
  });
});
