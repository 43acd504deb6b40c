import { expect } from 'chai';
import fc from 'fast-check';
import { lastOf, NO_EPOCH, type Consensus, type Entry } from '../../../lib/consensus/consensus.js';
import { Handover } from '../../../lib/engine/handover.js';
import type { NodeStore } from '../../../lib/storage/storage.js';
import { seeded } from '../support/seeded.js';

const MiB = 1024 * 1024;
const WINDOW = 8 * MiB;
const payload = new Uint8Array(3 * MiB);

/** Whole entries from the one that holds `from` to `to`, as both a core and a storage give them. */
function slice(log: readonly Entry[], from: number, to: number, maxBytes: number): Entry[] {
  const out: Entry[] = [];
  let bytes = 0;
  for (const entry of log) {
    if (lastOf(entry) < from) continue;
    if (lastOf(entry) > to) break;
    bytes += entry.data.length;
    if (out.length > 0 && bytes > maxBytes) break;
    out.push(entry);
  }
  return out;
}

/** A handover over a core and a storage of which a test decides when they answer. */
class Rig {
  readonly log: Entry[] = [];
  /** The core holds entries from this place of the log on. */
  inMemory = 0;
  readonly reads: { readonly from: number; answer(): void; fail(error: Error): void }[] = [];
  readonly failures: Error[] = [];
  woken = 0;
  commit = 0;
  /** What the app's side got since it last stood at a snapshot, and has applied. */
  base = 0;
  got: Entry[] = [];
  applied = 0;
  paused = false;
  readonly handover: Handover;

  constructor() {
    const core = {
      entries: (from: number, to: number, maxBytes: number) => {
        const memory = this.log.slice(this.inMemory);
        return memory.length > 0 && memory[0]!.index <= from ? slice(memory, from, to, maxBytes) : [];
      },
    };
    const store = {
      read: (_group: string, from: number, to: number, maxBytes: number) =>
        new Promise<Entry[]>((resolve, reject) => {
          this.reads.push({ from, answer: () => resolve(slice(this.log, from, to, maxBytes)), fail: reject });
        }),
    };
    this.handover = new Handover(
      'g',
      core as unknown as Consensus,
      store as unknown as NodeStore,
      0,
      () => this.woken++,
      (error) => this.failures.push(error),
    );
  }

  append(count: number, bytes: number): void {
    const last = this.log.at(-1);
    const index = last ? lastOf(last) + 1 : 1;
    this.log.push({ index, count, epoch: NO_EPOCH, time: 1, kind: 'user', data: payload.subarray(0, bytes) });
  }

  commitAll(): void {
    this.commit = lastOf(this.log.at(-1)!);
    this.handover.committed(this.commit);
  }

  get waiting(): number {
    return this.got.reduce((sum, entry) => sum + (lastOf(entry) > this.applied ? entry.data.length : 0), 0);
  }

  get end(): number {
    return this.got.length > 0 ? lastOf(this.got.at(-1)!) : this.base;
  }

  /** Takes, and checks what came against the model. */
  take(): Entry[] {
    const before = this.waiting;
    const out: Entry[] = [];
    this.handover.take(out);
    if (this.paused || before >= WINDOW) expect(out, 'nothing while paused or full').to.have.length(0);
    for (const entry of out) {
      expect(entry.index, 'no gap, nothing twice').to.equal(this.end + 1);
      expect(lastOf(entry), 'committed').to.be.at.most(this.commit);
      this.got.push(entry);
    }
    // One chunk may go above the window: 1 MiB, or one larger entry.
    expect(this.waiting).to.be.below(WINDOW + payload.length);
    return out;
  }

  apply(entries: number): void {
    const open = this.got.filter((entry) => lastOf(entry) > this.applied);
    const upTo = open[Math.min(entries, open.length) - 1];
    if (upTo) this.applied = lastOf(upTo);
    this.handover.applied(this.applied);
  }

  pause(): void {
    this.paused = true;
    this.handover.pause();
  }

  resume(index: number): void {
    this.paused = false;
    this.base = this.applied = index;
    this.got = [];
    this.commit = Math.max(this.commit, index);
    this.handover.resume(index);
  }
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('the handover of committed entries', () => {
  it('keeps order, gaps and window under any mix of commits, reads, applying and restores', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer(), async (seed) => {
        const random = seeded(seed);
        const below = (limit: number): number => Math.floor(random() * limit);
        const rig = new Rig();
        for (let step = 0; step < 120; step++) {
          const what = below(10);
          if (what < 3) {
            for (let i = below(4); i >= 0; i--) {
              const bytes = random() < 0.2 ? below(payload.length) : below(400_000);
              rig.append(1 + below(5), bytes);
            }
            if (random() < 0.7) rig.commitAll();
          } else if (what === 3) {
            rig.inMemory = Math.min(rig.log.length, rig.inMemory + below(8));
          } else if (what === 4 && rig.reads.length > 0) {
            rig.reads.shift()!.answer();
            await settle();
          } else if (what === 5 && random() < 0.4 && !rig.paused) {
            rig.pause();
          } else if (what === 6 && rig.paused) {
            // A snapshot ends where an entry does, at or after what the app's side has.
            const ends = [rig.end, ...rig.log.map(lastOf).filter((last) => last > rig.end)];
            rig.resume(ends[below(Math.min(ends.length, 6))]!);
          } else if (what === 7) {
            rig.apply(below(6));
          } else {
            rig.take();
          }
          expect(rig.reads.length, 'one read at a time').to.be.at.most(1);
        }
        if (rig.paused) rig.resume(rig.end);
        if (rig.log.length > 0) rig.commitAll();
        for (let i = 0; i < 2000 && rig.end < rig.commit; i++) {
          rig.take();
          rig.apply(3);
          rig.reads.shift()?.answer();
          await settle();
        }
        expect(rig.end, 'everything arrives in the end').to.equal(rig.commit);
        expect(rig.handover.commitIndex).to.equal(rig.commit);
        expect(rig.failures).to.deep.equal([]);
      }),
      { numRuns: 60 },
    );
  });

  it('reads what the core has forgotten, wakes when it is there, and goes on from memory', async () => {
    const rig = new Rig();
    for (let i = 0; i < 6; i++) rig.append(2, 400_000);
    rig.inMemory = 4;
    rig.commitAll();
    expect(rig.take()).to.have.length(0);
    expect(rig.take()).to.have.length(0);
    expect(rig.reads.map(({ from }) => from)).to.deep.equal([1]);
    rig.reads.shift()!.answer();
    await settle();
    expect(rig.woken).to.equal(1);
    expect(rig.take()).to.have.length(2);
    rig.reads.shift()!.answer();
    await settle();
    expect(rig.take()).to.have.length(4);
    expect(rig.reads).to.have.length(0);
  });

  it('forgets a read that a snapshot overtook, whether it succeeds or fails', async () => {
    for (const failing of [false, true]) {
      const rig = new Rig();
      for (let i = 0; i < 6; i++) rig.append(1, 10);
      rig.inMemory = 6;
      rig.commitAll();
      rig.take();
      const [old] = rig.reads.splice(0);
      rig.pause();
      rig.resume(4);
      rig.take(); // the old read is still under way
      expect(rig.reads).to.have.length(0);
      if (failing) old!.fail(new Error('gone'));
      else old!.answer();
      await settle();
      expect(rig.woken, 'somebody has to ask again').to.equal(1);
      expect(rig.take()).to.have.length(0);
      expect(rig.reads.map(({ from }) => from)).to.deep.equal([5]);
      rig.reads.shift()!.answer();
      await settle();
      expect(rig.take().map(({ index }) => index)).to.deep.equal([5, 6]);
      expect(rig.failures).to.deep.equal([]);
    }
  });

  it('a read that fails fails the group', async () => {
    const rig = new Rig();
    rig.append(1, 10);
    rig.inMemory = 1;
    rig.commitAll();
    rig.take();
    rig.reads.shift()!.fail(new Error('the disk is gone'));
    await settle();
    expect(rig.failures.map(({ message }) => message)).to.deep.equal(['the disk is gone']);
  });

  it('stops at the window and goes on as the app applies', () => {
    const rig = new Rig();
    for (let i = 0; i < 30; i++) rig.append(1, MiB);
    rig.commitAll();
    expect(rig.take()).to.have.length(8);
    expect(rig.take()).to.have.length(0);
    rig.apply(3);
    expect(rig.take()).to.have.length(3);
    rig.apply(100);
    expect(rig.take()).to.have.length(8);
  });

  it('counts what holds small entries, so that their number is bounded too', () => {
    const rig = new Rig();
    for (let i = 0; i < 200_000; i++) rig.append(1, 64);
    rig.commitAll();
    const out: Entry[] = [];
    rig.handover.take(out);
    expect(out.length).to.be.within(1, 100_000);
    const first = out.length;
    rig.handover.take(out);
    expect(out.length, 'nothing was applied').to.equal(first);
    rig.handover.applied(lastOf(out[first - 1]!));
    rig.handover.take(out);
    expect(out.length).to.be.greaterThan(first);
  });
});
