import { expect } from 'chai';
import { QuorateError, type ErrorCode } from '../../../../lib/errors.js';
import { counter } from '../../../../lib/machines/counter.js';
import { defineMachine } from '../../../../lib/machines/defineMachine.js';
import { keyValue } from '../../../../lib/machines/keyValue.js';
import { raft } from '../../../../lib/replica/consensus.js';
import type { ApplyContext, StateMachine } from '../../../../lib/replica/stateMachine.js';
import { planRun } from '../../../../lib/testing/exploration/plan.js';
import {
  explore,
  keyValueModel,
  type ClientRandom,
  type ExploreFinding,
  type ExploreOptions,
  type ExploreProgress,
  type Model,
} from '../../../../lib/testing/index.js';
import { acknowledgesEarly } from './support/broken.js';

const three = ['a', 'b', 'c'];

/** Keeps what it drew. */
const dice = (roll: (context: ApplyContext) => number) => () =>
  defineMachine({
    version: 1,
    initial: () => ({ last: 0, rolls: 0 }),
    commands: {
      roll: (state, _: object, context) => {
        state.rolls++;
        return (state.last = roll(context));
      },
    },
    queries: { last: (state) => state.last },
  });

const rolling = (random: ClientRandom) =>
  random.chance(0.2) ? ({ query: { op: 'last' } } as const) : ({ command: { op: 'roll' } } as const);

/** Few faults, few nodes: quick. */
const quick = { nodes: three, kinds: ['partition'], seeds: 1 } as const;

async function thrown(promise: Promise<unknown>, code: ErrorCode): Promise<QuorateError> {
  const error: unknown = await promise.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  expect(error, `a QuorateError ${code}`).to.be.instanceOf(QuorateError);
  expect((error as QuorateError).code, (error as QuorateError).message).to.equal(code);
  return error as QuorateError;
}

describe('explore', function () {
  this.timeout(60_000);

  it('passes a machine that is deterministic, and tells what was done', async () => {
    const told: ExploreProgress[] = [];
    const report = await explore({
      stateMachine: dice((context) => context.random()),
      client: rolling,
      seeds: 3,
      from: 11,
      onSeed: (progress) => told.push(progress),
    });
    expect(report.seeds).to.equal(3);
    expect(told.map(({ seed, done, seeds }) => ({ seed, done, seeds }))).to.deep.equal([
      { seed: 11, done: 1, seeds: 3 },
      { seed: 12, done: 2, seeds: 3 },
      { seed: 13, done: 3, seeds: 3 },
    ]);
    expect(report.events).to.equal(told.reduce((sum, { events }) => sum + events, 0));
    expect(report.virtualMs).to.equal(told.reduce((sum, { virtualMs }) => sum + virtualMs, 0));
    expect(report.virtualMs).to.be.greaterThan(3 * 6000);
    expect(report.counts['calls: ok']).to.be.greaterThan(100);
    expect(report.counts['commands applied']).to.be.greaterThan(300);
    expect(Object.keys(report.counts).filter((kind) => kind.startsWith('fault: '))).to.not.deep.equal([]);
  });

  it('runs a seed the same way twice, with the same steps of its clients', async () => {
    const run = async () => {
      const drawn: number[] = [];
      const client = (random: ClientRandom) => {
        drawn.push(random.next(), random.integer(1e6), Number(random.chance(0.5)), random.pick([1, 2, 3]));
        return adding(random);
      };
      return { drawn, report: await explore({ stateMachine: counter(), client, ...quick, from: 4 }) };
    };
    const first = await run();
    expect(first.drawn.length).to.be.greaterThan(100);
    expect(await run()).to.deep.equal(first);
  });

  it('finds a machine that draws by itself, and says how to see it again', async () => {
    const error = await thrown(
      explore({ stateMachine: dice(() => Math.random()), client: rolling, from: 17, seeds: 5 }),
      'ERR_INVARIANT',
    );
    const finding = error.data as ExploreFinding;
    expect(finding.violation.invariant).to.equal('divergence');
    expect(finding.seed).to.equal(17);
    expect(finding.plan).to.deep.equal(planRun(17));
    expect(finding.reproducible).to.equal(false);
    expect(finding.smallest!.faults).to.deep.equal([]);
    expect(finding.smallest!.clients).to.equal(1);
    expect(finding.diagram).to.match(/VIOLATION/);
    const lines = error.message.split('\n');
    expect(lines[0]).to.match(
      /^divergence \(seed 17, at [\d.]+ ms, node \w\): the state machines of \w and \w differ/,
    );
    expect(lines[1]).to.equal('To run this seed alone: explore({ from: 17, seeds: 1, … }).');
    expect(lines[2]).to.match(
      /^A second run of the seed went another way: .* than `context` and `random`\.$/,
    );
    expect(lines[3]).to.match(/^It takes no fault \(\d+ were planned\)\.$/);
  });

  it('finds a snapshot that forgets something, names the faults that it takes, and finds it again alone', async () => {
    const forgetful = () =>
      defineMachine({
        version: 1,
        initial: () => ({ n: 0, since: 0 }),
        commands: { add: (state) => [++state.n, ++state.since] },
        encode: ({ n }) => Buffer.from(String(n)),
        decode: (bytes) => ({ n: Number(Buffer.from(bytes).toString()), since: 0 }),
      });
    const options = {
      stateMachine: forgetful,
      client: () => ({ command: { op: 'add' } }) as const,
      nodes: three,
      kinds: ['crash', 'pause'],
    } as const;
    const error = await thrown(explore({ ...options, seeds: 20, minimiseMs: 1000 }), 'ERR_INVARIANT');
    const { seed, plan, violation, smallest, reproducible } = error.data as ExploreFinding;
    expect(violation.invariant).to.equal('divergence');
    expect(reproducible).to.equal(true);
    expect(smallest!.faults.length).to.be.within(1, plan.faults.length);
    expect(error.message).to.contain(`Of the ${plan.faults.length} faults that were planned it takes:\n`);
    expect(error.message).to.match(/\n +\d+ ms {2}crash @?\w+ .*for \d+ ms/);
    const again = await thrown(explore({ ...options, from: seed, seeds: 1, minimiseMs: 0 }), 'ERR_INVARIANT');
    const alone = again.data as ExploreFinding;
    expect(alone.violation).to.deep.equal(violation);
    expect(alone.smallest, 'none was looked for').to.equal(undefined);
    expect(again.message).to.not.contain('planned');
  });

  it('finds a protocol that is wrong, and cuts the plan down', async () => {
    const error = await thrown(
      explore({
        stateMachine: keyValue<number>(),
        client: writing,
        consensus: acknowledgesEarly(),
        nodes: three,
      }),
      'ERR_INVARIANT',
    );
    const finding = error.data as ExploreFinding;
    expect(['durability', 'vote']).to.include(finding.violation.invariant);
    expect(finding.reproducible).to.equal(true);
    expect(error.message).to.not.contain('A second run');
    expect(error.message).to.contain('It takes no fault');
  });

  it('judges histories with a model', async () => {
    const report = await explore({
      stateMachine: keyValue<number>(),
      client: writing,
      model: keyValueModel<number>(),
      ...quick,
      from: 2,
    });
    expect(report.counts['histories judged ok']).to.equal(1);
    const forgetful: Model = {
      init: () => 0,
      step: (state, _, output) => ({ ok: output === undefined, state }),
    };
    const error = await thrown(
      explore({
        stateMachine: keyValue<number>(),
        client: writing,
        model: forgetful,
        from: 2,
        ...quick,
        minimiseMs: 0,
      }),
      'ERR_INVARIANT',
    );
    expect((error.data as ExploreFinding).violation.invariant).to.equal('linearizability');
    expect(error.message).to.contain('no order of the calls explains the answers');
    expect(error.message).to.contain('No order goes further');
  });

  it('plans only what it may', async () => {
    const { counts } = await explore({
      stateMachine: counter(),
      client: adding,
      nodes: three,
      kinds: ['pause'],
      seeds: 3,
      from: 3,
    });
    expect(Object.keys(counts).filter((kind) => kind.startsWith('fault: '))).to.deep.equal(['fault: pause']);
    const calm = await explore({
      stateMachine: counter(),
      client: adding,
      nodes: ['one'],
      kinds: [],
      seeds: 1,
    });
    expect(Object.keys(calm.counts).filter((kind) => kind.startsWith('fault: '))).to.deep.equal([]);
  });

  it('passes on what the caller’s own code throws', async () => {
    const oh = new RangeError('oh');
    const fail = (): never => {
      throw oh;
    };
    let calls = 0;
    const client = (random: ClientRandom) => (++calls > 50 ? fail() : adding(random));
    const caught = (promise: Promise<unknown>) => promise.catch((error: unknown) => error);
    expect(await caught(explore({ stateMachine: counter(), client, ...quick }))).to.equal(oh);
    expect(
      await caught(explore({ stateMachine: counter(), client: adding, ...quick, onSeed: fail })),
    ).to.equal(oh);
  });

  it('ends when its signal fires, before and in the middle of a run', async () => {
    const before = AbortSignal.abort(new Error('why'));
    const error = await thrown(
      explore({ stateMachine: counter(), client: adding, ...quick, signal: before }),
      'ERR_ABORTED',
    );
    expect((error.cause as Error).message).to.equal('why');
    const controller = new AbortController();
    let calls = 0;
    const client = (random: ClientRandom) => {
      if (++calls === 100) setImmediate(() => controller.abort());
      return adding(random);
    };
    await thrown(
      explore({ stateMachine: counter(), client, ...quick, seeds: 1e9, signal: controller.signal }),
      'ERR_ABORTED',
    );
    expect(calls).to.be.within(100, 1000);
  });

  it('does not take a client whose calls all fail for a test', async () => {
    const client = () => ({ command: { op: 'ad', name: 'n' } }) as never;
    const error = await thrown(explore({ stateMachine: counter(), client, ...quick }), 'ERR_CONFIG');
    expect(error.message).to.contain('all failed');
  });

  const steps: readonly (readonly [string, (random: ClientRandom) => unknown, RegExp])[] = [
    ['nothing', () => undefined, /^what client answers must be \{ command \} or \{ query \}, got undefined/],
    ['a command that is not wrapped', () => ({ op: 'add', name: 'n' }), /^what client answers must be/],
    [
      'a promise',
      () => Promise.resolve({ command: { op: 'add', name: 'n' } }),
      /^what client answers must be/,
    ],
    [
      'queries alone',
      () => ({ query: { op: 'get', name: 'n' } }),
      /^client must be a function that answers a command now/,
    ],
    [
      'what it picked from nothing',
      (random) => ({ command: random.pick([]) }),
      /^list must be a list with members/,
    ],
    [
      'a die of no sides',
      (random) => ({ command: random.integer(0) }),
      /^below must be an integer from 1 to/,
    ],
    [
      'a certainty of two',
      (random) => ({ command: random.chance(2) }),
      /^probability must be a number from 0 to 1/,
    ],
  ];
  for (const [what, client, message] of steps)
    it(`refuses a client that answers ${what}`, async () => {
      const options = { stateMachine: counter(), client, ...quick } as unknown as ExploreOptions;
      expect((await thrown(explore(options), 'ERR_CONFIG')).message).to.match(message);
    });

  const wrong: readonly (readonly [object, RegExp])[] = [
    [{ stateMachine: undefined }, /^stateMachine must be a function that makes one/],
    [{ stateMachine: () => ({}) }, /^stateMachine must be a state machine with apply, snapshot and restore/],
    [{ stateMachine: shared() }, /^stateMachine must be a function that makes one/],
    [{ client: undefined }, /^client must be a function/],
    [{ seeds: 0 }, /^seeds must be an integer from 1 to 1000000000/],
    [{ seeds: 1.5 }, /^seeds must be an integer/],
    [{ from: -1 }, /^from must be an integer from 0/],
    [{ nodes: [] }, /^nodes must be a list of 1 to 63 node ids/],
    [{ nodes: ['a', 'a'] }, /^nodes must be a list without repeated ids/],
    [{ nodes: ['a', '/'] }, /^nodes\[1\] must be a string/],
    [{ kinds: ['crash', 'flood'] }, /^kinds\[1\] must be one of crash, blackout, .*, got "flood"/],
    [{ kinds: 'crash' }, /^kinds must be a list/],
    [{ consensus: 'raft' }, /^consensus must be a protocol, such as raft\(\)/],
    [{ model: {} }, /^model must be a model with init and step/],
    [{ minimiseMs: -1 }, /^minimiseMs must be a number from 0/],
    [{ onSeed: 1 }, /^onSeed must be a function/],
    [{ signal: {} }, /^signal must be an AbortSignal/],
  ];
  for (const [options, message] of wrong)
    it(`refuses ${Object.keys(options)[0]}: ${message.source.slice(1, 60)}`, async () => {
      const valid = { stateMachine: counter(), client: adding, seeds: 1 };
      const error = await thrown(explore({ ...valid, ...options }), 'ERR_CONFIG');
      expect(error.message).to.match(message);
    });

  it('refuses no options, and takes a protocol', async () => {
    await thrown(explore(undefined as unknown as ExploreOptions), 'ERR_CONFIG');
    await explore({
      stateMachine: counter(),
      client: adding,
      ...quick,
      consensus: raft({ electionTimeoutMs: 500 }),
    });
  });
});

function adding(random: ClientRandom) {
  return random.chance(0.2)
    ? ({ query: { op: 'get', name: 'n' } } as const)
    : ({ command: { op: 'add', name: 'n', by: random.integer(10) } } as const);
}

function writing(random: ClientRandom) {
  const key = random.pick(['x', 'y', 'z']);
  return random.chance(0.5)
    ? ({ query: { op: 'get', key } } as const)
    : ({ command: { op: 'put', key, value: Math.floor(random.next() * 1e9) } } as const);
}

function shared(): StateMachine {
  return { version: 1, apply: () => 0, snapshot: () => [], restore: () => undefined };
}
