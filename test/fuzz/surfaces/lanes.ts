/** Lane messages, link frames: what comes over an authenticated link. */
import { LaneReceiver } from '../../../lib/mesh/laneReceiver.js';
import { LaneSender } from '../../../lib/mesh/laneSender.js';
import { maxKind, PieceReader, PieceWriter } from '../../../lib/mesh/framing.js';
import { urgentCapBytes } from '../../../lib/mesh/limits.js';
import { decodeLinkFrame, encodeLinkFrame, type LinkFrame } from '../../../lib/mesh/linkFrames.js';
import type { Lane } from '../../../lib/mesh/transport.js';
import { Random } from '../random.js';
import { must, sameBytes, stateless, TAKEN, type Surface, type Trial } from '../surface.js';

const MAX_FRAME = 64 * 1024;
const WINDOW = 64 * 1024;

/** What a sender makes of many frames: small ones together, large ones in fragments, urgent ones between. */
export function recordedLaneMessages(): Uint8Array[] {
  const messages: Uint8Array[] = [];
  const lane: Lane = {
    maxMessageSize: 1024,
    bufferedAmount: 0,
    send: (message) => messages.push(message.slice()) > 0,
    onMessage: undefined,
    onDrain: undefined,
  };
  const sender = new LaneSender({
    name: 'control',
    lane,
    fragmentBytes: 1024,
    sendQueueBytes: 1 << 20,
    windowBytes: 1 << 30,
    onSent: () => undefined,
  });
  const random = new Random(7);
  for (let i = 0; i < 40; i++) {
    for (let n = random.below(4); n >= 0; n--) {
      const length = random.chance(0.2) ? random.below(5000) : random.below(100);
      sender.send(1 + random.below(maxKind), random.bytes(length));
    }
    if (random.chance(0.5)) sender.sendUrgent(1 + random.below(3), random.bytes(random.below(60)));
    if (random.chance(0.3)) sender.sendUrgent(0, random.pick(linkCorpus));
    sender.flush();
  }
  sender.close();
  return messages;
}

const linkCorpus: readonly Uint8Array[] = (
  [
    { op: 'heartbeat', seq: 1, echo: 0, heldUs: 0, stalledMs: 0, digest: 0 },
    { op: 'heartbeat', seq: 70_000, echo: 69_999, heldUs: 1_000_000, stalledMs: 2000, digest: 2 ** 51 + 3 },
    { op: 'ping', number: 5 },
    { op: 'pong', number: 2 ** 40 },
    { op: 'credit', lane: 'control', limit: 4 * 1024 * 1024 },
    { op: 'credit', lane: 'bulk', limit: 2 ** 45 },
    { op: 'farewell', reason: 'closing' },
    { op: 'farewell', reason: 'replaced' },
    { op: 'farewell', reason: 'protocol' },
    { op: 'farewell', reason: 'deaf' },
  ] satisfies LinkFrame[]
).map(encodeLinkFrame);

export function linkFrames(): Surface {
  return stateless('linkFrames', 'heartbeats, credit, farewells', linkCorpus, (input) => {
    const frame = decodeLinkFrame(input);
    if (frame === undefined) return TAKEN; // what a later version may say
    const bytes = encodeLinkFrame(frame);
    must(JSON.stringify(decodeLinkFrame(bytes)) === JSON.stringify(frame), 'what was read reads otherwise');
    return TAKEN;
  });
}

/** A row of frames that a reader takes out of messages. */
class Frames {
  readonly frames: { kind: number; bytes: Uint8Array; isUrgent: boolean }[] = [];
  readonly reader = new PieceReader(MAX_FRAME, {
    charge: () => true,
    frame: (kind, bytes, isUrgent) => this.frames.push({ kind, bytes, isUrgent }) > 0,
  });
}

export function pieces(): Surface {
  const recording = recordedLaneMessages();
  return {
    name: 'pieces',
    about: 'lane messages: frames put together',
    corpus: recording,
    life: 4096,
    strict: false,
    begin: (random) => {
      let trial = new Frames();
      let broken = true;
      return {
        take: (input) => {
          if (broken) {
            trial = new Frames();
            for (const message of recording.slice(0, random.below(recording.length)))
              trial.reader.read(message);
          }
          trial.frames.length = 0;
          const problem = trial.reader.read(input);
          must(trial.reader.assembling <= MAX_FRAME, 'more is held than the largest frame');
          const again = new Frames();
          const writer = new PieceWriter(MAX_FRAME * 2 + 64);
          for (const { kind, bytes, isUrgent } of trial.frames) {
            must(bytes.length <= MAX_FRAME && kind <= maxKind, 'a frame above its cap');
            writer.add(kind, bytes, 0, bytes.length, isUrgent);
            must(
              again.reader.read(writer.take()) === undefined,
              'a frame that was taken is refused when sent',
            );
            const last = again.frames.at(-1)!;
            must(
              sameBytes(last.bytes, bytes) && last.kind === kind && last.isUrgent === isUrgent,
              'a frame changed',
            );
          }
          broken = problem !== undefined;
          return broken ? 'ERR_PEER_PROTOCOL' : TAKEN;
        },
        held: () => trial.reader.assembling,
      };
    },
  };
}

class LaneTrial implements Trial {
  readonly #open: ((ok: boolean) => void)[] = [];
  #broken = false;
  #crashed: unknown;
  #receiver!: LaneReceiver;
  readonly #random: Random;
  readonly #recording: readonly Uint8Array[];

  constructor(random: Random, recording: readonly Uint8Array[]) {
    this.#random = random;
    this.#recording = recording;
    this.#begin();
  }

  /** A receiver that has heard an honest beginning. */
  #begin(): void {
    const random = this.#random;
    this.#broken = false;
    this.#open.length = 0;
    this.#receiver = new LaneReceiver(WINDOW, MAX_FRAME, {
      onFrame: (kind) => (kind % 3 === 0 ? this.#later() : kind % 7 !== 6 || random.chance(0.9)),
      onLinkFrame: (frame) => {
        try {
          decodeLinkFrame(frame);
          return undefined;
        } catch {
          return 'no link frame';
        }
      },
      announce: (limit) => must(Number.isSafeInteger(limit) && limit >= 0, 'credit that is no number'),
      onBroken: (problem, cause) => {
        this.#broken = true;
        this.#crashed = cause;
        must(problem.length > 0, 'broken for no reason');
      },
    });
    const honest = random.below(this.#recording.length);
    for (const message of this.#recording.slice(0, honest)) {
      this.#receiver.receive(message);
      for (const resolve of this.#open.splice(0)) resolve(true);
    }
  }

  #later(): Promise<boolean> {
    return new Promise((resolve) => this.#open.push(resolve));
  }

  take(input: Uint8Array): string {
    if (this.#broken) this.#begin();
    this.#receiver.receive(input);
    must(this.#crashed === undefined, `a handler crashed: ${String(this.#crashed)}`);
    must(
      this.#receiver.held <= 2 * WINDOW + MAX_FRAME + urgentCapBytes + 64 * 1024,
      'more is held than the caps allow',
    );
    if (this.#open.length > 20) for (const resolve of this.#open.splice(0, 10)) resolve(true);
    return this.#broken ? 'ERR_PEER_PROTOCOL' : TAKEN;
  }

  held(): number {
    return this.#receiver.held;
  }
}

export function lanes(): Surface {
  const recording = recordedLaneMessages();
  return {
    name: 'lanes',
    about: 'lane messages: credit, handlers that take their time',
    corpus: recording,
    life: 4096,
    strict: false,
    begin: (random) => new LaneTrial(random, recording),
  };
}
