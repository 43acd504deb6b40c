import { expect } from 'chai';
import { QuorateError } from '../../../../lib/errors.js';
import {
  defineSaga,
  type AnySaga,
  type SagaStepContext,
  type SagaUndoContext,
} from '../../../../lib/transactions/sagas/definition.js';
import type { SagaStatus } from '../../../../lib/transactions/sagas/sagasTypes.js';
import { Cluster } from './support.js';

const never = new Promise<never>(() => undefined);
const quick = { attempts: 3, delay: 100, maxDelay: 1000 };

/** A cluster whose nodes all run a saga; it is given the cluster to work on. */
async function running<D extends AnySaga>(make: (cluster: Cluster, log: string[]) => D, options = {}) {
  const cluster = new Cluster(options);
  const log: string[] = [];
  const saga = make(cluster, log);
  cluster.onOpen = (sagas) => sagas.define(saga);
  await cluster.ready();
  const { simulation } = cluster;
  const on = cluster.on('a');
  const end = async (id: string): Promise<SagaStatus> => {
    await cluster.until(() => cluster.state(id) !== undefined);
    return (await simulation.settle(on.status(id)))!;
  };
  const start = (id: string, input: unknown = null): Promise<unknown> =>
    simulation.settle(on.start(saga as AnySaga, { id, input }));
  return { cluster, simulation, saga, log, on, start, end };
}

async function codeOf(promise: Promise<unknown>): Promise<string | undefined> {
  return promise.then(
    () => undefined,
    (error: unknown) => (error as QuorateError).code,
  );
}

describe('the running of sagas', () => {
  it('runs steps that do not wait for each other at the same time, and hands results on', async () => {
    const { cluster, simulation, saga, on, start } = await running((cluster) =>
      defineSaga<{ n: number }>({ name: 'p', version: 1 })
        .step('pay', { do: ({ input }) => ({ paid: input.n }) })
        .step('stock', { do: () => cluster.simulation.sleep(1000).then(() => 'reserved') })
        .step('bill', { after: ['pay'], do: () => cluster.simulation.sleep(1000).then(() => 7) })
        .step('ship', {
          after: ['stock', 'bill'],
          do: ({ results }) => `${results.pay.paid} ${results.stock} ${results.bill}`,
        }),
    );
    const began = simulation.now;
    await start('x', { n: 3 });
    const { ship, pay } = await simulation.settle(on.result(saga, 'x'));
    expect(ship).to.equal('3 reserved 7');
    expect(pay).to.deep.equal({ paid: 3 });
    expect(simulation.now - began).to.be.within(1000, 1900);
    cluster.simulation.check();
  });

  it('tries again what fails, later and later, with the same key and token', async () => {
    const calls: { at: number; key: string; attempt: number; token: number }[] = [];
    const { end, start } = await running(({ simulation }) =>
      defineSaga({ name: 'r', version: 1 }).step('s', {
        retry: { attempts: 5, delay: 1000, maxDelay: 2000 },
        do: ({ key, attempt, token }) => {
          calls.push({ at: simulation.now, key, attempt, token });
          if (attempt < 5) throw new Error('not yet');
        },
      }),
    );
    await start('x');
    const { state, steps } = await end('x');
    expect(state).to.equal('completed');
    expect(steps[0]).to.deep.include({ attempts: 5, error: { code: 'ERR_STEP', message: 'not yet' } });
    expect(calls.map(({ attempt }) => attempt)).to.deep.equal([1, 2, 3, 4, 5]);
    expect(new Set(calls.map(({ key, token }) => `${key} ${token}`)).size).to.equal(1);
    const bounds = [1000, 2000, 2000, 2000];
    for (const [i, bound] of bounds.entries())
      expect(calls[i + 1]!.at - calls[i]!.at, `pause ${i}`).to.be.within(0, bound + 50);
  });

  it('undoes what may have happened, but not what says that it did not, in the reverse order', async () => {
    const outcomes: unknown[] = [];
    const { end, log, start, saga, on, simulation } = await running((_, log) => {
      const undo = ({ step, outcome, result, cause }: SagaUndoContext): void => {
        log.push(step);
        outcomes.push([outcome, result, cause.step]);
      };
      return defineSaga({ name: 'u', version: 1 })
        .step('done', { do: () => 'result', undo })
        .step('plain', { do: () => 1 })
        .step('lost', {
          retry: { attempts: 2, delay: 10 },
          do: () => Promise.reject(Object.assign(new Error('reset'), { code: 'ECONNRESET' })),
          undo,
        })
        .step('never', { do: () => log.push('never'), undo });
    });
    await start('x');
    const status = await end('x');
    expect(status.state).to.equal('compensated');
    expect(status.cause).to.deep.equal({
      kind: 'step',
      step: 'lost',
      error: { code: 'ECONNRESET', message: 'reset' },
    });
    expect(status.steps.map(({ state }) => state)).to.deep.equal([
      'undone',
      'completed',
      'undone',
      'pending',
    ]);
    expect(log).to.deep.equal(['lost', 'done']);
    expect(outcomes).to.deep.equal([
      ['unknown', undefined, 'lost'],
      ['completed', 'result', 'lost'],
    ]);
    const error = await simulation.settle(on.result(saga, 'x').catch((thrown: unknown) => thrown));
    expect(error).to.be.instanceOf(QuorateError);
    expect(error).to.deep.include({ code: 'ERR_SAGA_FAILED', reason: 'compensated', data: status.cause });
  });

  it('does not undo a step that rejects itself, and tries it once', async () => {
    const { end, log, start } = await running((_, log) =>
      defineSaga({ name: 'j', version: 1 })
        .step('one', { do: () => 1, undo: () => log.push('one') })
        .step('two', {
          do: ({ reject }) => {
            log.push('try');
            reject('DECLINED', { left: 3n });
          },
          undo: () => log.push('two'),
        }),
    );
    await start('x');
    const { cause, steps } = await end('x');
    expect(log).to.deep.equal(['try', 'one']);
    expect(steps[1]!.state).to.equal('failed');
    expect(cause!.error).to.deep.equal({
      code: 'DECLINED',
      message: 'rejected: DECLINED',
      data: { left: 3n },
    });
  });

  it('tells siblings of a step that failed to stop, and undoes nothing before they did', async () => {
    const { end, log, start } = await running((cluster, log) => {
      const slow = async ({ signal, step }: SagaStepContext): Promise<string> => {
        signal.addEventListener('abort', () => log.push(`${step} aborted`));
        await cluster.simulation.sleep(200);
        log.push(`${step} done`);
        return step;
      };
      return defineSaga({ name: 's', version: 1 })
        .step('first', { do: () => 0, undo: () => log.push('undo first') })
        .step('slow', { do: slow, undo: ({ result }) => log.push(`undo ${result}`) })
        .step('bad', {
          after: ['first'],
          do: async ({ reject }) => {
            await cluster.simulation.sleep(100);
            reject('NO');
          },
        });
    });
    await start('x');
    expect((await end('x')).state).to.equal('compensated');
    expect(log).to.deep.equal(['slow aborted', 'slow done', 'undo slow', 'undo first']);
  });

  it('begins no sibling any more once the saga has turned back', async () => {
    const make = ({ simulation }: Cluster, log: string[]) => {
      const undo = ({ step }: SagaUndoContext): number => log.push(`undo ${step}`);
      const slow = (): Promise<number> => simulation.sleep(400).then(() => log.push('slow'));
      return defineSaga({ name: 'n', version: 1 })
        .step('first', { do: () => log.push('first'), undo })
        .step('slow', { do: slow, undo })
        .step('late', { after: ['first'], do: () => log.push('late'), undo });
    };
    // There is room for one handler at a time, so that the last one still waits for its turn.
    const { end, log, start, on, simulation } = await running(make, {
      sagas: { lease: 2000, concurrency: 1 },
    });
    await start('x');
    await simulation.run(200);
    await simulation.settle(on.cancel('x'));
    const { steps } = await end('x');
    expect(steps.map(({ state }) => state)).to.deep.equal(['undone', 'undone', 'failed']);
    expect(log).to.deep.equal(['first', 'slow', 'undo slow', 'undo first']);
  });

  it('undoes what a dead owner was at when a saga without an owner was cancelled', async () => {
    const cluster = new Cluster();
    const { simulation } = cluster;
    const log: string[] = [];
    const make = (node: string) =>
      defineSaga({ name: 'z', version: 1 }).step('one', {
        do: () => (log.push(`do ${node}`), never),
        undo: ({ outcome }) => log.push(`undo ${node} ${outcome}`),
      });
    cluster.onOpen = (sagas, node) => {
      if (node === 'a') sagas.define(make(node));
    };
    await cluster.ready();
    await simulation.settle(cluster.on('a').start(make('a'), { id: 'x', input: 1 }));
    simulation.crash('a');
    await cluster.until(() => simulation.leader() !== undefined && simulation.leader() !== 'a');
    // A runner that lives finds out that the other one does not; but it cannot run this saga.
    cluster.on('b').define(defineSaga({ name: 'else', version: 1 }).step('one', { do: () => 1 }));
    await simulation.run(10_000);
    expect((await simulation.settle(cluster.on('b').status('x')))!.owner).to.equal(undefined);
    await simulation.settle(cluster.on('b').cancel('x'));
    cluster.on('c').define(make('c'));
    await cluster.until(() => cluster.state('x') !== undefined);
    expect(log).to.deep.equal(['do a', 'undo c unknown']);
  });

  it('ends attempts that take too long, and waits a while for what they say', async () => {
    const { end, log, start } = await running(({ simulation }, log) =>
      defineSaga({ name: 't', version: 1 })
        .step('late', {
          timeout: 300,
          retry: quick,
          do: async ({ signal, attempt }) => {
            log.push(`late ${attempt}`);
            await simulation.sleep(500); // within `settle` after the time-out: its answer counts
            log.push(`aborted ${signal.aborted}`);
            return 'late';
          },
        })
        .step('hangs', {
          timeout: 300,
          retry: quick,
          do: ({ attempt }) => {
            log.push(`hangs ${attempt}`);
            return attempt === 1 ? never : 'once';
          },
        })
        .step('stops', {
          timeout: 300,
          retry: { ...quick, attempts: 1 },
          do: ({ signal }) =>
            new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('stopped')))),
          undo: ({ outcome }) => log.push(`undo ${outcome}`),
        }),
    );
    await start('x');
    const { cause, steps } = await end('x');
    expect(log).to.deep.equal(['late 1', 'aborted true', 'hangs 1', 'hangs 2', 'undo unknown']);
    expect(steps.map(({ state }) => state)).to.deep.equal(['completed', 'completed', 'undone']);
    expect(cause!.error!.code).to.equal('ERR_TIMEOUT');
  });

  it('turns back when its own time is over, unless its pivot was begun', async () => {
    const { on, simulation, end, log } = await running((cluster, log) => {
      const wait = () => cluster.simulation.sleep(3000);
      return defineSaga<string>({ name: 'o', version: 1, timeout: 4000 })
        .step('one', { do: ({ input }) => (input === 'early' ? 0 : wait()), undo: () => log.push('undo') })
        .step('two', { pivot: true, do: wait })
        .step('three', { do: wait });
    });
    const slow = defineSaga<string>({ name: 'slow', version: 1, timeout: 1000 }).step('one', {
      do: () => simulation.sleep(3000),
      undo: () => log.push('undo slow'),
    });
    on.define(slow);
    await simulation.settle(on.start(slow, { id: 'slow', input: '' }));
    const ended = await end('slow');
    expect(ended).to.deep.include({ state: 'compensated', cause: { kind: 'timeout' } });
    // Its handler was told to stop and did not; what it did at last was undone.
    expect(log).to.deep.equal(['undo slow']);
    expect(ended.ended! - ended.started).to.be.within(1000, 1700);
  });

  it('goes forward only after its pivot, and is stuck when that does not help', async () => {
    let works = false;
    const stuck: string[] = [];
    const { cluster, on, simulation, saga, start, log } = await running((_, log) =>
      defineSaga({ name: 'f', version: 1, timeout: 10_000 })
        .step('one', { do: () => 1, undo: () => log.push('undo') })
        .step('two', { pivot: true, do: () => 2 })
        .step('three', {
          retry: { attempts: 1, delay: 10, maxDelay: 1000 },
          do: () => {
            if (!works) throw new Error('down');
            return 3;
          },
        }),
    );
    for (const node of simulation.nodes)
      cluster.on(node).on('saga:stuck', ({ id, steps }) => stuck.push(`${node} ${id} ${steps[2]!.attempts}`));
    await start('x');
    expect(await simulation.runUntil(() => stuck.length === 3, 60_000)).to.equal(true);
    expect(stuck.sort()).to.deep.equal(['a x 10', 'b x 10', 'c x 10']);
    expect((await simulation.settle(on.list({ stuck: true }))).map(({ id }) => id)).to.deep.equal(['x']);
    expect(await simulation.settle(codeOf(on.cancel('x')))).to.equal('ERR_SAGA_PIVOT');
    // The saga's time is over, too: nothing comes of it.
    await simulation.run(10_000);
    expect((await simulation.settle(on.status('x')))!.steps[2]!.attempts).to.be.above(15);
    works = true;
    const results = await simulation.settle(on.result(saga, 'x'));
    expect(results).to.deep.equal({ one: 1, two: 2, three: 3 });
    expect(await simulation.settle(on.list({ stuck: true }))).to.deep.equal([]);
    expect(log).to.deep.equal([]);
  });

  it('waits for an operator where trying again would not help', async () => {
    const { on, simulation, saga, start, end, cluster } = await running((_, log) =>
      defineSaga({ name: 'w', version: 1 })
        .step('one', { do: () => 1, undo: ({ reject }) => (log.push('undo one'), reject('GONE')) })
        .step('two', { pivot: true, do: () => 2 })
        .step('three', { do: ({ reject }) => reject('NEVER') }),
    );
    const stuckAt = (id: string, i: number): boolean =>
      simulation.replica('a').peek({ op: 'get', id })?.saga.steps[i]?.stuck === true;
    for (const id of ['x', 'y', 'z']) await start(id);
    await cluster.until(() => ['x', 'y', 'z'].every((id) => stuckAt(id, 2)));
    // Skipped, with a result in its place.
    expect(
      await simulation.settle(
        on.resolve('x', { action: 'skip', step: 'three', result: 'by hand', reason: 'ok' }),
      ),
    ).to.equal('completed');
    expect(await simulation.settle(on.result(saga, 'x'))).to.deep.equal({ one: 1, two: 2, three: 'by hand' });
    // Turned back by force; its compensation is stuck, too, and is given up.
    expect(await simulation.settle(cluster.on('b').resolve('y', { action: 'compensate' }))).to.equal(
      'compensating',
    );
    await cluster.until(() => stuckAt('y', 0));
    expect(await simulation.settle(codeOf(on.resolve('y', { action: 'skip', step: 'two' })))).to.equal(
      'ERR_SAGA_NOT_STUCK',
    );
    expect(await simulation.settle(on.resolve('y', { action: 'skip', step: 'one' }))).to.equal('compensated');
    expect(await simulation.settle(on.resolve('z', { action: 'retry' }))).to.equal('running');
    await cluster.until(() => stuckAt('z', 2));
    expect(await simulation.settle(on.resolve('z', { action: 'abandon', reason: 'enough' }))).to.equal(
      'abandoned',
    );
    const { cause, state } = await end('z');
    expect(state).to.equal('abandoned');
    expect(cause).to.deep.equal({ kind: 'resolved', error: { code: 'ABANDONED', message: 'enough' } });
    expect(await simulation.settle(codeOf(on.resolve('z', { action: 'retry' })))).to.equal(
      'ERR_SAGA_NOT_STUCK',
    );
    expect(await simulation.settle(codeOf(on.resolve('nobody', { action: 'retry' })))).to.equal(
      'ERR_SAGA_UNKNOWN',
    );
  });

  it('starts a saga once, whoever starts it', async () => {
    const { cluster, simulation, saga, on, log, end } = await running((_, log) =>
      defineSaga<{ a: number; b: string }>({ name: 'i', version: 1 }).step('one', {
        do: () => log.push('one'),
      }),
    );
    const starts = simulation.nodes.map((node, i) => {
      const input = i === 0 ? { a: 1, b: 'x' } : { b: 'x', a: 1 };
      return cluster.on(node).start(saga, { id: 'x', input });
    });
    const answers = await simulation.settle(Promise.all(starts));
    expect(answers.filter(({ created }) => created).length).to.equal(1);
    await end('x');
    expect(log).to.deep.equal(['one']);
    expect(await simulation.settle(on.start(saga, { id: 'x', input: { a: 1, b: 'x' } }))).to.deep.equal({
      id: 'x',
      created: false,
    });
    const other = on.start(saga, { id: 'x', input: { a: 2, b: 'x' } });
    expect(await simulation.settle(codeOf(other))).to.equal('ERR_SAGA_EXISTS');
  });

  it('is cancelled in time or not, and everybody agrees which', async () => {
    const { cluster, simulation, saga, on, end, log } = await running((cluster, log) =>
      defineSaga<number>({ name: 'c', version: 1 })
        .step('one', { do: () => cluster.simulation.sleep(20), undo: ({ saga }) => log.push(saga) })
        .step('two', { pivot: true, do: () => cluster.simulation.sleep(20) }),
    );
    const ends: string[] = [];
    for (let ms = 0; ms < 120; ms += 10) {
      const id = `x${ms}`;
      await simulation.settle(on.start(saga, { id, input: ms }));
      await simulation.run(ms);
      const answer = await simulation.settle(
        cluster.on('b').cancel(id, { reason: 'changed' }).catch(codeFrom),
      );
      const { state, cause } = await end(id);
      expect(state).to.equal(
        answer === 'ERR_SAGA_PIVOT' || answer === 'completed' ? 'completed' : 'compensated',
      );
      expect(log.includes(id)).to.equal(state === 'compensated');
      if (state === 'compensated')
        expect(cause).to.deep.equal({ kind: 'cancelled', error: { code: 'CANCELLED', message: 'changed' } });
      ends.push(answer);
    }
    expect(ends).to.include('compensating').and.to.include('ERR_SAGA_PIVOT').and.to.include('completed');
    expect(await simulation.settle(codeOf(on.cancel('nobody')))).to.equal('ERR_SAGA_UNKNOWN');
  });

  it('keeps results for a while by the time of the log, and then forgets the saga', async () => {
    const { simulation, saga, on, log, end, start } = await running((_, log) =>
      defineSaga({ name: 'k', version: 1, retention: 60_000 }).step('one', { do: () => log.push('one') }),
    );
    await start('x');
    await end('x');
    await simulation.run(59_000);
    await start('y');
    expect((await simulation.settle(on.status('x')))!.state).to.equal('completed');
    await simulation.run(2000);
    await start('z'); // time passes in the log with commands only
    expect(await simulation.settle(on.status('x'))).to.equal(undefined);
    expect(await simulation.settle(codeOf(on.result(saga, 'x')))).to.equal('ERR_SAGA_UNKNOWN');
    await start('x');
    await end('x');
    expect(log.length).to.equal(4);
  });

  it('costs nothing while there are no sagas', async () => {
    const { simulation, start, end } = await running(() =>
      defineSaga({ name: 'q', version: 1 }).step('one', { do: () => 1 }),
    );
    await start('x');
    await end('x');
    await simulation.run(5000);
    const { commitIndex } = simulation;
    await simulation.run(60_000);
    expect(simulation.commitIndex).to.equal(commitIndex);
    // And the next one finds somebody who runs it.
    await start('y');
    expect((await end('y')).state).to.equal('completed');
  });

  it('takes results that the log cannot for a failure that no retry mends', async () => {
    const { start, end, log } = await running((_, log) => {
      const undo = ({ outcome }: { outcome: string }): number => log.push(outcome);
      return defineSaga<string>({ name: 'b', version: 1 }).step('one', {
        do: ({ input }): unknown => (input === 'large' ? new Uint8Array(70_000) : () => 1),
        undo,
      });
    });
    await start('x', 'large');
    expect((await end('x')).cause!.error!.code).to.equal('ERR_TOO_LARGE');
    await start('y', 'function');
    expect((await end('y')).cause!.error!.code).to.equal('ERR_CODEC');
    expect(log).to.deep.equal(['unknown', 'unknown']);
  });

  it('waits for results with a limit, and says what is wrong with a call', async () => {
    const { simulation, saga, on, start } = await running(() =>
      defineSaga({ name: 'l', version: 1 }).step('one', { do: () => never }),
    );
    await start('x');
    expect(await simulation.settle(codeOf(on.result(saga, 'x', { timeout: 100 })))).to.equal('ERR_TIMEOUT');
    const controller = new AbortController();
    const aborted = on.result(saga, 'x', { signal: controller.signal });
    simulation.after(100, () => controller.abort());
    expect(await simulation.settle(codeOf(aborted))).to.equal('ERR_ABORTED');
    const other = defineSaga({ name: 'other', version: 1 }).step('one', { do: () => 1 });
    expect(await simulation.settle(codeOf(on.result(other, 'x')))).to.equal('ERR_SAGA_DEFINITION');
    const calls: (() => Promise<unknown>)[] = [
      () => on.start(saga, { id: 'a/b', input: 1 }),
      () => on.start({} as AnySaga, { id: 'x', input: 1 }),
      () => on.resolve('x', { action: 'else' as never }),
      () => on.resolve('x', { action: 'skip' } as never),
      () => on.cancel('x', { reason: 'r'.repeat(1001) }),
      () => on.list({ limit: 0 }),
    ];
    for (const call of calls) expect(await simulation.settle(codeOf(call()))).to.equal('ERR_CONFIG');
    const large = on.start(saga, { id: 'y', input: new Uint8Array(300_000) });
    expect(await simulation.settle(codeOf(large))).to.equal('ERR_TOO_LARGE');
    const waiting = codeOf(on.result(saga, 'x'));
    await simulation.run(100);
    await simulation.settle(on.close());
    expect(await waiting).to.equal('ERR_CLOSED');
    expect(await codeOf(on.start(saga, { id: 'z', input: 1 }))).to.equal('ERR_CLOSED');
    expect(() => on.define(saga)).to.throw(QuorateError, 'closed');
  });
});

function codeFrom(error: unknown): string {
  return (error as QuorateError).code;
}
