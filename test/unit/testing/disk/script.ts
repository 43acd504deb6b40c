/** A life of a storage in virtual time, on a disk that is stopped somewhere in it. */
import { SCRIPT } from '../../storage/support/script.js';
import type { Progress } from '../../storage/support/script.js';
import { snapshot, write } from '../../storage/support/harness.js';
import type { DiskStorageOptions } from '../../../../lib/storage/diskStorage.js';
import type { World } from './support.js';

/** Plays the script; some writes are waited for, the others queue up and share flushes. */
export async function play(
  world: World,
  progress: Progress,
  options: DiskStorageOptions = {},
): Promise<void> {
  let store = await world.openStore(options);
  let last: Promise<void> = Promise.resolve();
  for (const [i, step] of SCRIPT.entries()) {
    if (!('writes' in step)) await last;
    progress.issued = i + 1;
    if ('writes' in step) {
      last = write(store, ...step.writes).then(() => void (progress.acknowledged = i + 1));
      last.catch(() => undefined);
      if (i % 3 === 0) await last;
    } else if ('reopen' in step) {
      await store.close();
      store = await world.openStore(options);
      progress.acknowledged = i + 1;
    } else {
      await snapshot(store, step.group, step.snapshot);
      progress.acknowledged = i + 1;
    }
  }
  await last;
  await store.close();
}
