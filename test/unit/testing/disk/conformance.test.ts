import { diskStorage } from '../../../../lib/storage/diskStorage.js';
import type { DiskStorageOptions } from '../../../../lib/storage/diskStorage.js';
import type { Storage } from '../../../../lib/storage/storage.js';
import { testStorage } from '../../../../lib/testing/storage.js';
import { World } from './support.js';

/** Virtual time passes by itself, an event in each turn of the real event loop, until it is stopped. */
function flowing(world: World): () => void {
  let going = true;
  const step = (): void => {
    if (!going) return;
    world.scheduler.step(world.scheduler.now + 1000);
    setImmediate(step);
  };
  step();
  return () => void (going = false);
}

const variants: Record<string, DiskStorageOptions> = {
  'simulated disk': { segmentBytes: 65536, reserve: 0 },
  'simulated disk, O_DSYNC': { segmentBytes: 1 << 20, sync: 'dsync', reserve: 0 },
};
for (const [name, options] of Object.entries(variants)) {
  for (const end of ['kill', 'crash'] as const) {
    testStorage(
      {
        name: `${name}, ${end}`,
        async create() {
          const world = new World(name);
          const stop = flowing(world);
          const open = (): Storage => {
            const storage = diskStorage('/data/a', options);
            return {
              kind: storage.kind,
              open: (binding) => storage.open({ ...binding, environment: world.process }),
            };
          };
          return {
            storage: open(),
            reopen: async () => {
              world.restart(end);
              return open();
            },
            dispose: async () => stop(),
          };
        },
      },
      { describe, it },
    );
  }
}
