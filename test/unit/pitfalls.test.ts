/** The table of pitfalls in the docs names tests and planted bugs that exist. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { mutants } from '../mutants/list.js';
import { root } from '../mutants/workshop.js';

const page = readFileSync(join(root, 'docs', 'pitfalls.md'), 'utf8');
const rows = page
  .split('\n')
  .filter((line) => /^\| \d+\. /.test(line))
  .map((line) => line.split(' | ').map((cell) => cell.replace(/^\|\s*|\s*\|$/g, '').trim()));

describe('the table of pitfalls', () => {
  it('has all thirty, in order', () => {
    expect(rows.map(([pitfall]) => Number.parseInt(pitfall!))).to.deep.equal(
      Array.from({ length: 30 }, (_, at) => at + 1),
    );
  });

  for (const [pitfall, , tests, planted] of rows) {
    it(`names tests and bugs that are there: ${pitfall!.split(/[.:,]/, 2).join('.')}`, () => {
      const named = [...tests!.matchAll(/`([\w/.]+)`: ((?:"[^"]+"(?:, )?)+)/g)];
      expect(named.length, 'files named').to.be.above(0);
      for (const [, file, titles] of named) {
        const source = readFileSync(join(root, 'test', 'unit', file!), 'utf8');
        for (const [, title] of titles!.matchAll(/"([^"]+)"/g))
          expect(source.includes(`('${title}'`), `${file}: ${title}`).to.equal(true);
      }
      for (const name of planted!.split('; '))
        expect(
          mutants.some((mutant) => mutant.name === name),
          name,
        ).to.equal(true);
    });
  }
});
