/** A channel of a client elsewhere, at the node that it is open to. @internal */
import type { NodeId } from '../../consensus/consensus.js';
import type { ChannelService } from './desk.js';

/** What lives on a channel and ends with it. */
export interface Ending {
  end(): void;
}

export class Channel {
  readonly peer: NodeId;
  readonly number: number;
  readonly group: string;
  /** The replica that it speaks to; undefined while the node has none of that group. */
  service: ChannelService | undefined;
  /** Whether answers can still be told. */
  alive = true;
  /** Streams of changes, by request. */
  readonly streams = new Map<number, Ending>();

  constructor(peer: NodeId, number: number, group: string, service: ChannelService | undefined) {
    this.peer = peer;
    this.number = number;
    this.group = group;
    this.service = service;
  }

  /** The replica is gone; the channel waits for another. */
  reset(): void {
    this.service = undefined;
    this.#endStreams();
  }

  /** The client, or the link to it, is gone. */
  shut(): void {
    this.alive = false;
    this.#endStreams();
  }

  #endStreams(): void {
    const streams = [...this.streams.values()];
    this.streams.clear();
    for (const stream of streams) stream.end();
  }
}
