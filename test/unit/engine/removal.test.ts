import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';
import { ByteReader, ByteWriter } from '../../../lib/bytes.js';
import { NO_EPOCH, type CoreStatus } from '../../../lib/consensus/consensus.js';
import type { Membership } from '../../../lib/consensus/membership.js';
import { decodeAbsence, encodeAbsence, Removal, type Absence } from '../../../lib/engine/removal.js';
import { QuorateError } from '../../../lib/errors.js';

/** `abc` are voters, what follows a `+` learns, what follows a `/` is outgoing. */
function membership(parts: string, genesis = 'G'): Membership {
  const [, voters, learners = '', outgoing = ''] = /^(\w*)(?:\+(\w*))?(?:\/(\w*))?$/.exec(parts)!;
  const of = (ids: string): { id: string; incarnation: string }[] =>
    Array.from(ids, (id) => ({ id, incarnation: id.toUpperCase() }));
  return { genesis, founders: [], voters: of(voters!), learners: of(learners), outgoing: of(outgoing) };
}

function statusOf(stable: Membership, stableIndex: number, newer?: [Membership, number]): CoreStatus {
  const [latest, membershipIndex] = newer ?? [stable, stableIndex];
  return {
    role: 'follower',
    leader: '',
    epoch: NO_EPOCH,
    quorum: true,
    quiet: false,
    transferring: '',
    membership: latest,
    membershipIndex,
    stable,
    stableIndex,
    genesis: stable.genesis,
    commitIndex: stableIndex,
    lastIndex: membershipIndex,
    stopped: undefined,
  };
}

describe('removal', () => {
  let told: string[];
  let over: Membership[];
  let status: CoreStatus;
  let contacts: string[];
  beforeEach(() => {
    [told, over, contacts] = [[], [], []];
  });

  function removal(self: string, joins = false): Removal {
    return new Removal({
      self,
      joins,
      status: () => status,
      contacts: () => contacts,
      tell: (peer, { index }) => told.push(`${peer} ${index}`),
      removed: (now) => over.push(now),
    });
  }

  const word = (index: number, parts: string, genesis?: string): Absence => ({
    index,
    membership: membership(parts, genesis),
  });

  describe('is told', () => {
    it('to whom the committed members lack, once over each contact and for each membership', () => {
      status = statusOf(membership('ab+d'), 50);
      const one = removal('a');
      for (const peer of ['b', 'c', 'd']) one.met(peer);
      one.statusChanged();
      expect(told).to.deep.equal(['c 50']);
      one.met('c');
      contacts = ['b', 'c'];
      status = statusOf(membership('ab'), 60);
      one.statusChanged();
      one.statusChanged();
      expect(told).to.deep.equal(['c 50', 'c 50', 'c 60']);
    });

    it('by voters only, and not while something newer is in their log, or two memberships count', () => {
      status = statusOf(membership('ab'), 50, [membership('ab+c'), 90]);
      const one = removal('a');
      one.met('c');
      one.met('e');
      contacts = ['c', 'e'];
      status = statusOf(membership('ab/abc'), 60);
      one.statusChanged();
      expect(told).to.deep.equal([]);
      // The newer one was cut off again: what was true before is.
      status = statusOf(membership('ab'), 50);
      one.statusChanged();
      expect(told).to.deep.equal(['c 50', 'e 50']);
      status = statusOf(membership('b+a'), 70);
      one.statusChanged();
      const founding = removal('a');
      status = statusOf(membership('ab', ''), 0);
      founding.met('c');
      expect(told).to.have.length(2);
    });
  });

  // A membership that ends a configuration is decided by those before it: here by a and b alone, who both leave (Paxos).
  it('is told of the end of a configuration only when somebody leads in the next one', () => {
    const ended = { ...membership('cde'), config: 2 };
    const epoch = (config: number) => ({ config, n: 7, priority: 0, node: 'c' });
    const after = { ...statusOf(ended, 50), epoch: epoch(2) };
    status = after;
    const one = removal('c');
    contacts = ['a', 'd'];
    one.met('a');
    one.statusChanged();
    status = { ...after, leader: 'c', epoch: epoch(1) };
    one.statusChanged();
    expect(told).to.deep.equal([]);
    status = { ...after, leader: 'c' };
    one.statusChanged();
    expect(told).to.deep.equal(['a 50']);
    // It leads no more, and does again: that is no news.
    status = after;
    one.statusChanged();
    status = { ...after, leader: 'c', epoch: epoch(3) };
    one.statusChanged();
    expect(told).to.deep.equal(['a 50']);
    one.met('b');
    expect(told).to.deep.equal(['a 50', 'b 50']);
  });

  describe('is believed', () => {
    beforeEach(() => {
      status = statusOf(membership('abcde'), 5);
    });

    it('when a majority of the voters of that membership say the same', () => {
      const one = removal('e');
      one.heard('a', word(50, 'abcd'));
      one.heard('a', word(50, 'abcd'));
      one.heard('b', word(50, 'abcd'));
      expect(over).to.deep.equal([]);
      one.heard('c', word(50, 'abcd'));
      expect(over.map(({ voters }) => voters.length)).to.deep.equal([4]);
    });

    it('not when they speak of different memberships, or no longer have contact', () => {
      const one = removal('e');
      one.heard('a', word(50, 'abcd'));
      one.heard('b', word(60, 'abcd'));
      one.heard('c', word(60, 'abcd'));
      one.lost('b');
      one.heard('d', word(60, 'abcd'));
      expect(over).to.deep.equal([]);
      one.heard('a', word(60, 'abcd'));
      expect(over).to.have.length(1);
    });

    it('not from who is no voter, of another group, of a joint membership, or where this node is in it', () => {
      const one = removal('e');
      for (const peer of ['a', 'b', 'c']) {
        one.heard(peer, word(50, 'abc', 'H'));
        one.heard(peer, word(50, 'abc/abcde'));
        one.heard(peer, word(50, 'abce'));
        one.heard(peer, word(50, 'xyz'));
      }
      expect(over).to.deep.equal([]);
    });

    it('not when the own log knows better', () => {
      for (const newer of [
        statusOf(membership('abcd+e'), 90),
        statusOf(membership('abcd'), 50, [membership('abcd+e'), 90]),
      ]) {
        status = newer;
        const one = removal('e');
        for (const peer of ['a', 'b', 'c']) one.heard(peer, word(50, 'abcd'));
        expect(over).to.deep.equal([]);
      }
      // What was appended later may be cut off, and then counts for nothing.
      status = statusOf(membership('abcde'), 5, [membership('abcd'), 50]);
      const one = removal('e');
      for (const peer of ['a', 'b', 'c']) one.heard(peer, word(50, 'abcd'));
      expect(over).to.have.length(1);
    });

    it('by who joins only once it was let in, whatever it learns of old times meanwhile', () => {
      const one = removal('e', true);
      status = statusOf(membership('', ''), 0);
      for (const peer of ['a', 'b', 'c']) one.heard(peer, word(60, 'abcd'));
      // The log tells of the first time it was a member, at 5; of its removal at 50; and of now, at 90.
      status = statusOf(membership('abcde'), 5);
      one.statusChanged();
      for (const peer of ['a', 'b', 'c']) one.heard(peer, word(60, 'abcd'));
      status = statusOf(membership('abcd'), 50);
      one.statusChanged();
      for (const peer of ['a', 'b', 'c']) one.heard(peer, word(60, 'abcd'));
      expect(over).to.deep.equal([]);
      status = statusOf(membership('abcd+e'), 90);
      one.statusChanged();
      for (const peer of ['a', 'b', 'c']) one.heard(peer, word(60, 'abcd'));
      expect(over).to.deep.equal([]);
      for (const peer of ['a', 'b', 'c']) one.heard(peer, word(120, 'abcd'));
      expect(over).to.have.length(1);
    });
  });

  it('is the same after it was sent, and nothing else passes for one', () => {
    const writer = new ByteWriter();
    const absence = word(2 ** 40, 'abc+d');
    encodeAbsence(writer, absence);
    const bytes = writer.take();
    expect(decodeAbsence(new ByteReader(bytes))).to.deep.equal(absence);
    const refused = (body: Uint8Array): void => {
      expect(() => decodeAbsence(new ByteReader(body)))
        .to.throw(QuorateError)
        .with.property('code', 'ERR_CODEC');
    };
    for (let length = 0; length < bytes.length; length++) refused(bytes.subarray(0, length));
    refused(Buffer.concat([bytes, new Uint8Array(1)]));
    for (const bad of [word(1, 'abc', ''), word(2 ** 51, 'abc')]) {
      encodeAbsence(writer, bad);
      refused(writer.take());
    }
  });
});
