import { expect } from 'chai';
import { Connectivity } from '../../../lib/failure/connectivity.js';
import type { ConnectivityOptions } from '../../../lib/failure/connectivity.js';
import type { ConnectivityRow, RowEntry } from '../../../lib/failure/rows.js';
import { LostRows } from '../../../lib/failure/rowsLost.js';
import { QuorateError } from '../../../lib/errors.js';
import { heartbeatMs, incarnationOf } from './partitionLab.js';

const up = { hears: true };
const down = { hears: false };
const newcomer = { hears: false, pending: true };

function table(id: string, options: Partial<ConnectivityOptions> = {}): Connectivity {
  return new Connectivity({ id, incarnation: incarnationOf(1), heartbeatMs, ...options });
}

/** A row out of marks: `+b` hears b, `-b` does not, `.b` pending, `!b` deaf. */
function row(from: string, marks: string, change: Partial<ConnectivityRow> = {}): ConnectivityRow {
  const entries = marks
    .split(' ')
    .filter((mark) => mark !== '')
    .map((mark): RowEntry => ({
      peer: mark.slice(1),
      hears: mark.startsWith('+') || mark.startsWith('!'),
      pending: mark.startsWith('.'),
      deaf: mark.startsWith('!'),
      phi: 0,
    }))
    .sort((x, y) => (x.peer < y.peer ? -1 : 1));
  return { from, incarnation: incarnationOf(1), version: 1, left: false, entries, ...change };
}

/** A table of `a` that hears whom it hears, with those rows. */
function tableOf(marks: string, ...rows: ConnectivityRow[]): Connectivity {
  const a = table('a');
  for (const entry of row('a', marks).entries) {
    if (entry.deaf) a.deaf(entry.peer, 0);
    else a.set(entry.peer, { hears: entry.hears, pending: entry.pending }, 0);
  }
  for (const other of rows) a.merge(other, 0);
  return a;
}

const own = (c: Connectivity): string =>
  c
    .own()
    .entries.map((e) => `${e.deaf ? '!' : e.hears ? '+' : e.pending ? '.' : '-'}${e.peer}`)
    .join(' ');

describe('connectivity: the own row', () => {
  it('gets one new version for all changes between two looks, none for none and none for phi', () => {
    const a = table('a');
    expect(a.own().version).to.equal(1);
    a.set('b', up, 0);
    a.set('c', up, 0);
    expect(a.own()).to.include({ from: 'a', version: 2, left: false });
    a.set('b', { hears: true, phi: 7.77 }, 10);
    a.set('c', down, 10);
    a.set('c', up, 11);
    expect(a.own().version).to.equal(2);
    const { changes } = a;
    const digest = a.digest();
    a.set('b', { hears: true, phi: 3 }, 10);
    expect(a.changes).to.equal(changes);
    expect(a.phi('b')).to.equal(3);
    a.set('c', down, 10);
    expect(a.own().entries.map(({ peer, phi }) => [peer, phi])).to.deep.equal([
      ['b', 3],
      ['c', 0],
    ]);
    expect(a.own().version).to.equal(3);
    expect(a.digest()).to.not.equal(digest);
    expect(a.phi('c')).to.equal(undefined);
  });

  it('says nothing of itself', () => {
    const a = table('a');
    a.set('a', up, 0);
    a.deaf('a', 0);
    expect(own(a)).to.equal('');
  });

  it('has a newcomer pending only until it was tried', () => {
    const a = table('a');
    a.set('b', newcomer, 0);
    expect(own(a)).to.equal('.b');
    a.set('b', newcomer, 0);
    expect(own(a)).to.equal('.b');
    a.set('b', up, 1);
    expect(own(a)).to.equal('+b');
    a.set('b', newcomer, 2);
    expect(own(a)).to.equal('-b');
    a.set('c', newcomer, 0);
    a.set('c', down, 1);
    expect(own(a)).to.equal('-b -c');
    a.set('c', newcomer, 2);
    expect(own(a)).to.equal('-b -c');
  });

  it('gives a member that others hear pendingMs, and a stranger at the rendezvous for ever', () => {
    const a = tableOf('+b .stranger', row('b', '+a +c'), row('c', '+b'));
    a.tick(1000);
    expect(own(a)).to.equal('+b .c .stranger');
    a.tick(10_999);
    expect(own(a)).to.equal('+b .c .stranger');
    a.tick(11_000);
    expect(own(a)).to.equal('+b -c .stranger');
    a.tick(1_000_000);
    expect(own(a)).to.equal('+b -c .stranger');
  });

  it('keeps the last word of a peer until a new link, a new run, or evidenceMs', () => {
    const a = tableOf('+b', row('b', '+a'));
    a.set('b', down, 0);
    a.deaf('b', 0);
    a.set('b', down, 1);
    expect(own(a)).to.equal('!b');
    expect(a.phi('b')).to.equal(undefined);
    a.set('b', up, 2);
    expect(own(a)).to.equal('+b');
    a.deaf('b', 3);
    a.merge(row('b', '-a', { version: 2 }), 4);
    expect(own(a)).to.equal('!b');
    a.merge(row('b', '', { incarnation: incarnationOf(2) }), 5);
    expect(own(a)).to.equal('-b');
    a.deaf('b', 10);
    a.tick(60_009);
    expect(own(a)).to.equal('!b');
    a.tick(60_010);
    expect(own(a)).to.equal('-b');
  });

  it('forgets the unreachable after forgetMs, and nobody whom others hear', () => {
    const a = tableOf('+b -c -d', row('b', '+a +c -d'), row('c', '+b'));
    a.tick(3_599_999);
    expect(own(a)).to.equal('+b -c -d');
    a.tick(3_600_000);
    expect(own(a)).to.equal('+b -c');
    a.remove('c');
    expect(own(a)).to.equal('+b');
  });

  it('holds 1023 peers: the one not heard for longest makes room, those that are heard do not', () => {
    const a = table('a');
    for (let i = 0; i < 1021; i++) a.set(`n${i}`, up, 0);
    a.set('old', down, 1);
    a.set('older', down, 0);
    a.set('x', down, 2);
    expect(a.own().entries).to.have.length(1023);
    expect(own(a)).to.not.match(/older/);
    a.set('y', up, 3);
    a.set('z', up, 3);
    a.set('over', up, 3);
    a.deaf('over', 3);
    expect(a.own().entries).to.have.length(1023);
    expect(own(a)).to.match(/\+y \+z$/);
  });

  it('outdoes a row of its own run that it did not make, and leaves newer runs alone', () => {
    const a = tableOf('+b', row('b', '+a'));
    expect(a.own().version).to.equal(2);
    expect(a.merge(row('a', '-b', { version: 9 }), 0)).to.equal(false);
    expect(a.own().version).to.equal(10);
    expect(own(a)).to.equal('+b');
    expect(a.merge(a.own(), 0)).to.equal(false);
    expect(a.merge(row('a', '+b', { version: 10 }), 0)).to.equal(false);
    expect(a.own().version).to.equal(10);
    expect(a.merge(row('a', '-b', { version: 10 }), 0)).to.equal(false);
    expect(a.own().version).to.equal(11);
    expect(a.merge(row('a', '-b', { incarnation: incarnationOf(2) }), 0)).to.equal(false);
    expect(a.own()).to.include({ version: 11, incarnation: incarnationOf(1) });
  });

  it('refuses options out of range', () => {
    for (const wrong of [{ heartbeatMs: 0 }, { pendingMs: -1 }, { evidenceMs: NaN }, { forgetMs: 0 }]) {
      expect(() => table('a', wrong)).to.throw(QuorateError, Object.keys(wrong)[0]);
    }
  });
});

describe('connectivity: the rows of others', () => {
  it('takes the newer run, then the newer version', () => {
    const a = tableOf('+b');
    const rowOf = (run: number, version: number): ConnectivityRow =>
      row('b', '+a', { incarnation: incarnationOf(run), version });
    expect(a.merge(rowOf(2, 5), 0)).to.equal(true);
    expect(a.merge(rowOf(2, 5), 0)).to.equal(false);
    expect(a.merge(rowOf(2, 4), 0)).to.equal(false);
    expect(a.merge(rowOf(1, 9), 0)).to.equal(false);
    expect(a.merge(rowOf(2, 6), 0)).to.equal(true);
    expect(a.merge(rowOf(3, 1), 0)).to.equal(true);
    expect(a.versions()).to.deep.equal([
      { from: 'a', incarnation: incarnationOf(1), version: 2 },
      { from: 'b', incarnation: incarnationOf(3), version: 1 },
    ]);
  });

  it('tells which rows another lacks', () => {
    const a = tableOf('+b', row('b', '+a +c', { version: 3 }), row('c', '+b', { version: 4 }));
    const from = (versions: object[]): string[] => a.missing(versions as never).map((r) => r.from);
    const version = (id: string, run: number, v: number): object => ({
      from: id,
      incarnation: incarnationOf(run),
      version: v,
    });
    expect(from([])).to.deep.equal(['a', 'b', 'c']);
    expect(from([version('a', 1, 2), version('b', 1, 2), version('c', 2, 1)])).to.deep.equal(['b']);
  });

  it('believes only rows that a way leads from, so that the dead make no ghosts', () => {
    // d and e hear each other and nobody living hears either
    const a = tableOf('+b -d', row('b', '+a -d'), row('d', '+a +b +e'), row('e', '+d +b'));
    expect(a.rows().map((r) => r.from)).to.deep.equal(['a', 'b']);
    expect(a.graph().components()).to.deep.equal([['a', 'b'], ['d']]);
    expect(a.nextHop('d')).to.equal(undefined);
    expect(a.nextHop('e')).to.equal(undefined);
    // heard again: what it says counts again
    a.merge(row('b', '+a +d', { version: 2 }), 0);
    expect(a.rows().map((r) => r.from)).to.deep.equal(['a', 'b', 'd', 'e']);
    expect(a.nextHop('e')).to.equal('b');
  });

  it('believes nothing over a link that is gone but for a last word', () => {
    const a = tableOf('+b !d', row('b', '+a -d'), row('d', '-a +e'), row('e', '+d'));
    expect(a.rows().map((r) => r.from)).to.deep.equal(['a', 'b']);
  });

  it('drops a row that nobody vouches for after three heartbeats', () => {
    const a = tableOf('+b', row('b', '+a +c'), row('c', '+b'));
    a.tick(0);
    a.merge(row('b', '+a -c', { version: 2 }), 1);
    a.tick(1);
    a.tick(3 * heartbeatMs);
    a.merge(row('b', '+a +c', { version: 3 }), 3 * heartbeatMs);
    expect(a.rows()).to.have.length(3);
    a.tick(3 * heartbeatMs);
    a.merge(row('b', '+a -c', { version: 4 }), 1000);
    a.tick(1000);
    a.tick(1000 + 3 * heartbeatMs);
    a.merge(row('b', '+a +c', { version: 5 }), 3000);
    expect(a.rows()).to.have.length(2);
    expect(a.merge(row('c', '+b'), 3000)).to.equal(true);
  });

  it('forgets who said farewell, wherever it is named', () => {
    const a = tableOf('+b +c', row('b', '+a +c'), row('c', '+a +b'));
    expect(a.merge(row('c', '', { version: 2, left: true }), 0)).to.equal(true);
    expect(own(a)).to.equal('+b');
    expect(a.nodes()).to.deep.equal(['a', 'b']);
    // b has not taken it in yet, and shall get it
    expect(a.missing([]).map((r) => r.from)).to.deep.equal(['a', 'b', 'c']);
    // the link closes after the farewell, and nothing is left of it
    a.set('c', up, 1);
    a.set('c', down, 1);
    a.set('c', down, 2);
    a.deaf('c', 2);
    a.merge(row('b', '+a', { version: 2 }), 2);
    expect(a.rows().map((r) => r.from)).to.deep.equal(['a', 'b']);
    a.tick(3);
    a.tick(59_000);
    expect(a.merge(row('c', '+a +b'), 59_000)).to.equal(false);
    a.tick(60_003);
    expect(own(a)).to.equal('+b');
    // its next run is welcome
    a.set('c', up, 70_000);
    expect(a.merge(row('c', '+a', { incarnation: incarnationOf(2) }), 70_000)).to.equal(true);
    expect(own(a)).to.equal('+b +c');
    expect(a.nextHop('c')).to.equal('c');
  });

  it('reads nothing about others out of an entry for a node that left', () => {
    const a = tableOf('+b -d', row('b', '+a +c'), row('c', '', { left: true }));
    expect(a.nodes()).to.deep.equal(['a', 'b', 'd']);
    expect(a.graph().direction('d', 'b')).to.equal('unknown');
  });

  it('takes a new run that comes while the farewell of the old one is remembered', () => {
    const a = tableOf('+b', row('b', '+a'), row('b', '', { version: 2, left: true }));
    a.set('b', down, 1);
    a.set('b', up, 2);
    expect(own(a)).to.equal('');
    a.merge(row('b', '+a', { incarnation: incarnationOf(2) }), 3);
    expect(own(a)).to.equal('+b');
    expect(a.graph().components()).to.deep.equal([['a', 'b']]);
  });

  it('says farewell once, and nothing after', () => {
    const a = tableOf('+b', row('b', '+a'));
    expect(a.own().version).to.equal(2);
    const last = a.leave();
    expect(last).to.deep.include({ from: 'a', version: 3, left: true, entries: [] });
    a.set('c', up, 1);
    a.deaf('c', 1);
    expect(a.own()).to.equal(last);
  });

  it('forgets on command', () => {
    const a = tableOf('+b', row('b', '+a'));
    a.forget('b');
    expect(a.nodes()).to.deep.equal(['a']);
    expect(a.merge(row('b', '+a'), 1)).to.equal(true);
  });

  it('holds 1024 rows: one that is not believed makes room, one that is does not', () => {
    const a = table('a');
    for (let i = 1; i < 1024; i++) a.merge(row(`n${i}`, ''), 0);
    expect(a.merge(row('one', '+a'), 0)).to.equal(true);
    a.set('one', up, 0);
    expect(a.merge(row('n1', ''), 0)).to.equal(true);
    expect(a.rows().map((r) => r.from)).to.deep.equal(['a', 'one']);
    const b = table('b');
    for (let i = 1; i < 1024; i++) {
      b.set(`n${i}`, up, 0);
      b.merge(row(`n${i}`, '+b'), 0);
    }
    expect(b.merge(row('more', '+b'), 0)).to.equal(false);
    expect(b.rows()).to.have.length(1024);
    // names that rows of others make up are capped too
    expect(
      b.merge(row('n1', Array.from({ length: 1024 }, (_, i) => `-z${i}`).join(' '), { version: 2 }), 0),
    ).to.equal(true);
    expect(b.nodes()).to.have.length(1024);
  });

  it('has one digest for the same believed rows, whatever else lies in the table', () => {
    const rows = [row('b', '+a +c'), row('c', '+a +b')];
    const a = tableOf('+b +c', ...rows);
    const c = table('c');
    // the same table from another end: the rows of all three
    c.set('a', up, 0);
    c.set('b', up, 0);
    const ofA = tableOf('+b +c', rows[0]!, { ...c.own() });
    c.merge(ofA.own(), 0);
    c.merge(rows[0]!, 0);
    expect(c.digest()).to.equal(ofA.digest());
    expect(a.digest()).to.not.equal(ofA.digest());
    c.merge(row('dead', '+a'), 0);
    expect(c.digest()).to.equal(ofA.digest());
    const before = c.digest();
    c.merge(row('b', '+a +c', { version: 2 }), 0);
    expect(c.digest()).to.not.equal(before);
  });
});

describe('connectivity: the last rows of those that cannot be reached', () => {
  const names = (a: Connectivity): string[] =>
    a.lostVersions().map(({ from, version }) => `${from}${version}`);
  const components = (a: Connectivity): string =>
    a
      .graph()
      .components()
      .map((ids) => ids.join(''))
      .join(' ');

  it('take those together that heard each other, both ways, over others too', () => {
    const a = tableOf(
      '+b -c -d -e -f -g -h',
      row('b', '+a -c -d -e -f -g -h'),
      row('c', '+d'),
      row('d', '+c +e'),
      row('e', '-c +d +f'),
      row('f', '-e !g'),
      row('g', '+f .h'),
    );
    expect(components(a)).to.equal('ab cde f g h');
    expect(
      a
        .graph()
        .measuredComponents()
        .map((ids) => ids.join('')),
    ).to.deep.equal('ab c d e f g h'.split(' '));
    expect(names(a)).to.deep.equal(['c1', 'd1', 'e1', 'f1', 'g1']);
  });

  it('take those together that only a later one joins, and leave out who is pending', () => {
    const a = tableOf('+b -c -d -e .f', row('b', '+a'), row('c', '+e'), row('d', '+e'), row('e', '+c +d +f'));
    expect(components(a)).to.equal('ab cde');
    a.mergeLost(row('f', '+e'));
    expect(names(a)).to.include('f1');
    expect(components(a)).to.equal('ab cde');
  });

  it('make no ways, hear nobody, and add no names', () => {
    const a = tableOf('+b -c', row('b', '+a -c'), row('c', '+a +b +ghost'), row('ghost', '+c'));
    expect(a.nodes()).to.deep.equal(['a', 'b', 'c']);
    expect(a.nextHop('c')).to.equal(undefined);
    expect(a.hopAround('c')).to.equal(undefined);
    expect(a.helpers('c', 5)).to.deep.equal([]);
    expect(a.graph().direction('a', 'c')).to.equal('unknown');
    expect(a.missing([]).map((r) => r.from)).to.deep.equal(['a', 'b']);
    expect(a.missingLost([], []).map((r) => r.from)).to.deep.equal(['c']);
    for (let now = 0; now < 10_000; now += heartbeatMs) a.tick(now);
    expect(own(a)).to.equal('+b -c');
    expect(names(a)).to.deep.equal(['c1']);
  });

  it('are not believed again when their node is heard again: it has to say so itself', () => {
    const a = tableOf('+b -c -d', row('b', '+a -c -d'), row('c', '+d'), row('d', '+c'));
    a.tick(0);
    a.tick(3 * heartbeatMs);
    expect(components(a)).to.equal('ab cd');
    a.set('c', up, 1000);
    expect(a.rows().map((r) => r.from)).to.deep.equal(['a', 'b']);
    expect(a.mergeLost(row('c', '+a +d', { version: 2 }))).to.equal(true);
    expect(a.rows().map((r) => r.from)).to.deep.equal(['a', 'b']);
    expect(a.nextHop('d')).to.equal(undefined);
    // the same row, from its node
    expect(a.merge(row('c', '+a +d', { version: 2 }), 1000)).to.equal(true);
    expect(a.nextHop('c')).to.equal('c');
    expect(names(a)).to.deep.equal(['d1']);
  });

  it('take a newer one only, of others only, and no farewell', () => {
    const a = tableOf('+b -c', row('b', '+a -c'), row('c', '+b', { version: 4 }));
    const { changes } = a;
    expect(a.mergeLost(row('c', '', { version: 4 }))).to.equal(false);
    expect(a.mergeLost(row('b', ''))).to.equal(false);
    expect(a.mergeLost(row('a', '', { version: 99 }))).to.equal(false);
    expect(a.mergeLost(row('c', '', { version: 5, left: true }))).to.equal(false);
    expect(a.changes).to.equal(changes);
    expect(a.own().version).to.equal(2);
    expect(a.mergeLost(row('c', '', { version: 5 }))).to.equal(true);
    expect(a.mergeLost(row('c', '', { version: 5 }))).to.equal(false);
    expect(a.mergeLost(row('c', '', { version: 1, incarnation: incarnationOf(2) }))).to.equal(true);
    expect(a.mergeLost(row('c', '', { version: 9 }))).to.equal(false);
    expect(names(a)).to.deep.equal(['c1']);
    // a stale row of c, taken for its own, does not undo the memory
    for (const now of [0, 1000]) a.tick(now);
    expect(a.merge(row('c', '+b', { version: 3 }), 1000)).to.equal(true);
    expect(a.lostVersions()[0]).to.deep.include({ version: 1, incarnation: incarnationOf(2) });
  });

  it('differ in the digest from believed ones, and are told by their names', () => {
    const lost = tableOf('+b -c', row('b', '+a -c'), row('c', '+b'));
    const none = tableOf('+b -c', row('b', '+a -c'));
    expect(lost.digest()).to.not.equal(none.digest());
    expect(Number.isSafeInteger(lost.digest()) && lost.digest() >= 0).to.equal(true);
    none.mergeLost(row('c', '+b'));
    expect(none.digest()).to.equal(lost.digest());
    const name = { from: 'c', incarnation: incarnationOf(1), version: 1 };
    expect(lost.missingLost([name], [])).to.deep.equal([]);
    expect(lost.missingLost([], [name])).to.deep.equal([]);
    expect(lost.missingLost([], [{ ...name, version: 0 }])).to.have.length(1);
    // who only remembers it still lacks it when it is believed here
    const heard = tableOf('+c', row('c', '+a'));
    expect(heard.missing(none.versions().slice(1)).map((r) => r.from)).to.include('c');
    const other = tableOf('+b +c', row('b', '+a -c'), row('c', '+b'));
    expect(other.digest()).to.not.equal(lost.digest());
  });

  it('are kept while somebody names the node, and for three heartbeats after', () => {
    const a = tableOf('+b', row('b', '+a -c'), row('c', '+b'));
    for (let now = 0; now <= 10_000; now += heartbeatMs) a.tick(now);
    expect(names(a)).to.deep.equal(['c1']);
    a.merge(row('b', '+a', { version: 2 }), 10_000);
    expect(names(a)).to.deep.equal([]);
    a.tick(10_000);
    a.tick(10_000 + 3 * heartbeatMs - 1);
    a.merge(row('b', '+a -c', { version: 3 }), 11_000);
    expect(names(a)).to.deep.equal(['c1']);
    a.tick(11_000);
    a.merge(row('b', '+a', { version: 4 }), 12_000);
    a.tick(12_000);
    a.tick(12_000 + 3 * heartbeatMs);
    a.merge(row('b', '+a -c', { version: 5 }), 13_000);
    expect(names(a)).to.deep.equal([]);
  });

  it('are gone when the node left, is forgotten, or is forgotten on command', () => {
    const make = (): Connectivity => {
      const a = tableOf('+b -c -d', row('b', '+a'), row('c', '+d'), row('d', '+c'));
      a.tick(0);
      a.tick(1000);
      expect(names(a)).to.deep.equal(['c1', 'd1']);
      return a;
    };
    const left = make();
    left.merge(row('c', '', { version: 2, left: true }), 2000);
    expect(names(left)).to.deep.equal(['d1']);
    expect(components(left)).to.equal('ab d');
    const old = make();
    old.tick(3_600_000);
    expect(names(old)).to.deep.equal([]);
    expect(old.nodes()).to.deep.equal(['a', 'b']);
    const told = make();
    told.forget('c');
    expect(names(told)).to.deep.equal(['d1']);
    told.set('c', down, 2000);
    expect(components(told)).to.equal('ab c d');
  });

  it('are 1024 at most: one whose node nobody names makes room, the others do not', () => {
    const a = table('a');
    for (let i = 1; i < 1024; i++) a.set(`n${i}`, down, 0);
    for (let i = 0; i < 1024; i++) expect(a.mergeLost(row(`n${i}`, ''))).to.equal(true);
    expect(a.lostVersions()).to.have.length(1023);
    expect(a.mergeLost(row('x', ''))).to.equal(true);
    expect(a.mergeLost(row('y', ''))).to.equal(true);
    expect(a.lostVersions()).to.have.length(1023);
    const lost = new LostRows();
    for (let i = 0; i < 1024; i++) lost.keep(row(`n${i}`, ''), () => true);
    expect(lost.keep(row('x', ''), () => true)).to.equal(false);
    expect(lost.keep(row('n5', '', { version: 2 }), () => true)).to.equal(true);
    expect(lost.keep(row('x', ''), (id) => id !== 'n7')).to.equal(true);
    expect(lost.get('n7')).to.equal(undefined);
    // what is lost no more goes after a while, unless it is lost again before
    lost.tick(0, 100, (id) => id === 'n1');
    lost.tick(50, 100, (id) => id === 'n2');
    lost.tick(100, 100, () => false);
    expect([1, 2, 3].map((i) => lost.get(`n${i}`)?.from)).to.deep.equal(['n1', 'n2', undefined]);
    lost.tick(150, 100, () => false);
    expect([1, 2].map((i) => lost.get(`n${i}`)?.from)).to.deep.equal([undefined, 'n2']);
    lost.tick(200, 100, () => false);
    expect(lost.get('n2')).to.equal(undefined);
  });
});

describe('connectivity: what the rows say together', () => {
  it('knows pairs and directions', () => {
    const a = tableOf(
      '+b -c .d -e !f +g',
      row('b', '+a +c .d -e +f -g'),
      row('c', '-a +b'),
      row('f', '+a +b'),
    );
    const g = a.graph();
    const pairs = ['b', 'c', 'd', 'e', 'f', 'g'].map((id) => g.pair('a', id));
    expect(pairs).to.deep.equal(['up', 'cut', 'pending', 'cut', 'one-way', 'pending']);
    expect(g.direction('a', 'e')).to.equal('unknown');
    expect(g.direction('e', 'a')).to.equal('down');
    // f's row says that it hears a; its last word, which is newer, says that it does not
    expect(g.direction('a', 'f')).to.equal('down');
    expect(g.direction('f', 'a')).to.equal('up');
    expect(g.direction('d', 'a')).to.equal('pending');
    expect(g.direction('a', 'nobody')).to.equal('unknown');
    expect(g.pair('a', 'nobody')).to.equal('pending');
    expect(g.oneWay()).to.deep.equal([{ from: 'f', to: 'a' }]);
    expect(g.components()).to.deep.equal([['a', 'b', 'c', 'f'], ['e']]);
    expect(g.settled('d')).to.equal(false);
    expect(g.cutPairs).to.equal(3);
  });

  it('counts nobody as cut off whose own word is on the way, nor by a neighbour that does not know it', () => {
    expect(tableOf('+b', row('b', '+a +c')).graph().components()).to.deep.equal([['a', 'b']]);
    expect(tableOf('+b +c', row('b', '+a -c')).graph().components()).to.deep.equal([['a', 'b']]);
    expect(tableOf('-b').graph().components()).to.deep.equal([['a'], ['b']]);
    expect(tableOf('.b').graph().components()).to.deep.equal([['a']]);
    // known to be cut off by b, pending at a alone: b knows better
    expect(tableOf('+b .c', row('b', '+a -c')).graph().components()).to.deep.equal([['a', 'b'], ['c']]);
  });

  it('names bridges and single points of failure', () => {
    const a = tableOf('+b -c', row('b', '+a +c'), row('c', '-a +b'));
    expect(a.graph().bridges()).to.deep.equal(['b']);
    expect(a.graph().articulationPoints()).to.deep.equal(['b']);
    const whole = tableOf('+b +c', row('b', '+a +c'), row('c', '+a +b'));
    expect(whole.graph().bridges()).to.deep.equal(['a', 'b', 'c']);
    expect(whole.graph().articulationPoints()).to.deep.equal([]);
    expect(whole.graph().neighbours('b')).to.deep.equal(['a', 'c']);
    expect(whole.graph().neighbours('z')).to.deep.equal([]);
  });

  it('finds ways, the smallest of equal ones, and ways around the direct link', () => {
    const a = tableOf(
      '+b +c +d',
      row('b', '+a +e'),
      row('c', '+a +e +d'),
      row('d', '+a +c'),
      row('e', '+b +c +f'),
      row('f', '+e'),
    );
    expect(a.nextHop('d')).to.equal('d');
    expect(a.nextHop('f')).to.equal('b');
    expect(a.hopAround('d')).to.equal('c');
    expect(a.hopAround('b')).to.equal('c');
    // a second time, from the cache
    expect(a.hopAround('b')).to.equal('c');
    expect(a.nextHop('a')).to.equal(undefined);
    expect(a.hopAround('a')).to.equal(undefined);
    expect(a.nextHop('nobody')).to.equal(undefined);
    expect(a.hopAround('nobody')).to.equal(undefined);
    // no way but the direct one
    const pair = tableOf('+b', row('b', '+a'));
    expect(pair.hopAround('b')).to.equal(undefined);
    expect(pair.hopAround('b')).to.equal(undefined);
  });

  it('asks a change of the table, and only that, for new ways', () => {
    const a = tableOf('+b', row('b', '+a'));
    const graph = a.graph();
    a.set('b', { hears: true, phi: 5 }, 5);
    a.merge(row('b', '+a'), 5);
    a.tick(5);
    expect(a.graph()).to.equal(graph);
    a.set('b', down, 6);
    expect(a.nextHop('b')).to.equal(undefined);
  });

  it('finds helpers: linked here, and hearing the peer; both ways first', () => {
    const a = tableOf(
      '+b +c +d +e -x',
      row('b', '+a +x'),
      row('c', '+a -x'),
      row('d', '+a +x'),
      row('e', '-a +x'),
      row('x', '-a -b +d +e'),
    );
    expect(a.helpers('x', 5)).to.deep.equal(['d', 'b']);
    expect(a.helpers('x', 1)).to.deep.equal(['d']);
    expect(a.helpers('x', 0)).to.deep.equal([]);
    expect(a.helpers('nobody', 3)).to.deep.equal([]);
  });
});
