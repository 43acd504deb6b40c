/** One direction between two nodes: its shape, and whether anything passes. @internal */
import type { NodeId } from '../../../consensus/consensus.js';
import type { LaneName } from '../../../mesh/transport.js';
import type { Random } from '../random.js';
import type { LinkEnd } from './link.js';
import type { ResolvedLane, ResolvedShape } from './settings.js';

const packetBytes = 1200;

export class Way {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly random: Random;
  /** The ends of links that send this way. */
  readonly ends = new Set<LinkEnd>();
  /** The other direction. */
  back!: Way;
  shape: ResolvedShape;
  cut = false;
  cloggedUntil = 0;

  constructor(from: NodeId, to: NodeId, random: Random, shape: ResolvedShape) {
    this.from = from;
    this.to = to;
    this.random = random;
    this.shape = shape;
  }

  /** Packets pass in both directions. */
  get open(): boolean {
    return !this.cut && !this.back.cut;
  }

  lane(name: LaneName): ResolvedLane {
    return this.shape[name];
  }

  /** How long one packet takes. */
  delay(name: LaneName): number {
    const { latencyMs, jitterMs, tailMs } = this.shape[name];
    let delay = latencyMs;
    if (jitterMs > 0) delay += this.random.between(0, jitterMs);
    if (tailMs > 0) delay += this.random.exponential(tailMs);
    return delay;
  }

  /** How many of so many packets get lost now. */
  lost(name: LaneName, packets: number): number {
    if (this.cut) return packets;
    const { lossRate } = this.shape[name];
    if (lossRate === 0) return 0;
    let lost = 0;
    for (let i = 0; i < packets; i++) if (this.random.chance(lossRate)) lost++;
    return lost;
  }

  /** A usual round trip. */
  roundTrip(name: LaneName): number {
    return usual(this.shape[name]) + usual(this.back.shape[name]);
  }
}

function usual(shape: ResolvedLane): number {
  return shape.latencyMs + shape.jitterMs / 2 + shape.tailMs;
}

/** Packets that so many bytes fill. */
export function packetsOf(bytes: number): number {
  return Math.max(1, Math.ceil(bytes / packetBytes));
}
