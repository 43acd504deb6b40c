/** How frames of clients, and to them, travel. @internal */
import type { NodeId } from '../../consensus/consensus.js';
import type { Environment } from '../../environment.js';
import type { MeshPort } from '../../mesh/port.js';
import type { LaneName } from '../../mesh/transport.js';

/** Frames above this size travel on the bulk lane, so that they delay no heartbeat. */
const BULK_BYTES = 256 * 1024;
/** A lane that has drained may still have no room for a large frame: how long until the next try. */
const PAUSE_MS = 5;

export function laneFor(bytes: number): LaneName {
  return bytes > BULK_BYTES ? 'bulk' : 'control';
}

/** Calls back when a lane that did not take a frame may take it, or the link is gone; never at once. */
export function whenRoom(
  port: MeshPort,
  environment: Environment,
  peer: NodeId,
  lane: LaneName,
  callback: () => void,
): void {
  port.whenDrained(peer, lane, () => void environment.setTimer(PAUSE_MS, callback));
}
