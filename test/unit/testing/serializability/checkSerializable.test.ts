/** The checker of serializability: the known anomalies, and histories that a serial oracle made. */
import { expect } from 'chai';
import fc from 'fast-check';
import {
  checkSerializable,
  type AnomalyType,
  type TransactionRecord,
} from '../../../../lib/testing/index.js';

/** `'x1<a'` read version 1 of x, by a; `'x2'` wrote version 2 of x. */
function tx(
  id: string,
  reads: string,
  writes: string,
  more: Partial<TransactionRecord> = {},
): TransactionRecord {
  const words = (text: string): string[] => text.split(' ').filter((word) => word !== '');
  return {
    id,
    outcome: 'committed',
    call: 0,
    return: 100,
    reads: words(reads).map((word) => {
      const [what, by] = word.split('<') as [string, string | undefined];
      return { key: what[0]!, version: Number(what.slice(1)), by };
    }),
    writes: words(writes).map((word) => ({ key: word[0]!, version: Number(word.slice(1)) })),
    ...more,
  };
}

function found(history: TransactionRecord[], realTime = true): AnomalyType[] {
  return checkSerializable(history, { realTime }).anomalies.map(({ type }) => type);
}

describe('checkSerializable', () => {
  const cases: [string, TransactionRecord[], AnomalyType[]][] = [
    ['nothing', [], []],
    ['one after the other', [tx('a', 'x0', 'x1'), tx('b', 'x1<a', 'x2'), tx('c', 'x2<b', '')], []],
    ['two that write in opposite orders', [tx('a', '', 'x1 y2'), tx('b', '', 'x2 y1')], ['G0']],
    ['a read of what was aborted', [tx('a', '', 'x1', { outcome: 'aborted' }), tx('b', 'x1<a', '')], ['G1a']],
    ['a read of what its writer overwrote', [tx('a', '', 'x1 x2'), tx('b', 'x1<a', '')], ['G1b']],
    ['two that read each other', [tx('a', 'y1<b', 'x1'), tx('b', 'x1<a', 'y1')], ['G1c']],
    ['read skew', [tx('a', '', 'x1 y1'), tx('b', 'x0 y1<a', '')], ['G-single']],
    ['a lost update', [tx('a', 'x0', 'x1'), tx('b', 'x0', 'x1')], ['duplicate version', 'G-single']],
    ['a lost update with versions of its own', [tx('a', 'x0', 'x1'), tx('b', 'x0', 'x2')], ['G-single']],
    ['write skew', [tx('a', 'x0 y0', 'x1'), tx('b', 'x0 y0', 'y1')], ['G2']],
    [
      'a long fork',
      [tx('a', '', 'x1'), tx('b', '', 'y1'), tx('c', 'x1<a y0', ''), tx('d', 'x0 y1<b', '')],
      ['G2'],
    ],
    ['a version that nobody wrote', [tx('a', 'x3<b', ''), tx('b', '', 'x1')], ['unwritten version']],
    [
      'one of unknown outcome that nobody saw',
      [tx('a', 'x0', 'x1', { outcome: 'unknown' }), tx('b', 'x0', 'x1')],
      [],
    ],
    [
      'one of unknown outcome that somebody saw',
      [tx('a', 'x0 y0', 'x1', { outcome: 'unknown' }), tx('b', 'x0 y0', 'y1'), tx('c', 'x1<a', '')],
      ['G2'],
    ],
  ];
  for (const [name, history, expected] of cases)
    it(`${expected.length === 0 ? 'lets pass' : 'finds'} ${name}`, () => {
      expect(found(history)).to.deep.equal(expected);
      // The order of the records tells nothing.
      expect(found([...history].reverse())).to.deep.equal(expected);
    });

  it('finds a stale read in real time, which is serializable all the same', () => {
    const history = [
      tx('a', 'x0', 'x1', { call: 0, return: 10 }),
      tx('b', 'x0', '', { call: 20, return: 30 }),
    ];
    expect(found(history)).to.deep.equal(['G-single-realtime']);
    expect(found(history, false)).to.deep.equal([]);
    const overlapping = [history[0]!, { ...history[1]!, call: 10 }];
    expect(found(overlapping)).to.deep.equal([]);
  });

  it('finds a stale read over others that lie between', () => {
    const between = Array.from({ length: 5 }, (_, i) =>
      tx(`n${i}`, '', `${'abcde'[i]!}1`, { call: 20 + 10 * i, return: 25 + 10 * i }),
    );
    const history = [
      tx('w', 'x0', 'x1', { call: 0, return: 10 }),
      ...between,
      tx('r', 'x0', '', { call: 90, return: 95 }),
    ];
    expect(found(history)).to.deep.equal(['G-single-realtime']);
  });

  it('shows the cycle in words', () => {
    const { anomalies, ok } = checkSerializable([tx('a', '', 'x1 y1'), tx('b', 'x0 y1<a', '')]);
    expect(ok).to.equal(false);
    expect(anomalies[0]!.message)
      .to.include('wrote what b read of y')
      .and.include('read the version of x that a overwrote');
  });

  it('refuses records that make no sense', () => {
    expect(() => checkSerializable([tx('a', '', ''), tx('a', '', '')])).to.throw('id must be');
    expect(() => checkSerializable([tx('a', 'x-1', '')])).to.throw('version must be');
  });

  /** Runs transactions one after the other; each takes some time, and overlaps with its neighbours. */
  const plans = fc.array(
    fc.record({
      reads: fc.uniqueArray(fc.constantFrom('x', 'y', 'z')),
      writes: fc.uniqueArray(fc.constantFrom('x', 'y', 'z')),
    }),
    { minLength: 2, maxLength: 20 },
  );
  type Plan = { reads: string[]; writes: string[] }[];
  function serial(plan: Plan): TransactionRecord[] {
    const state = new Map<string, { version: number; by: string | undefined }>();
    return plan.map(({ reads, writes }, at) => {
      const id = `t${at}`;
      const now = (key: string) => state.get(key) ?? { version: 0, by: undefined };
      const record = {
        id,
        outcome: 'committed' as const,
        call: at * 10 - 15,
        return: at * 10 + 5,
        reads: reads.map((key) => ({ key, ...now(key) })),
        writes: writes.map((key) => ({ key, version: now(key).version + 1 })),
      };
      for (const { key, version } of record.writes) state.set(key, { version, by: id });
      return record;
    });
  }

  it('lets pass whatever was done one after the other', () => {
    fc.assert(fc.property(plans, (plan) => void expect(found(serial(plan))).to.deep.equal([])));
  });

  it('finds that one read an old version of one key, and a new one of another', () => {
    fc.assert(
      fc.property(plans, (plan) => {
        const history = serial([
          ...plan,
          { reads: [], writes: ['x', 'y'] },
          { reads: ['x', 'y'], writes: [] },
        ]);
        const last = history[history.length - 1]!;
        const before = serial([...plan, { reads: ['x'], writes: [] }]).at(-1)!.reads[0]!;
        const skewed = { ...last, reads: [before, last.reads[1]!] };
        expect(found([...history.slice(0, -1), skewed], false)).to.deep.equal(['G-single']);
      }),
    );
  });
});
