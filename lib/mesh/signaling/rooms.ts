/** Who is at the rendezvous: one room a cluster, one seat an id. */
import { joinFrame, leaveFrame, messageFrame, welcomeFrames } from './protocol.js';
import type { RefusalCode } from './protocol.js';
import type { ServerClient } from './serverClient.js';

/** What came of a client that asked for its seat. */
export type Admission =
  | { readonly seated: true; readonly replaced: ServerClient | undefined }
  | { readonly seated: false; readonly code: RefusalCode; readonly reason: string };

type Room = Map<string, ServerClient>;

/** The rooms of a server, with their caps. */
export class Rooms {
  readonly #rooms = new Map<string, Room>();
  readonly #maxRooms: number;
  readonly #maxClientsPerRoom: number;
  #clients = 0;
  #relayed = 0;

  constructor(maxRooms: number, maxClientsPerRoom: number) {
    this.#maxRooms = maxRooms;
    this.#maxClientsPerRoom = maxClientsPerRoom;
  }

  get rooms(): number {
    return this.#rooms.size;
  }

  get clients(): number {
    return this.#clients;
  }

  get relayed(): number {
    return this.#relayed;
  }

  /** Seats an announced client, tells it who is there, and tells the others. The newest run of an id gets its seat. */
  admit(client: ServerClient): Admission {
    const { cluster, id, incarnation } = client.hello!;
    let room = this.#rooms.get(cluster);
    const older = room?.get(id);
    if (older !== undefined && older.hello!.incarnation > incarnation) {
      older.probe(); // it may be a ghost whose clock was ahead
      return { seated: false, code: 'replaced', reason: `a newer run of node "${id}" is here` };
    }
    if (room === undefined) {
      if (this.#rooms.size >= this.#maxRooms) return full(`${this.#maxRooms} clusters`);
      room = new Map();
      this.#rooms.set(cluster, room);
    }
    if (older === undefined) {
      if (room.size >= this.#maxClientsPerRoom) return full(`${this.#maxClientsPerRoom} nodes in a cluster`);
      this.#clients++;
    } else {
      const again = older.hello!.incarnation === incarnation;
      if (again) older.refuse('superseded', `node "${id}" came again on another connection`);
      else older.refuse('replaced', `a newer run of node "${id}" took over`);
    }
    const others = [...room.keys()].filter((other) => other !== id);
    room.set(id, client);
    for (const frame of welcomeFrames(others)) client.send(frame);
    this.#tell(room, id, joinFrame(id));
    return { seated: true, replaced: older };
  }

  /** Frees the seat of a client that is gone. `false`: it had none, or a newer run has it. */
  leave(client: ServerClient): boolean {
    if (client.hello === undefined) return false;
    const { cluster, id } = client.hello;
    const room = this.#rooms.get(cluster);
    if (room?.get(id) !== client) return false;
    room.delete(id);
    this.#clients--;
    if (room.size === 0) this.#rooms.delete(cluster);
    else this.#tell(room, id, leaveFrame(id));
    return true;
  }

  /** Hands a payload on, unread; it is dropped when its receiver is not here. `false`: the sender has no seat. */
  relay(from: ServerClient, to: string, payload: Uint8Array): boolean {
    if (from.hello === undefined) return false;
    const { cluster, id } = from.hello;
    const room = this.#rooms.get(cluster);
    if (room?.get(id) !== from) return false;
    const receiver = room.get(to);
    if (receiver !== undefined && receiver !== from && receiver.send(messageFrame(id, payload)))
      this.#relayed++;
    return true;
  }

  /** Every seated client. */
  *[Symbol.iterator](): IterableIterator<ServerClient> {
    for (const room of this.#rooms.values()) yield* room.values();
  }

  #tell(room: Room, about: string, frame: Buffer): void {
    for (const [id, other] of room) {
      if (id !== about) other.send(frame);
    }
  }
}

function full(what: string): Admission {
  return { seated: false, code: 'full', reason: `this server takes at most ${what}` };
}
