import { expect } from 'chai';
import fc from 'fast-check';
import { Lab, heartbeatMs, noticeMs, seeded } from './partitionLab.js';

const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
/** Notice, flood, even out, settle; generously. */
const detectMs = noticeMs + 8 * heartbeatMs;

function lab(...ids: string[]): Lab {
  const made = new Lab({ random: seeded(11) });
  made.start(...ids);
  made.run(2000);
  return made;
}

const components = (l: Lab, id: string): string =>
  l
    .node(id)
    .detector.view()
    .components.map((ids) => ids.join(''))
    .join(' ');

describe('partition detector: the unreachable, as they were last heard of', () => {
  it('shows both parts of a mesh on both sides, those that crashed before alone, and heals', () => {
    const scenario = fc.record({
      seed: fc.nat(),
      size: fc.integer({ min: 2, max: 7 }),
      far: fc.uniqueArray(fc.nat({ max: 6 }), { minLength: 1, maxLength: 6 }),
      crashed: fc.uniqueArray(fc.nat({ max: 6 }), { maxLength: 2 }),
      staggerMs: fc.constantFrom(0, 50, 500, 4000),
      loss: fc.constantFrom(0, 0, 0.1, 0.3),
      maxDelayMs: fc.integer({ min: 1, max: 100 }),
    });
    fc.assert(
      fc.property(scenario, ({ seed, size, far, crashed, staggerMs, loss, maxDelayMs }) => {
        const l = new Lab({ random: seeded(seed), loss, maxDelayMs });
        const slack = loss === 0 ? 0 : 40 * heartbeatMs;
        const ids = names.slice(0, size);
        l.start(...ids);
        l.run(2000 + slack);
        for (const victim of crashed) {
          if (l.nodes.size === 1 || !l.nodes.has(ids[victim % size]!)) continue;
          l.crash(ids[victim % size]!);
          l.run(detectMs + slack);
        }
        const sides = [true, false].map((side) =>
          ids.filter((id, i) => l.nodes.has(id) && far.includes(i) === side),
        );
        for (const x of sides[0]!) {
          for (const y of sides[1]!) {
            if (staggerMs === 0) l.cut(x, y);
            else l.after(Math.floor(l.random() * staggerMs), () => l.cut(x, y));
          }
        }
        l.run(staggerMs + detectMs + (size - 1) * 3 * maxDelayMs + slack);
        const dead = ids.filter((id) => !l.nodes.has(id)).map((id) => [id]);
        const expected = [...sides.filter((side) => side.length > 0), ...dead]
          .map((side) => side.join(''))
          .sort()
          .join(' ');
        for (const id of l.nodes.keys()) expect(components(l, id), id).to.equal(expected);
        l.loss = 0;
        l.run(4 * heartbeatMs);
        expect(l.askedWithin(4 * heartbeatMs)).to.equal(0);
        l.heal();
        l.run(2000);
        const healed = [[...l.nodes.keys()].sort(), ...dead].map((side) => side.join('')).sort();
        for (const id of l.nodes.keys()) expect(components(l, id), id).to.equal(healed.join(' '));
        expect(l.askedWithin(4 * heartbeatMs)).to.equal(0);
      }),
      { numRuns: 120 },
    );
  });

  it('knows of a split among the others what was known when they were lost', () => {
    const l = lab(...names.slice(0, 6));
    l.split(['e', 'f'], ['a', 'b', 'c', 'd']);
    l.run(detectMs);
    l.split(['a', 'b'], ['c', 'd']);
    l.run(detectMs);
    for (const id of ['a', 'b', 'c', 'd']) expect(components(l, id)).to.equal('ab cd ef');
    // whom e and f lost as one part, they show as one
    for (const id of ['e', 'f']) expect(components(l, id)).to.equal('abcd ef');
    l.heal();
    l.run(3000);
    for (const id of names.slice(0, 6)) expect(l.node(id).answer).to.equal('healthy abcdef');
  });

  it('cannot tell two that crash at one time from a part of two, until one of them comes back', () => {
    const l = lab('a', 'b', 'c', 'd', 'e');
    l.crash('d');
    l.crash('e');
    l.run(detectMs);
    for (const id of ['a', 'b', 'c']) expect(l.node(id).answer).to.equal('complete abc de');
    l.start('e');
    l.run(3000);
    for (const id of ['a', 'b', 'c', 'e']) expect(l.node(id).answer).to.equal('complete abce d');
    // also when e is lost again: its newer row says that it never heard d
    l.split(['e'], ['a', 'b', 'c']);
    l.run(detectMs);
    for (const id of ['a', 'b', 'c']) expect(l.node(id).answer).to.equal('complete abc d e');
  });

  it('keeps a node that crashed and starts anew alone apart from a part that is lost later', () => {
    const l = lab('a', 'b', 'c', 'd', 'e');
    l.crash('e');
    l.split(['e'], ['a', 'b', 'c', 'd']);
    l.run(detectMs);
    l.start('e');
    l.run(15_000);
    l.split(['a', 'b'], ['c', 'd']);
    l.run(detectMs);
    for (const id of ['a', 'b', 'c', 'd']) expect(components(l, id)).to.equal('ab cd e');
    expect(l.node('e').answer).to.equal('healthy e');
  });

  it('tells a member that comes or starts anew while others are lost how those were linked', () => {
    const l = lab('a', 'b', 'c', 'd');
    l.split(['a', 'b', 'f'], ['c', 'd']);
    l.run(detectMs);
    l.start('f');
    l.run(4000);
    for (const id of ['a', 'b', 'f']) expect(l.node(id).answer).to.equal('complete abf cd');
    l.crash('a');
    l.run(500);
    l.start('a');
    l.run(4000);
    for (const id of ['a', 'b', 'f']) expect(l.node(id).answer).to.equal('complete abf cd');
    expect(l.askedWithin(2000)).to.equal(0);
  });

  it('forgets the lost, each member in its own time, and sends no memory to and fro', () => {
    const l = new Lab({ random: seeded(5), forgetMs: 20_000 });
    l.start('a', 'b', 'c', 'd', 'e');
    l.run(2000);
    l.split(['a'], ['d', 'e']);
    l.run(6000);
    l.split(['b', 'c'], ['d', 'e']);
    l.run(detectMs);
    // c goes its own way for a while, and forgets later than a and b
    l.split(['a', 'b'], ['c']);
    l.run(detectMs);
    for (const id of ['a', 'b']) expect(components(l, id)).to.equal('ab c de');
    expect(components(l, 'c')).to.equal('ab c de');
    l.heal();
    l.split(['a', 'b', 'c'], ['d', 'e']);
    l.run(3000);
    for (const id of ['a', 'b', 'c']) expect(l.node(id).answer).to.equal('complete abc de');
    // the rows that change as each forgets are evened out at times, but no list is sent at every heartbeat for ever
    expect(l.askedWithin(25_000)).to.be.lessThan(60);
    for (const id of ['a', 'b', 'c']) {
      const { connectivity, answer } = l.node(id);
      expect(answer).to.equal('healthy abc');
      expect(connectivity.nodes()).to.deep.equal(['a', 'b', 'c']);
      expect(connectivity.lostVersions()).to.deep.equal([]);
    }
    expect(l.askedWithin(4000)).to.equal(0);
    l.heal();
    l.run(3000);
    for (const id of l.nodes.keys()) expect(l.node(id).answer).to.equal('healthy abcde');
  });
});
