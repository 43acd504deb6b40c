/** How the messages of a consensus protocol become bytes. */
import type { ByteReader, ByteWriter } from '../bytes.js';
import type { ConsensusProtocol, MessageBase } from '../consensus/consensus.js';

/** How a message should travel. */
export interface Travel {
  /** Small and needed at once: votes, heartbeats, acknowledgements. Needs no credit. */
  readonly urgent: boolean;
  /** Bytes of payload, to choose the lane by. */
  readonly size: number;
}

/** Encodes and decodes the messages of one protocol. Decoding throws ERR_CODEC for anything malformed. */
export interface MessageCodec<M extends MessageBase = MessageBase> {
  encode(writer: ByteWriter, message: M): void;
  decode(reader: ByteReader): M;
  travel(message: M): Travel;
}

/** A protocol with the codec of its messages: what `consensus: raft()` stands for. */
export interface WiredProtocol<M extends MessageBase = MessageBase> {
  readonly protocol: ConsensusProtocol<M>;
  readonly codec: MessageCodec<M>;
}
