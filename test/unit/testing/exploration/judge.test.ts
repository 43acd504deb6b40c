import { expect } from 'chai';
import { judgeSerials as judgeAll } from '../../../../lib/testing/exploration/serials.js';
import type { HistoryOperation } from '../../../../lib/testing/simulation/history.js';

type Log = readonly (readonly [index: number, key: number, serial: number])[];

const write = (
  key: number,
  serial: number,
  [call, end]: readonly [number, number],
  output?: { readonly index: number; readonly serial: number },
): HistoryOperation => ({
  process: 'a',
  call,
  return: end,
  input: { op: 'write', key, serial, ballast: new Uint8Array(0) },
  output,
});
const read = (
  key: number,
  [call, end]: readonly [number, number],
  output: { readonly index: number; readonly serial: number },
): HistoryOperation => ({ process: 'b', call, return: end, input: { op: 'read', key }, output });

/** Writes that the history does not speak of are open: their callers never heard of them again. */
function judgeSerials(history: readonly HistoryOperation[], log: Log): string | undefined {
  const known = new Set(history.map(({ input }) => (input as { serial?: number }).serial));
  const open = log.filter(([, , serial]) => !known.has(serial));
  return judgeAll([...history, ...open.map(([, key, serial]) => write(key, serial, [0, Infinity]))], log);
}

describe('exploration: the judge of serials', () => {
  const log: Log = [
    [2, 1, 10],
    [3, 2, 11],
    [5, 1, 12],
  ];
  const sound = [
    write(1, 10, [0, 5], { index: 2, serial: 0 }),
    write(2, 11, [1, 6], { index: 3, serial: 0 }),
    write(1, 12, [7, 9], { index: 5, serial: 10 }),
    read(1, [6.5, 8], { index: 3, serial: 10 }),
    read(1, [10, 11], { index: 5, serial: 12 }),
  ];

  it('finds nothing wrong with a sound history', () => {
    expect(judgeSerials(sound, log)).to.equal(undefined);
    expect(judgeSerials([], [])).to.equal(undefined);
  });

  it('lets a write without an answer be in the log, or not', () => {
    const open = write(1, 12, [7, Infinity]);
    expect(judgeSerials([sound[0]!, sound[1]!, open], log)).to.equal(undefined);
    expect(judgeSerials([...sound, write(3, 99, [2, Infinity])], log)).to.equal(undefined);
  });

  it('allows a read before the first write, of index 0', () => {
    expect(judgeSerials([read(1, [0, 1], { index: 0, serial: 0 }), ...sound.slice(1)], log)).to.equal(
      undefined,
    );
  });

  it('lets calls that overlap go either way', () => {
    const both = [read(1, [7, 9], { index: 5, serial: 12 }), read(1, [8, 9], { index: 3, serial: 10 })];
    expect(judgeSerials(both, log)).to.equal(undefined);
  });

  it('complains of a refused write that is in the log', () => {
    const refused = sound.filter((_, at) => at !== 1);
    expect(judgeAll(refused, log)).to.match(/serial 11 was refused and is at 3/);
    expect(judgeAll(sound, log)).to.equal(undefined);
  });

  const wrong: [what: string, history: HistoryOperation[], log: Log, complaint: RegExp][] = [
    ['a write that is there twice', [], [...log, [6, 1, 10]], /serial 10 was applied twice/],
    ['a log out of order', [], [...log, [4, 1, 13]], /index 4 follows 5/],
    ['two writes at one index', [], [...log, [5, 1, 13]], /index 5 follows 5/],
    ['a lost write', [write(1, 13, [0, 1], { index: 6, serial: 12 })], log, /serial 13 .* is lost/],
    ['a write elsewhere', [write(1, 12, [0, 1], { index: 4, serial: 10 })], log, /at 4 and is at 5/],
    [
      'a write that saw another past',
      [write(1, 12, [0, 1], { index: 5, serial: 0 })],
      log,
      /write of key 1 .* it was 10/,
    ],
    [
      'a read of what never was',
      [read(1, [0, 1], { index: 5, serial: 99 })],
      log,
      /read of key 1 .* it was 12/,
    ],
    ['a read of another key', [read(2, [0, 1], { index: 5, serial: 12 })], log, /it was 11/],
    [
      'a read at no write',
      [read(1, [0, 1], { index: 4, serial: 10 })],
      log,
      /index 4, where there is no write/,
    ],
    [
      'a stale read',
      [sound[2]!, read(1, [9.5, 10], { index: 3, serial: 10 })],
      log,
      /a read of 3 was called at 9\.500, after an answer that showed 5/,
    ],
    [
      'a stale read after another read',
      [read(1, [9, 10], { index: 5, serial: 12 }), read(2, [11, 12], { index: 3, serial: 11 })],
      log,
      /a read of 3 .* showed 5/,
    ],
    [
      'a write before one that had ended',
      [sound[2]!, write(2, 11, [20, 21], { index: 3, serial: 0 })],
      log,
      /a write at 3 .* showed 5/,
    ],
    [
      'a write at what was read before it was called',
      [read(2, [0, 1], { index: 3, serial: 11 }), write(2, 11, [2, 3], { index: 3, serial: 0 })],
      log,
      /a write at 3 .* showed 3/,
    ],
  ];
  for (const [what, history, writes, complaint] of wrong)
    it(`complains of ${what}`, () => expect(judgeSerials(history, writes)).to.match(complaint));
});
