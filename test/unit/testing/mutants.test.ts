/** The list of planted bugs does not rot, and the simulation finds some of them. All of them: `npm run mutants`. */
import { expect } from 'chai';
import { hunt } from '../../mutants/hunt.js';
import { mutants } from '../../mutants/list.js';
import { plant, type Mutant } from '../../mutants/mutant.js';
import { transpile } from '../../mutants/workshop.js';

/** Caught by the first few seeds. */
const quick = [
  'votes leave before the disk',
  'writes count as durable when they are handed over',
  'sessions are left out of snapshots',
  'what may be in the log is called refused',
];

describe('mutants', () => {
  it('has twenty bugs or more, each with a name of its own', () => {
    expect(mutants.length).to.be.at.least(20);
    expect(new Set(mutants.map(({ name }) => name)).size).to.equal(mutants.length);
  });

  for (const mutant of mutants) {
    it(`has one place for: ${mutant.name}`, () => {
      expect(transpile(mutant)).to.be.a('string');
    });
  }

  it('refuses a bug whose place is gone, or not the only one', () => {
    const mutant: Mutant = { name: 'x', file: 'y.ts', find: 'a', replace: 'b', pitfall: '', within: 1 };
    expect(() => plant(mutant, 'c')).to.throw('occurs 0 times');
    expect(() => plant(mutant, 'a a')).to.throw('occurs 2 times');
    expect(plant({ ...mutant, replace: '$&' }, 'cac')).to.equal('c$&c');
  });

  for (const name of quick) {
    it(`finds: ${name}`, async function () {
      this.timeout(120_000);
      const mutant = mutants.find((one) => one.name === name)!;
      const found = await hunt(mutant, 1, mutant.within);
      expect(found.by, `${found.seeds} seeds`).to.be.a('string').that.is.not.oneOf(['hang', 'crash']);
    });
  }

  it('finds nothing where there is nothing', async function () {
    this.timeout(120_000);
    expect(await hunt(undefined, 1, 2)).to.deep.equal({ seeds: 2, seed: 2, by: undefined, message: '' });
  });
});
