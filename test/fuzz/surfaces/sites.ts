/** Three-phase commit over the mesh: its frames, its records, and the sites of a node whose peers say what they like. */
import { QuorateError } from '../../../lib/errors.js';
import type { MeshListener, MeshPort } from '../../../lib/mesh/port.js';
import { cbor } from '../../../lib/replica/codec.js';
import type { RecordFile } from '../../../lib/storage/storage.js';
import { SiteDesk } from '../../../lib/transactions/threePhase/desk.js';
import { MAX_KEPT, MAX_OPEN } from '../../../lib/transactions/threePhase/limits.js';
import type { Plan, Task } from '../../../lib/transactions/threePhase/plan.js';
import {
  decodeEntry,
  encodeEntry,
  INITIAL,
  replay,
  SiteRecords,
  type Entry,
} from '../../../lib/transactions/threePhase/records.js';
import type { SiteMessage } from '../../../lib/transactions/threePhase/siteTypes.js';
import { TransactionSites } from '../../../lib/transactions/threePhase/transactionSites.js';
import { decodeMessage, encodeMessage, type Message } from '../../../lib/transactions/threePhase/wire.js';
import type { Random } from '../random.js';
import { must, sameBytes, stateless, TAKEN, type Surface, type Trial, type Verdict } from '../surface.js';
import { World } from '../world.js';

const codec = cbor();
const tasks: readonly Task[] = [{ resource: 'vault', payload: codec.encode({ n: 1 }) }];
const planBy = (...nodes: string[]): Plan => {
  return {
    form: 'quorum',
    timeoutMs: 500,
    sites: nodes.map((node) => ({ node, incarnation: `of ${node}` })),
  };
};
const plans: readonly Plan[] = [
  planBy('b', 'a', 'c'),
  planBy('c', 'a', 'b'),
  { ...planBy('b', 'a'), form: 'plain' },
];

const steps: readonly SiteMessage[] = [
  { type: 'vote?' },
  { type: 'vote' },
  { type: 'prepare', ballot: 0, to: 'commit' },
  { type: 'prepare', ballot: 5, to: 'abort' },
  { type: 'prepared', ballot: 0, to: 'commit' },
  { type: 'prepared', ballot: 4, to: 'abort' },
  { type: 'elect', ballot: 3 },
  { type: 'elect', ballot: 5 },
  { type: 'elected', ballot: 4, record: { state: 'waiting', lastElected: 4, lastAttempt: -1 } },
  { type: 'elected', ballot: 4, record: { state: 'prepared-commit', lastElected: 4, lastAttempt: 0 } },
  { type: 'refused', ballot: 9 },
  { type: 'outcome', outcome: 'commit' },
  { type: 'outcome', outcome: 'abort' },
];

const messages: readonly Message[] = [
  { kind: 'hello', incarnation: 'of b' },
  { kind: 'hello', incarnation: '' },
  ...['t0', 't1', 't2', 't3'].flatMap((id, n): Message[] => [
    ...steps.map((message): Message => {
      const isCalled = message.type === 'vote?';
      const plan = isCalled || message.type === 'elect' ? plans[n % plans.length] : undefined;
      return { kind: 'step', id, message, plan, tasks: isCalled ? tasks : undefined };
    }),
    { kind: 'done', id },
  ]),
];
const frames = messages.map(encodeMessage);

/** Frames alone: what is read is what would be written. */
export function siteFrames(): Surface {
  return stateless('siteFrames', 'frames between the sites of three-phase commit', frames, (input) => {
    const bytes = encodeMessage(decodeMessage(input));
    must(sameBytes(encodeMessage(decodeMessage(bytes)), bytes), 'a message that reads otherwise');
    return TAKEN;
  });
}

const entries: readonly Entry[] = [
  ...plans.map((plan, n): Entry => {
    return { type: 'begun', kept: { id: `t${n}`, since: 1.7e12, plan, tasks, record: INITIAL, done: n > 1 } };
  }),
  { type: 'state', id: 't0', record: { state: 'prepared-commit', lastElected: 5, lastAttempt: 5 } },
  { type: 'done', id: 't0' },
  { type: 'forgotten', id: 't0' },
];

export function siteRecords(): Surface {
  return stateless('siteRecords', 'the records of sites on a disk', entries.map(encodeEntry), (input) => {
    const bytes = encodeEntry(decodeEntry(input));
    must(sameBytes(encodeEntry(decodeEntry(bytes)), bytes), 'a record that reads otherwise');
    return TAKEN;
  });
}

/** A list in memory that can be opened again. */
class Records implements RecordFile {
  records: Uint8Array[] = [];

  get bytes(): number {
    return this.records.reduce((sum, { length }) => sum + length, 0);
  }

  append(records: readonly Uint8Array[], _leaveRoom: boolean, done: (error?: Error) => void): void {
    this.records = [...this.records, ...records];
    done();
  }

  replace(records: readonly Uint8Array[], done: (error?: Error) => void): void {
    this.records = [...records];
    done();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** The sites of node a, which has begun a transaction of its own; b and c say what they like. */
class SitesTrial implements Trial {
  readonly #world: World;
  readonly #random: Random;
  readonly #desk: SiteDesk;
  #sites: TransactionSites;
  readonly #file = new Records();
  #handler: Parameters<MeshPort['handle']>[1] = () => true;
  #listener: MeshListener = { onPeer: () => undefined };
  readonly #prepared = new Set<string>();
  readonly #ended = new Map<string, string>();

  constructor(random: Random) {
    this.#random = random;
    this.#world = new World(random);
    const port = {
      id: 'a',
      linked: () => new Map(['b', 'c'].map((peer) => [peer, 1])),
      send: (_: string, __: number, frame: Uint8Array) => {
        decodeMessage(frame); // whatever it is led to say is well said
        return true;
      },
      handle: (_: number, taken: Parameters<MeshPort['handle']>[1]) => void (this.#handler = taken),
      listen: (one: MeshListener) => void (this.#listener = one),
    } as unknown as MeshPort;
    this.#desk = new SiteDesk(port, this.#world.environment);
    this.#sites = this.#open();
    const begun = this.#sites.begin(
      't0',
      planBy('a', 'b', 'c'),
      new Map([['a', tasks]]),
      new AbortController().signal,
    );
    begun.catch(() => undefined);
  }

  #open(): TransactionSites {
    const vault = {
      prepare: (id: string) => !this.#ended.has(id) && this.#prepared.add(id).size > 0,
      commit: (id: string) => this.#end(id, 'commit'),
      abort: (id: string) => this.#end(id, 'abort'),
    };
    return new TransactionSites({
      node: 'a',
      incarnation: 'of a',
      desk: this.#desk,
      records: new SiteRecords(this.#file),
      resources: new Map([['vault', vault]]),
      codec,
      release: () => Promise.resolve(),
    });
  }

  #end(id: string, outcome: string): void {
    must(outcome === 'abort' || this.#prepared.has(id), `${id} is committed and was not prepared`);
    must((this.#ended.get(id) ?? outcome) === outcome, `${id} has two outcomes here`);
    this.#ended.set(id, outcome);
  }

  async take(input: Uint8Array): Promise<Verdict> {
    const peer = this.#random.chance(0.5) ? 'b' : 'c';
    const sound = this.#handler(peer, 1, input);
    await this.#world.run(this.#random.chance(0.2) ? 200 + this.#random.below(1000) : 1);
    const { open, unfinished } = this.#sites.metrics();
    must(open <= MAX_OPEN && open + unfinished <= MAX_KEPT, 'more transactions than their cap');
    must(this.#world.timers <= 2 * (open + unfinished), 'timers that nobody needs');
    if (sound === true) return TAKEN;
    this.#listener.onPeer(peer, false, 1);
    this.#listener.onPeer(peer, true, 2);
    throw new QuorateError('ERR_PEER_PROTOCOL', 'a frame that breaks the protocol');
  }

  /** What was written can be read, and is gone on with. */
  async settle(): Promise<readonly Verdict[]> {
    await this.#sites.close();
    replay(this.#file.records);
    this.#sites = this.#open();
    await this.#world.run(20_000);
    return [];
  }

  async dispose(): Promise<void> {
    await this.#sites.close();
  }
}

export function sites(): Surface {
  return {
    name: 'sites',
    about: 'the sites of a node whose peers say what they like of three-phase commits',
    corpus: frames,
    words: ['vault', 't0', 't1', 'of a', 'of b', 'a', 'b', 'c'].map((word) => Buffer.from(word)),
    life: 100,
    strict: false,
    begin: (random) => new SitesTrial(random),
  };
}
