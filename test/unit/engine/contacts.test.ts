import { expect } from 'chai';
import { NO_EPOCH, type CoreStatus } from '../../../lib/consensus/consensus.js';
import { foundingMembership } from '../../../lib/consensus/membership.js';
import { Contacts, type Contact } from '../../../lib/engine/contacts.js';
import { GROUP_WIRE_VERSION, type Hello } from '../../../lib/engine/wire.js';

const hello: Hello = {
  version: GROUP_WIRE_VERSION,
  group: 'g',
  instance: 'i1',
  protocol: 'raft',
  incarnation: 'inc',
  genesis: '',
  founders: ['a', 'b', 'c'],
  wantsAnswer: true,
  priority: 0,
  witness: false,
};

function own(genesis = '', founders = ['c', 'b', 'a']) {
  const status: CoreStatus = {
    role: 'follower',
    leader: '',
    epoch: NO_EPOCH,
    quorum: false,
    transferring: '',
    membership: foundingMembership(founders),
    membershipIndex: 0,
    stable: foundingMembership(founders),
    stableIndex: 0,
    genesis,
    commitIndex: 0,
    lastIndex: 0,
    quiet: false,
    stopped: undefined,
  };
  return { self: 'a', protocol: 'raft', status };
}

describe('contacts', () => {
  const table: [what: string, ours: ReturnType<typeof own>, theirs: Partial<Hello>, expected: string][] = [
    ['the same founders, nothing founded', own(), {}, 'met'],
    ['founded there, not known here', own(''), { genesis: 'x' }, 'met'],
    ['founded here, not known there', own('x'), {}, 'met'],
    ['the same genesis', own('x'), { genesis: 'x' }, 'met'],
    ['the same genesis, whatever the founders say', own('x'), { genesis: 'x', founders: [] }, 'met'],
    ['two foundings', own('x'), { genesis: 'y' }, 'ERR_GENESIS_DIFFERS'],
    [
      'two foundings by the same founders of another order',
      own('x'),
      { genesis: 'y', founders: ['c'] },
      'ERR_GENESIS_DIFFERS',
    ],
    ['fewer founders', own(), { founders: ['a', 'b'] }, 'ERR_MEMBERS_DIFFER'],
    ['more founders', own('', ['a', 'b']), {}, 'ERR_MEMBERS_DIFFER'],
    ['other founders', own(), { founders: ['a', 'b', 'd'] }, 'ERR_MEMBERS_DIFFER'],
    ['other founders of a founded group', own('x'), { founders: ['a'] }, 'ERR_MEMBERS_DIFFER'],
    ['another wire version', own('x'), { genesis: 'x', version: GROUP_WIRE_VERSION + 1 }, 'ERR_PEER_VERSION'],
    ['another protocol', own('x'), { genesis: 'x', protocol: 'paxos' }, 'ERR_PEER_VERSION'],
  ];
  for (const [what, ours, theirs, expected] of table) {
    it('are confirmed by what a peer says only to those it knows, or end before that', async () => {
      const contacts = new Contacts();
      const meet = (link: number): Contact => {
        contacts.hear('b', 1, link, hello, own());
        return contacts.get('b')!;
      };
      const first = meet(1);
      const outcome = contacts.confirmed(first);
      contacts.confirm('b');
      expect(await outcome).to.equal(true);
      expect(await contacts.confirmed(first)).to.equal(true);
      const second = contacts.confirmed(meet(2));
      const third = meet(3);
      expect(await second, 'another contact took its place').to.equal(false);
      const waits = contacts.confirmed(third);
      contacts.forget('b');
      expect([await waits, await contacts.confirmed(third)]).to.deep.equal([false, false]);
      const last = contacts.confirmed(meet(4));
      contacts.close();
      expect(await last, 'the group is over').to.equal(false);
    });

    it(`${what}: ${expected}`, () => {
      const contacts = new Contacts();
      const verdict = contacts.hear('b', 4, 1, { ...hello, ...theirs }, ours);
      if (expected === 'met') {
        expect(verdict).to.deep.equal({ type: 'met', contact: contacts.get('b') });
        expect(contacts.get('b')).to.deep.include({ number: 4, link: 1, session: 1 });
      } else {
        expect(verdict).to.deep.nested.include({
          type: 'refused',
          'refusal.code': expected,
          'refusal.group': 'g',
        });
        expect(contacts.get('b')).to.equal(undefined);
      }
    });
  }

  it('a hello said again is nothing new; one of another link, opening or genesis is', () => {
    const contacts = new Contacts();
    const hear = (link: number, change: Partial<Hello> = {}) =>
      contacts.hear('b', 4, link, { ...hello, ...change }, own()).type;
    expect(hear(1)).to.equal('met');
    expect(hear(1)).to.equal('known');
    expect(hear(1, { wantsAnswer: false })).to.equal('known');
    expect(hear(2)).to.equal('met');
    expect(hear(2, { instance: 'i2' })).to.equal('met');
    expect(hear(2, { instance: 'i2', genesis: 'x' })).to.equal('met');
    expect(hear(2, { instance: 'i2', genesis: 'x' })).to.equal('known');
    expect(contacts.get('b')?.session).to.equal(4);
  });

  it('numbers sessions across peers, and never gives one twice', () => {
    const contacts = new Contacts();
    contacts.hear('b', 1, 1, hello, own());
    contacts.hear('c', 1, 1, hello, own());
    expect(contacts.forget('b')).to.equal(true);
    expect(contacts.forget('b')).to.equal(false);
    contacts.hear('b', 1, 1, hello, own());
    expect([...contacts.entries()].map(([peer, { session }]) => [peer, session])).to.deep.equal([
      ['c', 2],
      ['b', 3],
    ]);
  });

  it('a refused hello leaves the contact to whoever asked', () => {
    const contacts = new Contacts();
    contacts.hear('b', 1, 1, hello, own());
    const verdict = contacts.hear('b', 2, 1, { ...hello, founders: ['x'] }, own());
    expect(verdict.type).to.equal('refused');
    expect(contacts.get('b')?.number).to.equal(1);
  });
});
