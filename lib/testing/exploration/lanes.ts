/** The nodes of a diagram: where each one stands, and in what state it is as time goes by. */
import type { TraceEvent } from '../simulation/trace.js';
import type { Style } from './canvas.js';
import { isDiskError } from './significance.js';

/** Characters for the time. */
const MARGIN = 13;

interface Lane {
  readonly x: number;
  state: 'down' | 'starting' | 'failed' | 'leader' | 'candidate' | 'follower';
  pausedUntil: number;
  /** Role, epoch and leader as last told. */
  told: string;
}

export class Lanes {
  readonly #lanes = new Map<string, Lane>();
  readonly #room: number;

  constructor(nodes: readonly string[], width: number) {
    this.#room = Math.max(4, Math.floor((width - MARGIN) / nodes.length));
    for (const [at, id] of nodes.entries())
      this.#lanes.set(id, { x: MARGIN + at * this.#room, state: 'down', pausedUntil: 0, told: '' });
  }

  has(id: string): boolean {
    return this.#lanes.has(id);
  }

  x(id: string): number {
    return this.#lanes.get(id)!.x;
  }

  /** Text that fits beside a lifeline. */
  fit(text: string): string {
    const room = this.#room - 3;
    return text.length <= room ? text : `${text.slice(0, room - 1)}…`;
  }

  /** A status that says nothing but what was said before. */
  isRepetition({ node, kind, detail }: TraceEvent): boolean {
    const lane = this.#lanes.get(node);
    return lane !== undefined && isRole(kind) && lane.told === told(kind, detail);
  }

  /** Takes notice of an event. */
  follow({ node, kind, detail, time }: TraceEvent): void {
    if (kind === 'pause') {
      const [id, ms] = detail.split(' ');
      const paused = this.#lanes.get(id!);
      if (paused !== undefined) paused.pausedUntil = Math.max(paused.pausedUntil, time + Number(ms));
      return;
    }
    const lane = this.#lanes.get(node);
    if (lane === undefined) return;
    if (isRole(kind)) {
      lane.told = told(kind, detail);
      lane.state = kind === 'leader' || kind === 'candidate' ? kind : 'follower';
    } else if (kind === 'start') lane.state = 'starting';
    else if (kind === 'up' && lane.state === 'starting') lane.state = 'follower';
    else if (kind === 'failed') lane.state = 'failed';
    else if (kind === 'kill' || kind === 'power loss' || kind === 'stop') {
      lane.state = 'down';
      lane.told = '';
      lane.pausedUntil = 0;
    }
  }

  lifeline(id: string, time: number): { readonly text: string; readonly style: Style } {
    const lane = this.#lanes.get(id)!;
    if (lane.state !== 'down' && lane.pausedUntil > time) return { text: '░', style: 'fault' };
    switch (lane.state) {
      case 'down':
        return { text: ' ', style: 'plain' };
      case 'starting':
        return { text: '┊', style: 'dim' };
      case 'failed':
        return { text: '✗', style: 'fault' };
      case 'leader':
        return { text: '┃', style: 'good' };
      case 'candidate':
        return { text: '╎', style: 'busy' };
      case 'follower':
        return { text: '│', style: 'dim' };
    }
  }

  /** What stands on the lifeline where something happens. */
  mark({ kind, node, time }: TraceEvent): string {
    switch (kind) {
      case 'leader':
        return '★';
      case 'candidate':
        return '☆';
      case 'start':
        return '▲';
      case 'kill':
      case 'power loss':
      case 'failed':
        return '✗';
      default:
        return kind.startsWith('disk ') ? '▪' : this.#lanes.has(node) ? '●' : this.lifeline(node, time).text;
    }
  }

  /** An event in words. */
  say({ kind, detail }: TraceEvent): { readonly text: string; readonly style: Style } {
    if (isRole(kind)) return sayRole(kind, detail);
    if (kind.startsWith('disk ')) {
      const style: Style = isDiskError(detail) || /stall|flip|wipe|crash/.test(kind) ? 'fault' : 'disk';
      // Of a path the last part tells enough, of a numbered file its number.
      const short = detail.replace(/(^|\s)\S*\/0*(?=\S)/g, '$1');
      return { text: `${kind.slice(5)} ${isDiskError(detail) ? `${lastWord(detail)} ` : ''}${short}`, style };
    }
    switch (kind) {
      case 'start':
        return { text: `starts, ${detail.replace(/ rate .*/, '')}`, style: 'good' };
      case 'up':
        return { text: `up, ${detail}`, style: 'good' };
      case 'failed':
        return { text: `FAILED ${detail}`, style: 'fault' };
      case 'kill':
        return { text: 'killed', style: 'fault' };
      case 'power loss':
        return { text: 'POWER LOSS', style: 'fault' };
      case 'stop':
        return { text: 'stops', style: 'fault' };
      case 'truncate':
      case 'install':
        return { text: `${kind}s ${detail}`, style: 'log' };
      case 'commit':
        return { text: `commits ${detail}`, style: 'log' };
      default:
        return { text: `${kind} ${detail}`.trimEnd(), style: 'dim' };
    }
  }
}

function isRole(kind: string): boolean {
  return (
    kind === 'leader' ||
    kind === 'candidate' ||
    kind === 'follower' ||
    kind === 'learner' ||
    kind === 'witness'
  );
}

function told(kind: string, detail: string): string {
  return `${kind} ${detail.replace(/ last .*/, '')}`;
}

function sayRole(kind: string, detail: string): { readonly text: string; readonly style: Style } {
  const [, epoch, , leader, , last] = detail.split(' ');
  if (kind === 'leader') return { text: `LEADS in ${epoch}, log ${last}`, style: 'good' };
  if (kind === 'candidate') return { text: `candidate in ${epoch}`, style: 'busy' };
  const role = kind === 'follower' ? 'follows' : `${kind} of`;
  return {
    text: leader === '-' ? `leaderless in ${epoch}` : `${role} ${leader} in ${epoch}`,
    style: 'plain',
  };
}

function lastWord(text: string): string {
  return text.slice(text.lastIndexOf(' ') + 1);
}
