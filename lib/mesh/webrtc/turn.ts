/**
 * Which end of a connection is the DTLS client, and which end may use its TURN servers.
 *
 * Native code (libdatachannel 0.24.3 to 0.24.5, its pull request 1630) stands still for good, with the whole process, when the
 * first packet of the DTLS client waits already at the moment in which ICE connects the DTLS server over a TURN server of that
 * server's own. Hence two rules: the DTLS server has no TURN server of its own, which suffices where the client has one; where
 * both must have one, the client does not speak to the server's relayed address before it was spoken to. @internal
 */
import { canRelay } from './iceServers.js';
import type { IceServer } from './iceServers.js';

/** What an offer says of its DTLS role: client, server, or as the answerer likes. */
export type OfferedSetup = 'active' | 'passive' | 'actpass';

/** What a node does in one set-up. */
export interface TurnRole {
  /** The servers that it uses. */
  readonly iceServers: readonly IceServer[];
  /** The DTLS client's part, the server's, or as the answerer likes. */
  readonly setup: OfferedSetup;
  /** Both sides use their TURN servers, since one of them takes nothing but relayed paths. */
  readonly bothRelay: boolean;
}

/**
 * The part of the side that offers. `other`: leave the relaying to the peer this time, whose server may work where the own one
 * does not.
 */
export function offererRole(servers: readonly IceServer[], relayOnly: boolean, other: boolean): TurnRole {
  if (!canRelay(servers)) return { iceServers: servers, setup: 'actpass', bothRelay: false };
  if (relayOnly) return { iceServers: servers, setup: 'active', bothRelay: true };
  return other
    ? { iceServers: withoutTurn(servers), setup: 'passive', bothRelay: false }
    : { iceServers: servers, setup: 'active', bothRelay: false };
}

/** The part of the side that answers. */
export function answererRole(
  servers: readonly IceServer[],
  relayOnly: boolean,
  offered: OfferedSetup,
  bothRelay: boolean,
): TurnRole {
  // Free to choose, a side without TURN is better the DTLS server: it is ready when the first packet of the client comes.
  const active = offered === 'passive' || (offered === 'actpass' && canRelay(servers));
  const relays = active || bothRelay || relayOnly;
  return {
    iceServers: relays ? servers : withoutTurn(servers),
    setup: active ? 'active' : 'passive',
    bothRelay,
  };
}

/** A TURN server answers STUN as well, and the public address is what the peer's TURN server asks for. */
function withoutTurn(servers: readonly IceServer[]): readonly IceServer[] {
  const stun = servers.filter((server) => server.relayType === undefined);
  return stun.length > 0 ? stun : servers.map(({ hostname, port }) => ({ hostname, port }));
}

/**
 * The peer's relayed address with a port that leads nowhere (discard, RFC 863): so this side's TURN server lets in what comes
 * from that address (permissions are for addresses, not ports, RFC 8656 section 9), and the peer speaks first.
 */
export function silenced(candidate: string): string {
  return candidate.replace(/ ([0-9]+) typ relay/, ' 9 typ relay');
}
