/** Handshake messages: both roles, every step; and the admission around it. */
import { generateKeyPairSync } from 'node:crypto';
import type { Environment } from '../../../lib/environment.js';
import { nodeEnvironment } from '../../../lib/environment.js';
import { Admission, type Admitted } from '../../../lib/mesh/admission.js';
import { Credentials } from '../../../lib/mesh/credentials.js';
import { Handshake, type HandshakeOptions } from '../../../lib/mesh/handshake.js';
import { resolveSecret } from '../../../lib/mesh/secret.js';
import type { Lane, RawLink } from '../../../lib/mesh/transport.js';
import type { Random } from '../random.js';
import { must, TAKEN, type Surface, type Trial } from '../surface.js';

const limits = { controlWindowBytes: 1 << 16, bulkWindowBytes: 1 << 16, maxFrameBytes: 1 << 16 };
/** A first message of the bulk lane and the piece that it costs. */
const maxHandshakeBytes = 1024;

type Keys = Awaited<ReturnType<typeof resolveSecret>>;

function optionsOf(side: 'a' | 'b', keys: Keys, random: Random): HandshakeOptions {
  return {
    cluster: 'orders',
    id: side,
    peer: side === 'a' ? 'b' : 'a',
    offerer: side === 'a',
    incarnation: `00000000000000${side === 'a' ? 1 : 2}-0123456789abcdef`,
    credentials: new Credentials({ id: side, cluster: 'orders', keys }),
    nonce: random.bytes(32),
    limits,
    binding: 'AA BB',
    admit: () => undefined,
  };
}

/** The messages of both ends of a handshake that works, in the order of their steps: hello, proof, accept. */
function talk(left: Handshake, right: Handshake): { a: Uint8Array[]; b: Uint8Array[] } {
  const a = [left.start().slice()];
  const b = [right.start().slice()];
  for (let step = 0; step < 3; step++) {
    const toLeft = b[step];
    const toRight = a[step];
    if (toLeft !== undefined) left.receive(toLeft, (bytes) => a.push(bytes.slice()));
    if (toRight !== undefined) right.receive(toRight, (bytes) => b.push(bytes.slice()));
  }
  return { a, b };
}

/** A handshake that was brought to a step by a peer with the secret, and is then told something else. */
class HandshakeTrial implements Trial {
  readonly #keys: Keys;
  readonly #random: Random;

  constructor(keys: Keys, random: Random) {
    this.#keys = keys;
    this.#random = random;
  }

  take(input: Uint8Array): string {
    const role = this.#random.pick(['a', 'b'] as const);
    const ends = {
      a: new Handshake(optionsOf('a', this.#keys, this.#random)),
      b: new Handshake(optionsOf('b', this.#keys, this.#random)),
    };
    const tested = ends[role];
    const other = ends[role === 'a' ? 'b' : 'a'];
    const steps = this.#random.below(3);
    const replies: Uint8Array[] = [];
    if (steps > 0) {
      const proofs: Uint8Array[] = [];
      tested.receive(other.start(), (bytes) => replies.push(bytes.slice()));
      other.receive(tested.start(), (bytes) => proofs.push(bytes.slice()));
      if (steps > 1) tested.receive(proofs[0]!, (bytes) => replies.push(bytes.slice()));
    }
    const before = replies.length;
    const state = tested.receive(input, (bytes) => replies.push(bytes.slice()));
    must(replies.length - before <= 1, 'more than one answer to a message');
    must(
      replies.every((bytes) => bytes.length <= maxHandshakeBytes),
      'an answer above the cap',
    );
    must(state.kind !== 'done' || steps === 2, 'done before the proof');
    must(
      tested.verified === (state.kind === 'running' && steps === 2) || steps < 2,
      'verified by a message that is no proof',
    );
    if (state.kind !== 'refused') return TAKEN;
    must(state.error.message.length < 2000, 'a refusal that is a book');
    return state.error.code;
  }
}

async function recorded(random: Random): Promise<{ keys: Keys; corpus: Uint8Array[] }> {
  const keys = await resolveSecret('the secret of the cluster', 'orders');
  const corpus: Uint8Array[] = [];
  for (let i = 0; i < 4; i++) {
    const { a, b } = talk(
      new Handshake(optionsOf('a', keys, random)),
      new Handshake(optionsOf('b', i % 2 === 0 ? keys : undefined, random)),
    );
    corpus.push(...a, ...b);
  }
  for (let code = 0; code < 12; code++) corpus.push(Uint8Array.of(0x51, 4, code));
  // A hello that names a key, as nodes with an identity send it.
  const raw = generateKeyPairSync('ed25519').publicKey.export({ format: 'der', type: 'spki' }).subarray(-32);
  corpus.push(Buffer.concat([corpus[0]!.subarray(0, corpus[0]!.length - 1), Uint8Array.of(32), raw]));
  return { keys, corpus };
}

export async function handshake(random: Random): Promise<Surface> {
  const { keys, corpus } = await recorded(random);
  return {
    name: 'handshake',
    about: 'handshake messages, both roles, every step',
    corpus,
    words: [Buffer.from('orders'), Buffer.from('a'), Buffer.from('b'), Uint8Array.of(0x51)],
    life: 1024,
    strict: false,
    begin: (random) => new HandshakeTrial(keys, random),
  };
}

class QuietLane implements Lane {
  readonly maxMessageSize = 65_536;
  readonly bufferedAmount = 0;
  onMessage: ((message: Uint8Array) => void) | undefined;
  onDrain: (() => void) | undefined;
  sent = 0;
  sentBytes = 0;
  first: Uint8Array | undefined;
  last: Uint8Array | undefined;

  send(message: Uint8Array): boolean {
    this.sent++;
    this.sentBytes += message.length;
    this.last = message.slice();
    this.first ??= this.last;
    return true;
  }
}

class QuietLink implements RawLink {
  readonly peer: string;
  readonly offerer: boolean;
  readonly binding = 'AA BB';
  readonly control = new QuietLane();
  readonly bulk = new QuietLane();
  onClosed: ((reason: string) => void) | undefined;
  closed = false;

  constructor(peer: string, offerer: boolean) {
    this.peer = peer;
    this.offerer = offerer;
  }

  close(): void {
    this.closed = true;
  }
}

/** An admission over a link in our hands: any messages, on both lanes. */
class AdmissionTrial implements Trial {
  readonly #keys: Keys;
  readonly #random: Random;
  #timers = 0;
  #link!: QuietLink;
  #outcome: Admitted | undefined;
  #other!: Handshake;
  #bulkBytes = 0;

  constructor(keys: Keys, random: Random) {
    this.#keys = keys;
    this.#random = random;
    this.#begin();
  }

  #begin(): void {
    const environment: Environment = {
      ...nodeEnvironment,
      setTimer: () => {
        this.#timers++;
        let cancelled = false;
        return {
          cancel: () => {
            if (!cancelled) this.#timers--;
            cancelled = true;
          },
        };
      },
    };
    const link = new QuietLink('b', true);
    this.#link = link;
    this.#outcome = undefined as Admitted | undefined;
    this.#bulkBytes = 0;
    const options = optionsOf('a', this.#keys, this.#random);
    new Admission(link, { ...options, environment, timeoutMs: 5000 }, (outcome) => {
      must(this.#outcome === undefined, 'an admission ended twice');
      this.#outcome = outcome;
    });
    this.#other = new Handshake(optionsOf('b', this.#keys, this.#random));
    for (let steps = this.#random.below(3); steps > 0 && this.#outcome === undefined; steps--) {
      const next = this.#link.control.last!;
      if (steps === 1 && this.#link.control.sent === 1) link.control.onMessage?.(this.#other.start());
      else this.#other.receive(next, (bytes) => link.control.onMessage?.(bytes.slice()));
    }
  }

  take(input: Uint8Array): string {
    const link = this.#link;
    if (this.#random.chance(0.7)) {
      link.control.onMessage?.(input);
    } else {
      this.#bulkBytes += input.length;
      link.bulk.onMessage?.(input);
    }
    const outcome = this.#outcome;
    if (outcome === undefined) {
      must(this.#bulkBytes <= 2 * limits.bulkWindowBytes, 'more early data is kept than the cap');
      must(link.control.sent <= 4, 'it talks too much');
      return TAKEN;
    }
    must(this.#timers === 0, 'a timer is left of an admission that is over');
    must(outcome.kind === 'done' || link.closed, 'a refused link stays open');
    if (outcome.kind === 'refused')
      must(link.control.onMessage === undefined, 'a refused link is still heard');
    const verdict = outcome.kind === 'refused' ? outcome.error.code : TAKEN;
    this.#begin();
    return verdict;
  }

  held(): number {
    return this.#bulkBytes;
  }
}

export async function admission(random: Random): Promise<Surface> {
  const { keys, corpus } = await recorded(random);
  return {
    name: 'admission',
    about: 'whole admissions, messages on both lanes',
    corpus,
    life: 4096,
    strict: false,
    begin: (random) => new AdmissionTrial(keys, random),
  };
}
