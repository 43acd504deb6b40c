/**
 * Who takes whom for dead. A node that stood still convicts nobody for a silence in the next min(stall, 5 s): it has to hear
 * first what came meanwhile. And nobody convicts a peer whose process and path were left in peace.
 */
import type { NodeId } from '../../../consensus/consensus.js';
import type { Disturbances } from '../disturbances.js';
import type { Report } from './report.js';

/** A shorter stall may go unnoticed, and takes no heartbeat away. */
const noticedMs = 250;
const mostPatienceMs = 5000;
/** Clocks go up to a tenth too fast or too slow. */
const clockSlack = 0.85;
/** Silence that a tampering so long ago explains is over: retransmissions back off, and who is patient waits for 6.5 s. */
const peaceMs = 10_000;

/** A node found a peer silent for too long. */
export interface Conviction {
  readonly node: NodeId;
  readonly peer: NodeId;
  readonly now: number;
}

export class ConvictionWatch {
  /** Convictions that were looked at. */
  convictions = 0;
  readonly #disturbances: Disturbances;
  /** Packets are lost by chance: long silences come by themselves. */
  readonly #lossy: boolean;
  readonly #report: Report;

  constructor(disturbances: Disturbances, lossy: boolean, report: Report) {
    this.#disturbances = disturbances;
    this.#lossy = lossy;
    this.#report = report;
  }

  convicted({ node, peer, now }: Conviction): void {
    this.convictions++;
    const pause = this.#disturbances.pauseOf(node);
    if (pause !== undefined && pause.ms >= noticedMs) {
      const stall = pause.ms;
      const since = now - pause.until;
      if (since < clockSlack * Math.min(stall, mostPatienceMs)) {
        const text = `stood still for ${stall.toFixed(0)} ms, and takes ${peer} for dead ${since.toFixed(0)} ms later`;
        this.#report('own stall', node, `${node} ${text}`);
      }
    }
    const disturbed = Math.max(this.#disturbances.ofNode(peer), this.#disturbances.ofPath(node, peer));
    if (this.#lossy || this.#disturbances.shaped) return;
    if (now - disturbed < peaceMs || now - this.#disturbances.ofNode(node) < peaceMs) return;
    const text = `takes ${peer} for dead, which nobody has touched since ${disturbed.toFixed(0)} ms`;
    this.#report('false conviction', node, `${node} ${text}`);
  }
}
