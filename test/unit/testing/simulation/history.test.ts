import { expect } from 'chai';
import { defineMachine } from '../../../../lib/machines/defineMachine.js';
import { createSimulation } from '../../../../lib/testing/index.js';
import { elected, get, put, three, thrown, untilLed } from './support.js';

describe('simulation: the history', () => {
  it('has calls with their times, inputs and answers', async () => {
    const simulation = await elected();
    const before = simulation.now;
    await put(simulation, 'a', 'k', 1);
    const between = simulation.now;
    await get(simulation, 'b', 'k');
    const [write, read] = simulation.history;
    expect(simulation.history).to.have.lengthOf(2);
    expect(write).to.deep.equal({
      process: 'a',
      call: before,
      return: between,
      input: { op: 'put', key: 'k', value: 1 },
      output: { ok: true },
    });
    expect(read).to.include({ process: 'b', call: between, output: 1 });
    expect(read!.return).to.be.greaterThan(read!.call);
  });

  it('has calls that wait with an open end, and leaves out reads that are not linearizable', async () => {
    const simulation = await elected();
    const open = simulation.replica('a').submit({ op: 'put', key: 'k', value: 1 });
    await simulation.settle(simulation.replica('a').query({ op: 'get', key: 'k' }, { consistency: 'local' }));
    expect(simulation.history).to.have.lengthOf(1);
    expect(simulation.history[0]).to.include({ return: Infinity, output: undefined });
    expect(simulation.openCalls).to.equal(1);
    await simulation.settle(open);
    expect(simulation.openCalls).to.equal(0);
  });

  it('leaves out what was refused', async () => {
    const simulation = await elected();
    await thrown(() => put(simulation, 'a', 'x'.repeat(5000), 1), 'ERR_REJECTED');
    const aborted = AbortSignal.abort();
    const command = { op: 'put', key: 'k', value: 1 } as const;
    await thrown(() => simulation.replica('a').submit(command, { signal: aborted }), 'ERR_ABORTED');
    expect(simulation.history.filter(({ output }) => output === undefined)).to.deep.equal([]);
  });

  it('keeps a command open whose fate nobody knows, and forgets a read without an answer', async () => {
    const simulation = await elected({ timeout: 2000 });
    const old = simulation.leader()!;
    await put(simulation, old, 'first', 1);
    simulation.partition([[old], three.filter((id) => id !== old)]);
    const write = simulation.replica(old).submit({ op: 'put', key: 'k', value: 1 });
    const read = simulation.replica(old).query({ op: 'get', key: 'k' });
    read.catch(() => undefined); // it fails while nobody waits for it
    const error = await thrown(() => simulation.settle(write), 'ERR_TIMEOUT');
    expect(error.fate).to.equal('ambiguous');
    await thrown(() => simulation.settle(read), 'ERR_TIMEOUT');
    expect(simulation.history).to.have.lengthOf(2);
    expect(simulation.history[1]).to.include({ process: old, return: Infinity, output: undefined });
    expect(simulation.counts()['calls: ambiguous']).to.equal(1);
    expect(simulation.counts()['calls: failed']).to.equal(1);
  });

  it('takes a command that is submitted again for the same operation', async () => {
    const simulation = await elected({ timeout: 2000 });
    const old = simulation.leader()!;
    const others = three.filter((id) => id !== old);
    await put(simulation, old, 'first', 1);
    simulation.partition([[old], others]);
    const command = { op: 'put', key: 'k', value: 1 } as const;
    const called = simulation.now;
    const { requestId } = await thrown(
      () => simulation.settle(simulation.replica(old).submit(command)),
      'ERR_TIMEOUT',
    );
    expect(requestId).to.be.a('string');
    const next = await untilLed(simulation, others);
    await simulation.settle(simulation.replica(next).submit(command, { requestId: requestId! }));
    expect(simulation.history).to.have.lengthOf(2);
    expect(simulation.history[1]).to.deep.include({ process: old, call: called, output: { ok: true } });
    expect(simulation.history[1]!.return).to.equal(simulation.now);
  });

  it('has a command open whose process died, and tells its caller', async () => {
    const simulation = await elected();
    const write = simulation.replica('a').submit({ op: 'put', key: 'k', value: 1 });
    const read = simulation.replica('a').query({ op: 'get', key: 'k' });
    const rejections = Promise.allSettled([write, read]);
    simulation.crash('a');
    const error = await thrown(() => simulation.settle(write), 'ERR_CLOSED');
    expect(error.fate).to.equal('ambiguous');
    expect((await thrown(() => simulation.settle(read), 'ERR_CLOSED')).fate).to.equal(undefined);
    await rejections;
    expect(simulation.history).to.have.lengthOf(1);
    expect(simulation.history[0]).to.include({ return: Infinity, output: undefined });
    expect(simulation.counts()['calls: crashed']).to.equal(2);
  });

  it('has what the machine rejected or failed at, with the reason', async () => {
    const machine = defineMachine({
      version: 1,
      initial: () => ({ n: 0 }),
      commands: {
        take: (_state, _: object, context) => context.reject('EMPTY', { left: 0 }),
        fail: (): number => {
          throw new Error('oh');
        },
      },
    });
    const simulation = createSimulation({ seed: 1, nodes: three, stateMachine: machine });
    await untilLed(simulation);
    await thrown(() => simulation.settle(simulation.replica('a').submit({ op: 'take' })), 'ERR_REJECTED');
    await thrown(
      () => simulation.settle(simulation.replica('b').submit({ op: 'fail' })),
      'ERR_COMMAND_FAILED',
    );
    const [taken, failed] = simulation.history;
    expect(taken!.output).to.deep.equal({ error: 'ERR_REJECTED', reason: 'EMPTY', data: { left: 0 } });
    expect(taken!.return).to.be.lessThan(Infinity);
    expect(failed!.output).to.deep.include({ error: 'ERR_COMMAND_FAILED' });
    simulation.check();
  });
});
