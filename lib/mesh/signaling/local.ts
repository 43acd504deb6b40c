/** A rendezvous inside one process: for tests, simulations, and several nodes in one program. */
import { described } from '../../description.js';
import { QuorateError } from '../../errors.js';
import { maxPayloadBytes } from './signaling.js';
import type { Signaling, SignalingHost, SignalingSession } from './signaling.js';

interface Seat {
  readonly host: SignalingHost;
  /** `lost`: to a newer run of its id. */
  state: 'open' | 'lost' | 'closed';
}

type Room = Map<string, Seat>;

/**
 * A rendezvous for meshes of one process. Every call makes a hub of its own: give the same object to all meshes that
 * should meet. Messages and presence arrive in a later turn of the event loop, in the order they were caused.
 *
 * A second node of the same id replaces the first if its incarnation is the same or newer; the one that loses hears
 * ERR_PEER_REPLACED through `onWarning`.
 *
 * @example
 * ```ts
 * const signaling = localSignaling();
 * const a = await joinMesh({ id: 'a', cluster: 'demo', secret, transport: webrtc({ signaling }) });
 * const b = await joinMesh({ id: 'b', cluster: 'demo', secret, transport: webrtc({ signaling }) });
 * ```
 */
export function localSignaling(): Signaling {
  const rooms = new Map<string, Room>();
  const signaling: Signaling = {
    kind: 'local',
    start: (host) => Promise.resolve(takeSeat(rooms, host)),
  };
  return described(signaling, 'localSignaling', []);
}

function takeSeat(rooms: Map<string, Room>, host: SignalingHost): SignalingSession {
  const seat: Seat = { host, state: 'open' };
  const room: Room = rooms.get(host.cluster) ?? new Map<string, Seat>();
  rooms.set(host.cluster, room);

  const leave = (): void => {
    seat.state = 'closed';
    if (room.get(host.id) !== seat) return;
    room.delete(host.id);
    if (room.size === 0 && rooms.get(host.cluster) === room) rooms.delete(host.cluster);
    for (const other of room.values()) later(other, () => other.host.onPresence(host.id, false));
  };

  const older = room.get(host.id);
  if (older !== undefined && older.host.incarnation > host.incarnation) {
    warnReplaced(seat);
  } else {
    room.set(host.id, seat);
    if (older !== undefined) warnReplaced(older);
    for (const other of room.values()) {
      if (other === seat) continue;
      later(seat, () => host.onPresence(other.host.id, true));
      later(other, () => other.host.onPresence(host.id, true));
    }
  }

  return {
    get connected() {
      return seat.state === 'open';
    },
    send(to, payload) {
      const other = seat.state === 'open' ? room.get(to) : undefined;
      if (other === undefined || other === seat || Buffer.byteLength(payload) > maxPayloadBytes) return;
      later(other, () => other.host.onMessage(host.id, payload));
    },
    close() {
      leave();
      return Promise.resolve();
    },
  };
}

/** Ends a seat that lost its id to a newer run. Its room already belongs to the other. */
function warnReplaced(seat: Seat): void {
  seat.state = 'lost';
  seat.host.environment.defer(() => {
    if (seat.state === 'closed') return;
    const { id, cluster } = seat.host;
    const message = `a newer run of node "${id}" is at the rendezvous of cluster "${cluster}"`;
    seat.host.onWarning(new QuorateError('ERR_PEER_REPLACED', message));
  });
}

function later(seat: Seat, deliver: () => void): void {
  seat.host.environment.defer(() => {
    if (seat.state === 'open') deliver();
  });
}
