/** What all parts of a simulated network share. @internal */
import type { Random } from '../random.js';
import type { Scheduler } from '../scheduler.js';
import type { Trace } from '../trace.js';
import type { Letters } from './letters.js';
import type { ResolvedSettings } from './settings.js';
import type { Slab } from './slab.js';

/** What happened on a simulated network, by kind: a run that shows none of a kind has not tested it. */
export interface NetworkCounts {
  /** Messages delivered. */
  messages: number;
  /** Bytes of these. */
  bytes: number;
  /** Packets lost by chance or by a cut. */
  packetsLost: number;
  /** Packets sent again. */
  retransmissions: number;
  /** Directions cut. */
  cuts: number;
  /** Directions healed. */
  heals: number;
  clogs: number;
  /** Links broken by order. */
  resets: number;
  /** Ends of links handed to a node. */
  linksMade: number;
  /** Ends of links that broke: by a reset, by silence, or by an overflow. */
  linksBroken: number;
  /** Ends of links that were closed by either node. */
  linksClosed: number;
  /** Set-ups that were given up. */
  setupsFailed: number;
  /** Times a node lost the rendezvous. */
  rendezvousLost: number;
}

/** @internal */
export function newCounts(): NetworkCounts {
  return {
    messages: 0,
    bytes: 0,
    packetsLost: 0,
    retransmissions: 0,
    cuts: 0,
    heals: 0,
    clogs: 0,
    resets: 0,
    linksMade: 0,
    linksBroken: 0,
    linksClosed: 0,
    setupsFailed: 0,
    rendezvousLost: 0,
  };
}

/** @internal */
export interface World {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly trace: Trace;
  readonly counts: NetworkCounts;
  readonly settings: ResolvedSettings;
  readonly slab: Slab;
  readonly letters: Letters;
}
