/** Live cores that get messages of anybody: a follower, a candidate and a leader, with a disk that works at once. */
import { ByteReader } from '../../../lib/bytes.js';
import { MAX_INDEX } from '../../../lib/consensus/bounds.js';
import { createEffects, type Consensus, type Effects } from '../../../lib/consensus/consensus.js';
import type { RaftMessage } from '../../../lib/consensus/raft/messages.js';
import { createRaftProtocol } from '../../../lib/consensus/raft/raft.js';
import { raftCodec } from '../../../lib/engine/raftCodec.js';
import { expectEnd } from '../../../lib/engine/wire.js';
import { raftMessages } from '../messages.js';
import type { Random } from '../random.js';
import { must, TAKEN, type Surface, type Trial } from '../surface.js';
import { written } from './group.js';

const protocol = createRaftProtocol();

class CoreTrial implements Trial {
  readonly #random: Random;
  readonly #core: Consensus<RaftMessage>;
  readonly #fx: Effects<RaftMessage> = createEffects();
  #now = 0;
  #session = 1;
  #term = 0;
  #commit = 0;

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

  /** Elects it, by honest messages. */
  #lead(): void {
    for (let i = 0; i < 10; i++) {
      this.#now += 100;
      this.#core.tick(this.#now);
      this.#drain();
    }
    this.#core.receive(this.#now, 'b', { type: 'voteReply', pre: true, granted: true, term: 1, genesis: '' });
    this.#drain();
    this.#core.receive(this.#now, 'b', {
      type: 'voteReply',
      pre: false,
      granted: true,
      term: 1,
      genesis: '',
    });
    this.#drain();
    must(this.#core.status.role === 'leader', 'it does not lead');
    this.#core.receive(this.#now, 'b', {
      type: 'ack',
      term: 1,
      matched: 1,
      round: 1,
      promised: false,
      conflict: undefined,
    });
    this.#drain();
  }

  #drain(): void {
    for (let rounds = 0; this.#core.dirty; rounds++) {
      must(rounds < 100, 'it never comes to rest');
      this.#core.drain(this.#now, this.#fx);
      must(this.#fx.send.length <= 20_000, 'one message makes it send without end');
      if (this.#fx.io > 0) this.#core.persisted(this.#now, this.#fx.io);
    }
  }

  take(input: Uint8Array): string {
    const from = this.#random.pick(['b', 'b', 'c', 'stranger']);
    this.#now += this.#random.below(20);
    const reader = new ByteReader(input);
    const message = raftCodec.decode(reader);
    expectEnd(reader);
    const sound = this.#core.receive(this.#now, from, message);
    if (this.#random.chance(0.2)) this.#core.tick(this.#now);
    if (this.#random.chance(0.1)) this.#core.propose(this.#now, 1e12, new Uint8Array(8), 1);
    this.#drain();
    const { stopped, epoch, commitIndex, lastIndex } = this.#core.status;
    must(stopped === undefined, `a peer stopped the core: ${stopped?.message ?? ''}`);
    must(epoch.n >= this.#term && epoch.n <= this.#term + 2 ** 32 + 2, 'a term that went back, or too far');
    must(
      commitIndex >= this.#commit && commitIndex <= lastIndex && lastIndex <= MAX_INDEX,
      'indexes that cannot be',
    );
    this.#term = epoch.n;
    this.#commit = commitIndex;
    if (sound) return TAKEN;
    // What the engine does: the link is lost, and comes back.
    this.#core.link(this.#now, from, this.#session, false);
    this.#link(from);
    this.#drain();
    return 'ERR_PEER_PROTOCOL';
  }
}

export function core(): Surface {
  return {
    name: 'core',
    about: 'live Raft cores that get decoded messages',
    corpus: raftMessages().map((message) => written((w) => raftCodec.encode(w, message))),
    life: 256,
    strict: false,
    begin: (random) => new CoreTrial(random),
  };
}
