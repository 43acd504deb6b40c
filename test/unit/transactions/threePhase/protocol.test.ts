/** Quorum three-phase commit under random loss, delay, partitions and crashes: one outcome, and an end when all is mended. */
import { expect } from 'chai';
import fc from 'fast-check';
import { CommitSite } from '../../../../lib/index.js';
import { Sites } from './sites.js';

const names = ['C', 'P1', 'P2', 'P3', 'P4'];

const scripts = fc.record({
  size: fc.integer({ min: 2, max: 5 }),
  seed: fc.integer({ min: 0, max: 2 ** 31 - 1 }),
  no: fc.option(fc.integer({ min: 0, max: 4 }), { freq: 4, nil: undefined }),
  lossRate: fc.constantFrom(0, 0.05, 0.3),
  slow: fc.boolean(),
  faults: fc.array(
    fc.record({
      at: fc.integer({ min: 0, max: 500 }),
      kind: fc.constantFrom('crash', 'partition', 'heal', 'isolate'),
      site: fc.integer({ min: 0, max: 4 }),
      forMs: fc.integer({ min: 1, max: 400 }),
    }),
    { maxLength: 10 },
  ),
});

describe('quorum three-phase commit', () => {
  it('commits when all vote yes and nothing happens, in three rounds', () => {
    for (let size = 1; size <= 5; size++) {
      const world = new Sites({ form: 'quorum', sites: names.slice(0, size), latencyMs: [1, 1] });
      world.begin();
      world.run(60);
      for (const id of world.sites) {
        expect(world.outcomes.get(id), `${id} of ${size}`).to.deep.equal(['commit']);
        expect(world.site(id)!.deadline, 'nothing is waited for').to.equal(Infinity);
      }
    }
  });

  it('aborts everywhere when one votes no', () => {
    const world = new Sites({ form: 'quorum', sites: names, votes: { P2: false } });
    world.begin();
    world.run(60);
    for (const id of world.sites) expect(world.outcomes.get(id)).to.deep.equal(['abort']);
  });

  it('a coordinator that dies after the votes leaves nobody waiting', () => {
    const world = new Sites({ form: 'quorum', sites: names });
    world.filter = (_, __, { type }) => {
      if (type === 'prepare') world.crash('C');
      return type !== 'prepare';
    };
    world.begin();
    world.run(60);
    world.filter = () => true;
    world.run(1000);
    for (const id of names.slice(1)) expect(world.outcomes.get(id)).to.deep.equal(['abort']);
    // It was prepared to commit, which nobody had heard of.
    world.start('C');
    world.run(500);
    expect(world.outcomes.get('C')).to.deep.equal(['abort']);
  });

  it('what an older attempt asks for is refused once a newer one was promised to', () => {
    const sites = ['C', 'P1', 'P2'];
    const [c, p1, p2] = sites.map((id) => new CommitSite({ id, sites, timeoutMs: 100 }, 0)) as [
      CommitSite,
      CommitSite,
      CommitSite,
    ];
    const of = (site: CommitSite, to: CommitSite, from = site.id): void => {
      for (const { to: id, message } of site.drain().messages)
        if (id === to.id) to.receive(from, message, 10);
    };
    const vote = (site: CommitSite): void => {
      site.receive('C', { type: 'vote?' }, 0);
      site.voted(true, 0);
    };
    c.begin(0);
    for (const site of [c, p1, p2]) vote(site);
    of(p1, c);
    of(p2, c);
    const late = c.drain().messages.find(({ to, message }) => to === 'P2' && message.type === 'prepare')!;
    p1.tick(p1.deadline);
    of(p1, p2);
    of(p2, p1);
    // P2 has promised to P1, whose attempt is to abort; now the message of C comes.
    p2.receive('C', late.message, 20);
    const answers = p2.drain().messages;
    expect(answers.map(({ message }) => message.type)).to.deep.equal(['refused']);
    c.receive('P2', answers[0]!.message, 20);
    of(p1, p2);
    of(p2, p1);
    expect([c.state, p1.state, p2.state]).to.deep.equal(['prepared-commit', 'aborted', 'prepared-abort']);
  });

  it('has one outcome, whatever happens, and everybody learns it when all is mended', () => {
    const seen = { commit: 0, abort: 0 };
    fc.assert(
      fc.property(scripts, ({ size, seed, no, lossRate, slow, faults }) => {
        const sites = names.slice(0, size);
        const refuser = no === undefined ? undefined : sites[no % size];
        const world = new Sites({
          form: 'quorum',
          sites,
          seed,
          lossRate,
          latencyMs: slow ? [1, 250] : [1, 40],
          votes: refuser === undefined ? {} : { [refuser]: false },
        });
        for (const { at, kind, site, forMs } of faults) {
          const id = sites[site % size]!;
          world.after(at, () => {
            if (kind === 'crash') {
              world.crash(id);
              world.after(forMs, () => world.start(id));
            } else if (kind === 'partition') {
              const cut = 1 + (site % size);
              world.partition([sites.slice(0, cut), sites.slice(cut)]);
            } else if (kind === 'isolate') {
              world.partition([[id], sites.filter((other) => other !== id)]);
            } else world.partition([]);
          });
        }
        world.begin();
        world.run(1300);
        world.partition([]);
        world.lossRate = 0;
        for (const id of sites) if (world.site(id) === undefined) world.start(id);
        world.run(30_000);
        const begun = sites.filter((id) => world.site(id)!.state !== 'initial');
        const all = new Set([...world.outcomes.values()].flat());
        expect(all.size, JSON.stringify([...world.outcomes])).to.be.at.most(1);
        if (refuser !== undefined) expect(all.has('commit')).to.equal(false);
        // Who never heard of it has nothing to end.
        for (const id of begun) expect(world.outcomes.get(id)?.length, `${id} ends`).to.be.greaterThan(0);
        for (const outcome of all) seen[outcome]++;
      }),
      { numRuns: 800 },
    );
    expect(seen.commit).to.be.greaterThan(20);
    expect(seen.abort).to.be.greaterThan(20);
  });
});
