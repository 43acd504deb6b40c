/** The steps of a change of the membership, as tables. Members: lower case on record, `?` never met. */
import { expect } from 'chai';
import fc from 'fast-check';
import { decodeMembership, encodeMembership } from '../../../lib/consensus/membership.js';
import { hasQuorum } from '../../../lib/consensus/quorum.js';
import { advance, isLive, plan, readmitted } from '../../../lib/consensus/reconfiguration.js';
import { members } from './rig.js';
import type { MembershipChange } from '../../../lib/consensus/consensus.js';
import type { Member, Membership } from '../../../lib/consensus/membership.js';

const of = (ids: string): Member[] => Array.from(ids, (id) => ({ id, incarnation: id.toUpperCase() }));
const ids = (list: readonly { id: string }[]): string => list.map(({ id }) => id).join('');

/** Such as `abc/ab +d ⇒ abcd-e`: voters, outgoing, learners, next voters and learners. */
function text({ voters, outgoing, learners, next }: Membership): string {
  const joint = outgoing.length > 0 ? `/${ids(outgoing)}` : '';
  const then = next === undefined ? '' : ` ⇒ ${next.voters.join('')}-${next.learners.join('')}`;
  return `${ids(voters)}${joint}${learners.length > 0 ? ` +${ids(learners)}` : ''}${then}`;
}

function group(voters: string, learners = ''): Membership {
  return { ...members(Array.from(voters)), learners: of(learners) };
}

const met = (id: string): string => id.toUpperCase();
const planned = (from: Membership, change: MembershipChange): string => {
  const membership = plan(from, change, met);
  return membership === undefined ? 'invalid' : membership === from ? 'same' : text(membership);
};

describe('planning a change of the membership', () => {
  const cases: readonly [string, Membership, MembershipChange, string][] = [
    ['a newcomer learns first', group('abc'), { addVoters: ['d'] }, 'abc +d ⇒ abcd-'],
    ['a learner', group('abc'), { addLearners: ['d'] }, 'abc +d'],
    ['a learner that is to vote', group('abc', 'd'), { addVoters: ['d'] }, 'abc +d ⇒ abcd-'],
    ['a voter that goes', group('abc'), { remove: ['c'] }, 'abc ⇒ ab-'],
    ['a learner that goes', group('abc', 'd'), { remove: ['d'] }, 'abc'],
    ['a voter that is to learn', group('abc'), { addLearners: ['c'] }, 'abc ⇒ ab-c'],
    ['several at once', group('abc', 'x'), { addVoters: ['d', 'e'], remove: ['a', 'x'] }, 'abc +de ⇒ bcde-'],
    ['one that is removed and added is added', group('abc'), { addVoters: ['c'], remove: ['c'] }, 'same'],
    [
      'what is so already',
      group('abc', 'd'),
      { addVoters: ['a'], addLearners: ['d'], remove: ['z'] },
      'same',
    ],
    ['nothing', group('abc'), {}, 'same'],
    ['nobody votes', group('abc'), { remove: ['a', 'b', 'c'] }, 'invalid'],
    ['nobody votes, they only learn', group('a'), { addLearners: ['a'] }, 'invalid'],
  ];
  for (const [what, from, change, to] of cases) {
    it(what, () => expect(planned(from, change)).to.equal(to));
  }

  it('builds on the change that waits, and can take it back', () => {
    const waiting = plan(group('abc'), { addVoters: ['d'] }, met)!;
    expect(planned(waiting, { addVoters: ['e'] })).to.equal('abc +de ⇒ abcde-');
    expect(planned(waiting, { remove: ['c'] })).to.equal('abc +d ⇒ abd-');
    expect(planned(waiting, { addLearners: ['d'] })).to.equal('abc +d');
    expect(planned(waiting, { remove: ['d'] })).to.equal('abc');
    expect(planned(waiting, { addVoters: ['d'] })).to.equal('same');
  });

  it('takes the storage of a newcomer that is there, and leaves the record of one that is not', () => {
    const membership = plan(group('a'), { addLearners: ['d', 'e'] }, (id) => (id === 'd' ? 'D' : ''))!;
    expect(membership.learners).to.deep.equal([
      { id: 'd', incarnation: 'D' },
      { id: 'e', incarnation: '' },
    ]);
  });

  it('has a cap', () => {
    const many = Array.from({ length: 1024 }, (_, i) => `n${i}`);
    expect(planned(group('a'), { addLearners: many })).to.equal('invalid');
  });
});

describe('the steps of a change of the membership', () => {
  const all = (): boolean => true;
  const none = (): boolean => false;

  it('are learning, both, and the new voters', () => {
    const waiting = plan(group('abc', 'x'), { addVoters: ['d'], remove: ['a', 'x'] }, met)!;
    expect(text(waiting)).to.equal('abc +d ⇒ bcd-');
    expect(advance(waiting, none)).to.equal(undefined);
    const joint = advance(waiting, all)!;
    expect(text(joint)).to.equal('bcd/abc');
    expect(joint.voters.at(-1)).to.deep.equal({ id: 'd', incarnation: 'D' });
    const done = advance(joint, none)!;
    expect(text(done)).to.equal('bcd');
    expect(advance(done, all)).to.equal(undefined);
  });

  it('need nobody to catch up where voters only go', () => {
    expect(text(advance(plan(group('abc'), { remove: ['c'] }, met)!, none)!)).to.equal('ab/abc');
    expect(text(advance(plan(group('abc'), { addLearners: ['c'] }, met)!, none)!)).to.equal('ab/abc +c');
  });

  it('wait for the last of those who are to vote', () => {
    const waiting = plan(group('abc'), { addVoters: ['d', 'e'] }, met)!;
    expect(advance(waiting, ({ id }) => id === 'd')).to.equal(undefined);
  });

  it('may be begun only where enough of those who stay are there', () => {
    const live = (change: MembershipChange, there: string): boolean =>
      isLive(plan(group('abc'), change, met)!, ({ id }) => there.includes(id));
    expect(live({ remove: ['b'] }, 'ab')).to.equal(false);
    expect(live({ remove: ['c'] }, 'ab')).to.equal(true);
    expect(live({ addVoters: ['d'], remove: ['c'] }, 'ab')).to.equal(true);
    expect(live({ addLearners: ['d'] }, 'a')).to.equal(true);
  });

  it('let the old storage of a voter that is admitted again go on counting among the old', () => {
    const joint = readmitted(group('abc'), 'c', 'C2');
    expect(text(joint)).to.equal('abc/abc');
    expect(joint.voters[2]).to.deep.equal({ id: 'c', incarnation: 'C2' });
    expect(joint.outgoing[2]).to.deep.equal({ id: 'c', incarnation: 'C' });
    // c's new storage alone makes no majority of the old ones.
    const has = (...stores: string[]) => hasQuorum(joint, ({ incarnation }) => stores.includes(incarnation));
    expect(has('A', 'C2')).to.equal(false);
    expect(has('A', 'B')).to.equal(true);
    expect(text(advance(joint, none)!)).to.equal('abc');
  });

  it('lead from any membership to what was asked for, in three steps at most, and each can be written and read', () => {
    const some = fc.subarray(Array.from('abcdef'));
    fc.assert(
      fc.property(
        fc.subarray(Array.from('abcdef'), { minLength: 1 }),
        some,
        some,
        some,
        some,
        (voters, learning, addVoters, addLearners, remove) => {
          const learners = learning.filter((id) => !voters.includes(id)).join('');
          const from = group(voters.join(''), learners);
          const wanted = new Map<string, string>();
          for (const id of voters) wanted.set(id, 'voter');
          for (const id of learners) wanted.set(id, 'learner');
          for (const id of remove) wanted.delete(id);
          for (const id of addVoters) wanted.set(id, 'voter');
          for (const id of addLearners) wanted.set(id, 'learner');
          let now = plan(from, { addVoters, addLearners, remove }, met);
          if (![...wanted.values()].includes('voter')) {
            expect(now).to.equal(undefined);
            return;
          }
          for (let step = 0; step < 3; step++) {
            expect(decodeMembership(encodeMembership(now!))).to.deep.equal(now);
            now = advance(now!, () => true) ?? now;
          }
          expect(now!.next).to.equal(undefined);
          expect(now!.outgoing).to.deep.equal([]);
          const got = new Map([
            ...now!.voters.map(({ id }) => [id, 'voter'] as const),
            ...now!.learners.map(({ id }) => [id, 'learner'] as const),
          ]);
          expect([...got].sort()).to.deep.equal([...wanted].sort());
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('are refused where bytes say something else', () => {
    const bytes = (next: unknown): Uint8Array =>
      new TextEncoder().encode(JSON.stringify({ ...group('abc'), next }));
    expect(decodeMembership(bytes({ voters: ['d'], learners: [] }))?.next).to.deep.equal({
      voters: ['d'],
      learners: [],
    });
    for (const next of [
      null,
      1,
      {},
      { voters: [], learners: [] },
      { voters: [''], learners: [] },
      { voters: ['d'] },
    ])
      expect(decodeMembership(bytes(next)), JSON.stringify(next)).to.equal(undefined);
  });
});
