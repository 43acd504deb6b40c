import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';
import fc from 'fast-check';
import { QuorateError } from '../../../lib/errors.js';
import { circuitBreaker, type CircuitBreaker } from '../../../lib/failure/circuitBreaker.js';
import type { CircuitBreakerOptions } from '../../../lib/failure/circuitBreakerOptions.js';

let clock = 0;

function breakerOf(options: CircuitBreakerOptions = {}): CircuitBreaker {
  return circuitBreaker({
    window: { calls: 10 },
    minimumCalls: 4,
    openMs: 1000,
    halfOpenCalls: 3,
    halfOpenTimeoutMs: 5000,
    now: () => clock,
    ...options,
  });
}

/** Calls that end at once: `+` good, `-` bad. */
function calls(breaker: CircuitBreaker, outcomes: string): CircuitBreaker {
  for (const outcome of outcomes) {
    const permit = breaker.acquire();
    if (outcome === '+') permit.succeed();
    else permit.fail();
  }
  return breaker;
}

/** An open one whose open time is over. */
function halfOpen(options: CircuitBreakerOptions = {}): CircuitBreaker {
  const breaker = calls(breakerOf(options), '----');
  clock += options.openMs ?? 1000;
  expect(breaker.state).to.equal('half-open');
  return breaker;
}

async function codeOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => 'fulfilled',
    (error: unknown) => (error instanceof QuorateError ? error.code : error),
  );
}

describe('circuitBreaker', () => {
  beforeEach(() => (clock = 1000));

  describe('closed', () => {
    it('opens when the share of failures is reached, and not below the minimum of calls', () => {
      expect(calls(breakerOf(), '---').state).to.equal('closed');
      expect(calls(breakerOf(), '----').state).to.equal('open');
      expect(calls(breakerOf(), '+++--').state).to.equal('closed');
      expect(calls(breakerOf(), '+++---').state).to.equal('open');
    });

    it('forgets what left the window', () => {
      expect(calls(breakerOf(), '++++----').state).to.equal('open');
      const breaker = calls(breakerOf({ minimumCalls: 10 }), '----+++++');
      calls(breaker, '++++++'); // the failures are gone
      expect(calls(breaker, '----').state).to.equal('closed');
      expect(breaker.metrics()).to.deep.include({ calls: 10, failures: 4, failureRate: 0.4 });
    });

    it('forgets by time with a window of time', () => {
      const breaker = breakerOf({ window: { ms: 1000, buckets: 10 } });
      calls(breaker, '---');
      clock += 1000;
      expect(calls(breaker, '-').state).to.equal('closed');
      expect(breaker.metrics()).to.deep.include({ calls: 1, failures: 1 });
      expect(calls(breaker, '---').state).to.equal('open');
    });

    it('opens when the share of slow calls is reached, even if they were answered', () => {
      const breaker = breakerOf({ slowCallMs: 100, slowCallRate: 0.5 });
      for (const ms of [100, 100, 101]) {
        const permit = breaker.acquire();
        clock += ms;
        permit.succeed();
      }
      expect(breaker.metrics()).to.deep.include({ calls: 3, slowCalls: 1, failures: 0 });
      const permit = breaker.acquire();
      clock += 500;
      permit.succeed();
      expect(breaker.state).to.equal('open');
    });

    it('counts each call once, and one that was not made not at all', () => {
      const breaker = breakerOf();
      const permit = breaker.acquire();
      permit.fail();
      permit.fail();
      permit.succeed();
      breaker.acquire().release();
      const released = breaker.acquire();
      released.release();
      released.fail();
      expect(breaker.metrics()).to.deep.include({ calls: 1, failures: 1 });
    });
  });

  describe('open', () => {
    it('rejects every call for its time, without making it', async () => {
      const breaker = calls(breakerOf({ name: 'billing' }), '----');
      let made = 0;
      const error = await breaker.run(() => made++).catch((e: unknown) => e);
      expect(error).to.be.instanceOf(QuorateError).with.property('code', 'ERR_CIRCUIT_OPEN');
      expect(error).to.have.property('fate', 'refused');
      expect(error).to.have.property('message', 'billing is open for another 1000 ms');
      clock += 999;
      expect(breaker.tryAcquire()).to.equal(undefined);
      expect(() => breaker.acquire()).to.throw('billing is open for another 1 ms');
      expect(made).to.equal(0);
      expect(breaker.metrics()).to.deep.include({ state: 'open', rejected: 3, opened: 1, retryInMs: 1 });
      clock += 1;
      expect(breaker.metrics()).to.deep.include({ state: 'half-open', retryInMs: 0, calls: 0 });
      expect(breaker.tryAcquire()).to.not.equal(undefined);
    });

    it('ignores what was begun before it opened', () => {
      const breaker = breakerOf();
      const [late, later] = [breaker.acquire(), breaker.acquire()];
      calls(breaker, '----');
      late.succeed();
      expect(breaker.state).to.equal('open');
      clock += 1000;
      expect(breaker.state).to.equal('half-open');
      later.fail(); // of another generation: it says nothing of the trial
      expect(breaker.metrics()).to.deep.include({ state: 'half-open', calls: 0, failures: 0 });
      expect(calls(breaker, '+++').state).to.equal('closed');
    });

    it('stays open longer after each trial that fails, up to a maximum, and starts over when it was closed', () => {
      const breaker = calls(breakerOf({ openFactor: 2, maxOpenMs: 3000 }), '----');
      for (const ms of [1000, 2000, 3000, 3000]) {
        expect(breaker.metrics().retryInMs).to.equal(ms);
        clock += ms;
        calls(breaker, '--');
      }
      expect(breaker.metrics().opened).to.equal(5);
      clock += 3000;
      calls(breaker, '+++----');
      expect(breaker.metrics().retryInMs).to.equal(1000);
    });

    it('ignores what was begun before it opened, after it is closed again too', () => {
      const breaker = breakerOf();
      const late = ['', '', '', ''].map(() => breaker.acquire());
      calls(breaker, '----');
      clock += 1000;
      calls(breaker, '+++');
      for (const permit of late) permit.fail();
      expect(breaker.metrics()).to.deep.include({ state: 'closed', calls: 0 });
    });

    it('has no back-off by default', () => {
      const breaker = calls(breakerOf(), '----');
      for (let i = 0; i < 5; i++) {
        expect(breaker.metrics().retryInMs).to.equal(1000);
        clock += 1000;
        calls(breaker, '--');
      }
    });
  });

  describe('half-open', () => {
    it('lets so many calls through and rejects the rest', () => {
      const breaker = halfOpen();
      const trials = [breaker.acquire(), breaker.acquire(), breaker.acquire()];
      expect(breaker.tryAcquire()).to.equal(undefined);
      expect(() => breaker.acquire()).to.throw('circuit is half-open and on trial');
      trials[0]!.succeed();
      expect(breaker.tryAcquire(), 'one that ended is no room').to.equal(undefined);
      expect(breaker.metrics()).to.deep.include({ trials: 2, calls: 1, rejected: 3 });
      trials[1]!.succeed();
      expect(breaker.state).to.equal('half-open');
      trials[2]!.succeed();
      expect(breaker.metrics()).to.deep.include({ state: 'closed', calls: 0, trials: 0 });
    });

    it('opens again as soon as the failures decide it', () => {
      const breaker = halfOpen();
      const trial = breaker.acquire();
      expect(calls(breaker, '-').state).to.equal('half-open');
      expect(calls(breaker, '-').state).to.equal('open');
      trial.succeed();
      expect(breaker.state).to.equal('open');
    });

    it('begins each trial with all its calls', () => {
      const breaker = halfOpen();
      breaker.acquire();
      calls(breaker, '--');
      expect(breaker.metrics()).to.deep.include({ state: 'open', trials: 0 });
      clock += 1000;
      expect(calls(breaker, '+++').state).to.equal('closed');
    });

    it('closes when too few failed to decide otherwise', () => {
      expect(calls(halfOpen(), '-++').state).to.equal('closed');
    });

    it('opens again when the trial calls are slow', () => {
      const breaker = halfOpen({ slowCallMs: 100, slowCallRate: 0.6 });
      for (const ms of [200, 200]) {
        const permit = breaker.acquire();
        clock += ms;
        permit.succeed();
      }
      expect(breaker.state).to.equal('open');
    });

    it('has room again for a call that was not made', () => {
      const breaker = halfOpen();
      for (let i = 0; i < 10; i++) breaker.acquire().release();
      expect(breaker.metrics()).to.deep.include({ state: 'half-open', trials: 0, calls: 0 });
      expect(calls(breaker, '+++').state).to.equal('closed');
    });

    it('takes trial calls that never end for failed, and does not wait for them for ever', () => {
      const breaker = halfOpen();
      const first = breaker.acquire();
      clock += 2000;
      breaker.acquire();
      clock += 2999;
      expect(breaker.metrics()).to.deep.include({ state: 'half-open', trials: 2, failures: 0 });
      clock += 1;
      expect(breaker.metrics()).to.deep.include({ state: 'half-open', trials: 1, failures: 1 });
      first.succeed(); // too late
      expect(breaker.metrics()).to.deep.include({ calls: 1, failures: 1 });
      clock += 2000;
      expect(breaker.metrics()).to.deep.include({ state: 'open', retryInMs: 1000, opened: 2 });
    });

    it('counts such a failure from when it happened, not from when somebody looks', () => {
      const breaker = halfOpen();
      breaker.acquire();
      breaker.acquire();
      clock += 5999;
      expect(breaker.metrics()).to.deep.include({ state: 'open', retryInMs: 1 });
      const other = halfOpen();
      other.acquire();
      other.acquire();
      clock += 1e6;
      expect(other.metrics()).to.deep.include({ state: 'half-open', opened: 2, calls: 0 });
    });

    it('waits for trial calls as long as it takes when nobody calls', () => {
      for (const window of [{ calls: 10 }, { ms: 1000 }]) {
        const breaker = halfOpen({ window });
        calls(breaker, '+');
        clock += 1e7;
        expect(calls(breaker, '++').state).to.equal('closed');
        expect(calls(breaker, '+').metrics().calls, 'the usual window is back').to.equal(1);
      }
    });
  });

  describe('run', () => {
    it('answers as the call does, whether that is a promise or not', async () => {
      const breaker = breakerOf();
      expect(await breaker.run(() => 7)).to.equal(7);
      expect(await breaker.run(() => Promise.resolve('x'))).to.equal('x');
      const boom = new Error('boom');
      expect(await codeOf(breaker.run(() => Promise.reject(boom)))).to.equal(boom);
      expect(
        await codeOf(
          breaker.run(() => {
            throw boom;
          }),
        ),
      ).to.equal(boom);
      expect(breaker.metrics()).to.deep.include({ calls: 4, failures: 2, state: 'open' });
    });

    it('takes errors of the application for answers', async () => {
      const breaker = breakerOf();
      for (const code of [
        'ERR_REJECTED',
        'ERR_COMMAND_FAILED',
        'ERR_TOO_LARGE',
        'ERR_QUERY_FAILED',
      ] as const) {
        const error = new QuorateError(code, 'no');
        expect(await codeOf(breaker.run(() => Promise.reject(error)))).to.equal(code);
      }
      expect(breaker.metrics()).to.deep.include({ calls: 4, failures: 0, state: 'closed' });
      for (const code of ['ERR_TIMEOUT', 'ERR_NOT_READY', 'ERR_OVERLOADED', 'ERR_AMBIGUOUS'] as const) {
        breaker.acquire().fail(new QuorateError(code, 'no'));
      }
      expect(breaker.metrics()).to.deep.include({ calls: 8, failures: 4, state: 'open' });
    });

    it('asks `isFailure`, and takes one that throws for a failure', async () => {
      const breaker = breakerOf({ isFailure: (error) => error !== 'fine' });
      for (const reason of ['fine', 'bad']) {
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- callees do such things
        await breaker.run(() => Promise.reject(reason)).catch(() => undefined);
      }
      expect(breaker.metrics()).to.deep.include({ calls: 2, failures: 1 });
      const bug = new Error('bug');
      const throwing = breakerOf({
        isFailure: () => {
          throw bug;
        },
      });
      expect(await codeOf(throwing.run(() => Promise.reject(new Error('x'))))).to.equal(bug);
      expect(throwing.metrics()).to.deep.include({ calls: 1, failures: 1 });
    });

    it('gives up an aborted call at once, and counts it neither way', async () => {
      const breaker = breakerOf();
      const controller = new AbortController();
      let got: AbortSignal | undefined;
      let settle!: (error: Error) => void;
      const call = breaker.run(
        (signal) => {
          got = signal;
          return new Promise((_, reject) => (settle = reject));
        },
        { signal: controller.signal },
      );
      expect(got).to.equal(controller.signal);
      controller.abort('enough');
      const error = await call.catch((e: unknown) => e);
      expect(error).to.include({ name: 'AbortError', code: 'ERR_ABORTED', cause: 'enough' });
      settle(new Error('late: nobody must hear of it'));
      await new Promise((resolve) => setImmediate(resolve));
      expect(breaker.metrics().calls).to.equal(0);
      let made = 0;
      expect(await codeOf(breaker.run(() => made++, { signal: controller.signal }))).to.equal('ERR_ABORTED');
      expect(made).to.equal(0);
    });

    it('counts a call that was aborted by a time-out as failed', async () => {
      const breaker = breakerOf({ isFailure: () => false });
      const controller = new AbortController();
      const call = breaker.run(() => new Promise(() => undefined), { signal: controller.signal });
      controller.abort(new DOMException('too slow', 'TimeoutError'));
      expect(await codeOf(call)).to.equal('ERR_ABORTED');
      expect(breaker.metrics()).to.deep.include({ calls: 1, failures: 1 });
    });

    it('leaves no rejection unhandled when the call aborts itself and throws', async () => {
      const unhandled: unknown[] = [];
      const note = (reason: unknown): number => unhandled.push(reason);
      process.on('unhandledRejection', note);
      const controller = new AbortController();
      const boom = new Error('boom');
      const call = breakerOf().run(
        () => {
          controller.abort();
          throw boom;
        },
        { signal: controller.signal },
      );
      expect(await codeOf(call)).to.equal(boom);
      for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
      process.off('unhandledRejection', note);
      expect(unhandled).to.deep.equal([]);
    });

    it('takes its listener off the signal', async () => {
      const { signal } = new AbortController();
      let listeners = 0;
      const counted = new Proxy(signal, {
        get(target, key) {
          if (key === 'addEventListener') listeners++;
          if (key === 'removeEventListener') listeners--;
          const value: unknown = Reflect.get(target, key, target);
          return typeof value === 'function' ? (value.bind(target) as unknown) : value;
        },
      });
      const breaker = breakerOf();
      await breaker.run(() => 1, { signal: counted });
      await codeOf(breaker.run(() => Promise.reject(new Error('x')), { signal: counted }));
      expect(listeners).to.equal(0);
    });
  });

  describe('events', () => {
    it('tell each change once, when it is noticed', () => {
      const breaker = breakerOf();
      const told: string[] = [];
      breaker.on('state:changed', (to, from) => told.push(`${from} > ${to}`));
      calls(breaker, '----');
      clock += 1000;
      expect(told).to.deep.equal(['closed > open']);
      calls(breaker, '--');
      clock += 1000;
      calls(breaker, '+++');
      expect(told).to.deep.equal([
        'closed > open',
        'open > half-open',
        'half-open > open',
        'open > half-open',
        'half-open > closed',
      ]);
    });

    it('may use the breaker', () => {
      const breaker = breakerOf();
      breaker.on('state:changed', (to) => {
        if (to === 'half-open') calls(breaker, '+++');
      });
      calls(breaker, '----');
      clock += 1000;
      expect(breaker.tryAcquire()).to.not.equal(undefined);
      expect(breaker.metrics()).to.deep.include({ state: 'closed', trials: 0 });
    });
  });

  it('keeps its promises whatever happens: no call while open, never more trials than allowed, never stuck', () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('acquire' as const) }),
      fc.record({ do: fc.constantFrom('succeed', 'fail', 'release' as const), which: fc.nat(20) }),
      fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 2500 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), fc.boolean(), (steps, timed) => {
        const breaker = breakerOf(timed ? { window: { ms: 3000, buckets: 6 } } : {});
        const out: { succeed(): void; fail(): void; release(): void }[] = [];
        for (const step of steps) {
          if (step.do === 'wait') clock += step.ms;
          else if (step.do === 'acquire') {
            const before = breaker.metrics();
            const permit = breaker.tryAcquire();
            if (permit) out.push(permit);
            if (before.state === 'closed') expect(permit).to.not.equal(undefined);
            if (before.state === 'open') expect(permit).to.equal(undefined);
            if (before.state === 'half-open') {
              expect(permit !== undefined).to.equal(before.trials + before.calls < 3);
            }
          } else if (out.length > 0) out.splice(step.which % out.length, 1)[0]![step.do]();
          const now = breaker.metrics();
          expect(now.failures).to.be.within(0, now.calls);
          expect(now.trials + (now.state === 'half-open' ? now.calls : 0)).to.be.at.most(
            now.state === 'half-open' ? 3 : 0,
          );
          expect(now.retryInMs).to.be.within(0, 1000);
        }
        clock += 5000 + 1000; // every trial call has timed out, every open time is over
        expect(breaker.state).to.not.equal('open');
        for (let i = 0; i < 3 && breaker.state === 'half-open'; i++) breaker.tryAcquire()?.succeed();
        expect(breaker.tryAcquire(), 'it can always be closed again').to.not.equal(undefined);
      }),
    );
  });

  it('runs on the monotonic clock by default', () => {
    const breaker = circuitBreaker({ minimumCalls: 1, failureRate: 1 });
    calls(breaker, '-');
    expect(breaker.metrics().retryInMs).to.be.within(1, 10_000);
  });

  for (const [option, value, range] of [
    ['name', 7, 'a string of at most 200 characters'],
    ['window', {}, '{ calls } or { ms, buckets }'],
    ['window', { calls: 5, ms: 50 }, '{ calls } or { ms, buckets }'],
    ['window', 5, '{ calls } or { ms, buckets }'],
    ['window.calls', 0, 'an integer from 1 to 100000'],
    ['window.ms', 9, 'a number from 10 to 3600000'],
    ['window.buckets', 1001, 'an integer from 1 to 1000'],
    ['minimumCalls', 101, 'an integer from 1 to 100'],
    ['failureRate', 0, 'a number from 0.001 to 1'],
    ['failureRate', 50, 'a number from 0.001 to 1'],
    ['slowCallMs', 0, 'a number from 1 to 86400000'],
    ['slowCallRate', 1.1, 'a number from 0.001 to 1'],
    ['openMs', 0, 'a number from 1 to 86400000'],
    ['openFactor', 0.9, 'a number from 1 to 10'],
    ['maxOpenMs', 9999, 'a number from 10000 to 86400000'],
    ['halfOpenCalls', 1001, 'an integer from 1 to 1000'],
    ['halfOpenTimeoutMs', Infinity, 'a number from 1 to 86400000'],
    ['isFailure', 'no', 'a function'],
    ['now', 5, 'a function'],
  ] as const) {
    it(`refuses ${option} ${JSON.stringify(value)}`, () => {
      const [outer, inner] = option.split('.');
      const given =
        inner === undefined
          ? { [outer!]: value }
          : { window: { ...(inner === 'buckets' && { ms: 1000 }), [inner]: value } };
      expect(() => circuitBreaker(given as CircuitBreakerOptions))
        .to.throw(`${option} must be ${range}, got `)
        .with.property('code', 'ERR_CONFIG');
    });
  }
});
