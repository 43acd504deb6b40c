/** What the relayed links of a mesh count, summed over all of them. Packets are of this node's own links: what it carries for others is `datagramsRelayed`. */
export interface RelayMetrics {
  /** Packets sent and received. */
  readonly packetsSent: number;
  readonly packetsReceived: number;
  /** Packets given up as lost, whose content was sent again. */
  readonly packetsLost: number;
  /** Packets that did not leave: no way is known, or the first link is congested. */
  readonly packetsRefused: number;
  /** Packets that came again, or too late to tell. */
  readonly packetsRepeated: number;
  /** Packets that did not open with the session's keys: forged, or damaged. */
  readonly packetsForged: number;
  /** Datagrams of a wrong shape, or of nobody's link. */
  readonly dropped: number;
  /** Key exchanges of others that were refused: a cap, a stale cookie, a bad key. */
  readonly openingsRefused: number;
}

/** The same, being counted. @internal */
export type RelayCounters = { -readonly [K in keyof RelayMetrics]: RelayMetrics[K] };

/** All zero. @internal */
export function newRelayCounters(): RelayCounters {
  return {
    packetsSent: 0,
    packetsReceived: 0,
    packetsLost: 0,
    packetsRefused: 0,
    packetsRepeated: 0,
    packetsForged: 0,
    dropped: 0,
    openingsRefused: 0,
  };
}
