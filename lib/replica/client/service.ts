/**
 * A member's service for clients elsewhere: their commands are submitted under the request ids they give, their queries asked,
 * their streams fed, by the replica of this node.
 *
 * @internal
 */
import { QuorateError, type ErrorCode, type Fate } from '../../errors.js';
import type { Mesh } from '../../mesh/mesh.js';
import type { NodeId } from '../../consensus/consensus.js';
import type { Codec } from '../codec.js';
import { needsQuorum } from '../consistency.js';
import type { CheckedOptions } from '../options.js';
import { Waiter } from '../pending.js';
import type { Replica, ReplicaTenant } from '../replica.js';
import { parseRequestId } from '../requestId.js';
import type { Room } from '../room.js';
import type { StateMachine } from '../stateMachine.js';
import type { Channel } from './channel.js';
import { deskOf, standing, type ChannelService, type ClientDesk } from './desk.js';
import { ServedPeer, type Answer } from './servedPeer.js';
import { ServedStream } from './servedStream.js';
import type { ClientMessage, WireFailure } from './wire.js';

/** Streams of changes that one channel may have. */
export const MAX_STREAMS = 64;

/** What the service asks of its replica's face. */
export type ServedReplica = Pick<Replica, 'id' | 'group' | 'query' | 'ready'>;

/** Has a replica serve clients, or refuse them. */
export function serveClients(
  mesh: Mesh,
  replica: unknown,
  room: Room,
  machine: StateMachine,
  options: Pick<CheckedOptions, 'group' | 'codec' | 'clients' | 'join'>,
): ReplicaTenant {
  const desk = deskOf(mesh);
  const witness = options.join === 'witness';
  if (options.clients && !witness)
    return new ClientService(desk, replica as ServedReplica, room, machine, options.codec);
  const message = `the replica of ${options.group} on ${mesh.id} does not serve clients (${witness ? 'it is a witness' : 'clients: false'})`;
  const closing = desk.serve(options.group, {
    opened: (channel) =>
      desk.tell(channel, () => standing(channel.number, 'refused', { code: 'ERR_NOT_SERVED', message })),
    receive: () => true,
    lost: () => undefined,
  });
  return { statusChanged: () => undefined, closing };
}

export class ClientService implements ChannelService, ReplicaTenant {
  readonly #desk: ClientDesk;
  readonly #replica: ServedReplica;
  readonly #room: Room;
  readonly #machine: StateMachine;
  readonly #codec: Codec;
  readonly #peers = new Map<NodeId, ServedPeer>();
  readonly #leave: () => void;
  #quorum = false;
  #leader = '';
  #closed = false;

  constructor(desk: ClientDesk, replica: ServedReplica, room: Room, machine: StateMachine, codec: Codec) {
    this.#desk = desk;
    this.#replica = replica;
    this.#room = room;
    this.#machine = machine;
    this.#codec = codec;
    this.#look();
    this.#leave = desk.serve(replica.group, this);
  }

  statusChanged(): void {
    if (this.#closed || !this.#look()) return;
    for (const channel of this.#desk.channelsOf(this.#replica.group)) this.opened(channel);
  }

  /** Whether something changed that clients are told. */
  #look(): boolean {
    const { quorum = false, leader = '' } = this.#room.status ?? {};
    if (quorum === this.#quorum && leader === this.#leader) return false;
    this.#quorum = quorum;
    this.#leader = leader;
    return true;
  }

  closing(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#leave();
  }

  opened(channel: Channel): void {
    this.#desk.tell(channel, () =>
      this.#closed
        ? standing(channel.number, 'absent')
        : standing(channel.number, 'serving', { quorum: this.#quorum, leader: this.#leader }),
    );
  }

  lost(peer: NodeId): void {
    const served = this.#peers.get(peer);
    served?.lost();
    if (served?.idle === true) this.#peers.delete(peer);
  }

  receive(channel: Channel, message: ClientMessage): boolean {
    switch (message.op) {
      case 'submit':
        this.#submit(channel, message.request, message.requestId, message.body);
        return true;
      case 'query':
        this.#query(channel, message);
        return true;
      case 'follow':
        return this.#follow(channel, message);
      case 'grant': {
        const stream = channel.streams.get(message.request);
        return !(stream instanceof ServedStream) || stream.grant(message.count, message.bytes);
      }
      case 'leave':
        channel.streams.get(message.request)?.end();
        channel.streams.delete(message.request);
        return true;
      default:
        return true;
    }
  }

  #submit(channel: Channel, request: number, requestId: string, body: Uint8Array): void {
    const peer = this.#admit(channel, request, body.length, true);
    if (peer === undefined) return;
    const bytes = body.length;
    try {
      const command = this.#decode(body);
      this.#validate(command);
      const waiter = new Waiter(
        (result) => this.#settle(peer, bytes, channel, request, result),
        (error) => this.#fail(peer, bytes, channel, request, error),
      );
      const { submitter, commitIndex } = this.#room;
      const id = parseRequestId(requestId);
      // Not by the replica's face: what goes into this member's outbox may come out when its request id is forgotten.
      if (typeof id === 'string') {
        submitter.add(command, id, waiter);
        return;
      }
      // The leader gives up the link to a member that forwards a session that cannot be.
      if (id.session < 1 || id.sequence < 1 || id.session > commitIndex)
        throw refused('ERR_NOT_READY', `this member knows of no session ${id.session}`);
      submitter.retry(id, command, waiter);
    } catch (error) {
      this.#fail(peer, bytes, channel, request, error, 'refused');
    }
  }

  #decode(body: Uint8Array): unknown {
    try {
      return this.#codec.decode(body);
    } catch (cause) {
      throw refused('ERR_CODEC', `the member cannot decode the client's bytes: ${textOf(cause)}`);
    }
  }

  #validate(command: unknown): void {
    try {
      this.#machine.validate?.(command);
    } catch (error) {
      if (error instanceof QuorateError) throw error;
      throw refused('ERR_REJECTED', `validate threw: ${textOf(error)}`);
    }
  }

  #query(channel: Channel, message: Extract<ClientMessage, { op: 'query' }>): void {
    const { request, consistency, body } = message;
    const peer = this.#admit(channel, request, body.length, needsQuorum(consistency));
    if (peer === undefined) return;
    const bytes = body.length;
    const failed = (error: unknown): void => this.#fail(peer, bytes, channel, request, error);
    try {
      this.#replica
        .query(this.#decode(body), { consistency })
        .then((answer) => this.#settle(peer, bytes, channel, request, answer), failed);
    } catch (error) {
      failed(error);
    }
  }

  /** The peer, with the request counted; undefined where it is refused. */
  #admit(channel: Channel, request: number, bytes: number, quorum: boolean): ServedPeer | undefined {
    const peer = this.#peerOf(channel.peer);
    if (this.#closed) this.#refuse(peer, channel, request, 'ERR_CLOSED', 'the replica is closed');
    else if (quorum && !this.#quorum)
      this.#refuse(peer, channel, request, 'ERR_NOT_READY', 'no quorum answers this member');
    else if (peer.admit(bytes)) return peer;
    else
      this.#refuse(
        peer,
        channel,
        request,
        'ERR_OVERLOADED',
        'too much of this peer is in flight at the member',
      );
    return undefined;
  }

  #peerOf(id: NodeId): ServedPeer {
    let peer = this.#peers.get(id);
    if (peer === undefined) {
      for (const [other, known] of this.#peers) if (known.idle) this.#peers.delete(other);
      peer = new ServedPeer(id, this.#desk.port, this.#desk.environment);
      this.#peers.set(id, peer);
    }
    return peer;
  }

  #refuse(peer: ServedPeer, { number }: Channel, request: number, code: ErrorCode, message: string): void {
    const failure: WireFailure = { code, fate: 'refused', message, reason: undefined, data: undefined };
    peer.refuse({ op: 'failure', channel: number, request, failure });
  }

  #settle(peer: ServedPeer, bytes: number, channel: Channel, request: number, result: unknown): void {
    let answer: Answer | undefined;
    if (channel.alive) {
      try {
        answer = { op: 'result', channel: channel.number, request, body: this.#codec.encode(result) };
      } catch (error) {
        answer = this.#failure(channel, request, error);
      }
    }
    peer.settle(bytes, answer);
  }

  #fail(
    peer: ServedPeer,
    bytes: number,
    channel: Channel,
    request: number,
    error: unknown,
    fate?: Fate,
  ): void {
    peer.settle(bytes, channel.alive ? this.#failure(channel, request, error, fate) : undefined);
  }

  #failure({ number }: Channel, request: number, error: unknown, fate?: Fate): Answer {
    const known =
      error instanceof QuorateError ? error : new QuorateError('ERR_INTERNAL', textOf(error), { fate });
    const { code, message, reason } = known;
    let data: Uint8Array | undefined;
    try {
      if (known.data !== undefined) data = this.#codec.encode(known.data);
    } catch {
      data = undefined; // the code and the reason say enough
    }
    return {
      op: 'failure',
      channel: number,
      request,
      failure: { code, fate: known.fate ?? fate, message, reason, data },
    };
  }

  #follow(channel: Channel, message: Extract<ClientMessage, { op: 'follow' }>): boolean {
    const { request, from, count, bytes } = message;
    if (channel.streams.has(request)) return false;
    const peer = this.#peerOf(channel.peer);
    if (this.#closed || channel.streams.size >= MAX_STREAMS) {
      const code = this.#closed ? 'ERR_CLOSED' : 'ERR_OVERLOADED';
      this.#refuse(
        peer,
        channel,
        request,
        code,
        this.#closed ? 'the replica is closed' : `a client has at most ${MAX_STREAMS} streams`,
      );
      return true;
    }
    const { changes, applier } = this.#room;
    const failed = (error: unknown): void => {
      channel.streams.delete(request);
      if (channel.alive) peer.refuse(this.#failure(channel, request, error));
    };
    const stream = new ServedStream(
      channel,
      request,
      from,
      {
        codec: this.#codec,
        after: (index, max) => changes.after(applier.appliedIndex, index, max),
        follow: (wake) => changes.follow(applier.appliedIndex, wake),
      },
      this.#desk.port,
      this.#desk.environment,
      failed,
    );
    stream.grant(count, bytes);
    channel.streams.set(request, stream);
    // A client that comes from another member may have seen more than this one.
    if (from === undefined || from <= applier.appliedIndex) stream.start();
    else this.#replica.ready().then(() => stream.start(), failed);
    return true;
  }
}

function refused(code: ErrorCode, message: string): QuorateError {
  return new QuorateError(code, message, { fate: 'refused' });
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
