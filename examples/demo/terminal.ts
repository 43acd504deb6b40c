/** A terminal one likes to look at: colours and a live line where there is a terminal, plain lines elsewhere. */

const colourful = process.stdout.isTTY && process.env['NO_COLOR'] === undefined;
const paint = (code: number, text: string): string => (colourful ? `\x1b[${code}m${text}\x1b[0m` : text);

export const bold = (text: string): string => paint(1, text);
export const dim = (text: string): string => paint(2, text);
export const green = (text: string): string => paint(32, text);
export const red = (text: string): string => paint(31, text);
export const yellow = (text: string): string => paint(33, text);
export const cyan = (text: string): string => paint(36, text);

let live = false;

function clearLive(): void {
  if (live) process.stdout.write('\r\x1b[2K');
  live = false;
}

/** A line that stays. */
export function line(text = ''): void {
  clearLive();
  console.log(text);
}

/** A headline. */
export function step(text: string): void {
  line();
  line(`${cyan('▸')} ${bold(text)}`);
}

/** A result under a headline. */
export function done(text: string): void {
  line(`  ${green('✓')} ${text}`);
}

/** A failure under a headline. */
export function failed(text: string): void {
  line(`  ${red('✗')} ${text}`);
}

/** A line that the next one replaces; only on a terminal. */
export function status(text: string): void {
  if (!process.stdout.isTTY) return;
  const width = process.stdout.columns || 80;
  // Cut by what is seen, not by the escape codes.
  // eslint-disable-next-line no-control-regex
  const plain = text.replace(/\x1b\[\d+m/g, '');
  process.stdout.write(`\r\x1b[2K${plain.length > width - 1 ? plain.slice(0, width - 1) : text}`);
  live = true;
}

export function thousands(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}
