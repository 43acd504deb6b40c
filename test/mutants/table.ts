/** Shows what became of the planted bugs. */
import type { Catch } from './hunt.js';
import type { Mutant } from './mutant.js';

/** One bug, and how each hunt for it ended. */
export interface Row {
  readonly mutant: Mutant;
  readonly catches: readonly Catch[];
}

/** For a terminal. */
export function textTable(rows: readonly Row[]): string {
  return rows
    .map(({ mutant, catches }) => {
      const how = catches.map(({ seeds, by }) => (by === undefined ? `not in ${seeds}` : `${seeds} ${by}`));
      return `${mutant.name.padEnd(62)} ${how.join(', ')}`;
    })
    .join('\n');
}

/** For the documentation. */
export function markdownTable(rows: readonly Row[]): string {
  const cells = [
    ['planted bug', 'in', 'stands for', 'seeds', 'within', 'caught by'],
    ...rows.map(({ mutant, catches }) => [
      mutant.name + (mutant.kinds === undefined ? '' : ` (${String(mutant.kinds).replaceAll(',', ', ')})`),
      `\`${mutant.file}\``,
      mutant.pitfall,
      mutant.tests === undefined ? String(medianOf(catches.map(({ seeds }) => seeds))) : '-',
      mutant.tests === undefined ? String(mutant.within) : '-',
      [...new Set(catches.map(({ by }) => by ?? '-'))].join(', ') +
        (mutant.tests === undefined ? '' : ` (\`${mutant.tests}\`)`),
    ]),
  ];
  const widths = cells[0]!.map((_, at) => Math.max(...cells.map((row) => row[at]!.length)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, at) => cell.padEnd(widths[at]!)).join(' | ')} |`;
  const rule = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`;
  return [line(cells[0]!), rule, ...cells.slice(1).map(line)].join('\n');
}

function medianOf(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!;
}
