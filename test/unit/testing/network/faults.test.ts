import { expect } from 'chai';
import { describe, it } from 'mocha';
import { Lab, count, numbered, numbersOf } from './support.js';

describe('simulated network: faults', () => {
  it('passes nothing while cut, and all of it in order after a heal', async () => {
    const lab = new Lab();
    const [near, far] = await lab.pair();
    near.raw.control.send(numbered(0)); // under way when the cut comes
    lab.network.cut('a', 'b');
    for (const i of count(5)) {
      await lab.run(100);
      near.raw.control.send(numbered(i + 1));
      far.raw.control.send(numbered(i));
    }
    await lab.run(1000);
    expect([near.got.control, far.got.control]).deep.equal([[], []]);
    lab.network.heal('a', 'b');
    const healed = lab.scheduler.now;
    await lab.run(15_000);
    expect(numbersOf(far.got.control)).deep.equal(count(6));
    expect(numbersOf(near.got.control)).deep.equal(count(5));
    expect(far.at.control[0], 'only with the next retransmission').greaterThan(healed + 50);
    expect([near.closed, far.closed]).deep.equal([[], []]);
  });

  it('breaks a link behind a long cut at both ends, at different times', async () => {
    const lab = new Lab({ silenceMs: 4000 });
    const [near, far] = await lab.pair();
    lab.network.cut('a', 'b');
    await lab.run(2900);
    expect([near.closed, far.closed]).deep.equal([[], []]);
    const ended: number[] = [];
    await lab.until(() => near.closed.length + far.closed.length > 0);
    ended.push(lab.scheduler.now);
    await lab.until(() => near.closed.length > 0 && far.closed.length > 0);
    ended.push(lab.scheduler.now);
    expect(ended[1]).greaterThan(ended[0]!);
    expect(near.closed).deep.equal(['the path is silent']);
    expect(near.raw.control.send(numbered(1))).equal(false);
    expect(lab.network.counts.linksBroken).equal(2);
  });

  it('breaks no link whose cut is mended in time, however often', async () => {
    const lab = new Lab({ silenceMs: 1000 });
    const [near, far] = await lab.pair();
    for (let i = 0; i < 10; i++) {
      lab.network.cut('a', 'b');
      await lab.run(700);
      lab.network.heal();
      await lab.run(10);
    }
    await lab.run(5000);
    expect([near.closed, far.closed]).deep.equal([[], []]);
  });

  it('tells nobody of a crash; the peer notices by itself, and the rendezvous says so', async () => {
    const lab = new Lab({ silenceMs: 3000 });
    const [near, far] = await lab.pair();
    const a = lab.nodes.get('a')!;
    const b = lab.nodes.get('b')!.process;
    b.alive = false;
    expect(near.raw.control.send(numbered(1))).equal(true);
    await lab.run(2000);
    expect(near.closed).deep.equal([]);
    expect(a.presence).deep.equal(['+b', '-b']);
    await lab.until(() => near.closed.length === 1, 3000);
    await lab.run(10_000);
    expect([far.closed, far.got.control]).deep.equal([[], []]);
    expect(far.raw.control.send(numbered(1)), 'the dead send nothing').equal(false);
  });

  it('links a new run of a node beside the ghost of the old one', async () => {
    const lab = new Lab({ silenceMs: 30_000 });
    const [near] = await lab.pair();
    const a = lab.nodes.get('a')!;
    lab.nodes.get('b')!.process.alive = false;
    await lab.run(1);
    const fresh = await lab.bare('b');
    await lab.run(1000);
    expect(a.presence.at(-1)).equal('+b');
    fresh.session.connect('a');
    await lab.run(2500);
    if (fresh.links.length === 0) fresh.session.connect('a');
    await lab.until(() => fresh.links.length === 1 && a.links.length === 2);
    expect(near.closed).deep.equal([]);
    a.links[1]!.raw.control.send(numbered(5));
    await lab.until(() => fresh.links[0]!.got.control.length === 1);
    expect(a.links[0]!.got.control).deep.equal([]);
  });

  it('loses what is under way when a link is reset, at both ends at once', async () => {
    const lab = new Lab({ latencyMs: 20 });
    const [near, far] = await lab.pair();
    near.raw.control.send(numbered(1));
    await lab.run(1);
    lab.network.reset('a', 'b');
    await lab.run(0);
    expect([near.closed, far.closed]).deep.equal([['reset'], ['reset']]);
    await lab.run(1000);
    expect(far.got.control).deep.equal([]);
  });

  it('resets one end alone; the other notices the silence', async () => {
    const lab = new Lab({ silenceMs: 2000, latencyMs: 20 });
    const [near, far] = await lab.pair();
    far.raw.control.send(numbered(1));
    await lab.run(1);
    lab.network.reset('a', 'b', 'b');
    await lab.run(1000);
    expect(near.got.control).deep.equal([]);
    expect([near.closed, far.closed]).deep.equal([[], ['reset']]);
    near.raw.control.send(numbered(1));
    await lab.run(2000);
    expect(near.closed).deep.equal(['the path is silent']);
    expect(far.got.control).deep.equal([]);
  });

  it('loses a goodbye behind a cut', async () => {
    const lab = new Lab({ silenceMs: 2000 });
    const [near, far] = await lab.pair();
    lab.network.cutOneWay('a', 'b');
    near.raw.close();
    await lab.run(1000);
    expect([near.closed, far.closed]).deep.equal([['closed'], []]);
    lab.network.heal();
    await lab.run(2500);
    expect(far.closed, 'still nobody answers').deep.equal(['the path is silent']);
  });

  it('loses a goodbye that is under way when a cut comes', async () => {
    const lab = new Lab({ latencyMs: 20 });
    const [near, far] = await lab.pair();
    near.raw.close();
    await lab.run(5);
    lab.network.cut('a', 'b');
    await lab.run(1000);
    expect(far.closed).deep.equal([]);
  });

  it('sends what was sent before a close', async () => {
    const lab = new Lab({ latencyMs: 20, jitterMs: 20 });
    const [near, far] = await lab.pair();
    near.raw.control.send(numbered(1));
    near.raw.bulk.send(numbered(2));
    near.raw.close();
    await lab.until(() => far.closed.length === 1);
    expect([far.got.control.length, far.got.bulk.length]).deep.equal([1, 1]);
    expect(far.closed).deep.equal(['closed by the peer']);
  });

  it('cannot connect across a cut, says so, and connects when it is healed', async () => {
    const lab = new Lab({ setupTimeoutMs: 1000 });
    const a = await lab.bare('a');
    const b = await lab.bare('b');
    lab.network.cutOneWay('b', 'a');
    await lab.run(10);
    a.session.connect('b');
    await lab.run(2500);
    expect(a.warnings).deep.equal([]);
    await lab.run(1000);
    expect(a.warnings, 'after three tries').deep.equal(['ERR_PEER_TIMEOUT']);
    expect(b.warnings).deep.equal([]);
    expect([a.links, b.links]).deep.equal([[], []]);
    b.session.connect('a');
    await lab.run(300);
    lab.network.heal('a', 'b');
    await lab.run(300);
    expect([a.links.length, b.links.length], 'the set-up under way looks again').deep.equal([1, 1]);
  });

  it('needs round trips to connect', async () => {
    const lab = new Lab({ latencyMs: 50, tailMs: 0, rendezvousMs: 20 });
    await lab.pair();
    expect(lab.scheduler.now).within(400, 500);
  });

  it('partitions into groups, those of nodes to come included, until all is healed', async () => {
    const lab = new Lab();
    const { network } = lab;
    network.partition([['a', 'b'], ['c']]);
    await lab.bare('d');
    const cuts = (): string[] =>
      ['a', 'b', 'c', 'd'].flatMap((x) =>
        ['a', 'b', 'c', 'd'].filter((y) => x !== y && network.isCut(x, y)).map((y) => x + y),
      );
    const all = ['ac', 'ad', 'bc', 'bd', 'ca', 'cb', 'cd', 'da', 'db', 'dc'];
    expect(cuts()).deep.equal(all);
    network.heal('a', 'c');
    expect(cuts()).deep.equal(all.filter((pair) => pair !== 'ac' && pair !== 'ca'));
    network.heal();
    expect(cuts()).deep.equal([]);
    network.partitionOneWay(['a', 'b'], ['c', 'd']);
    expect(cuts()).deep.equal(['ac', 'ad', 'bc', 'bd']);
  });

  it('holds a node apart from the rendezvous, and tells it all when it is back', async () => {
    const lab = new Lab();
    const [near, far] = await lab.pair();
    const a = lab.nodes.get('a')!;
    const b = lab.nodes.get('b')!;
    lab.network.rendezvous('b', false);
    await lab.run(100);
    expect(a.presence).deep.equal(['+b', '-b']);
    expect(b.warnings).deep.equal(['ERR_SIGNALING']);
    near.raw.control.send(numbered(1));
    await lab.run(10);
    expect(far.got.control, 'links need no rendezvous').length(1);
    const c = await lab.bare('c');
    await a.session.close();
    await lab.run(100);
    c.session.connect('b');
    b.session.connect('c');
    await lab.run(1000);
    expect([c.presence, b.presence]).deep.equal([['+a', '-a'], ['+a']]);
    expect(c.links).deep.equal([]);
    lab.network.rendezvous('b', true);
    await lab.run(100);
    expect(b.presence).deep.equal(['+a', '-a', '+c']);
    expect(c.presence.at(-1)).equal('+b');
  });

  it('refuses an environment that is not a process', () => {
    const lab = new Lab();
    expect(() => void lab.network.start({ environment: {} } as never)).throws('environment must be');
  });
});
