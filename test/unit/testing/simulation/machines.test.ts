import { expect } from 'chai';
import { counter } from '../../../../lib/machines/counter.js';
import { defineMachine } from '../../../../lib/machines/defineMachine.js';
import { keyValue } from '../../../../lib/machines/keyValue.js';
import type { StateMachine } from '../../../../lib/replica/stateMachine.js';
import { createSimulation, type Violation } from '../../../../lib/testing/index.js';
import { three, thrown, untilEqual, untilLed } from './support.js';

/** A machine whose copies count up from different numbers, in what they answer, in what they keep, or not at all. */
function numbered(answers: boolean, keeps: boolean): () => StateMachine<string> {
  let copies = 0;
  return () => {
    const own = copies++;
    return {
      version: 1,
      apply: () => (answers ? own : 0),
      snapshot: () => [Uint8Array.of(keeps ? own : 0)],
      restore: () => undefined,
    };
  };
}

async function submitMany(stateMachine: () => StateMachine<string>, commands: number) {
  const simulation = createSimulation({ seed: 1, nodes: three, stateMachine });
  await untilLed(simulation);
  for (let n = 0; n < commands && simulation.violation === undefined; n++)
    await simulation.settle(simulation.replica('a').submit('next')).catch(() => undefined);
  await simulation.run(1000);
  return simulation;
}

describe('simulation: state machines', () => {
  it('finds copies that answer differently, at the first command', async () => {
    const simulation = await submitMany(numbered(true, false), 1);
    expect(simulation.violation).to.include({ invariant: 'divergence' });
    expect(simulation.violation!.message).to.match(
      /the state machines of \w and \w differ: the command at \d+ gave/,
    );
    const error = await thrown(() => simulation.check(), 'ERR_INVARIANT');
    expect(error.message).to.match(/^divergence \(seed 1, at [\d.]+ ms, node \w\): /);
    expect(error.data).to.equal(simulation.violation);
  });

  it('finds copies that answer alike and have different states', async () => {
    const simulation = await submitMany(numbered(false, true), 40);
    expect(simulation.violation).to.include({ invariant: 'divergence' });
    expect(simulation.violation!.message).to.match(/the state machines of \w and \w differ after \d+/);
  });

  it('compares the states as they are when it is asked, after a command or two', async () => {
    const simulation = await submitMany(numbered(false, true), 2);
    expect(simulation.violation).to.equal(undefined);
    const error = await thrown(() => simulation.check(), 'ERR_INVARIANT');
    expect(error.message).to.match(/^divergence .* differ after \d+/);
  });

  it('finds nothing about copies that are alike', async () => {
    const simulation = await submitMany(numbered(false, false), 40);
    expect(simulation.check().counts['states compared']).to.be.greaterThan(2);
  });

  it('stands still once something does not hold', async () => {
    const simulation = await submitMany(numbered(true, false), 1);
    const { now, events } = simulation;
    const violation: Violation = simulation.violation!;
    await simulation.run(10_000);
    expect(await simulation.runUntil(() => false, 10_000)).to.equal(false);
    await thrown(() => simulation.settle(simulation.sleep(10)), 'ERR_INVARIANT');
    expect(simulation.violation).to.equal(violation);
    expect(simulation.now).to.equal(now);
    expect(simulation.events).to.be.at.most(events + 3);
  });

  it('takes machines that make others of their kind', async () => {
    const defined = defineMachine({
      version: 1,
      initial: () => ({ n: 0 }),
      commands: { add: (state, { by }: { by: number }) => (state.n += by) },
    });
    const own = createSimulation({ seed: 1, nodes: three, stateMachine: defined });
    await untilLed(own);
    for (const [at, id] of three.entries())
      expect(await own.settle(own.replica(id).submit({ op: 'add', by: 2 }))).to.equal(2 * (at + 1));
    await untilEqual(own);
    own.check();
    const made = createSimulation({ seed: 1, nodes: three, stateMachine: keyValue<number>() });
    await untilLed(made);
    await made.settle(made.replica('a').submit({ op: 'put', key: 'k', value: 1 }));
    const called = createSimulation({ seed: 1, nodes: three, stateMachine: () => counter() });
    await untilLed(called);
    called.check();
  });

  it('wants a machine of its own for every start', async () => {
    const plain = numbered(false, false)();
    const error = await thrown(
      () => createSimulation({ seed: 1, nodes: three, stateMachine: plain }),
      'ERR_CONFIG',
    );
    expect(error.message).to.contain('stateMachine must be a function that makes one');
    const simulation = createSimulation({ seed: 1, nodes: three, stateMachine: () => plain });
    await simulation.run(1000);
    expect(simulation.violation!.message).to.contain('a function that makes another machine each time');
  });

  it('says what is no machine', async () => {
    const none = createSimulation({ seed: 1, nodes: three, stateMachine: () => ({}) as StateMachine });
    await none.run(1000);
    expect(none.violation!.message).to.contain('a state machine with apply, snapshot and restore');
  });
});
