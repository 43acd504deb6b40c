import { expect } from 'chai';
import { Connectivity } from '../../../lib/failure/connectivity.js';
import { formatLinks } from '../../../lib/failure/partition.js';
import { PartitionDetector } from '../../../lib/failure/partitionDetector.js';
import type { PartitionView } from '../../../lib/failure/partition.js';
import { Lab, heartbeatMs, incarnationOf, noticeMs, seeded } from './partitionLab.js';

/** Notice, flood, settle; generously. */
const detectMs = noticeMs + 6 * heartbeatMs;

function lab(...ids: string[]): Lab {
  const made = new Lab({ random: seeded(7) });
  made.start(...ids);
  made.run(2000);
  for (const node of made.nodes.values()) node.states.length = 0;
  return made;
}

/** The states that a node went through; changes of the components alone are left out. */
const statesOf = (l: Lab, id: string): string =>
  l
    .node(id)
    .states.filter((state, i, all) => state !== all[i - 1])
    .join(' ');

describe('partition detector: what happens to a mesh', () => {
  it('is healthy for ever where nothing breaks, also while it forms', () => {
    const l = new Lab({ random: seeded(3) });
    l.start('a', 'b', 'c');
    l.run(1000);
    l.start('d');
    l.run(10_000);
    expect(l.answers('a', 'b', 'c', 'd')).to.deep.equal(new Array(4).fill('healthy abcd'));
    for (const node of l.nodes.values()) expect(new Set(node.states)).to.deep.equal(new Set(['healthy']));
    const view = l.node('a').detector.view();
    expect(view.bridges).to.deep.equal(['a', 'b', 'c', 'd']);
    expect(view.articulation).to.deep.equal([]);
    expect(view.links).to.have.length(12);
    expect(view.links.every(({ state, phi }) => state === 'up' && phi !== undefined)).to.equal(true);
  });

  it('tells a crash as one that cannot be reached, and the new run as healed', () => {
    const l = lab('a', 'b', 'c');
    l.crash('c');
    l.run(detectMs);
    expect(l.answers('a', 'b')).to.deep.equal(['complete ab c', 'complete ab c']);
    expect(statesOf(l, 'a')).to.equal('suspected complete');
    expect(l.node('a').detector.view()).to.deep.include({ reachable: ['a', 'b'], unreachable: ['c'] });
    l.start('c');
    l.run(3000);
    expect(l.answers('a', 'b', 'c')).to.deep.equal(new Array(3).fill('healthy abc'));
    expect(statesOf(l, 'b')).to.equal('suspected complete healing healthy');
  });

  it('forgets a node that left: nothing is broken', () => {
    const l = lab('a', 'b', 'c');
    l.leave('c');
    l.run(100_000);
    expect(l.answers('a', 'b')).to.deep.equal(['healthy ab', 'healthy ab']);
    for (const id of ['a', 'b']) expect(statesOf(l, id)).to.equal('healthy');
  });

  it('calls the greater side complete and the smaller isolated, and heals', () => {
    const l = lab('a', 'b', 'c', 'd', 'e');
    for (const x of ['a', 'b']) for (const y of ['c', 'd', 'e']) l.cut(x, y);
    l.run(detectMs);
    expect(l.answers('a', 'b')).to.deep.equal(new Array(2).fill('isolated ab cde'));
    expect(l.answers('c', 'd', 'e')).to.deep.equal(new Array(3).fill('complete ab cde'));
    // cuts are noticed one by one: still no more than one change of state each
    for (const id of ['a', 'b', 'c', 'd', 'e']) expect(l.node(id).states[0]).to.equal('suspected');
    l.heal();
    l.run(heartbeatMs * 2);
    expect(l.node('a').detector.state).to.equal('healing');
    l.run(heartbeatMs * 4);
    expect(l.answers('a', 'b', 'c', 'd', 'e')).to.deep.equal(new Array(5).fill('healthy abcde'));
  });

  it('calls halves isolated, both', () => {
    const l = lab('a', 'b', 'c', 'd');
    for (const x of ['a', 'b']) for (const y of ['c', 'd']) l.cut(x, y);
    l.run(detectMs);
    expect(l.answers('a', 'b', 'c', 'd')).to.deep.equal([
      'isolated ab cd',
      'isolated ab cd',
      'isolated ab cd',
      'isolated ab cd',
    ]);
  });

  it('calls a missing pair partial, and knows who holds the mesh together', () => {
    const l = lab('a', 'b', 'c');
    l.cut('a', 'c');
    l.run(detectMs);
    expect(l.answers('a', 'b', 'c')).to.deep.equal(new Array(3).fill('partial abc'));
    expect(statesOf(l, 'b')).to.equal('suspected partial');
    const view = l.node('c').detector.view();
    expect(view).to.deep.include({ bridges: ['b'], articulation: ['b'], unreachable: [] });
    expect(formatLinks(view)).to.equal('  a b c\na   + x\nb +   +\nc x +');
    expect(l.node('a').connectivity.nextHop('c')).to.equal('b');
  });

  it('calls a link that works one way simplex, and says which way', () => {
    const l = lab('a', 'b', 'c');
    l.cutOneWay('a', 'c');
    l.run(detectMs);
    expect(l.answers('a', 'b', 'c')).to.deep.equal(new Array(3).fill('simplex abc'));
    for (const id of ['a', 'b', 'c']) {
      const { links } = l.node(id).detector.view();
      const stateOf = (from: string, to: string): string =>
        links.find((link) => link.from === from && link.to === to)!.state;
      expect([stateOf('a', 'c'), stateOf('c', 'a'), stateOf('a', 'b')]).to.deep.equal(['down', 'up', 'up']);
    }
    // the last word grows old
    l.run(60_000);
    expect(l.answers('a', 'b', 'c')).to.deep.equal(new Array(3).fill('partial abc'));
  });

  it('calls a node isolated that all hear and that hears nobody', () => {
    const l = lab('a', 'b', 'c');
    l.cutOneWay('a', 'c');
    l.cutOneWay('b', 'c');
    l.run(detectMs);
    expect(l.answers('a', 'b')).to.deep.equal(['complete ab c', 'complete ab c']);
    expect(l.answers('c')).to.deep.equal(['isolated ab c']);
  });

  it('keeps quiet over a link that is made again before anybody could be sure', () => {
    const l = lab('a', 'b', 'c');
    const a = l.node('a');
    a.connectivity.set('b', { hears: false }, l.now);
    a.detector.tick(l.now);
    expect(a.detector.state).to.equal('suspected');
    a.connectivity.set('b', { hears: true }, l.now + 400);
    a.detector.tick(l.now + 400);
    expect(statesOf(l, 'a')).to.equal('suspected healthy');
  });
});

describe('partition detector: time and quorum', () => {
  let table: Connectivity;
  let detector: PartitionDetector;
  let views: PartitionView[];
  let version: number;

  beforeEach(() => {
    table = new Connectivity({ id: 'a', incarnation: incarnationOf(1), heartbeatMs: 100 });
    views = [];
    version = 1;
    detector = new PartitionDetector({ connectivity: table, now: 0, onChange: (view) => views.push(view) });
  });

  /** The row of another node that hears all of those. */
  function says(from: string, ...heard: string[]): void {
    const entries = ['a', 'b', 'c', 'd']
      .filter((id) => id !== from)
      .map((peer) => ({ peer, hears: heard.includes(peer), pending: false, deaf: false, phi: 0 }));
    table.merge({ from, incarnation: incarnationOf(1), version: version++, left: false, entries }, 0);
  }

  function wholeOfFour(): void {
    for (const peer of ['b', 'c', 'd']) table.set(peer, { hears: true }, 0);
    says('b', 'a', 'c', 'd');
    says('c', 'a', 'b', 'd');
    says('d', 'a', 'b', 'c');
    detector.tick(0);
    views.length = 0;
  }

  const log = (): string => views.map(({ state, since }) => `${state}@${since}`).join(' ');

  it('is healthy alone, as long as nobody counts on others', () => {
    detector.tick(1000);
    expect(detector.view()).to.deep.include({ state: 'healthy', components: [['a']], reachable: ['a'] });
    expect(views).to.deep.equal([]);
    detector.expect('group', ['a'], 1000);
    expect(detector.state).to.equal('healthy');
    detector.expect('other', ['a', 'b', 'c'], 1000);
    expect(detector.state).to.equal('isolated');
    table.set('b', { hears: true }, 1500);
    const entries = [{ peer: 'a', hears: true, pending: false, deaf: false, phi: 0 }];
    table.merge({ from: 'b', incarnation: incarnationOf(1), version: 1, left: false, entries }, 1500);
    detector.tick(1500);
    detector.tick(1799);
    detector.expect('other', undefined, 2000);
    detector.expect('group', undefined, 2000);
    detector.tick(2300);
    expect(log()).to.equal('isolated@1000 healing@1500 healthy@2000');
  });

  it('counts the voters of every group where there are any, and all members where there are none', () => {
    wholeOfFour();
    // a and b on one side
    table.set('c', { hears: false }, 0);
    table.set('d', { hears: false }, 0);
    says('b', 'a');
    detector.tick(0);
    detector.tick(200);
    expect(detector.state).to.equal('isolated');
    detector.expect('two', ['a', 'b', 'c'], 300);
    detector.tick(500);
    expect(detector.state).to.equal('complete');
    detector.expect('all', ['a', 'b', 'c', 'd'], 600);
    detector.tick(800);
    expect(detector.state).to.equal('isolated');
    detector.expect('all', ['a', 'b', 'b', 'b', 'c'], 900);
    detector.tick(1100);
    expect(detector.state).to.equal('complete');
    detector.expect('empty', [], 1200);
    detector.tick(1400);
    expect(detector.state).to.equal('complete');
  });

  it('calls a node that hears nobody isolated, though it is quorum enough for its own group', () => {
    wholeOfFour();
    detector.expect('mine', ['a'], 0);
    for (const peer of ['b', 'c', 'd']) table.set(peer, { hears: false }, 0);
    detector.tick(0);
    detector.tick(200);
    expect(detector.state).to.equal('isolated');
  });

  it('suspects at once, is sure after two heartbeats, and healed after three', () => {
    wholeOfFour();
    table.set('b', { hears: false }, 1000);
    detector.tick(1000);
    detector.tick(1199);
    expect(log()).to.equal('suspected@1000');
    expect(detector.view().components).to.deep.equal([['a', 'b', 'c', 'd']]);
    says('b', 'c', 'd');
    detector.tick(1199);
    detector.tick(1399);
    detector.tick(1400);
    expect(log()).to.equal('suspected@1000 partial@1399');
    table.set('b', { hears: true }, 2000);
    says('b', 'a', 'c', 'd');
    detector.tick(2000);
    detector.tick(2299);
    expect(detector.state).to.equal('healing');
    detector.tick(2300);
    expect(log()).to.equal('suspected@1000 partial@1399 healing@2000 healthy@2300');
    expect(views.every(({ components }) => components.length === 1)).to.equal(true);
  });

  it('goes back at once when what had broken breaks again while healing', () => {
    wholeOfFour();
    const set = (hears: boolean, now: number): void => {
      table.set('b', { hears }, now);
      says('b', ...(hears ? ['a', 'c', 'd'] : ['c', 'd']));
      detector.tick(now);
    };
    set(false, 0);
    detector.tick(200);
    set(true, 300);
    set(false, 400);
    set(true, 500);
    detector.tick(799);
    expect(log()).to.equal('suspected@0 partial@200 healing@300 partial@400 healing@500');
    detector.tick(800);
    expect(detector.state).to.equal('healthy');
  });

  it('shows at once what it learns of how the unreachable were linked, and waits for nothing longer', () => {
    wholeOfFour();
    for (const peer of ['c', 'd']) table.set(peer, { hears: false }, 0);
    says('b', 'a');
    detector.tick(0);
    table.mergeLost({ from: 'c', incarnation: incarnationOf(2), version: 1, left: false, entries: [] });
    detector.tick(100);
    detector.tick(200);
    expect(log()).to.equal('suspected@0 isolated@200');
    expect(detector.view().components).to.deep.equal([['a', 'b'], ['c'], ['d']]);
    const entries = [{ peer: 'd', hears: true, pending: false, deaf: false, phi: 0 }];
    table.mergeLost({ from: 'c', incarnation: incarnationOf(2), version: 2, left: false, entries });
    detector.tick(300);
    expect(log()).to.equal('suspected@0 isolated@200 isolated@300');
    expect(detector.view()).to.deep.include({
      components: [
        ['a', 'b'],
        ['c', 'd'],
      ],
      reachable: ['a', 'b'],
      unreachable: ['c', 'd'],
    });
    expect(detector.metrics(300)).to.deep.include({ reachable: 2, unreachable: 2 });
    expect(detector.metrics(300).entered.isolated).to.equal(1);
  });

  it('goes from healing to what else broke, once that is sure', () => {
    wholeOfFour();
    table.set('b', { hears: false }, 0);
    says('b', 'c', 'd');
    detector.tick(0);
    detector.tick(200);
    table.set('b', { hears: true }, 300);
    says('b', 'a', 'c', 'd');
    detector.tick(300);
    for (const id of ['b', 'c', 'd']) table.set(id, { hears: false }, 400);
    detector.tick(400);
    detector.tick(600);
    expect(log()).to.equal('suspected@0 partial@200 healing@300 isolated@600');
  });

  it('waits no longer than six heartbeats for a picture that never stands still', () => {
    wholeOfFour();
    for (let now = 0; now <= 700; now += 100) {
      const odd = (now / 100) % 2 === 1;
      table.set('b', { hears: false }, now);
      table.set('c', { hears: !odd }, now);
      table.set('d', { hears: false }, now);
      says('c', 'a', odd ? 'b' : 'd');
      says('b', 'c');
      says('d', 'c');
      detector.tick(now);
    }
    expect(views[1]?.since).to.equal(600);
    expect(log()).to.match(/^suspected@0 /);
  });

  it('only suspects while the other end of a broken link tells another story, for six heartbeats at most', () => {
    wholeOfFour();
    table.set('b', { hears: false }, 0);
    detector.tick(0);
    detector.tick(599);
    expect(detector.state).to.equal('suspected');
    detector.tick(600);
    expect(log()).to.equal('suspected@0 simplex@600');
    table.set('b', { hears: true }, 700);
    detector.tick(700);
    detector.tick(1000);
    views.length = 0;
    // a last word settles the matter: only one direction is broken
    table.deaf('b', 2000);
    detector.tick(2000);
    detector.tick(2200);
    expect(log()).to.equal('suspected@2000 simplex@2200');
    // and so does the row of the other end
    table.set('b', { hears: false }, 3000);
    table.set('b', { hears: true }, 3000);
    detector.tick(3000);
    detector.tick(3300);
    views.length = 0;
    table.set('b', { hears: false }, 4000);
    detector.tick(4000);
    detector.tick(4300);
    expect(detector.state).to.equal('suspected');
    says('b', 'c', 'd');
    detector.tick(4400);
    detector.tick(4600);
    expect(log()).to.equal('suspected@4000 partial@4600');
  });

  it('does not count the time in which this process stood still', () => {
    wholeOfFour();
    table.set('b', { hears: false }, 1000);
    says('b', 'c', 'd');
    detector.tick(1000);
    detector.excuse(5000, 6000);
    detector.tick(6000);
    expect(log()).to.equal('suspected@1000');
    detector.tick(6200);
    expect(detector.state).to.equal('partial');
    table.set('b', { hears: true }, 7000);
    says('b', 'a', 'c', 'd');
    detector.tick(7000);
    detector.excuse(5000, 12_000);
    detector.tick(12_000);
    expect(detector.state).to.equal('healing');
    detector.tick(12_300);
    expect(detector.state).to.equal('healthy');
  });

  it('tells a newcomer as a new member and never as a fault', () => {
    wholeOfFour();
    table.set('e', { hears: false, pending: true }, 0);
    detector.tick(0);
    expect(detector.view().links.filter(({ state }) => state === 'pending')).to.have.length(1);
    table.set('e', { hears: true }, 10);
    detector.tick(10);
    expect(views).to.deep.equal([]);
    table.merge(
      {
        from: 'e',
        incarnation: incarnationOf(1),
        version: 1,
        left: false,
        entries: [{ peer: 'a', hears: true, pending: false, deaf: false, phi: 0 }],
      },
      20,
    );
    detector.tick(20);
    expect(log()).to.equal('healthy@20');
    expect(views[0]?.components).to.deep.equal([['a', 'b', 'c', 'd', 'e']]);
    // b and e have not met: neither up nor down yet
    expect(detector.view().links).to.deep.include({ from: 'e', to: 'b', state: 'unknown' });
    expect(detector.view().bridges).to.deep.equal(['a']);
  });

  it('shows its own newest phi, and that of others as they last sent it', () => {
    wholeOfFour();
    table.set('b', { hears: true, phi: 4.24 }, 0);
    detector.tick(0);
    const { links } = detector.view();
    expect(links).to.deep.include({ from: 'b', to: 'a', state: 'up', phi: 4.2 });
    expect(links).to.deep.include({ from: 'a', to: 'b', state: 'up', phi: 0 });
    expect(links.map(({ from, to }) => from + to).join(' ')).to.equal('ab ac ad ba bc bd ca cb cd da db dc');
    expect(JSON.parse(JSON.stringify(detector.view())))
      .to.have.property('links')
      .with.length(12);
  });

  it('counts changes, entries and the time in each state', () => {
    wholeOfFour();
    const before = detector.metrics(0).changes;
    table.set('b', { hears: false }, 1000);
    says('b', 'c', 'd');
    detector.tick(1000);
    detector.tick(1200);
    const metrics = detector.metrics(2000);
    expect(metrics).to.deep.include({ state: 'partial', reachable: 4, unreachable: 0, changes: before + 2 });
    expect(metrics.entered).to.deep.include({ healthy: 1, suspected: 1, partial: 1, isolated: 0 });
    expect(metrics.msIn).to.deep.include({ healthy: 1000, suspected: 200, partial: 800, isolated: 0 });
  });
});

describe('formatLinks', () => {
  it('lines up names of any length, and shows what is pending or unknown', () => {
    const text = formatLinks({
      reachable: ['a', 'long'],
      unreachable: ['z'],
      links: [
        { from: 'a', to: 'long', state: 'up' },
        { from: 'long', to: 'a', state: 'pending' },
        { from: 'a', to: 'z', state: 'unknown' },
        { from: 'z', to: 'a', state: 'down' },
      ],
    });
    expect(text).to.equal('     a long z\na      +    ?\nlong .\nz    x');
  });
});
