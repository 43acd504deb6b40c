import { expect } from 'chai';
import { createSimulation, type SimulationOptions } from '../../../../lib/testing/index.js';
import { elected, three, thrown } from './support.js';

describe('simulation: options and time', () => {
  const valid = { seed: 1, nodes: three };
  const wrong: readonly (readonly [string, object, RegExp])[] = [
    ['a seed below 0', { seed: -1 }, /^seed must be an integer from 0/],
    ['a seed with a fraction', { seed: 1.5 }, /^seed must be an integer/],
    ['no seed', { seed: undefined }, /^seed must be an integer/],
    ['no nodes', { nodes: undefined }, /^nodes must be a list of 1 to 63/],
    ['an empty list of nodes', { nodes: [] }, /^nodes must be a list of 1 to 63/],
    [
      '64 nodes',
      { nodes: Array.from({ length: 64 }, (_, i) => `n${i}`) },
      /^nodes must be a list of 1 to 63/,
    ],
    ['a name that is none', { nodes: ['a', 'b c'] }, /^nodes\[1\] must be a string of 1 to 128/],
    ['a name twice', { nodes: ['a', 'a'] }, /^nodes must be a list without repeated ids/],
    ['a rate above 1', { messages: { lossRate: 1.1 } }, /^messages.lossRate must be a number from 0 to 1/],
    ['a rate below 0', { messages: { duplicateRate: -0.1 } }, /^messages.duplicateRate must be/],
    ['a rate that is no number', { messages: { reorderRate: '1' } }, /^messages.reorderRate must be/],
    [
      'a delay above its range',
      { messages: { delayMs: 60_001 } },
      /^messages.delayMs must be a number from 0/,
    ],
    [
      'a drift above a half',
      { clocks: { driftRate: 0.6 } },
      /^clocks.driftRate must be a number from 0 to 0.5/,
    ],
    ['a negative time to apply', { applyMs: -1 }, /^applyMs must be a number from 0 to 10000/],
    ['a time-out of 0', { timeout: 0 }, /^timeout must be an integer from 1/],
    ['a trace without end', { traceEvents: Infinity }, /^traceEvents must be an integer from 0/],
    ['a network that loses all', { network: { lossRate: 1 } }, /lossRate must be a number from 0 to 0.95/],
    [
      'a disk that errs in an unknown way',
      { disk: { errors: { fly: 1 } } },
      /^errors must be of open, write/,
    ],
    ['a negative disk', { disk: { capacityBytes: -1 } }, /^capacityBytes must be an integer from 0/],
  ];
  for (const [what, options, message] of wrong)
    it(`refuses ${what}`, async () => {
      const error = await thrown(() => createSimulation({ ...valid, ...options }), 'ERR_CONFIG');
      expect(error.message).to.match(message);
    });

  it('refuses no options', async () => {
    await thrown(() => createSimulation(undefined as unknown as SimulationOptions), 'ERR_CONFIG');
  });

  it('refuses nodes that it does not have, whatever is to be done to them', async () => {
    const simulation = createSimulation(valid);
    const calls: (() => unknown)[] = [
      () => simulation.replica('x'),
      () => simulation.mesh('x'),
      () => simulation.state('x'),
      () => simulation.failure('x'),
      () => simulation.disk('x'),
      () => simulation.cut('a', 'x'),
      () => simulation.cutOneWay('x', 'a'),
      () => simulation.partition([['a'], ['x']]),
      () => simulation.heal('a', 'x'),
      () => simulation.crash('x'),
      () => simulation.restart('x'),
      () => simulation.pause('x', 1),
      () => simulation.shiftClock('x', 1),
      () => simulation.setDisk('x', {}),
    ];
    for (const call of calls)
      expect((await thrown(call, 'ERR_CONFIG')).message).to.equal('id must be one of a, b, c, got "x"');
    expect(simulation.counts()).to.not.have.any.keys('cut', 'partition', 'pause', 'restarts');
  });

  it('refuses times and rates that make no sense', async () => {
    const simulation = createSimulation(valid);
    const calls: (() => unknown)[] = [
      () => simulation.run(-1),
      () => simulation.run(NaN),
      () => simulation.run('1' as unknown as number),
      () => simulation.runUntil(() => true, 1e13),
      () => simulation.runUntil(() => false, -1),
      () => simulation.runUntil(true as unknown as () => boolean, 1),
      () => simulation.runUntil((() => Promise.resolve(true)) as unknown as () => boolean, 1),
      () => simulation.settle(Promise.resolve(), -1),
      () => simulation.after(-1, () => undefined),
      () => simulation.after(1, undefined as unknown as () => void),
      () => simulation.sleep(Infinity),
      () => simulation.pause('a', -1),
      () => simulation.shiftClock('a', NaN),
      () => simulation.setMessages({ lossRate: 2 }),
      () => simulation.setDisk('a', { stall: 2 }),
      () => simulation.partition([['a'], ['a', 'b']]),
      () => simulation.cut('a', 'a'),
    ];
    for (const [at, call] of calls.entries())
      // runUntil asks once before it looks at the time.
      if (at !== 3) await thrown(call, 'ERR_CONFIG');
  });

  it('lets exactly so much time pass as it is told', async () => {
    const simulation = createSimulation(valid);
    expect(simulation.now).to.equal(0);
    await simulation.run(0);
    await simulation.run(1234.5);
    expect(simulation.now).to.equal(1234.5);
    expect(simulation.events).to.be.greaterThan(100);
  });

  it('calls back and wakes sleepers at their time, in order', async () => {
    const simulation = createSimulation(valid);
    const seen: string[] = [];
    const note = (what: string) => () => void seen.push(`${what} ${simulation.now}`);
    simulation.after(30, note('third'));
    simulation.after(10, note('first'));
    void simulation.sleep(20).then(note('second'));
    simulation.after(500, note('never'));
    await simulation.run(100);
    expect(seen).to.deep.equal(['first 10', 'second 20', 'third 30']);
  });

  it('ends at the event after which a predicate holds, or says that it does not', async () => {
    const simulation = createSimulation(valid);
    let held = false;
    simulation.after(50, () => (held = true));
    expect(await simulation.runUntil(() => held, 40)).to.equal(false);
    expect(simulation.now).to.equal(40);
    expect(await simulation.runUntil(() => held, 40)).to.equal(true);
    expect(simulation.now).to.equal(50);
    expect(await simulation.runUntil(() => held, 40)).to.equal(true);
    expect(simulation.now, 'no time passes for what holds already').to.equal(50);
  });

  it('settles promises: their values, their errors, and a time-out', async () => {
    const simulation = createSimulation(valid);
    expect(await simulation.settle(simulation.sleep(70).then(() => 'done'))).to.equal('done');
    expect(simulation.now).to.equal(70);
    const failing = simulation.sleep(30).then(() => Promise.reject(new RangeError('no')));
    const error: unknown = await simulation.settle(failing).catch((caught: unknown) => caught);
    expect(error).to.be.instanceOf(RangeError);
    const late = await thrown(
      () => simulation.settle(new Promise<void>(() => undefined), 250),
      'ERR_TIMEOUT',
    );
    expect(late.message).to.equal('not settled within 250 virtual ms');
    expect(simulation.now).to.equal(350);
  });

  it('refuses to run while it runs', async () => {
    const simulation = await elected();
    const running = simulation.run(500);
    for (const call of [() => simulation.run(1), () => simulation.settle(Promise.resolve(), 1)])
      expect((await thrown(call, 'ERR_CONFIG')).message).to.contain('running already');
    await running;
    await simulation.run(1);
  });

  it('passes on what a predicate throws, and can run again', async () => {
    const simulation = createSimulation(valid);
    let calls = 0;
    const predicate = (): boolean => {
      if (++calls === 3) throw new RangeError('no');
      return false;
    };
    const error: unknown = await simulation.runUntil(predicate, 100).catch((caught: unknown) => caught);
    expect(error).to.be.instanceOf(RangeError);
    await simulation.run(100);
  });

  it('takes what a callback throws for a violation', async () => {
    const simulation = createSimulation(valid);
    simulation.after(10, () => {
      throw new Error('from a callback');
    });
    await simulation.run(100);
    expect(simulation.violation).to.include({ invariant: 'no exception', time: 10 });
    expect(simulation.violation!.message).to.contain('from a callback');
  });
});
