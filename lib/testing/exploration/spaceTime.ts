/**
 * A run as a space-time diagram (Lamport, "Time, Clocks, and the Ordering of Events", 1978): nodes side by side, time downwards,
 * messages from one to another. What stands out is always there; messages and flushes only around a violation.
 */
import { checkNumber } from '../../errors.js';
import type { Violation } from '../simulation/violation.js';
import type { TraceEvent } from '../simulation/trace.js';
import { Canvas, styles, type Style } from './canvas.js';
import { Lanes } from './lanes.js';
import { classify, type Weight } from './significance.js';

/** What is drawn. */
export interface SpaceTimeInput {
  readonly nodes: readonly string[];
  readonly trace: readonly TraceEvent[];
  readonly violation?: Violation | undefined;
}

/** Options of {@link spaceTime}. */
export interface SpaceTimeOptions {
  /**
   * Every event, instead of what stands out and what is around the violation.
   * @defaultValue false
   */
  readonly all?: boolean | undefined;
  /**
   * With escape sequences of terminals.
   * @defaultValue false
   */
  readonly colours?: boolean | undefined;
  /**
   * How many virtual milliseconds before the violation messages and flushes are shown. From 0 to 10^9.
   * @defaultValue 150
   */
  readonly aroundMs?: number | undefined;
  /**
   * At most so many of the newest lines, without `all`. From 1 to 10^7.
   * @defaultValue 400
   */
  readonly maxLines?: number | undefined;
  /**
   * Characters a line. From 60 to 1000.
   * @defaultValue 118
   */
  readonly width?: number | undefined;
}

/** After so many virtual milliseconds without a line the gap is shown. */
const GAP_MS = 400;
/** So many events left out in between are worth a line. */
const GAP_EVENTS = 25;

/** Draws a run. */
export function spaceTime(input: SpaceTimeInput, options: SpaceTimeOptions = {}): string {
  const width = checkNumber('width', options.width ?? 118, 60, 1000);
  const aroundMs = checkNumber('aroundMs', options.aroundMs ?? 150, 0, 1e9, false);
  const maxLines = checkNumber('maxLines', options.maxLines ?? 400, 1, 1e7);
  const all = options.all === true;
  const diagram = new Diagram(input, width, all, aroundMs);
  let lines = diagram.draw();
  const left = all ? 0 : lines.length - maxLines;
  if (left > 0) {
    const note = new Canvas(width);
    note.put(0, `… ${left} lines before this`, 'dim');
    lines = [note, ...lines.slice(-maxLines)];
  }
  const colours = options.colours === true;
  return [diagram.head(), ...lines].map((line) => line.text(colours)).join('\n');
}

class Diagram {
  readonly #input: SpaceTimeInput;
  readonly #width: number;
  readonly #all: boolean;
  /** From here on everything of interest is shown. */
  readonly #closeUp: number;
  readonly #lanes: Lanes;
  readonly #lines: Canvas[] = [];
  /** Whether the trace says what the messages were, and not just how long. */
  readonly #named: boolean;
  #shownAt = 0;
  #leftOut = new Map<string, number>();

  constructor(input: SpaceTimeInput, width: number, all: boolean, aroundMs: number) {
    this.#input = input;
    this.#width = width;
    this.#all = all;
    const { violation } = input;
    this.#closeUp = violation === undefined ? Infinity : violation.time - aroundMs;
    this.#lanes = new Lanes(input.nodes, width);
    this.#named = input.trace.some(({ kind }) => kind === 'message');
  }

  head(): Canvas {
    const line = new Canvas(this.#width);
    line.put(0, 'virtual ms'.padStart(11), 'dim');
    for (const id of this.#input.nodes) line.put(this.#lanes.x(id), id, 'bold');
    return line;
  }

  draw(): Canvas[] {
    const { trace } = this.#input;
    for (let at = 0; at < trace.length;) {
      const event = trace[at]!;
      const last = this.#endOfRun(at);
      if (this.#shows(event)) {
        this.#gap(event.time);
        this.#event(event, trace.slice(at, last));
      } else {
        for (let i = at; i < last; i++) this.#leave(trace[i]!);
      }
      this.#lanes.follow(event);
      at = last;
    }
    return this.#lines;
  }

  /** Events that are drawn as one: faults of one moment, messages that one takes after another from the same sender. */
  #endOfRun(at: number): number {
    const { trace } = this.#input;
    const { kind, time, node, detail } = trace[at]!;
    let end = at + 1;
    if (node === '')
      while (
        end < trace.length &&
        trace[end]!.node === '' &&
        trace[end]!.kind === kind &&
        trace[end]!.time === time
      )
        end++;
    else if (kind === 'deliver' && !this.#all) {
      const lane = /^\S+ \S+ /.exec(detail)![0];
      const weight = classify(trace[at]!, this.#named);
      const alike = (event: TraceEvent): boolean =>
        event.kind === kind && event.detail.startsWith(lane) && classify(event, this.#named) === weight;
      while (end < trace.length && alike(trace[end]!)) end++;
    }
    return end;
  }

  #shows(event: TraceEvent): boolean {
    const weight: Weight = classify(event, this.#named);
    if (weight === 'always') return !this.#lanes.isRepetition(event);
    if (this.#all) return true;
    return weight === 'close up' && event.time >= this.#closeUp;
  }

  #leave({ kind }: TraceEvent): void {
    const what = kind === 'deliver' ? 'message' : kind === 'disk sync' ? 'flush' : 'other';
    if (kind !== 'message') this.#leftOut.set(what, (this.#leftOut.get(what) ?? 0) + 1);
  }

  #gap(time: number): void {
    const count = [...this.#leftOut.values()].reduce((sum, n) => sum + n, 0);
    const wide = time - this.#shownAt > GAP_MS || (count > GAP_EVENTS && time < this.#closeUp);
    if (!this.#all && this.#lines.length > 0 && wide) {
      const line = this.#line(undefined);
      const what = ['message', 'flush', 'other'].flatMap((name) => {
        const n = this.#leftOut.get(name);
        return n === undefined ? [] : [`${n} ${name}${n === 1 ? '' : name === 'flush' ? 'es' : 's'}`];
      });
      line.put(6, '⋮', 'dim');
      if (what.length > 0) line.put(this.#lanes.x(this.#input.nodes[0]!) + 2, ` ${what.join(', ')} `, 'dim');
      this.#lines.push(line);
      this.#leftOut = new Map();
    }
    this.#shownAt = time;
  }

  #event(event: TraceEvent, run: readonly TraceEvent[]): void {
    const { node, kind, detail, time } = event;
    if (kind === 'VIOLATION') {
      this.#rule(time, `VIOLATION${node === '' ? '' : ` at ${node}`}`, 'alarm', '━');
      this.#paragraph(detail, 'alarm');
    } else if (node === '' || !this.#lanes.has(node)) {
      this.#rule(
        time,
        `${kind} ${joined(run)
          .replace(/[{}"]/g, '')
          .replace(/(\.\d{3})\d+/g, '$1')}`.trimEnd(),
        kind === 'heal' ? 'good' : 'fault',
        '─',
      );
    } else if (kind === 'deliver' || kind === 'message') {
      this.#message(event, run);
    } else {
      const { text, style } = this.#lanes.say(event);
      const line = this.#line(time, event);
      line.put(this.#lanes.x(node), this.#lanes.mark(event), style);
      line.put(this.#lanes.x(node) + 2, this.#lanes.fit(text), style);
      this.#lines.push(line);
      if (kind === 'failed' && this.#lanes.fit(text) !== text) this.#paragraph(detail, style);
    }
  }

  /** An arrow at the moment of arrival. */
  #message({ time, kind, detail }: TraceEvent, run: readonly TraceEvent[]): void {
    const parts = detail.split(' ');
    const [from, to] = parts[0]!.split('>') as [string, string];
    const line = this.#line(time);
    const label = kind === 'message' ? parts.slice(1).join(' ') : bytesOf(run);
    if (this.#lanes.has(from) && this.#lanes.has(to))
      line.arrow(this.#lanes.x(from), this.#lanes.x(to), label, styles.message);
    else line.put(this.#lanes.has(to) ? this.#lanes.x(to) : 12, `◄ ${from}: ${label}`, styles.message);
    this.#lines.push(line);
  }

  #rule(time: number, text: string, style: Style, stroke: string): void {
    const line = new Canvas(this.#width);
    this.#clock(line, time);
    line.put(12, stroke.repeat(this.#width - 12), style);
    line.put(14, ` ${text.length > this.#width - 18 ? `${text.slice(0, this.#width - 19)}…` : text} `, style);
    this.#lines.push(line);
  }

  #paragraph(text: string, style: Style): void {
    const room = this.#width - 14;
    for (const part of text.split('\n'))
      for (let at = 0; at < part.length; at += room) {
        const line = new Canvas(this.#width);
        line.put(14, part.slice(at, at + room), style);
        this.#lines.push(line);
      }
  }

  /** The lifelines, and the time. */
  #line(time: number | undefined, event?: TraceEvent): Canvas {
    const line = new Canvas(this.#width);
    if (time !== undefined) this.#clock(line, time);
    for (const id of this.#input.nodes) {
      if (id === event?.node) continue;
      const { text, style } = this.#lanes.lifeline(id, time ?? this.#shownAt);
      line.put(this.#lanes.x(id), text, style);
    }
    return line;
  }

  #clock(line: Canvas, time: number): void {
    line.put(0, time.toFixed(3).padStart(11), 'dim');
  }
}

/** `a>b, b>a` as `a–b`. What a cut or a partition does to single ways is said by itself. */
function joined(run: readonly TraceEvent[]): string {
  const details = [...new Set(run.map(({ detail }) => detail))];
  const whole = details.filter((detail) => !/^\S+>\S+$/.test(detail) && detail !== '');
  if (whole.length > 0) return whole.join(', ');
  const ways = new Set(details);
  const out: string[] = [];
  for (const way of ways) {
    const [from, to] = way.split('>');
    const back = `${to}>${from}`;
    if (ways.has(back)) {
      ways.delete(back);
      out.push(`${from}–${to}`);
    } else out.push(way);
  }
  return out.join(', ');
}

function bytesOf(run: readonly TraceEvent[]): string {
  let bytes = 0;
  let messages = 0;
  let lane = '';
  for (const { detail } of run) {
    const [, name, count, size] = detail.split(' ');
    if (name === 'bulk') lane = 'bulk ';
    messages += Number(count);
    bytes += Number(size);
  }
  return `${lane}${bytes} B${messages > 1 ? ` in ${messages}` : ''}`;
}
