/**
 * The requests of one peer's clients that are under way at a member, against their caps, and the answers on their way back. A
 * request is under way until the link has taken its answer.
 *
 * @internal
 */
import { ByteWriter } from '../../bytes.js';
import type { NodeId } from '../../consensus/consensus.js';
import type { Environment } from '../../environment.js';
import type { ErrorCode } from '../../errors.js';
import { FrameKind, type MeshPort } from '../../mesh/port.js';
import { laneFor, whenRoom } from './frames.js';
import { MAX_MESSAGES, MESSAGE_OVERHEAD, writeMessage, type MemberMessage } from './wire.js';

/** What one peer's clients may have under way at one replica. */
export const PEER_LIMITS = {
  requests: 8192,
  /** Of their commands and queries; a larger one is taken if it is the only one. */
  bytes: 32 * 1024 * 1024,
  /** Of answers that wait for the link. */
  answerBytes: 16 * 1024 * 1024,
} as const;

/** A frame that is this large is closed: the next answer goes into another. */
const FRAME_BYTES = 64 * 1024;

/** The answer to a request. */
export type Answer = Extract<MemberMessage, { op: 'result' | 'failure' }>;

/** A frame of answers, and what they were counted as. */
interface Answers {
  readonly frame: Uint8Array;
  readonly requests: number;
  readonly bytes: number;
}

export class ServedPeer {
  readonly #peer: NodeId;
  readonly #port: MeshPort;
  readonly #environment: Environment;
  readonly #limits: Readonly<Record<keyof typeof PEER_LIMITS, number>>;
  #requests = 0;
  #bytes = 0;
  readonly #writer = new ByteWriter();
  #messages = 0;
  #writerRequests = 0;
  #writerBytes = 0;
  #frames: Answers[] = [];
  #frameBytes = 0;
  #scheduled = false;

  constructor(
    peer: NodeId,
    port: MeshPort,
    environment: Environment,
    limits: Readonly<Record<keyof typeof PEER_LIMITS, number>> = PEER_LIMITS,
  ) {
    this.#peer = peer;
    this.#port = port;
    this.#environment = environment;
    this.#limits = limits;
  }

  /** Nothing is under way. */
  get idle(): boolean {
    return this.#requests === 0 && this.#messages === 0 && this.#frames.length === 0;
  }

  /** Counts one more request of so many bytes, if there is room for it. */
  admit(bytes: number): boolean {
    const { requests, bytes: most } = this.#limits;
    if (this.#requests >= requests || (this.#requests > 0 && this.#bytes + bytes > most)) return false;
    this.#requests++;
    this.#bytes += bytes;
    return true;
  }

  /** Answers a request that was admitted with so many bytes; `undefined`: nobody waits for the answer any more. */
  settle(bytes: number, answer: Answer | undefined): void {
    if (answer === undefined) {
      this.#release(1, bytes);
      return;
    }
    this.#writerRequests++;
    this.#writerBytes += bytes;
    this.#write(this.#fitting(answer));
  }

  /** Refuses a request that was not admitted. If the link does not take the word, it is lost. */
  refuse(answer: Answer): void {
    if (this.#frameBytes + this.#writer.length < this.#limits.answerBytes) this.#write(answer);
  }

  /** The link is gone, and with it who waited for what is not sent. */
  lost(): void {
    for (const { requests, bytes } of this.#frames) this.#release(requests, bytes);
    this.#frames = [];
    this.#frameBytes = 0;
    this.#release(this.#writerRequests, this.#writerBytes);
    this.#writer.rewind(0);
    this.#messages = this.#writerRequests = this.#writerBytes = 0;
  }

  #release(requests: number, bytes: number): void {
    this.#requests -= requests;
    this.#bytes -= bytes;
  }

  /** The answer, or where it is too large to be sent or kept, the word that it is. */
  #fitting(answer: Answer): Answer {
    const size = sizeOf(answer);
    const most = this.#port.maxFrameBytes(this.#peer) - MESSAGE_OVERHEAD;
    if (size > most)
      return instead(
        answer,
        'ERR_TOO_LARGE',
        `the answer has ${size} bytes, the link takes at most ${most}`,
        false,
      );
    const waiting = this.#frameBytes + this.#writer.length;
    if (waiting === 0 || waiting + size <= this.#limits.answerBytes) return answer;
    const text = `${waiting} bytes of answers wait for the link, at most ${this.#limits.answerBytes} are kept`;
    return instead(answer, 'ERR_OVERLOADED', text, true);
  }

  #write(answer: Answer): void {
    if (this.#messages > 0 && this.#writer.length + sizeOf(answer) > FRAME_BYTES) this.#seal();
    writeMessage(this.#writer, answer);
    if (++this.#messages >= MAX_MESSAGES) this.#seal();
    this.#schedule();
  }

  #seal(): void {
    if (this.#messages === 0) return;
    const frame = this.#writer.take();
    this.#frames.push({ frame, requests: this.#writerRequests, bytes: this.#writerBytes });
    this.#frameBytes += frame.length;
    this.#messages = this.#writerRequests = this.#writerBytes = 0;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#environment.defer(this.#flush);
  }

  readonly #flush = (): void => {
    this.#scheduled = false;
    this.#seal();
    let sent = 0;
    for (const { frame, requests, bytes } of this.#frames) {
      const lane = laneFor(frame.length);
      if (!this.#port.send(this.#peer, FrameKind.client, frame, { lane })) {
        if (!this.#port.linked().has(this.#peer)) break;
        this.#scheduled = true;
        whenRoom(this.#port, this.#environment, this.#peer, lane, this.#flush);
        break;
      }
      sent++;
      this.#frameBytes -= frame.length;
      this.#release(requests, bytes);
    }
    this.#frames.splice(0, sent);
    if (!this.#port.linked().has(this.#peer)) this.lost();
  };
}

function sizeOf(answer: Answer): number {
  return 32 + (answer.op === 'result' ? answer.body.length : (answer.failure.data?.length ?? 0) + 256);
}

/** `again`: asked once more, with the same request id, there may be an answer. */
function instead({ channel, request }: Answer, code: ErrorCode, message: string, again: boolean): Answer {
  const failure = {
    code,
    fate: again ? ('ambiguous' as const) : undefined,
    message,
    reason: undefined,
    data: undefined,
  };
  return { op: 'failure', channel, request, failure };
}
