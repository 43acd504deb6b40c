/** A process of its own that opens a storage, says so, and writes without end when asked to. */
import { nodeEnvironment } from '../../../../lib/environment.js';
import { QuorateError } from '../../../../lib/errors.js';
import { diskStorage } from '../../../../lib/storage/diskStorage.js';
import { entries, hard, write } from './harness.js';

const [, , directory, mode] = process.argv;
process.on('disconnect', () => process.exit());
try {
  const storage = diskStorage(directory!, { segmentBytes: 65536, reserve: 0 });
  const store = await storage.open({ environment: nodeEnvironment, cluster: 'c', node: 'a' });
  process.send!('open');
  const recovered = await store.recover('g');
  let next = (recovered?.lastIndex ?? 0) + 1;
  while (mode === 'write') {
    await write(store, { group: 'g', entries: entries(next, 3, 700), hard: hard(next + 2) });
    next += 3;
    process.send!(next - 1);
  }
} catch (error) {
  process.send!((error as QuorateError).code);
  process.disconnect();
}
