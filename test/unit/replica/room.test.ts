/**
 * The app's side against an engine that refuses, loses, repeats, truncates and installs snapshots, as a seed decides: every submit
 * is settled once, with the result of its one application.
 */
import { expect } from 'chai';
import { lastOf, type Entry, type Epoch } from '../../../lib/consensus/consensus.js';
import { encodeMembership, foundingMembership, type Membership } from '../../../lib/consensus/membership.js';
import type { AppNotice, EngineNotice, GroupStatus, Proposal } from '../../../lib/engine/door.js';
import { QuorateError } from '../../../lib/errors.js';
import { defineMachine } from '../../../lib/machines/defineMachine.js';
import { cbor } from '../../../lib/replica/codec.js';
import { noOutbox } from './noOutbox.js';
import { Room } from '../../../lib/replica/room.js';
import type { StateMachine } from '../../../lib/replica/stateMachine.js';
import { Waiter } from '../../../lib/replica/pending.js';
import { Virtual } from '../support/virtual.js';

const membership: Membership = { ...foundingMembership(['a', 'b', 'c']), genesis: 'genesis' };

/** Counts how often each id was applied. */
const machine = () =>
  defineMachine({
    version: 1,
    initial: () => new Map<number, number>(),
    commands: {
      write: (state, { id }: { id: number }, context) => {
        if (id % 17 === 0) context.reject('seventeen', { id });
        state.set(id, (state.get(id) ?? 0) + 1);
        return { id, index: context.index };
      },
    },
    queries: { times: (state, { id }: { id: number }) => state.get(id) ?? 0 },
  });

function room(self: string, environment: Virtual, own: StateMachine, limits = {}): Room {
  return new Room({
    self,
    machine: own,
    codec: cbor(),
    environment,
    limits: {
      maxPendingCommands: 10_000,
      maxPendingBytes: 1e9,
      maxCommandBytes: 1e6,
      submitTimeoutMs: 60_000,
      ...limits,
    },
    outbox: { maxEntries: 1, maxBytes: 1024 },
    protocol: 'raft',
    events: {
      outbox: noOutbox,
      status: () => undefined,
      warning: () => undefined,
      failed: (error) => {
        throw error;
      },
      autopilot: () => undefined,
      removed: () => undefined,
    },
  });
}

interface Seat {
  readonly room: Room;
  handed: number;
  paused: boolean;
  woken: boolean;
}

/** A log with one leader after another, behind the door. */
class Engine {
  readonly log: Entry[] = [];
  commit = 0;
  readonly #environment: Virtual;
  readonly #rooms: Seat[] = [];
  #term = 0;
  #contact = 1;
  #epoch: Epoch = { config: 0, n: 0, priority: 0, node: '' };
  #chunks: Uint8Array[] | undefined;
  faults = true;
  /** Counts of what happened, to see that it did. */
  readonly seen = { refused: 0, lost: 0, truncated: 0, restored: 0, contacts: 0 };

  constructor(environment: Virtual) {
    this.#environment = environment;
    this.elect();
  }

  attach(one: Room): Promise<void> {
    const seat = { room: one, handed: 0, paused: false, woken: false };
    this.#rooms.push(seat);
    const opened = one.open({
      self: 'a',
      wake: () => {
        if (seat.woken) return;
        seat.woken = true;
        this.#environment.defer(() => {
          seat.woken = false;
          this.#collect(seat);
        });
      },
      close: () => Promise.resolve(),
    });
    this.#deliver(seat, { status: this.#status() });
    return opened;
  }

  #status(): GroupStatus {
    return {
      role: 'follower',
      leader: 'b',
      epoch: this.#epoch,
      quorum: true,
      membership,
      stable: membership,
      quiet: false,
      contact: this.#contact,
    };
  }

  /** A new leader: what was not committed may be cut off. */
  elect(): void {
    const { random } = this.#environment;
    const keep = this.commit + Math.floor(random() * (this.#last() - this.commit + 1));
    while (this.log.length > 0 && lastOf(this.log[this.log.length - 1]!) > keep) {
      this.log.pop();
      this.seen.truncated++;
    }
    this.#epoch = { config: 0, n: ++this.#term, priority: 0, node: 'b' };
    this.#contact++;
    const founding = this.log.length === 0;
    this.#append(
      founding ? 'config' : 'noop',
      1,
      founding ? encodeMembership(membership) : new Uint8Array(0),
    );
    for (const seat of this.#rooms) this.#deliver(seat, { status: this.#status() });
  }

  /** The link to the leader was lost and is back. */
  reconnect(): void {
    this.#contact++;
    this.seen.contacts++;
    for (const seat of this.#rooms) this.#deliver(seat, { status: this.#status() });
  }

  #last(): number {
    const entry = this.log[this.log.length - 1];
    return entry ? lastOf(entry) : 0;
  }

  #append(kind: Entry['kind'], count: number, data: Uint8Array): void {
    this.log.push({
      index: this.#last() + 1,
      count,
      epoch: this.#epoch,
      time: this.#environment.wallClock(),
      kind,
      data,
    });
  }

  #collect(seat: Seat): void {
    const batch = seat.room.collect();
    if (!batch) return;
    for (const proposal of batch.proposals) this.#propose(seat, proposal);
    for (const notice of batch.notices) this.#take(seat, notice);
  }

  #propose(seat: Seat, { token, count, data }: Proposal): void {
    const { random } = this.#environment;
    const { n } = this.#epoch;
    const contact = this.#contact;
    this.#environment.setTimer(random() * 10, () => {
      if (this.faults && random() < 0.15) {
        this.seen.refused++;
        this.#deliver(seat, { refused: [{ token, why: random() < 0.5 ? 'overloaded' : 'notLeader' }] });
      } else if (this.#epoch.n === n && (contact === this.#contact || random() < 0.5)) {
        this.#append('user', count, data);
      } else {
        this.seen.lost++;
      }
    });
  }

  /** Commits some of the log, and hands it over. */
  advance(): void {
    const { random } = this.#environment;
    const share = this.faults ? random() : 1;
    const goal = this.commit + (this.#last() - this.commit) * share;
    for (const entry of this.log)
      if (lastOf(entry) <= goal) this.commit = Math.max(this.commit, lastOf(entry));
    for (const seat of this.#rooms) this.#hand(seat);
  }

  #hand(seat: Seat): void {
    if (seat.paused) return;
    const entries = this.log.filter((entry) => entry.index > seat.handed && lastOf(entry) <= this.commit);
    if (entries.length === 0) return;
    seat.handed = lastOf(entries[entries.length - 1]!);
    this.#deliver(seat, { entries });
  }

  /** Replaces the first room's state by a snapshot of the second's, which is ahead of it. */
  install(): void {
    const [target, source] = this.#rooms;
    if (!target || !source || target.paused || this.#chunks || source.handed <= target.handed) return;
    target.paused = true;
    this.#chunks = [];
    this.#deliver(source, { notices: [{ type: 'snapshotWanted' }] });
  }

  /** Only the second room gets what is committed, so that the first falls behind. */
  advanceSecond(): void {
    const [, source] = this.#rooms;
    this.commit = Math.max(this.commit, this.#last());
    if (source) this.#hand(source);
  }

  #take(seat: Seat, notice: AppNotice): void {
    const [target] = this.#rooms;
    switch (notice.type) {
      case 'snapshotBegin':
        target!.handed = notice.meta.index;
        this.#meta = notice.meta;
        this.#deliver(seat, { notices: [{ type: 'snapshotPull' }] });
        return;
      case 'snapshotChunk':
        this.#chunks!.push(notice.chunk);
        if (notice.chunk.length > 0) this.#deliver(seat, { notices: [{ type: 'snapshotPull' }] });
        else this.#deliver(target!, { notices: [{ type: 'restoreBegin', meta: this.#meta! }] });
        return;
      case 'restorePull':
        this.#deliver(seat, { notices: [{ type: 'restoreChunk', chunk: this.#chunks!.shift()! }] });
        return;
      case 'restored':
        this.seen.restored++;
        this.#chunks = undefined;
        seat.paused = false;
        return;
      default:
        throw new Error(`unexpected ${notice.type}`);
    }
  }

  #meta: Extract<AppNotice, { type: 'snapshotBegin' }>['meta'] | undefined;

  #deliver(
    seat: Seat,
    part: {
      entries?: Entry[];
      refused?: { token: number; why: 'overloaded' | 'notLeader' }[];
      status?: GroupStatus;
      notices?: EngineNotice[];
    },
  ): void {
    // In a turn of its own, as the engine does it.
    this.#environment.defer(() => {
      seat.room.deliver({
        entries: part.entries ?? [],
        reads: [],
        readsFailed: [],
        refused: part.refused ?? [],
        status: part.status,
        commitIndex: this.commit,
        notices: part.notices ?? [],
      });
    });
  }
}

interface Tried {
  readonly id: number;
  settled: number;
  result?: { id: number; index: number };
  error?: QuorateError;
}

async function play(seed: number): Promise<Engine['seen']> {
  const environment = new Virtual(seed);
  const { random } = environment;
  const engine = new Engine(environment);
  const state = machine();
  const one = room('a', environment, state);
  const shadowState = machine();
  const shadow = room('c', environment, shadowState);
  const opened = Promise.all([engine.attach(one), engine.attach(shadow)]);
  await environment.run(10);
  await opened;
  const tried: Tried[] = [];
  const submit = (id: number, requestId?: string): void => {
    const attempt: Tried = { id, settled: 0 };
    tried.push(attempt);
    const waiter = new Waiter(
      (result) => {
        attempt.settled++;
        attempt.result = result as { id: number; index: number };
      },
      (error) => {
        attempt.settled++;
        attempt.error = error as QuorateError;
      },
    );
    if (requestId?.startsWith('q:')) {
      const [, session, sequence] = requestId.split(':').map(Number);
      one.submitter.retry({ session: session!, sequence: sequence! }, { op: 'write', id }, waiter);
    } else {
      one.submitter.add({ op: 'write', id }, requestId, waiter);
    }
    if (random() < 0.1) {
      environment.setTimer(random() * 60, () => {
        one.submitter.abandon(waiter, 'ERR_ABORTED', 'given up');
        // Most of those whose fate is open are tried again, as the documentation says.
        if (attempt.error?.fate === 'ambiguous' && random() < 0.8) submit(id, attempt.error.requestId);
      });
    }
  };
  for (let id = 1; id <= 300;) {
    const burst = Math.floor(random() * 6);
    for (let i = 0; i < burst; i++, id++) submit(id, random() < 0.2 ? `request-${id % 50}-${id}` : undefined);
    await environment.run(random() * 20);
    engine.advance();
    if (random() < 0.05) engine.elect();
    if (random() < 0.05) engine.reconnect();
    if (random() < 0.05) {
      engine.advanceSecond();
      await environment.run(5);
      engine.install();
    }
  }
  engine.faults = false;
  for (let i = 0; i < 400; i++) {
    await environment.run(50);
    engine.advance();
  }
  const applied = (of: typeof state, id: number): number => of.query?.({ op: 'times', id }) as number;
  for (const { id, settled, result, error } of tried) {
    expect(settled, `seed ${seed}: settlements of ${id}`).to.equal(1);
    const times = applied(state, id);
    expect(times, `seed ${seed}: applications of ${id}`).to.be.lessThan(2);
    expect(applied(shadowState, id), `seed ${seed}: the members differ at ${id}`).to.equal(times);
    if (result) {
      expect(result.id, `seed ${seed}: the result of another command`).to.equal(id);
      expect(times, `seed ${seed}: acknowledged, not applied: ${id}`).to.equal(1);
    }
    if (error?.code === 'ERR_REJECTED') {
      expect(error.data).to.deep.equal({ id });
      expect(id % 17).to.equal(0);
    } else if (error?.fate === 'refused') {
      // Of a command that was tried twice the other try may be the one that was applied.
      const alone = tried.filter((other) => other.id === id).length === 1;
      if (alone) expect(times, `seed ${seed}: refused, and applied: ${id}`).to.equal(0);
    } else if (error) {
      expect(error.code, `seed ${seed}: ${error.message}`).to.be.oneOf(['ERR_ABORTED']);
    }
  }
  // Two tries of one command that both succeeded had the same, single application.
  const indexes = new Map<number, number>();
  for (const { result } of tried) {
    if (!result) continue;
    expect(indexes.get(result.id) ?? result.index).to.equal(result.index);
    indexes.set(result.id, result.index);
  }
  expect(one.submitter.pendingCommands).to.equal(0);
  return engine.seen;
}

describe('the app side behind the door', () => {
  it('settles every submit once and applies it once, whatever the engine does', async function () {
    this.timeout(120_000);
    const total = { refused: 0, lost: 0, truncated: 0, restored: 0, contacts: 0 };
    for (let seed = 1; seed <= 60; seed++) {
      const seen = await play(seed);
      for (const key of Object.keys(total) as (keyof typeof total)[]) total[key] += seen[key];
    }
    for (const [what, count] of Object.entries(total))
      expect(count, `${what} never happened`).to.be.greaterThan(10);
  });
});
