import { expect } from 'chai';
import { describe, it } from 'mocha';
import { Connectivity } from '../../../lib/failure/connectivity.js';
import type { ConnectivityOptions } from '../../../lib/failure/connectivity.js';
import { encodeRows, encodeVersions } from '../../../lib/failure/rowsCodec.js';
import { RowGossip } from '../../../lib/failure/rowsGossip.js';
import { hearsayBeyondCap, maxHearsay } from '../../../lib/failure/rowsHearsay.js';
import { maxRowVersion } from '../../../lib/failure/rows.js';
import type { ConnectivityRow } from '../../../lib/failure/rows.js';
import { maxVersionStep } from '../../../lib/failure/rowsTrust.js';
import { heartbeatMs, incarnationOf } from './partitionLab.js';

const [first, second, third] = [incarnationOf(1), incarnationOf(2), incarnationOf(3)];

function row(from: string, heard: readonly string[], change: Partial<ConnectivityRow> = {}): ConnectivityRow {
  const entries = [...heard]
    .sort()
    .map((peer) => ({ peer, hears: true, pending: false, deaf: false, phi: 0 }));
  return { from, incarnation: second, version: 5, left: false, entries, ...change };
}

/** The table of a, linked with b and with h. */
function linked(options: Partial<ConnectivityOptions> = {}): Connectivity {
  const a = new Connectivity({ id: 'a', incarnation: first, heartbeatMs, ...options });
  for (const peer of ['b', 'h']) {
    a.proven(peer, second);
    a.set(peer, { hears: true }, 0);
    a.merge(row(peer, ['a']), 0, peer);
  }
  return a;
}

const versionOf = (a: Connectivity, id: string): number | undefined =>
  a.versions().find(({ from }) => from === id)?.version;

const numbered = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, i) => `${prefix}${String(i).padStart(4, '0')}`);

describe('rows: what a link proved wins', () => {
  it('refuses rows of other runs while the link is up, older or newer, believed or remembered', () => {
    const a = linked();
    for (const incarnation of [first, third]) {
      expect(a.merge(row('b', [], { incarnation, version: 9 }), 0, 'h')).to.equal(false);
      expect(a.merge(row('b', [], { incarnation, version: 9, left: true }), 0, 'b')).to.equal(false);
      expect(a.mergeLost(row('b', [], { incarnation, version: 9 }))).to.equal(false);
    }
    a.proven('b', undefined);
    expect(a.merge(row('b', [], { incarnation: third }), 0, 'h')).to.equal(true);
  });

  it('drops what is kept of another run when the link comes up, and a farewell; nothing else, nor later', () => {
    for (const [kept, stays] of [
      [row('c', ['b'], { incarnation: third }), false],
      [row('c', [], { left: true }), false],
      [row('c', ['b']), true],
    ] as const) {
      const a = linked();
      a.merge(row('b', ['a', 'c'], { version: 6 }), 0, 'b');
      a.merge(kept, 0, 'h');
      expect(versionOf(a, 'c')).to.equal(5);
      a.proven('c', second);
      expect(versionOf(a, 'c')).to.equal(stays ? 5 : undefined);
    }
    const a = linked();
    a.merge(row('h', ['a', 'b'], { version: 6 }), 0, 'h');
    a.proven('b', second);
    expect(a.merge(row('b', [], { version: 6, left: true }), 0, 'b'), 'its own farewell').to.equal(true);
    a.proven('b', second);
    expect(versionOf(a, 'b')).to.equal(6);
  });

  it('drops a memory of another run when the link comes up', () => {
    const a = linked();
    a.set('c', { hears: true }, 0);
    a.set('c', { hears: false }, 0);
    a.mergeLost(row('c', ['b'], { incarnation: third }));
    expect(a.lostVersions()).to.have.length(1);
    a.proven('c', second);
    expect(a.lostVersions()).to.have.length(0);
  });

  it('believes the farewell of a linked peer over its own link alone', () => {
    const a = linked();
    const farewell = row('b', [], { version: 6, left: true });
    expect(a.merge(farewell, 0, 'h')).to.equal(false);
    expect(a.nodes()).to.include('b');
    expect(a.merge(farewell, 0, 'b')).to.equal(true);
    expect(a.nodes()).to.not.include('b');
  });

  it('takes no version from far ahead, and lets a node take one back over its own link', () => {
    const a = linked();
    a.merge(row('b', ['a', 'c'], { version: 6 }), 0, 'b');
    a.merge(row('c', ['b']), 0, 'b');
    const far = row('c', [], { version: 5 + maxVersionStep + 1 });
    expect(a.merge(far, 0, 'h')).to.equal(false);
    a.set('d', { hears: true }, 0);
    a.set('d', { hears: false }, 0);
    a.mergeLost(row('d', []));
    expect(a.mergeLost(row('d', [], { version: 6 + maxVersionStep }))).to.equal(false);
    expect(a.mergeLost(row('d', [], { version: 5 + maxVersionStep }))).to.equal(true);
    expect(a.merge(row('c', [], { version: 5 + maxVersionStep }), 0, 'h')).to.equal(true);
    // before its first own row somebody made one up
    const other = linked();
    other.merge(row('b', ['a', 'c'], { version: 6 }), 0, 'b');
    other.merge(row('c', [], { version: maxRowVersion }), 0, 'h');
    expect(other.merge(row('c', ['b']), 0, 'c'), 'no link proved it').to.equal(false);
    other.proven('c', second);
    expect(other.merge(row('c', ['b']), 0, 'b')).to.equal(false);
    expect(other.merge(row('c', ['b']), 0, 'c')).to.equal(true);
    expect(versionOf(other, 'c')).to.equal(5);
    expect(other.merge(row('c', ['b'], { version: 4 }), 0, 'c'), 'an old frame').to.equal(false);
  });

  it('outdoes rows in its own name, at once and then once a heartbeat, and never by a leap', () => {
    const a = linked();
    let { version } = a.own();
    const forge = (ahead: number, now: number): void =>
      void a.merge(row('a', [], { incarnation: first, version: version + ahead }), now, 'h');
    forge(maxVersionStep, 0);
    expect(a.own().version).to.equal(version);
    for (let i = 0; i < 16; i++) {
      forge(3, 0);
      expect(a.own().version).to.equal(version + 4);
      ({ version } = a.own());
    }
    forge(3, heartbeatMs - 1);
    expect(a.own().version).to.equal(version);
    forge(3, heartbeatMs);
    expect(a.own().version).to.equal(version + 4);
  });

  it('shows whoever names a wrong version of it its own row', () => {
    const a = linked();
    const sent: [string, Uint8Array][] = [];
    const gossip = new RowGossip({
      connectivity: a,
      isIncarnation: () => true,
      neighbours: () => ['b'],
      send: (peer, message) => sent.push([peer, message]),
    });
    gossip.publish();
    sent.length = 0;
    const name = (version: number): Uint8Array =>
      encodeVersions([...a.versions().slice(1), { from: 'a', incarnation: first, version }], []);
    gossip.receive('b', name(maxRowVersion), 0);
    expect(sent).to.deep.equal([['b', encodeRows([a.own()])]]);
    sent.length = 0;
    gossip.receive('b', name(77), 0);
    expect(a.own().version).to.equal(78);
    expect(sent[0]).to.deep.equal(['b', encodeRows([a.own()])]);
  });
});

describe('rows: members that are made up', () => {
  it('are ignored when they could not be let in, and when the rules change', () => {
    const shut = new Set(['x']);
    const a = linked({ admits: (id) => !shut.has(id) });
    expect(a.merge(row('x', ['a', 'h']), 0, 'h')).to.equal(false);
    expect(a.mergeLost(row('x', []))).to.equal(false);
    a.merge(row('h', ['a', 'x', 'y'], { version: 6 }), 0, 'h');
    a.merge(row('y', ['h']), 0, 'h');
    expect(a.nodes()).to.deep.equal(['a', 'b', 'h', 'y']);
    a.tick(0);
    shut.add('y');
    a.review();
    expect(a.nodes()).to.deep.equal(['a', 'b', 'h']);
    expect(a.own().entries.map(({ peer }) => peer)).to.deep.equal(['b', 'h']);
    expect(a.versions().map(({ from }) => from)).to.deep.equal(['a', 'b', 'h']);
  });

  it('are capped where one member alone speaks for them, also through each other, and passed on all the same', () => {
    const a = linked();
    const ids = numbered('z', 300);
    a.merge(row('h', ['a', ...ids], { version: 6 }), 0, 'h');
    // they hear each other, and say that they hear b
    for (const id of ids) a.merge(row(id, ['h', 'b', ...ids.filter((other) => other !== id)]), 0, 'h');
    expect(a.nodes()).to.deep.equal(['a', 'b', 'h', ...ids.slice(0, maxHearsay)]);
    expect(a.versions()).to.have.length(303);
    a.tick(0);
    expect(a.own().entries).to.have.length(2 + maxHearsay);
    // b hears two of the others, this node is linked with a third
    a.merge(row('b', ['a', 'z0200', 'z0201'], { version: 6 }), 0, 'b');
    a.proven('z0202', second);
    for (const id of ['z0200', 'z0201', 'z0202']) expect(a.nodes()).to.include(id);
  });

  it('are capped by name alone, and those that this node has named itself are forgotten soon', () => {
    const a = linked();
    for (let round = 0; round < 5; round++) {
      const ids = numbered(`z${round}`, 200);
      a.merge(row('h', ['a', ...ids], { version: 10 + 2 * round }), 0, 'h');
      expect(a.nodes())
        .to.include(ids[maxHearsay - 1])
        .and.not.include(ids[maxHearsay]);
      for (const id of ids) a.merge(row(id, ['h']), 0, 'h');
      a.tick(round);
      a.merge(row('h', ['a'], { version: 11 + 2 * round }), 0, 'h');
      a.tick(round + 0.5);
      expect(a.own().entries.length).to.be.at.most(2 + maxHearsay);
    }
  });

  it('do not stop a newcomer at the edge of a large mesh', () => {
    const ids = numbered('m', 200);
    const a = new Connectivity({ id: 'a', incarnation: first, heartbeatMs });
    const meet = (id: string): void => {
      a.proven(id, second);
      a.set(id, { hears: true }, 0);
      a.merge(row(id, ['a', ...ids.filter((other) => other !== id)]), 0, id);
    };
    meet(ids[0]!);
    for (const id of ids.slice(1))
      a.merge(
        row(
          id,
          ids.filter((other) => other !== id),
        ),
        0,
        ids[0],
      );
    expect(a.nodes()).to.have.length(2 + maxHearsay);
    meet(a.nodes()[2]!);
    expect(a.nodes()).to.have.length(201);
  });

  it('count no farewell, no deaf entry, and nobody while there are few', () => {
    const believed = new Map([
      ['a', row('a', ['b'])],
      ['b', row('b', numbered('z', maxHearsay - 1))],
    ]);
    expect([...hearsayBeyondCap('a', believed, () => false)]).to.deep.equal([]);
    believed.set('b', row('b', numbered('z', maxHearsay + 1)));
    // b is spoken for by this node's own link
    expect([...hearsayBeyondCap('a', believed, () => false)]).to.deep.equal([`z00${maxHearsay}`]);
    believed.set('z0003', row('z0003', [], { left: true }));
    expect([...hearsayBeyondCap('a', believed, () => false)]).to.deep.equal([]);
  });

  it('cost a neighbour its allowance: 2048 rows at once, then 256 a second', () => {
    const a = linked();
    const gossip = new RowGossip({
      connectivity: a,
      isIncarnation: () => true,
      neighbours: () => [],
      send: () => undefined,
    });
    let version = 10;
    const attack = (by: string, now: number): void => {
      version++;
      gossip.receive(by, encodeRows(numbered('z', 1000).map((id) => row(id, ['h'], { version }))), now);
    };
    for (let i = 0; i < 4; i++) attack('h', 0);
    expect(gossip.metrics()).to.include({ rowsMerged: 2048, rowsRefused: 1952 });
    gossip.unlinked('h');
    attack('h', 1000);
    expect(gossip.metrics().rowsMerged).to.equal(2048 + 256);
    attack('b', 1000);
    expect(gossip.metrics().rowsMerged).to.equal(2048 + 256 + 1000);
    const before = gossip.metrics().rowsRefused;
    gossip.receive('b', encodeRows(numbered('z', 1000).map((id) => row(id, ['h'], { version }))), 1000);
    expect(gossip.metrics().rowsRefused, 'what is no news costs nothing').to.equal(before);
  });
});
