/** A life of a storage, and what it has to hold after any part of it. */
import type { DiskStorageOptions } from '../../../../lib/storage/diskStorage.js';
import type { GroupWrite, NodeStore } from '../../../../lib/storage/storage.js';
import type { FaultyDisk } from './faultyDisk.js';
import { entries, entry, expectedAfter, hard, metaAt, openOn, snapshot, write } from './harness.js';
import type { Step } from './harness.js';

/** Rotations, truncations, compactions, installs, erasures and votes, several of them within one segment and over its bounds. */
export const SCRIPT: readonly Step[] = [
  w({ group: 'g', hard: hard(0) }),
  w({ group: 'g', entries: entries(1, 20, 500) }, { group: 'h', entries: entries(1, 2), hard: hard(1) }),
  w({ group: 'g', entries: [entry(21, { count: 9, data: new Uint8Array(20_000).fill(7) })] }),
  w({ group: 'g', truncateFrom: 15, entries: entries(15, 10, 500, 2), hard: hard(10, 2) }),
  w({ group: 'g', entries: entries(25, 30, 900, 2) }),
  { group: 'g', snapshot: metaAt(40, 2) },
  w({ group: 'g', compactTo: 30, hard: hard(40, 2) }),
  w({ group: 'g', entries: entries(55, 20, 1000, 2) }, { group: 'i', entries: entries(1, 30, 300) }),
  w({ group: 'g', truncateFrom: 60, hard: hard(40, 3) }),
  { reopen: true },
  w({ group: 'i', entries: [entry(31, { data: new Uint8Array(90_000).fill(3) })] }),
  w({ group: 'g', entries: entries(60, 5, 10, 3) }),
  { group: 'h', snapshot: metaAt(50, 3) },
  w({ group: 'h', install: metaAt(50, 3), hard: hard(50, 3) }),
  w({ group: 'h', entries: entries(51, 10, 2000, 3) }, { group: 'i', erase: true }),
  w({ group: 'g', hard: hard(60, 3), entries: entries(65, 30, 1500, 3) }),
  { group: 'g', snapshot: metaAt(94, 3) },
  w({ group: 'g', compactTo: 94 }),
  w({ group: 'i', entries: entries(1, 3, 100, 4) }),
  { group: 'h', snapshot: metaAt(60, 3) },
  { reopen: true },
  w({ group: 'h', compactTo: 58 }, { group: 'g', entries: entries(95, 2, 10, 3) }),
  w({ group: 'g', entries: entries(97, 40, 1000, 4) }),
  w({ group: 'g', truncateFrom: 97, hard: hard(96, 5) }),
];

/** One group that writes and takes snapshots, others that wrote a little once and hold on to it: their entries are written again. */
export const QUIET_SCRIPT: readonly Step[] = [
  w({ group: 'q1', hard: hard(0), entries: entries(1, 3, 200) }, { group: 'g', hard: hard(0) }),
  ...[...Array(9).keys()].flatMap((round): Step[] => {
    const first = 1 + round * 60;
    const quiet: GroupWrite[] = [
      { group: `q${2 + (round % 4)}`, entries: entries(1 + 2 * Math.floor(round / 4), 2, 300) },
    ];
    // Some change their minds while they are written again.
    if (round === 4)
      quiet.push({ group: 'q1', truncateFrom: 3, entries: entries(3, 2, 200, 2), hard: hard(2, 2) });
    if (round === 6) quiet.push({ group: 'q3', erase: true });
    return [
      w({ group: 'g', entries: entries(first, 30, 1000) }),
      w({ group: 'g', entries: entries(first + 30, 30, 1000) }, ...quiet),
      { group: 'g', snapshot: metaAt(first + 55) },
      w({ group: 'g', compactTo: first + 55, hard: hard(first + 55) }),
      ...(round === 5 ? [{ reopen: true } as const] : []),
    ];
  }),
];

function w(...writes: GroupWrite[]): Step {
  return { writes };
}

const prefixes = new Map<readonly Step[], Promise<string>[]>();
/** What must be read after so many steps. */
export function expected(steps: number, script = SCRIPT): Promise<string> {
  let contents = prefixes.get(script);
  if (contents === undefined) prefixes.set(script, (contents = []));
  return (contents[steps] ??= expectedAfter(script.slice(0, steps)));
}

/** What may be read after a crash: all that was acknowledged, and perhaps some of what was under way. */
export async function expectedBetween(
  { acknowledged, issued }: Progress,
  script = SCRIPT,
): Promise<string[]> {
  const allowed: string[] = [];
  for (let steps = acknowledged; steps <= issued; steps++) allowed.push(await expected(steps, script));
  return allowed;
}

export interface Progress {
  /** Steps begun, and steps that were acknowledged. */
  issued: number;
  acknowledged: number;
}

/** Plays the script; writes are not waited for one by one, so that they queue up and share flushes. */
export async function play(
  disk: FaultyDisk,
  progress: Progress,
  options: DiskStorageOptions = {},
  onOpen: (store: NodeStore | undefined) => void = () => {},
  script = SCRIPT,
): Promise<void> {
  let store = await openOn(disk, options);
  onOpen(store);
  let last: Promise<void> = Promise.resolve();
  for (const [i, step] of script.entries()) {
    if (!('writes' in step)) await last;
    progress.issued = i + 1;
    if ('writes' in step) {
      last = write(store, ...step.writes).then(() => void (progress.acknowledged = i + 1));
      if (i % 3 === 0) await last;
    } else if ('snapshot' in step) {
      await snapshot(store, step.group, step.snapshot);
      progress.acknowledged = i + 1;
    } else {
      await store.close();
      onOpen(undefined);
      store = await openOn(disk, options);
      onOpen(store);
      progress.acknowledged = i + 1;
    }
  }
  await last;
  await store.close();
}
