/** One line of characters that each have a style. */

/** How something looks. */
export type Style =
  'plain' | 'dim' | 'bold' | 'good' | 'busy' | 'fault' | 'alarm' | 'disk' | 'log' | 'message';

/** Styles by what they are for. */
export const styles = { message: 'message', disk: 'disk', log: 'log' } as const satisfies Record<
  string,
  Style
>;

const codes: Readonly<Record<Style, string>> = {
  plain: '',
  dim: '2',
  bold: '1',
  good: '32',
  busy: '33',
  fault: '1;31',
  alarm: '1;97;41',
  disk: '33',
  log: '35',
  message: '36',
};

export class Canvas {
  readonly #chars: string[];
  readonly #styles: Style[];

  constructor(width: number) {
    this.#chars = Array.from({ length: width }, () => ' ');
    this.#styles = Array.from({ length: width }, () => 'plain');
  }

  /** Writes over what is there; what is beyond the edge is cut off. */
  put(x: number, text: string, style: Style): void {
    let at = x;
    for (const char of text) {
      if (at >= this.#chars.length) return;
      if (at >= 0) {
        this.#chars[at] = char;
        this.#styles[at] = style;
      }
      at++;
    }
  }

  /** An arrow between two places, with what it carries near its tail; lines that it crosses stay to be seen. */
  arrow(from: number, to: number, label: string, style: Style): void {
    const right = to > from;
    const [low, high] = right ? [from + 1, to - 1] : [to + 1, from - 1];
    for (let x = low; x <= high; x++) this.put(x, this.#chars[x] === ' ' ? '─' : '┼', style);
    this.put(right ? to - 1 : to + 1, right ? '▶' : '◀', style);
    const room = high - low - 3;
    if (room < 3) return;
    const text = ` ${label.length > room - 2 ? `${label.slice(0, Math.max(1, room - 3))}…` : label} `;
    this.put(right ? low + 1 : high - text.length, text, style);
  }

  /** Without the blanks at its end. */
  text(colours: boolean): string {
    let length = this.#chars.length;
    while (length > 0 && this.#chars[length - 1] === ' ') length--;
    if (!colours) return this.#chars.slice(0, length).join('');
    let out = '';
    for (let at = 0; at < length;) {
      const style = this.#styles[at]!;
      let end = at;
      while (end < length && this.#styles[end] === style) end++;
      const part = this.#chars.slice(at, end).join('');
      out += codes[style] === '' ? part : `\x1b[${codes[style]}m${part}\x1b[0m`;
      at = end;
    }
    return out;
  }
}
