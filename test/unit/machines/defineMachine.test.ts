import { isDeepStrictEqual } from 'node:util';
import { expect } from 'chai';
import fc from 'fast-check';
import { QuorateError } from '../../../lib/errors.js';
import { defineMachine } from '../../../lib/machines/defineMachine.js';
import { anyValue } from '../replica/values.js';
import { bytesOf, contextAt, driver, errorOf, inChunks, rejectionOf } from './helpers.js';

const counter = () =>
  defineMachine({
    version: 4,
    initial: () => ({ n: 0, by: new Map<string, number>() }),
    commands: {
      add: (state, c: { by: number }, context) => {
        if (c.by < 0) context.reject('NEGATIVE', { by: c.by });
        state.by.set(context.origin, context.index);
        return (state.n += c.by);
      },
      half: (state) => {
        state.n++;
        throw new RangeError('half way');
      },
    },
    queries: { total: (state) => state.n, of: (state, q: { origin: string }) => state.by.get(q.origin) },
    validate: (command) => {
      if (command.op === 'add' && !Number.isFinite(command.by)) throw new TypeError('by must be finite');
    },
  });

class Foo {
  readonly x = 1;
}

describe('defineMachine', () => {
  it('applies commands to its state and answers queries from it', () => {
    const machine = counter();
    expect(machine.version).to.equal(4);
    expect(machine.apply({ op: 'add', by: 2 }, contextAt(7))).to.equal(2);
    expect(machine.apply({ op: 'add', by: 3 }, contextAt(8, 8, 'b'))).to.equal(5);
    expect(machine.query!({ op: 'total' })).to.equal(5);
    expect(machine.query!({ op: 'of', origin: 'b' })).to.equal(8);
    expect(machine.query!({ op: 'of', origin: 'c' })).to.equal(undefined);
    expect(counter().query!({ op: 'total' })).to.equal(0);
  });

  it('passes rejections and throws on; what was changed before them stays', () => {
    const machine = counter();
    const apply = driver(machine);
    expect(errorOf(() => apply({ op: 'add', by: -1 }))).to.include({
      code: 'ERR_REJECTED',
      reason: 'NEGATIVE',
    });
    expect(machine.query!({ op: 'total' })).to.equal(0);
    expect(() => apply({ op: 'half' })).to.throw(RangeError, 'half way');
    expect(machine.query!({ op: 'total' })).to.equal(1);
  });

  it('has the operations it was given and no others', () => {
    const machine = counter();
    const apply = driver(machine);
    const unknown = [
      { op: 'sub' },
      { op: 'constructor' },
      { op: '__proto__' },
      { op: 'toString' },
      { op: 'hasOwnProperty' },
      { op: 1 },
      {},
      null,
      undefined,
      7,
      'add',
    ];
    for (const operation of unknown) {
      expect(errorOf(() => apply(operation)).code).to.equal('ERR_UNKNOWN_OPERATION');
      expect(errorOf(() => machine.query!(operation as never)).code).to.equal('ERR_UNKNOWN_OPERATION');
      expect(errorOf(() => machine.validate!(operation as never)).code).to.equal('ERR_UNKNOWN_OPERATION');
    }
    expect(errorOf(() => apply({ op: 'sub' })).message).to.match(/no command "sub"; allowed are add, half$/);
    expect(errorOf(() => apply({ op: 'x'.repeat(500) })).message).to.have.length.below(200);
    const bare = defineMachine({ version: 1, initial: () => ({}), commands: {} });
    expect(errorOf(() => bare.query!({ op: 'x' } as never)).message).to.match(/it has no query at all/);
  });

  it('validates what the author wants validated', () => {
    const machine = counter();
    machine.validate!({ op: 'add', by: 1 });
    expect(() => machine.validate!({ op: 'add', by: NaN })).to.throw(TypeError, 'by must be finite');
  });

  it('refuses async handlers without an unhandled rejection', async () => {
    const machine = defineMachine({
      version: 1,
      initial: () => ({ n: 0 }),
      commands: {
        later: async (state) => {
          await Promise.resolve();
          state.n++;
          throw new Error('nobody waits for this');
        },
      },
      queries: { later: async (state) => state.n },
    });
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => void unhandled.push(reason);
    process.on('unhandledRejection', note);
    try {
      expect(() => driver(machine)({ op: 'later' })).to.throw(
        TypeError,
        /command "later" returned a promise/,
      );
      expect(() => machine.query!({ op: 'later' })).to.throw(TypeError, /query "later" returned a promise/);
      for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
    } finally {
      process.off('unhandledRejection', note);
    }
    expect(unhandled).to.deep.equal([]);
  });

  it('brings any state back from a snapshot, with the same bytes', async () => {
    const make = (initial: unknown) =>
      defineMachine({
        version: 1,
        initial: () => ({ value: initial, list: [] as unknown[] }),
        commands: { push: (state, c: { item: unknown }) => state.list.push(c.item) },
        queries: { all: (state) => state },
      });
    await fc.assert(
      fc.asyncProperty(
        anyValue,
        fc.array(anyValue, { maxLength: 5 }),
        fc.array(fc.integer({ min: 1, max: 99 }), { minLength: 1, maxLength: 4 }),
        async (initial, items, sizes) => {
          const machine = make(initial);
          const restored = make(null);
          const apply = driver(machine);
          for (const item of items) apply({ op: 'push', item });
          const bytes = bytesOf(machine);
          await restored.restore(inChunks(bytes, sizes));
          expect(isDeepStrictEqual(restored.query!({ op: 'all' }), machine.query!({ op: 'all' }))).to.equal(
            true,
          );
          expect(driver(restored)({ op: 'push', item: 'more' })).to.equal(
            apply({ op: 'push', item: 'more' }),
          );
          expect(bytesOf(restored).equals(bytesOf(machine))).to.equal(true);
        },
      ),
      { numRuns: 100 },
    );
  });

  it('captures at once, and cuts large states into chunks', async () => {
    const machine = counter();
    const apply = driver(machine);
    for (let i = 0; i < 8000; i++) apply({ op: 'add', by: 1 }, i, `origin-${i}-${'x'.repeat(20)}`);
    const chunks = machine.snapshot() as Iterable<Uint8Array>;
    apply({ op: 'add', by: 1000 });
    const parts = [...chunks];
    expect(parts.length).to.be.above(3);
    for (const part of parts) expect(part.length).to.be.within(1, 65_536);
    const restored = counter();
    await restored.restore(inChunks(Buffer.concat(parts)));
    expect(restored.query!({ op: 'total' })).to.equal(8000);
  });

  it('takes an encoding of the author', async () => {
    class Stack {
      readonly items: number[];
      constructor(items: number[] = []) {
        this.items = items;
      }
    }
    const make = () =>
      defineMachine({
        version: 1,
        initial: () => new Stack(),
        commands: { push: (state, c: { item: number }) => state.items.push(c.item) },
        queries: { top: (state) => (state instanceof Stack ? state.items.at(-1) : 'not a stack') },
        encode: (state) => Uint8Array.from(state.items),
        decode: (bytes) => {
          if (bytes.length > 3) throw new RangeError('too many');
          return new Stack([...bytes]);
        },
      });
    const machine = make();
    const apply = driver(machine);
    apply({ op: 'push', item: 7 });
    const restored = make();
    await restored.restore(inChunks(bytesOf(machine), [1]));
    expect(restored.query!({ op: 'top' })).to.equal(7);
    for (let i = 0; i < 5; i++) apply({ op: 'push', item: i });
    const error = await rejectionOf(restored.restore(inChunks(bytesOf(machine))));
    expect(error.code).to.equal('ERR_CODEC');
    expect(error.cause).to.be.instanceOf(RangeError);
    expect(restored.query!({ op: 'top' })).to.equal(7);
  });

  it('refuses damaged snapshots and states that are none, and keeps its own', async () => {
    const machine = counter();
    driver(machine)({ op: 'add', by: 5 });
    const good = bytesOf(machine);
    for (let at = 0; at < good.length; at++) {
      const bad = Buffer.from(good);
      bad[at]! ^= 0x10;
      expect((await rejectionOf(machine.restore(inChunks(bad)))).code).to.equal('ERR_CODEC');
      expect((await rejectionOf(machine.restore(inChunks(good.subarray(0, at))))).code).to.equal('ERR_CODEC');
    }
    const nothing = defineMachine({
      version: 1,
      initial: () => ({}),
      commands: {},
      encode: () => Uint8Array.of(0xf6),
      decode: () => ({}),
    });
    expect((await rejectionOf(machine.restore(inChunks(bytesOf(nothing))))).message).to.match(
      /holds no state/,
    );
    expect(machine.query!({ op: 'total' })).to.equal(5);
  });

  it('names what is wrong with a definition', () => {
    const base = { version: 1, initial: () => ({}), commands: {} };
    const cases: [object, RegExp][] = [
      [{ version: 0 }, /version must be an integer from 1 to 2147483647, got 0/],
      [{ version: 1.5 }, /version/],
      [{ initial: { n: 0 } }, /initial must be a function/],
      [{ initial: () => 5 }, /initial\(\) must be an object.*got 5/],
      [{ initial: () => null }, /initial\(\) must be an object/],
      [{ initial: () => new Foo() }, /plain data, or encode and decode/],
      [{ initial: () => Promise.resolve({}) }, /plain data, or encode and decode/],
      [{ commands: undefined }, /commands must be an object of functions/],
      [{ commands: { add: 5 } }, /commands\.add must be a function, got 5/],
      [{ queries: { get: 'x' } }, /queries\.get must be a function, got "x"/],
      [{ validate: true }, /validate must be a function/],
      [{ encode: () => new Uint8Array() }, /both given or both left out/],
      [{ decode: () => ({}) }, /both given or both left out/],
      [{ encode: 5, decode: 5 }, /encode must be a function/],
    ];
    for (const [change, message] of cases) {
      const error = errorOf(() => defineMachine({ ...base, ...change }));
      expect(error).to.be.instanceOf(QuorateError).and.to.have.property('code', 'ERR_CONFIG');
      expect(error.message).to.match(message);
    }
  });
});
