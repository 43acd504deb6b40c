/**
 * A process that opens a storage, checks all that is in it, and then writes on without end. It says `open <steps> <reign>` and
 * then a number for each step that was acknowledged, line by line on its standard output; what is wrong goes to standard error.
 */
import assert from 'node:assert/strict';
import { writeSync } from 'node:fs';
import { nodeEnvironment } from '../../lib/environment.js';
import { diskStorage } from '../../lib/storage/diskStorage.js';
import type { NodeStore } from '../../lib/storage/storage.js';
import {
  advance,
  entryAt,
  GROUP,
  hardAfter,
  lastOfModel,
  newModel,
  snapshotContent,
  VOTES,
} from './storageKillLife.js';
import type { Model } from './storageKillLife.js';

/** Steps under way at once, so that flushes are shared. */
const IN_FLIGHT = 5;

const [, , directory, sync] = process.argv;
const storage = diskStorage(directory!, {
  segmentBytes: 65536,
  reserve: 0,
  sync: sync as 'fdatasync' | 'dsync',
});
const store = await storage.open({ environment: nodeEnvironment, cluster: 'kill', node: 'a' });
const model = await check(store);
say(`open ${model.steps} ${model.reign}`);

let inFlight = 0;
let wake: (() => void) | undefined;
for (;;) {
  const { snapshot, writes } = advance(model);
  const step = model.steps;
  if (snapshot !== undefined) {
    // It covers entries that must be durable before it is.
    while (inFlight > 0) await new Promise<void>((resolve) => (wake = resolve));
    const writer = await store.createSnapshot(GROUP);
    await writer.write(snapshotContent(snapshot.index));
    await writer.commit(snapshot);
  }
  inFlight++;
  store.write(writes, (error) => {
    if (error) throw error;
    inFlight--;
    say(String(step));
    wake?.();
  });
  while (inFlight >= IN_FLIGHT) await new Promise<void>((resolve) => (wake = resolve));
}

function say(line: string): void {
  writeSync(1, `${line}\n`); // not buffered: what was acknowledged was told before this process can be killed
}

/** Compares everything with what the steps say that were done, which the hard state tells; returns that. */
async function check(opened: NodeStore): Promise<Model> {
  const recovered = await opened.recover(GROUP);
  const steps = recovered?.hard?.commit ?? 0;
  const expected = newModel();
  while (expected.steps < steps) advance(expected);
  if (recovered === undefined || steps === 0) return expected;

  assert.deepEqual(recovered.hard, hardAfter(steps, expected.reign));
  assert.deepEqual((await opened.recover(VOTES))?.hard, recovered.hard);
  const last = lastOfModel(expected);
  assert.deepEqual([recovered.firstIndex, recovered.lastIndex], [expected.first, last]);
  for (let next = expected.first; next <= last;) {
    for (const entry of await opened.read(GROUP, next, last, 1 << 18)) {
      assert.deepEqual(
        { ...entry, data: Buffer.from(entry.data) },
        normal(next, expected.reigns[next - expected.first]!),
      );
      next++;
    }
  }
  // The snapshot of the step that was under way may be there already.
  const snapshot = await opened.openSnapshot(GROUP);
  const index = snapshot?.meta.index ?? 0;
  assert.ok(index === expected.snapshot || (index > expected.snapshot && index <= last));
  if (snapshot !== undefined) {
    const content = await snapshot.read(0, snapshot.size);
    assert.equal(Buffer.compare(content, snapshotContent(index)), 0);
    await snapshot.close();
  }
  return expected;
}

function normal(index: number, reign: number): unknown {
  const entry = entryAt(index, reign);
  return { ...entry, data: Buffer.from(entry.data) };
}
