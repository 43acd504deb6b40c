/** A live engine with a group, behind a port in our hands: group and snapshot frames of a peer that said hello. */
import type { AppSide } from '../../../lib/engine/door.js';
import { Engine } from '../../../lib/engine/engine.js';
import { raftCodec } from '../../../lib/engine/raftCodec.js';
import { encodeTransfer } from '../../../lib/engine/transferWire.js';
import { writeItem, encodeHello, ItemType } from '../../../lib/engine/wire.js';
import { createRaftProtocol } from '../../../lib/consensus/raft/raft.js';
import type { Environment } from '../../../lib/environment.js';
import { nodeEnvironment } from '../../../lib/environment.js';
import type { MeshListener, MeshPort } from '../../../lib/mesh/port.js';
import { FrameKind } from '../../../lib/mesh/port.js';
import { isSoundBatch } from '../../../lib/replica/batch.js';
import { memoryStorage } from '../../../lib/storage/memoryStorage.js';
import type { Random } from '../random.js';
import { must, TAKEN, type Surface, type Trial } from '../surface.js';
import { groupFrames, helloOf, transferFrames, written } from './group.js';

const NUMBER = 5;
const GROUP = 'settings';
/** Before a frame of the corpus: which of the two kinds it is. */
const kindOf = [FrameKind.group, FrameKind.snapshot] as const;

class Bench implements Trial {
  readonly #random: Random;
  readonly #deferred: (() => void)[] = [];
  readonly #handlers = new Map<number, Parameters<MeshPort['handle']>[1]>();
  readonly #listeners: MeshListener[] = [];
  readonly #pending = new Set<Promise<unknown>>();
  #now = 0;
  #session = 1;
  #sentBytes = 0;
  #failed: Error | undefined;
  #broken = false;

  constructor(random: Random) {
    this.#random = random;
  }

  async open(): Promise<this> {
    const environment: Environment = {
      ...nodeEnvironment,
      now: () => this.#now,
      wallClock: () => 1e12 + this.#now,
      random: () => this.#random.next(),
      defer: (callback) => void this.#deferred.push(callback),
      setTimer: () => ({ cancel: () => undefined }),
    };
    const port: Partial<MeshPort> = {
      id: 'a',
      cluster: 'c',
      linked: () => new Map([['b', this.#session]]),
      send: (_peer, _kind, frame) => {
        this.#sentBytes += frame.length;
        return true;
      },
      backlog: () => 0,
      whenDrained: (_peer, _lane, callback) => void this.#deferred.push(callback),
      handle: (kind, handler) => void this.#handlers.set(kind, handler),
      vitals: () => undefined,
      listen: (listener) => void this.#listeners.push(listener),
      expect: () => undefined,
      count: () => undefined,
      punish: () => undefined,
    };
    const engine = new Engine(port as MeshPort, environment);
    const app: AppSide = {
      collect: () => undefined,
      deliver: (batch) => {
        for (const notice of batch.notices) if (notice.type === 'failed') this.#failed = notice.error;
      },
    };
    await engine.open({
      name: GROUP,
      wired: { protocol: createRaftProtocol(), codec: raftCodec },
      storage: memoryStorage(),
      founders: ['a', 'b', 'c'],
      snapshotLogBytes: 2 ** 40,
      keepEntries: 1000,
      app,
      soundProposal: isSoundBatch,
    });
    this.#turns();
    this.#greet();
    return this;
  }

  #turns(): void {
    for (let rounds = 0; this.#deferred.length > 0; rounds++) {
      must(rounds < 1000, 'it never comes to rest');
      for (const callback of this.#deferred.splice(0)) callback();
    }
  }

  #greet(): void {
    const hello = written((w) =>
      writeItem(w, NUMBER, ItemType.hello, (body) => encodeHello(body, helloOf(GROUP))),
    );
    void this.#handlers.get(FrameKind.group)!('b', this.#session, hello);
    this.#turns();
  }

  take(input: Uint8Array): string {
    if (this.#broken) this.#relink();
    const kind = kindOf[(input[0] ?? 0) & 1]!;
    const frame = Uint8Array.from(input.subarray(1));
    this.#now += this.#random.below(200);
    this.#sentBytes = 0;
    const answer = this.#handlers.get(kind)!('b', this.#session, frame);
    this.#turns();
    must(this.#failed === undefined, `a peer took the group down: ${this.#failed?.message ?? ''}`);
    must(this.#sentBytes <= 65_536 + 64 * frame.length, 'the answer is much larger than the question');
    if (answer === false) {
      this.#broken = true;
      return 'ERR_PEER_PROTOCOL';
    }
    if (answer !== true) this.#wait(answer);
    return TAKEN;
  }

  #wait(answer: Promise<boolean>): void {
    const settled = answer.then((sound) => {
      this.#pending.delete(settled);
      if (!sound) this.#broken = true;
    });
    this.#pending.add(settled);
    must(this.#pending.size <= 4096, 'promises pile up');
  }

  #relink(): void {
    this.#broken = false;
    this.#now += 1000;
    for (const listener of this.#listeners) listener.onPeer('b', false, this.#session);
    this.#session++;
    for (const listener of this.#listeners) listener.onPeer('b', true, this.#session);
    this.#greet();
  }

  async settle(): Promise<readonly string[]> {
    for (let i = 0; i < 3; i++) {
      await new Promise<void>((resolve) => void setImmediate(resolve));
      this.#turns();
    }
    await Promise.all(this.#pending);
    must(this.#failed === undefined, `a peer took the group down: ${this.#failed?.message ?? ''}`);
    return [];
  }
}

export function engine(): Surface {
  const tagged = (tag: number, frame: Uint8Array): Uint8Array => Buffer.concat([Uint8Array.of(tag), frame]);
  return {
    name: 'engine',
    about: 'a live engine: group frames and snapshot frames of a member',
    corpus: [
      ...groupFrames(NUMBER, GROUP).map((frame) => tagged(0, frame)),
      ...transferFrames.map((frame) => tagged(1, encodeTransfer(frame))),
    ],
    words: [Buffer.from(GROUP)],
    life: 2048,
    strict: false,
    begin: (random) => new Bench(random).open(),
  };
}
