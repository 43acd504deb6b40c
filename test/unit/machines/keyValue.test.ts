import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { inspect, isDeepStrictEqual } from 'node:util';
import { expect } from 'chai';
import fc from 'fast-check';
import { equalValues } from '../../../lib/machines/equal.js';
import { keyValue } from '../../../lib/machines/keyValue.js';
import { snapshotChunks, type SnapshotKind } from '../../../lib/machines/snapshotFormat.js';
import { cbor } from '../../../lib/replica/codec.js';
import type { OperationOf } from '../../../lib/replica/stateMachine.js';
import type { KeyValueCommands } from '../../../lib/machines/keyValue.js';
import { anyValue } from '../replica/values.js';
import { bytesOf, collect, contextAt, driver, errorOf, inChunks, rejectionOf } from './helpers.js';

type Command = OperationOf<KeyValueCommands<unknown>>;

const key = fc.oneof(
  fc.constantFrom(
    '',
    'a',
    'ab',
    'b',
    'ba',
    '__proto__',
    'constructor',
    '\uffff',
    '\ue000',
    '😀',
    'z'.repeat(300),
  ),
  fc.string({ unit: 'binary', maxLength: 3 }).filter((text) => !text.startsWith('\ufeff')),
);
const value = fc.oneof(
  fc.constantFrom<unknown>(1, 2, null, { a: 1, b: [2] }, { b: [2], a: 1 }, 'x'.repeat(9000)),
  anyValue.filter((v) => v !== undefined),
);
const command: fc.Arbitrary<Command> = fc.oneof(
  fc.record({ op: fc.constant('put' as const), key, value }),
  fc.record({ op: fc.constant('delete' as const), key }),
  fc.record({
    op: fc.constant('cas' as const),
    key,
    expected: fc.oneof(fc.constant(undefined), value),
    value,
  }),
);

/** What the documentation says, on a plain Map. */
function applyToModel(model: Map<string, unknown>, c: Command): unknown {
  if (c.op === 'put') {
    model.set(c.key, c.value);
    return { ok: true };
  }
  if (c.op === 'delete') return { ok: model.delete(c.key) };
  const ok = equalValues(model.get(c.key), c.expected);
  if (ok) model.set(c.key, c.value);
  return { ok, current: model.get(c.key) };
}

const byKey = ([a]: [string, unknown], [b]: [string, unknown]) => (a < b ? -1 : a > b ? 1 : 0);

/** As chai's deep equality, which fails on objects that have a `toString` of their own. */
function expectSame(a: unknown, b: unknown): void {
  if (!isDeepStrictEqual(a, b)) expect.fail(`${inspect(a)} is not ${inspect(b)}`);
}

describe('keyValue', () => {
  it('is a map', () => {
    fc.assert(
      fc.property(
        fc.array(command, { maxLength: 80 }),
        key,
        fc.option(key),
        fc.nat(4),
        (commands, prefix, after, limit) => {
          const machine = keyValue();
          const apply = driver(machine);
          const model = new Map<string, unknown>();
          commands.forEach((c, i) => {
            expectSame(apply(c), applyToModel(model, c));
            expectSame(machine.query!({ op: 'get', key: c.key }), model.get(c.key));
            // Now and then, so that the index of keys has old and new parts.
            if (i % 7 === 0) expectSame(machine.query!({ op: 'list' }), [...model].sort(byKey));
          });
          const all = [...model].sort(byKey);
          expectSame(machine.query!({ op: 'list' }), all);
          const fits = all.filter(([k]) => k.startsWith(prefix) && (after === null || k > after));
          expectSame(machine.query!({ op: 'list', prefix, after: after ?? undefined }), fits);
          expect(machine.query!({ op: 'list', prefix, after: after ?? undefined, limit })).to.deep.equal(
            fits.slice(0, limit),
          );
        },
      ),
      { numRuns: 300 },
    );
  });

  it('captures snapshots that later commands do not touch, several at once', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(command, fc.constant('snapshot' as const), fc.nat(2)), { maxLength: 60 }),
        (steps) => {
          const machine = keyValue();
          const apply = driver(machine);
          const seen: Command[] = [];
          const snapshots: { expected: Buffer; chunks: Iterator<Uint8Array>; got: Uint8Array[] }[] = [];
          for (const s of steps) {
            if (s === 'snapshot') {
              // The bytes that a machine gives at once whose history ends here.
              const twin = keyValue();
              const applyToTwin = driver(twin);
              seen.forEach((c) => applyToTwin(c));
              const chunks = (machine.snapshot() as Iterable<Uint8Array>)[Symbol.iterator]();
              snapshots.push({ expected: bytesOf(twin), chunks, got: [] });
            } else if (typeof s === 'number') {
              const snapshot = snapshots[s % Math.max(1, snapshots.length)];
              const next = snapshot?.chunks.next();
              if (next?.done === false) snapshot!.got.push(next.value);
            } else {
              apply(s);
              seen.push(s);
            }
          }
          for (const snapshot of snapshots) {
            const rest = { [Symbol.iterator]: () => snapshot.chunks };
            expect(collect([...snapshot.got, ...rest]).equals(snapshot.expected)).to.equal(true);
          }
        },
      ),
      { numRuns: 150 },
    );
  });

  it('comes back from a snapshot in any chunks, and goes on to give the same bytes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(command, { maxLength: 40 }),
        fc.array(command, { maxLength: 20 }),
        fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 5 }),
        async (before, after, sizes) => {
          const original = keyValue();
          const restored = keyValue();
          const applyToOriginal = driver(original);
          const applyToRestored = driver(restored);
          before.forEach((c) => applyToOriginal(c));
          applyToRestored({ op: 'put', key: 'leftover', value: 1 });
          restored.query!({ op: 'list' });
          const bytes = bytesOf(original);
          await restored.restore(inChunks(bytes, sizes));
          expect(bytesOf(restored).equals(bytes)).to.equal(true);
          expectSame(restored.query!({ op: 'list' }), original.query!({ op: 'list' }));
          for (const c of after) expectSame(applyToRestored(c), applyToOriginal(c));
          expect(bytesOf(restored).equals(bytesOf(original))).to.equal(true);
        },
      ),
      { numRuns: 150 },
    );
  });

  it('gives equal bytes after a great many changes, with and without a restore on the way', async () => {
    const one = keyValue<number>();
    const other = keyValue<number>();
    const applyToOne = driver(one);
    const applyToOther = driver(other);
    for (let i = 0; i < 30_000; i++) {
      const k = `k${(i * 7919) % 6007}`;
      const c =
        i % 3 === 0 || (i > 12_000 && i < 19_000)
          ? { op: 'delete', key: k }
          : { op: 'put', key: k, value: i };
      expect(applyToOther(c)).to.deep.equal(applyToOne(c));
      if (i % 9000 === 8999) await other.restore(inChunks(bytesOf(other), [1000]));
      if (i % 5000 === 0) (one.snapshot() as Generator<Uint8Array>).next(); // begun and given up
    }
    expect(bytesOf(one).equals(bytesOf(other))).to.equal(true);
  });

  it('refuses every truncated or damaged snapshot with ERR_CODEC and keeps its state', async () => {
    const machine = keyValue();
    const apply = driver(machine);
    for (let i = 0; i < 12; i++) apply({ op: 'put', key: `key${i}`, value: { i, text: 'v'.repeat(i) } });
    const good = bytesOf(machine);
    const target = keyValue();
    driver(target)({ op: 'put', key: 'mine', value: 1 });
    const before = bytesOf(target);
    for (let length = 0; length < good.length; length++) {
      expect((await rejectionOf(target.restore(inChunks(good.subarray(0, length), [50])))).code).to.equal(
        'ERR_CODEC',
      );
    }
    for (let at = 0; at < good.length; at++) {
      const bad = Buffer.from(good);
      bad[at]! ^= 1 << (at % 8);
      expect((await rejectionOf(target.restore(inChunks(bad, [97])))).code).to.equal('ERR_CODEC');
    }
    for (const bad of [Buffer.concat([good, Buffer.of(0)]), Buffer.concat([good, good]), good.subarray(1)]) {
      expect((await rejectionOf(target.restore(inChunks(bad)))).code).to.equal('ERR_CODEC');
    }
    async function* notBytes(): AsyncGenerator<Uint8Array> {
      yield good.toString('latin1') as unknown as Uint8Array;
    }
    expect((await rejectionOf(target.restore(notBytes()))).message).to.match(/not a Uint8Array/);
    expect(bytesOf(target).equals(before)).to.equal(true);
    await target.restore(inChunks(good, [1]));
    expect(bytesOf(target).equals(good)).to.equal(true);
  });

  it('refuses a snapshot that is whole but makes no sense', async () => {
    const machine = keyValue();
    const restored = (kind: SnapshotKind, records: unknown[], count = records.length) => {
      const chunks = snapshotChunks(kind, count, records, (writer, record) =>
        writer.raw(cbor().encode(record)),
      );
      return rejectionOf(machine.restore(inChunks(collect(chunks), [10])));
    };
    const cases: [SnapshotKind, unknown[], number, RegExp][] = [
      ['keyValue', [['a', 1], ['a', 2]], 2, /holds the key "a" twice/],
      ['keyValue', [['a', 1, 2]], 1, /no pair of key and value/],
      ['keyValue', [[1, 2]], 1, /no pair of key and value/],
      ['keyValue', [['a', undefined]], 1, /no pair of key and value/],
      ['keyValue', [{ a: 1 }], 1, /no pair of key and value/],
      ['keyValue', [['a', 1]], 0, /bytes are where its 4-byte checksum is due/],
      ['keyValue', [['a', 1]], 3, /ends 2 records too early/],
      ['state', [['a', 1]], 1, /no snapshot of kind keyValue/],
    ]; // prettier-ignore
    for (const [kind, records, count, message] of cases) {
      const error = await restored(kind, records, count);
      expect(error.code).to.equal('ERR_CODEC');
      expect(error.message).to.match(message);
    }
    expect(machine.query!({ op: 'list' })).to.deep.equal([]);
  });

  it('passes an error of the stream on and keeps its state', async () => {
    const machine = keyValue();
    driver(machine)({ op: 'put', key: 'a', value: 1 });
    const bytes = bytesOf(machine);
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield bytes.subarray(0, 8);
      throw new Error('the link is gone');
    }
    const error: unknown = await Promise.resolve(machine.restore(broken())).catch((e: unknown) => e);
    expect(error).to.have.property('message', 'the link is gone');
    expect(machine.query!({ op: 'get', key: 'a' })).to.equal(1);
  });

  it('carries values larger than a chunk', async () => {
    const machine = keyValue();
    const apply = driver(machine);
    const large = new Uint8Array(300_000).map((_, i) => i * 31);
    apply({ op: 'put', key: 'small', value: 1 });
    apply({ op: 'put', key: 'large', value: large });
    const restored = keyValue();
    await restored.restore(inChunks(bytesOf(machine), [4096]));
    expect(restored.query!({ op: 'get', key: 'large' })).to.deep.equal(large);
    expect(restored.query!({ op: 'get', key: 'small' })).to.equal(1);
  });

  it('rejects alike whatever a command looks like', () => {
    const machine = keyValue();
    const apply = driver(machine);
    for (const bad of [
      null,
      undefined,
      5,
      'put',
      [],
      {},
      { op: 5 },
      { op: 'constructor' },
      { op: '__proto__' },
      { op: 'toString', key: 'a' },
    ]) {
      expect(errorOf(() => apply(bad)).code).to.equal('ERR_UNKNOWN_OPERATION');
      expect(errorOf(() => machine.validate!(bad as never)).code).to.equal('ERR_UNKNOWN_OPERATION');
      expect(errorOf(() => machine.query!(bad as never)).code).to.equal('ERR_UNKNOWN_OPERATION');
    }
    expect(errorOf(() => apply({ op: 'putt' })).message).to.match(
      /no command "putt"; allowed are put, delete, cas/,
    );
    const rejected: [unknown, string][] = [
      [{ op: 'put', value: 1 }, 'INVALID_KEY'],
      [{ op: 'delete', key: 5 }, 'INVALID_KEY'],
      [{ op: 'put', key: 'k'.repeat(4097), value: 1 }, 'INVALID_KEY'],
      [{ op: 'put', key: 'a\ud800', value: 1 }, 'INVALID_KEY'],
      [{ op: 'cas', key: '\udc00', value: 1 }, 'INVALID_KEY'],
      [{ op: 'delete', key: '\ud83d' }, 'INVALID_KEY'],
      [{ op: 'put', key: '\ufeffa', value: 1 }, 'INVALID_KEY'],
      [{ op: 'put', key: 'a' }, 'INVALID_VALUE'],
      [{ op: 'cas', key: 'a', expected: 1 }, 'INVALID_VALUE'],
    ];
    for (const [bad, reason] of rejected) {
      expect(errorOf(() => apply(bad))).to.include({ code: 'ERR_REJECTED', reason });
      expect(errorOf(() => machine.validate!(bad as never))).to.include({
        code: 'ERR_REJECTED',
        reason,
        fate: 'refused',
      });
    }
    expect(errorOf(() => machine.validate!({ op: 'put', key: 'k'.repeat(4097), value: 1 })).message).to.match(
      /at most 4096 characters, got 4097/,
    );
    machine.validate!({ op: 'put', key: 'k'.repeat(4096), value: 1 });
    machine.validate!({ op: 'delete', key: '' });
    for (const bad of [{ prefix: 5 }, { after: 5 }, { limit: -1 }, { limit: 1.5 }, { limit: 2 ** 32 }]) {
      expect(errorOf(() => machine.query!({ op: 'list', ...bad } as never)).code).to.equal('ERR_CONFIG');
    }
    expect(machine.query!({ op: 'list' })).to.deep.equal([]);
  });

  it('takes only keys that a snapshot can hold, whatever a codec brings', async () => {
    const unit = fc.oneof(
      fc.constantFrom('a', '\ud800', '\udbff', '\udc00', '\udfff', '\ufeff', '\uffff', '😀'),
      fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code)),
    );
    const seen = { taken: 0, rejected: 0 };
    await fc.assert(
      fc.asyncProperty(fc.string({ unit, maxLength: 4 }), async (anyKey) => {
        const machine = keyValue();
        try {
          driver(machine)({ op: 'put', key: anyKey, value: 1 });
          seen.taken++;
        } catch (error) {
          expect(error).to.include({ code: 'ERR_REJECTED', reason: 'INVALID_KEY' });
          expect(() => cbor().encode(anyKey)).to.throw();
          seen.rejected++;
          return;
        }
        const restored = keyValue();
        await restored.restore(inChunks(bytesOf(machine)));
        expect(restored.query!({ op: 'list' })).to.deep.equal([[anyKey, 1]]);
      }),
      { numRuns: 300 },
    );
    expect(seen.taken).to.be.greaterThan(20);
    expect(seen.rejected).to.be.greaterThan(20);
  });

  it('compares with cas by content', () => {
    const apply = driver(keyValue());
    expect(apply({ op: 'cas', key: 'a', value: { x: [1], y: new Date(5) } })).to.deep.include({ ok: true });
    expect(apply({ op: 'cas', key: 'a', value: 2 })).to.deep.include({ ok: false });
    expect(apply({ op: 'cas', key: 'a', expected: null, value: 2 })).to.deep.include({ ok: false });
    expect(apply({ op: 'cas', key: 'a', expected: { y: new Date(5), x: [1] }, value: 3 })).to.deep.equal({
      ok: true,
      current: 3,
    });
    expect(apply({ op: 'cas', key: 'a', expected: 2, value: 4 })).to.deep.equal({ ok: false, current: 3 });
  });

  it('lets go of what only an abandoned snapshot still held', async () => {
    setFlagsFromString('--expose-gc');
    const gc = runInNewContext('gc') as () => void;
    const machine = keyValue<object>();
    const held = new Map<string, Generator<Uint8Array>>();
    /** Replaces a value while a snapshot that was begun holds it. */
    const begin = (name: string): WeakRef<object> => {
      const old = { large: name };
      machine.apply({ op: 'put', key: 'a', value: old }, contextAt(1));
      const chunks = machine.snapshot() as Generator<Uint8Array>;
      for (let i = 0; i < 2; i++) chunks.next();
      machine.apply({ op: 'put', key: 'a', value: {} }, contextAt(2));
      held.set(name, chunks);
      return new WeakRef(old);
    };
    // Large enough that a snapshot has chunks left after its first.
    for (let i = 0; i < 300; i++) {
      machine.apply({ op: 'put', key: `${i}`, value: new Uint8Array(1000) }, contextAt(1));
    }
    const kept = begin('kept');
    const forgotten = begin('forgotten'); // never ended
    held.delete('forgotten');
    await new Promise((resolve) => setImmediate(resolve));
    gc();
    expect(kept.deref()).to.deep.equal({ large: 'kept' });
    expect(forgotten.deref()).to.equal(undefined);
    expect(held.get('kept')!.return(undefined)).to.have.property('done', true);
  });

  it('finds its keys again after long times without a list', () => {
    const machine = keyValue<number>();
    const apply = driver(machine);
    const model = new Map<string, number>();
    const check = () => {
      expect(machine.query!({ op: 'list', prefix: 'k1' })).to.deep.equal(
        [...model].filter(([k]) => k.startsWith('k1')).sort(byKey),
      );
    };
    // Rounds of additions and deletions on both sides of what the index keeps waiting, merges and gives up.
    for (const [add, remove] of [
      [50, 0],
      [700, 300],
      [2000, 10],
      [9000, 500],
      [10, 6000],
      [0, 1200],
      [1500, 1500],
      [3, 3],
    ] as const) {
      for (let i = 0; i < add; i++) {
        const k = `k${(model.size * 31 + i * 17) % 20_000}`;
        apply({ op: 'put', key: k, value: i });
        model.set(k, i);
      }
      for (const k of [...model.keys()].slice(0, remove)) {
        apply({ op: 'delete', key: k });
        model.delete(k);
        if (k.endsWith('7')) {
          apply({ op: 'put', key: k, value: -1 }); // deleted and added again
          model.set(k, -1);
        }
      }
      check();
      check();
    }
  });

  it('gives snapshots in a form that stays', () => {
    const machine = keyValue();
    driver(machine)({ op: 'put', key: 'a', value: [1, 'x'] });
    const record = Buffer.from(cbor().encode(['a', [1, 'x']]));
    const expected = Buffer.concat([Buffer.from([0x51, 0x4b, 1, 1, record.length, 0, 0, 0]), record]);
    const bytes = bytesOf(machine);
    expect(bytes.subarray(0, -4).toString('hex')).to.equal(expected.toString('hex'));
    expect(bytes.subarray(-4).toString('hex')).to.equal('febee19d');
  });
});
