/**
 * Where the frames of clients arrive on a node: those of clients elsewhere go to the replica that they name, answers to the
 * clients that live here. One a mesh, made with its first replica or client.
 *
 * @internal
 */
import type { NodeId } from '../../consensus/consensus.js';
import type { Environment } from '../../environment.js';
import { QuorateError, type ErrorCode } from '../../errors.js';
import { meshEnvironment, meshPort, type Mesh } from '../../mesh/mesh.js';
import { FrameKind, type MeshPort } from '../../mesh/port.js';
import { Channel } from './channel.js';
import {
  CLIENT_WIRE_VERSION,
  frameOf,
  readMessages,
  type ClientMessage,
  type MemberMessage,
  type Message,
} from './wire.js';

/** Channels that one peer may have open here; above it the oldest is closed. */
export const MAX_CHANNELS = 256;
/** Small messages that wait for a hung link; the peer asks again for what is dropped above it, or is gone. */
const MAX_UNSAID = 1024;

/** What a replica here makes of the channels that name it. */
export interface ChannelService {
  /** The channel is this replica's now, or wants to be told once more how it stands. */
  opened(channel: Channel): void;
  /** `false`: the message breaks the protocol. */
  receive(channel: Channel, message: ClientMessage): boolean;
  /** The link to a peer is gone. */
  lost(peer: NodeId): void;
}

/** A client here. */
export interface ClientEnd {
  readonly group: string;
  /** `false`: the message breaks the protocol. */
  receive(peer: NodeId, message: MemberMessage): boolean;
  linked(peer: NodeId): void;
  lost(peer: NodeId): void;
}

const desks = new WeakMap<Mesh, ClientDesk>();

/** The desk of a mesh. */
export function deskOf(mesh: Mesh): ClientDesk {
  let desk = desks.get(mesh);
  if (desk === undefined) {
    desk = new ClientDesk(meshPort(mesh), meshEnvironment(mesh));
    desks.set(mesh, desk);
  }
  return desk;
}

export class ClientDesk {
  readonly port: MeshPort;
  readonly environment: Environment;
  readonly #services = new Map<string, ChannelService>();
  readonly #clients = new Map<number, ClientEnd>();
  readonly #channels = new Map<NodeId, Map<number, Channel>>();
  readonly #unsaid = new Map<NodeId, Map<string, () => Message>>();
  #numbers = 0;

  constructor(port: MeshPort, environment: Environment) {
    this.port = port;
    this.environment = environment;
    port.handle(FrameKind.client, (peer, _session, frame) => this.#receive(peer, frame));
    port.listen({ onPeer: (peer, up) => this.#onPeer(peer, up) });
    // What clients elsewhere asked before there was anybody to hear it is lost.
    for (const peer of port.linked().keys()) this.say(peer, 'here', () => ({ op: 'here' }));
  }

  /** Has a replica serve, or refuse, the channels of its group. The function it returns ends that. */
  serve(group: string, service: ChannelService): () => void {
    this.#services.set(group, service);
    for (const channel of this.channelsOf(group)) {
      channel.service = service;
      service.opened(channel);
    }
    return () => {
      if (this.#services.get(group) !== service) return; // the group was opened anew
      this.#services.delete(group);
      for (const channel of this.channelsOf(group)) {
        channel.reset();
        this.#absent(channel);
      }
    };
  }

  /** The channels that name a group. */
  *channelsOf(group: string): Iterable<Channel> {
    for (const channels of this.#channels.values())
      for (const channel of channels.values()) if (channel.group === group) yield channel;
  }

  /** Gives a client a channel number, and opens it to all peers. */
  addClient(client: ClientEnd): number {
    const number = ++this.#numbers;
    this.#clients.set(number, client);
    for (const peer of this.port.linked().keys()) this.open(peer, number, client.group);
    return number;
  }

  removeClient(number: number): void {
    if (!this.#clients.delete(number)) return;
    for (const peer of this.port.linked().keys())
      this.say(peer, `open ${number}`, () => ({ op: 'shut', channel: number }));
  }

  open(peer: NodeId, channel: number, group: string): void {
    this.say(peer, `open ${channel}`, () => ({
      op: 'open',
      channel,
      version: CLIENT_WIRE_VERSION,
      group,
    }));
  }

  /**
   * Sends a small message that needs no credit. Where even that has no room it waits for it, the newest for each `key` of a peer
   * only: `make` is called when it is sent.
   */
  say(peer: NodeId, key: string, make: () => Message): void {
    const unsaid = this.#unsaid.get(peer);
    if (unsaid === undefined && this.#send(peer, make())) return;
    if (!this.port.linked().has(peer)) return;
    if (unsaid !== undefined) {
      if (unsaid.size < MAX_UNSAID || unsaid.has(key)) unsaid.set(key, make);
      return;
    }
    this.#unsaid.set(peer, new Map([[key, make]]));
    this.port.whenDrained(peer, 'control', () => {
      const waiting = this.#unsaid.get(peer);
      this.#unsaid.delete(peer);
      for (const [again, makeNow] of waiting ?? []) this.say(peer, again, makeNow);
    });
  }

  #send(peer: NodeId, message: Message): boolean {
    return this.port.send(peer, FrameKind.client, frameOf(message), { lane: 'control', urgent: true });
  }

  #onPeer(peer: NodeId, up: boolean): void {
    const channels = this.#channels.get(peer);
    this.#channels.delete(peer);
    this.#unsaid.delete(peer);
    for (const channel of channels?.values() ?? []) channel.shut();
    for (const service of this.#services.values()) service.lost(peer);
    for (const client of this.#clients.values()) client.lost(peer);
    if (!up) return;
    for (const [number, client] of this.#clients) {
      this.open(peer, number, client.group);
      client.linked(peer);
    }
  }

  #receive(peer: NodeId, frame: Uint8Array): boolean {
    try {
      return readMessages(frame, (message) => this.#message(peer, message));
    } catch (error) {
      if (error instanceof QuorateError && error.code === 'ERR_CODEC') return false;
      throw error;
    }
  }

  #message(peer: NodeId, message: Message): boolean {
    switch (message.op) {
      case 'here':
        for (const [number, client] of this.#clients) this.open(peer, number, client.group);
        return true;
      case 'standing':
      case 'result':
      case 'failure':
      case 'changes':
        // A client that was closed meanwhile has nothing to say to what was under way.
        return this.#clients.get(message.channel)?.receive(peer, message) ?? true;
      case 'open':
        this.#open(peer, message.channel, message.version, message.group);
        return true;
      case 'shut':
        this.#shut(peer, message.channel);
        return true;
      default: {
        const channel = this.#channels.get(peer)?.get(message.channel);
        return channel?.service?.receive(channel, message) ?? true;
      }
    }
  }

  #open(peer: NodeId, number: number, version: number, group: string): void {
    if (version !== CLIENT_WIRE_VERSION) {
      const text = `the client speaks version ${version}, this member ${CLIENT_WIRE_VERSION}`;
      this.#refuse(peer, number, 'ERR_PEER_VERSION', text);
      return;
    }
    let channels = this.#channels.get(peer);
    if (channels === undefined) this.#channels.set(peer, (channels = new Map<number, Channel>()));
    let channel = channels.get(number);
    if (channel !== undefined && channel.group !== group) {
      this.#shut(peer, number);
      channel = undefined;
    }
    if (channel === undefined) {
      if (channels.size >= MAX_CHANNELS) {
        const oldest = channels.keys().next().value!;
        this.#shut(peer, oldest);
        this.#refuse(peer, oldest, 'ERR_OVERLOADED', `a peer may have ${MAX_CHANNELS} channels of clients`);
      }
      channel = new Channel(peer, number, group, this.#services.get(group));
      channels.set(number, channel);
    }
    if (channel.service !== undefined) channel.service.opened(channel);
    else this.#absent(channel);
  }

  #shut(peer: NodeId, number: number): void {
    const channels = this.#channels.get(peer);
    channels?.get(number)?.shut();
    channels?.delete(number);
  }

  #absent(channel: Channel): void {
    this.tell(channel, () => standing(channel.number, 'absent'));
  }

  #refuse(peer: NodeId, number: number, code: ErrorCode, message: string): void {
    this.say(peer, `standing ${number}`, () => standing(number, 'refused', { code, message }));
  }

  /** Tells a channel how its replica stands. */
  tell({ peer, number }: Channel, make: () => Standing): void {
    this.say(peer, `standing ${number}`, make);
  }
}

/** How a member stands to a channel. */
export type Standing = Extract<MemberMessage, { op: 'standing' }>;

export function standing(
  channel: number,
  serving: Standing['serving'],
  more: Partial<Pick<Standing, 'quorum' | 'leader' | 'code' | 'message'>> = {},
): Standing {
  return { op: 'standing', channel, serving, quorum: false, leader: '', code: '', message: '', ...more };
}
