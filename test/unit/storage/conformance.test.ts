import { memoryStorage } from '../../../lib/storage/memoryStorage.js';
import { diskStorage } from '../../../lib/storage/diskStorage.js';
import type { DiskStorageOptions } from '../../../lib/storage/diskStorage.js';
import { testStorage } from '../../../lib/testing/storage.js';
import { temporaryDirectory } from './support/directories.js';

testStorage(
  {
    name: 'memory',
    async create() {
      const storage = memoryStorage();
      return { storage, reopen: async () => storage, dispose: async () => {} };
    },
  },
  { describe, it },
);

const variants: Record<string, DiskStorageOptions> = {
  'disk, small segments': { segmentBytes: 65536, reserve: 0 },
  'disk, O_DSYNC': { segmentBytes: 1 << 20, sync: 'dsync', reserve: 0 },
};
for (const [name, options] of Object.entries(variants)) {
  testStorage(
    {
      name,
      async create() {
        const { path, remove } = await temporaryDirectory();
        const open = () => diskStorage(path, options);
        return { storage: open(), reopen: async () => open(), dispose: remove };
      },
    },
    { describe, it },
  );
}
