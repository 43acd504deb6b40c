/** Tables for people: columns aligned, numbers rounded to what they are worth. */

export type Cell = string | number | undefined;

/** Three significant digits, with thousands set apart. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return '–';
  if (value === 0) return '0';
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  const rounded = Number(value.toPrecision(3));
  return rounded.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** How `value` stands to `base`, such as `0.83×`. */
export function ratio(value: number, base: number): string {
  const quotient = value / base;
  return Number.isFinite(quotient) ? `${quotient.toFixed(2)}×` : '–';
}

/** A Markdown table; text to the left, all other columns to the right. */
export function table(title: string, head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const text = (cell: Cell): string =>
    cell === undefined ? '' : typeof cell === 'number' ? figure(cell) : cell;
  const lines = [head, ...rows].map((row) => row.map(text));
  const widths = head.map((_, column) => Math.max(3, ...lines.map((line) => (line[column] ?? '').length)));
  const format = (line: readonly string[]): string =>
    `| ${widths.map((width, i) => (i === 0 ? (line[i] ?? '').padEnd(width) : (line[i] ?? '').padStart(width))).join(' | ')} |`;
  const rule = `|${widths.map((width, i) => (i === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`;
  return [title, '', format(lines[0]!), rule, ...lines.slice(1).map(format), ''].join('\n');
}
