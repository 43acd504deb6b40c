/** The replicated part of transactions: locks, votes, decisions, caps, expiry, snapshots; one command after the other. */
import { expect } from 'chai';
import fc from 'fast-check';
import { QuorateError } from '../../../lib/errors.js';
import { defineMachine, keyValue, type ApplyContext } from '../../../lib/index.js';
import { LIMITS, marked, type TransactionCommands } from '../../../lib/transactions/commands.js';
import { excludes, LockTable, type Claim } from '../../../lib/transactions/lockTable.js';
import { Transactional } from '../../../lib/transactions/transactional.js';

class Log {
  readonly machine: Transactional;
  now = 1_000_000;
  #index = 0;

  constructor(machine = new Transactional(keyValue<number>(), {})) {
    this.machine = machine;
  }

  apply(command: unknown): unknown {
    const index = ++this.#index;
    const context: ApplyContext = {
      index,
      time: this.now,
      origin: 'a',
      random: () => (index % 97) / 97,
      reject: (code, data) => {
        throw new QuorateError('ERR_REJECTED', code, { reason: code, data });
      },
    };
    return this.machine.apply(command, context);
  }

  tx<K extends keyof TransactionCommands>(op: K, fields: TransactionCommands[K]): Record<string, unknown> {
    return this.apply(marked(op, fields)) as Record<string, unknown>;
  }

  step(id: string, age: number, body: unknown, more: Partial<TransactionCommands['step']> = {}) {
    return this.tx('step', {
      id,
      age: { time: age, id },
      home: 'home',
      at: this.now,
      leaseMs: 1000,
      opened: false,
      kind:
        (body as { op: string }).op === 'get' || (body as { op: string }).op === 'list' ? 'query' : 'command',
      exclusive: false,
      body,
      ...more,
    });
  }

  register(id: string, more: Partial<TransactionCommands['register']> = {}) {
    const fields = { id, at: this.now, leaseMs: 1000, groups: ['p'], resources: [] };
    return this.tx('register', { ...fields, request: undefined, steps: undefined, ...more });
  }

  decide(id: string, outcome: 'commit' | 'abort', result?: unknown) {
    return this.tx('decide', { id, outcome, result });
  }

  get(key: string): unknown {
    return this.machine.query({ op: 'get', key });
  }

  reasonOf(command: unknown): string | undefined {
    try {
      this.apply(command);
    } catch (error) {
      return (error as QuorateError).reason ?? (error as QuorateError).code;
    }
    return undefined;
  }
}

const put = (key: string, value: number) => ({ op: 'put', key, value });
const get = (key: string) => ({ op: 'get', key });

async function* chunked(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

function snapshotOf(machine: Transactional): Uint8Array {
  return Buffer.concat([...(machine.snapshot() as Iterable<Uint8Array>)]);
}

describe('a transactional machine', () => {
  it('older waits, younger dies; those that only read go beside each other', () => {
    const log = new Log();
    expect(log.step('mid', 5, put('k', 1))).to.include({ type: 'ok' });
    expect(log.step('young', 9, get('k'))).to.deep.equal({ type: 'die' });
    expect(log.step('old', 1, get('k'))).to.deep.equal({ type: 'wait', holders: ['mid'] });
    expect(log.step('other', 9, put('j', 1))).to.include({ type: 'ok' });
    // An older one waits: younger ones stand back.
    log.tx('finish', { id: 'mid', outcome: 'abort' });
    expect(log.step('young2', 8, put('k', 3))).to.deep.equal({ type: 'die' });
    expect(log.step('old', 1, get('k'), { opened: true })).to.deep.equal({ type: 'ok', value: undefined });
    expect(log.step('young3', 8, get('k'))).to.deep.equal({ type: 'ok', value: undefined });
    // Two that read: the older one that wants to write waits, the younger one dies.
    expect(log.step('young3', 8, put('k', 2), { opened: true })).to.deep.equal({ type: 'die' });
    expect(log.step('old', 1, put('k', 2), { opened: true })).to.include({ type: 'ok' });
    expect(log.step('x', 9, get('m'), { exclusive: true })).to.include({ type: 'ok' });
    expect(log.step('y', 10, get('m'))).to.deep.equal({ type: 'die' });
  });

  it('locks what a list goes over, with what is not there', () => {
    const log = new Log();
    log.step('list', 1, { op: 'list', prefix: 'a/' });
    expect(log.step('in', 2, put('a/new', 1))).to.deep.equal({ type: 'die' });
    expect(log.step('out', 2, put('b/new', 1))).to.include({ type: 'ok' });
    expect(log.step('all', 3, { op: 'list' })).to.deep.equal({ type: 'die' });
    expect(log.reasonOf(put('a/x', 1))).to.equal('LOCKED');
    expect(log.reasonOf(put('c', 1))).to.equal(undefined);
  });

  it('gives up by itself only before its vote', () => {
    const log = new Log();
    log.step('a', 1, put('k', 1));
    log.step('b', 1, put('j', 1));
    expect(log.tx('prepare', { id: 'b', steps: 1 })).to.deep.equal({ vote: 'yes' });
    log.now += 1000;
    expect(log.reasonOf(put('k', 5))).to.equal(undefined);
    expect(log.reasonOf(put('j', 5))).to.equal('LOCKED');
    log.now += LIMITS.stampMs * 100;
    expect(log.reasonOf(put('j', 5))).to.equal('LOCKED');
    expect(log.tx('prepare', { id: 'a', steps: 1 })).to.deep.equal({ vote: 'no' });
    expect(log.step('a', 1, get('k'), { opened: true })).to.deep.equal({ type: 'gone' });
    expect([...log.machine.inDoubt()].map(({ id }) => id)).to.deep.equal(['b']);
    log.tx('finish', { id: 'b', outcome: 'commit' });
    expect(log.get('j')).to.equal(1);
    expect(log.tx('finish', { id: 'b', outcome: 'commit' })).to.deep.equal({ done: true });
  });

  it('votes no when a step is missing, adds nothing after its vote, commits nothing without', () => {
    const log = new Log();
    log.step('a', 1, put('k', 1));
    expect(log.tx('prepare', { id: 'a', steps: 2 })).to.deep.equal({ vote: 'no' });
    expect(log.tx('finish', { id: 'a', outcome: 'commit' })).to.deep.equal({ done: false });
    expect(log.get('k')).to.equal(undefined);
    log.tx('prepare', { id: 'a', steps: 1 });
    expect(log.step('a', 1, put('k', 2), { opened: true })).to.deep.equal({ type: 'gone' });
    expect(log.tx('verify', { id: 'a' })).to.deep.equal({ held: false });
  });

  it('the first decision in the log counts, and who is not known is aborted for good', () => {
    const log = new Log();
    expect(log.register('a')).to.deep.equal({ type: 'pending' });
    expect(log.tx('inquire', { id: 'a', at: log.now })).to.deep.equal({ type: 'pending' });
    expect(log.decide('a', 'commit')).to.deep.equal({ type: 'commit' });
    expect(log.decide('a', 'abort')).to.deep.equal({ type: 'commit' });
    log.now += 5000;
    expect(log.tx('inquire', { id: 'a', at: log.now })).to.deep.equal({ type: 'commit' });

    log.register('b');
    log.now += 1000;
    expect(log.tx('inquire', { id: 'b', at: log.now - 1000 })).to.deep.equal({ type: 'abort' });
    expect(log.decide('b', 'commit')).to.deep.equal({ type: 'abort' });

    expect(log.decide('c', 'commit')).to.deep.equal({ type: 'abort' });
    expect(log.tx('inquire', { id: 'd', at: log.now })).to.deep.equal({ type: 'abort' });
    expect(log.register('d')).to.deep.equal({ type: 'abort' });
    expect(log.decide('d', 'commit')).to.deep.equal({ type: 'abort' });
  });

  it('forgets a tombstone only when nobody can come any more whom it keeps away', () => {
    const log = new Log();
    const at = log.now;
    log.tx('inquire', { id: 'late', at });
    for (const wait of [LIMITS.stampMs, 1]) {
      log.now += wait;
      for (let i = 0; i < 10; i++) log.decide(`other${i}`, 'abort');
      expect(log.register('late', { at }).type).to.equal('abort');
    }
    expect(log.machine.decisions.get('late')).to.equal(undefined);
    expect(log.register('late', { at })).to.have.property('why');
    // Nor one that seems to come from the future.
    expect(log.register('ahead', { at: log.now + LIMITS.stampMs + 1 })).to.have.property('why');
  });

  it('does one of two attempts under a request id, and keeps its result for an hour', () => {
    const log = new Log();
    log.register('a', { request: 'r' });
    log.register('b', { request: 'r' });
    expect(log.decide('a', 'commit', { n: 1 })).to.deep.equal({ type: 'commit' });
    expect(log.decide('b', 'commit', { n: 2 })).to.deep.equal({ type: 'done', result: { n: 1 } });
    expect(log.register('c', { request: 'r' })).to.deep.equal({ type: 'done', result: { n: 1 } });
    expect(log.machine.query(['quorate:transaction', 'request', 'r'])).to.deep.equal({
      known: true,
      result: { n: 1 },
    });
    log.step('s', 1, put('k', 1));
    const single = { id: 's', steps: 1, request: 'r', result: undefined };
    expect(log.tx('single', single)).to.deep.equal({ type: 'done', result: { n: 1 } });
    expect(log.get('k')).to.equal(undefined);
    log.now += LIMITS.requestMs + 1;
    log.decide('any', 'abort');
    expect(log.machine.query(['quorate:transaction', 'request', 'r'])).to.deep.equal({ known: false });
    log.register('e', { request: 'large' });
    expect(
      log.reasonOf(marked('decide', { id: 'e', outcome: 'commit', result: 'x'.repeat(70_000) })),
    ).to.equal('RESULT_TOO_LARGE');
  });

  it('does not keep a vote of one who cannot be done', () => {
    const log = new Log();
    log.step('s', 1, put('k', 1));
    const large = marked('single', { id: 's', steps: 1, request: 'r', result: 'x'.repeat(70_000) });
    expect(log.reasonOf(large)).to.equal('RESULT_TOO_LARGE');
    expect([...log.machine.inDoubt()]).to.deep.equal([]);
    log.now += 1000;
    expect(log.reasonOf(put('k', 2))).to.equal(undefined);
  });

  it('has caps', () => {
    const log = new Log();
    for (let i = 0; i < LIMITS.branches; i++) log.step(`t${i}`, 1, put(`k${i}`, i));
    const more = marked('step', {
      ...{ id: 'more', age: { time: 1, id: 'more' }, home: 'h', at: 1, leaseMs: 1000, opened: false },
      ...{ kind: 'command', exclusive: true, body: put('one more', 1) },
    });
    expect(log.reasonOf(more)).to.equal('TRANSACTIONS_FULL');
    log.now += 1000; // their time is over, and a few make room with each command
    expect(log.reasonOf(more)).to.equal(undefined);
    for (let i = 0; i < LIMITS.steps; i++) log.step('one', 1, put('same', i));
    expect(() => log.step('one', 1, put('same', 1))).to.throw('TRANSACTIONS_FULL');
  });

  it('applies with the context in which it was rehearsed', () => {
    const machine = defineMachine({
      version: 1,
      initial: () => ({ seen: [] as unknown[] }),
      commands: {
        look: (state, _: object, context) => {
          const { index, time, origin } = context;
          const seen = [index, time, origin, context.random(), context.random()];
          state.seen.push(seen);
          return seen;
        },
      },
      queries: { all: (state) => state.seen },
    });
    const log = new Log(new Transactional(machine, {}));
    const rehearsed = [log.step('a', 1, { op: 'look' }), log.step('a', 1, { op: 'look' })].map(
      ({ value }) => value,
    );
    log.now += 500;
    log.tx('single', { id: 'a', steps: 2, request: undefined, result: undefined });
    expect(log.machine.query({ op: 'all' })).to.deep.equal(rehearsed);
    expect(rehearsed[0]).to.not.deep.equal(rehearsed[1]);
  });

  it('tells of a machine that does otherwise than it rehearsed', () => {
    const lying = {
      version: 1,
      apply: () => {
        throw new Error('not so');
      },
      rehearse: () => 'fine',
      snapshot: () => [],
      restore: () => undefined,
    };
    const log = new Log(new Transactional(lying, {}));
    log.step('a', 1, { op: 'x' }, { kind: 'command' });
    log.tx('prepare', { id: 'a', steps: 1 });
    expect(log.tx('finish', { id: 'a', outcome: 'commit' })).to.deep.equal({ done: true, failed: 'not so' });
  });

  it('refuses commands that make no sense, on every member alike', () => {
    const log = new Log();
    fc.assert(
      fc.property(fc.anything(), fc.anything(), (op, body) => {
        const known = typeof op === 'string' && op in { step: 1 };
        const before = snapshotOf(log.machine);
        if (!known) expect(log.reasonOf(['quorate:transaction', op, body])).to.equal('ERR_CODEC');
        expect(log.reasonOf(['quorate:transaction', 'step', body])).to.equal('ERR_CODEC');
        expect(log.reasonOf(['quorate:transaction', 'register', body])).to.equal('ERR_CODEC');
        expect(snapshotOf(log.machine)).to.deep.equal(before);
      }),
    );
    const good = { id: 'a', at: 1, leaseMs: 1, groups: ['g'], resources: [] };
    for (const wrong of [
      { id: '' },
      { id: 'x'.repeat(65) },
      { at: -1 },
      { leaseMs: 0 },
      { leaseMs: LIMITS.timeoutMs + 1 },
      { groups: [1] },
      { groups: Array.from({ length: 65 }, () => 'g') },
      { resources: [{}] },
      { request: 7 },
      { steps: 'x' },
    ])
      expect(log.reasonOf(['quorate:transaction', 'register', { ...good, ...wrong }])).to.equal('ERR_CODEC');
  });
});

/** Random logs, on a machine that is asked for a snapshot now and then, and on one that goes on from that. */
describe('the snapshot of a transactional machine', () => {
  const ids = fc.constantFrom('a', 'b', 'c', 'd');
  const keys = fc.constantFrom('k', 'l', 'm');
  const commands = fc.oneof(
    { weight: 6, arbitrary: fc.tuple(fc.constant('put'), ids, keys, fc.boolean()) },
    { weight: 4, arbitrary: fc.tuple(fc.constant('get'), ids, keys, fc.boolean()) },
    fc.tuple(fc.constant('list'), ids, keys, fc.boolean()),
    fc.tuple(
      fc.constantFrom('prepare', 'verify', 'commit', 'abort', 'register', 'decide'),
      ids,
      keys,
      fc.boolean(),
    ),
    fc.tuple(fc.constantFrom('inquire', 'end', 'single', 'plain', 'time'), ids, keys, fc.boolean()),
  );
  type Command = readonly [string, string, string, boolean];

  function run(log: Log, [kind, id, key, flag]: Command): unknown {
    const ages: Record<string, number> = { a: 1, b: 2, c: 3, d: 4 };
    const steps = log.machine.branches.get(id)?.steps.length ?? 0;
    const body = { put: put(key, log.now), get: get(key), list: { op: 'list', prefix: key } }[kind];
    try {
      switch (kind) {
        case 'put':
        case 'get':
        case 'list':
          return log.step(id, ages[id]!, body, { opened: flag, exclusive: flag });
        case 'prepare':
          return log.tx('prepare', { id, steps });
        case 'verify':
        case 'end':
          return log.tx(kind, { id });
        case 'commit':
        case 'abort':
          return log.tx('finish', { id, outcome: kind });
        case 'register':
          return log.register(id, flag ? { request: key, steps } : {});
        case 'decide':
          return log.decide(id, flag ? 'commit' : 'abort', { key });
        case 'inquire':
          return log.tx('inquire', { id, at: log.now });
        case 'single':
          return log.tx('single', { id, steps, request: flag ? key : undefined, result: 1 });
        case 'plain':
          return log.apply(put(key, -1));
        default:
          log.now += 400;
          return undefined;
      }
    } catch (error) {
      return String(error);
    }
  }

  it('holds everything: a machine that goes on from it answers alike, and makes the same bytes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(commands, { maxLength: 60 }),
        fc.array(commands, { maxLength: 30 }),
        fc.integer({ min: 1, max: 200 }),
        async (before, after, size) => {
          const one = new Log();
          for (const command of before) run(one, command);
          const bytes = snapshotOf(one.machine);
          const two = new Log();
          await two.machine.restore(chunked(bytes, size));
          two.now = one.now;
          expect(snapshotOf(two.machine)).to.deep.equal(bytes);
          // The same indexes from here on.
          for (let i = 0; i < before.length; i++) run(two, ['none', 'a', 'k', false]);
          two.now = one.now;
          for (const command of after) {
            expect(run(two, command)).to.deep.equal(run(one, command));
          }
        },
      ),
      { numRuns: 150 },
    );
  });

  it('is captured at once, and refuses bytes that were changed or cut', async () => {
    const log = new Log();
    log.step('a', 1, put('k', 1));
    const chunks = log.machine.snapshot() as Iterable<Uint8Array>;
    log.tx('finish', { id: 'a', outcome: 'abort' });
    const bytes = Buffer.concat([...chunks]);
    const other = new Log();
    await other.machine.restore(chunked(bytes, 7));
    expect(other.machine.branches.size).to.equal(1);
    for (let at = 0; at < bytes.length; at += 3) {
      const wrong = Buffer.from(bytes);
      wrong[at]! ^= 0x10;
      let error: unknown;
      await other.machine.restore(chunked(wrong, 64)).catch((caught: unknown) => (error = caught));
      expect(error, `byte ${at}`).to.be.instanceOf(QuorateError);
      await other.machine
        .restore(chunked(bytes.subarray(0, at), 64))
        .catch((caught: unknown) => (error = caught));
      expect(error, `cut at ${at}`).to.be.instanceOf(QuorateError);
    }
    expect(other.machine.branches.size).to.equal(1);
  });
});

describe('the table of locks', () => {
  const range = fc.oneof(
    fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 3 }),
    fc.record({ prefix: fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 2 }) }),
  );
  const claim: fc.Arbitrary<Claim> = fc.record({
    ranges: fc.array(range, { maxLength: 3 }),
    mode: fc.constantFrom('shared', 'exclusive'),
  });

  it('knows the conflicts that a look at every pair finds', () => {
    const owners = ['x', 'y', 'z'];
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom(...owners), claim, fc.boolean())),
        claim,
        (steps, asked) => {
          const table = new LockTable();
          const held = new Map<string, Claim[]>(owners.map((owner) => [owner, []]));
          for (const [owner, each, release] of steps) {
            if (release) {
              const ranges = held.get(owner)!.flatMap((one) => [...one.ranges]);
              table.release(owner, ranges);
              held.set(owner, []);
            } else {
              table.grant(owner, each);
              held.get(owner)!.push(each);
            }
          }
          const expected = owners.filter(
            (owner) => owner !== 'x' && held.get(owner)!.some((one) => excludes(one, asked)),
          );
          expect([...table.conflicts('x', asked)].sort()).to.deep.equal(expected);
          for (const owner of owners)
            table.release(
              owner,
              held.get(owner)!.flatMap((one) => [...one.ranges]),
            );
          expect(table.size).to.equal(0);
        },
      ),
    );
  });
});
