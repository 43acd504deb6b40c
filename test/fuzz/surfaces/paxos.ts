/** Live Paxos cores that get messages of anybody: in the founding, with a founded log, and leading. */
import { ByteReader } from '../../../lib/bytes.js';
import { MAX_INDEX } from '../../../lib/consensus/bounds.js';
import { compareEpochs, createEffects, NO_EPOCH } from '../../../lib/consensus/consensus.js';
import type { Consensus, Effects } from '../../../lib/consensus/consensus.js';
import type { PaxosMessage } from '../../../lib/consensus/paxos/messages.js';
import { createPaxosProtocol } from '../../../lib/consensus/paxos/paxos.js';
import { isSound } from '../../../lib/consensus/paxos/validate.js';
import { paxosCodec } from '../../../lib/engine/paxosCodec.js';
import { expectEnd } from '../../../lib/engine/wire.js';
import { QuorateError } from '../../../lib/errors.js';
import { paxosMessages } from '../paxosMessages.js';
import type { Random } from '../random.js';
import { must, sameBytes, stateless, TAKEN, type Surface, type Trial } from '../surface.js';
import { written } from './group.js';

const protocol = createPaxosProtocol();

class PaxosTrial implements Trial {
  readonly #random: Random;
  readonly #core: Consensus<PaxosMessage>;
  readonly #fx: Effects<PaxosMessage> = createEffects();
  #now = 0;
  #session = 1;
  #promised = NO_EPOCH;
  #commit = 0;
  /** The newest that it asked in. */
  #round = 1;

  constructor(random: Random) {
    this.#random = random;
    this.#core = protocol.create({
      self: 'a',
      incarnation: 'A',
      founders: ['a', 'b', 'c'],
      genesisCandidate: 'G',
      now: 0,
      random: () => random.next(),
      recovered: undefined,
    });
    this.#link('b');
    this.#link('c');
    if (random.chance(0.5)) this.#lead();
  }

  #link(id: string): void {
    this.#core.link(this.#now, id, this.#session++, true, { incarnation: id.toUpperCase(), genesis: '' });
  }

  /** Has it elected by honest answers. */
  #lead(): void {
    for (let i = 0; i < 50 && this.#core.status.role !== 'leader'; i++) {
      this.#now += 20;
      this.#core.tick(this.#now);
      this.#drain();
      const nobody = { config: 0, ballot: NO_EPOCH, leader: NO_EPOCH, happy: false };
      this.#core.receive(this.#now, 'b', { type: 'pong', round: this.#round, ...nobody });
      const { role, epoch } = this.#core.status;
      const log = { lastEpoch: NO_EPOCH, lastIndex: 0, commit: 0, genesis: '' };
      if (role === 'candidate')
        this.#core.receive(this.#now, 'b', { type: 'promise', granted: true, term: epoch, ...log });
      this.#drain();
    }
    must(this.#core.status.role === 'leader', 'it does not lead');
  }

  #drain(): void {
    for (let rounds = 0; this.#core.dirty; rounds++) {
      must(rounds < 100, 'it never comes to rest');
      this.#core.drain(this.#now, this.#fx);
      must(this.#fx.send.length <= 20_000, 'one message makes it send without end');
      for (const { message } of this.#fx.send) if (message.type === 'ping') this.#round = message.round;
      const { hard } = this.#fx;
      if (hard !== undefined) {
        must(compareEpochs(hard.epoch, this.#promised) >= 0, 'a promise that went back');
        must(hard.epoch.n <= this.#promised.n + 2 ** 32 + 2, 'a ballot that went too far');
        this.#promised = hard.epoch;
      }
      if (this.#fx.io > 0) this.#core.persisted(this.#now, this.#fx.io);
    }
  }

  take(input: Uint8Array): string {
    const from = this.#random.pick(['b', 'b', 'c', 'stranger']);
    this.#now += this.#random.below(20);
    const reader = new ByteReader(input);
    const message = paxosCodec.decode(reader);
    expectEnd(reader);
    const sound = this.#core.receive(this.#now, from, message);
    if (this.#random.chance(0.2)) this.#core.tick(this.#now);
    if (this.#random.chance(0.1)) this.#core.propose(this.#now, 1e12, new Uint8Array(8), 1);
    this.#drain();
    const { stopped, commitIndex, lastIndex } = this.#core.status;
    must(stopped === undefined, `a peer stopped the core: ${stopped?.message ?? ''}`);
    must(
      commitIndex >= this.#commit && commitIndex <= lastIndex && lastIndex <= MAX_INDEX,
      'indexes that cannot be',
    );
    this.#commit = commitIndex;
    if (sound) return TAKEN;
    // What the engine does: the link is lost, and comes back.
    this.#core.link(this.#now, from, this.#session, false);
    this.#link(from);
    this.#drain();
    return 'ERR_PEER_PROTOCOL';
  }
}

export function paxos(): Surface {
  const corpus = paxosMessages().map((message) => written((w) => paxosCodec.encode(w, message)));
  return stateless('paxos', 'Paxos messages: codec and validation', corpus, (input) => {
    const reader = new ByteReader(input);
    const message = paxosCodec.decode(reader);
    expectEnd(reader);
    const canonical = written((w) => paxosCodec.encode(w, message));
    const again = written((w) => paxosCodec.encode(w, paxosCodec.decode(new ByteReader(canonical))));
    must(sameBytes(canonical, again), 'a message reads otherwise');
    const owner = 'term' in message ? message.term.node : 'b';
    if (!isSound(message, owner, { config: 1, n: 10, priority: 0, node: 'c' }))
      throw new QuorateError('ERR_PEER_PROTOCOL', 'it cannot be');
    for (const value of Object.values(message))
      must(typeof value !== 'number' || Number.isSafeInteger(value), 'a number that is none');
    must(!('term' in message) || message.term.n <= 10 + 2 ** 32, 'a ballot of the far future');
    return TAKEN;
  });
}

export function paxosCore(): Surface {
  return {
    name: 'paxosCore',
    about: 'live Paxos cores that get decoded messages',
    corpus: paxosMessages().map((message) => written((w) => paxosCodec.encode(w, message))),
    life: 256,
    strict: false,
    begin: (random) => new PaxosTrial(random),
  };
}
