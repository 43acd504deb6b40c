/** What is read of a disk: entries, hard states, snapshot metadata, and whole stores with damaged files. */
import { ByteReader } from '../../../lib/bytes.js';
import { checkEntry, decodeEntries, encodeEntries } from '../../../lib/storage/entryCodec.js';
import {
  decodeHardState,
  decodeSnapshotMeta,
  encodeHardState,
  encodeSnapshotMeta,
} from '../../../lib/storage/stateCodec.js';
import { FaultyDisk } from '../../unit/storage/support/faultyDisk.js';
import { damage } from '../../unit/storage/support/damage.js';
import {
  contentOf,
  entries,
  hard,
  metaAt,
  openOn,
  snapshot,
  write,
} from '../../unit/storage/support/harness.js';
import { QuorateError } from '../../../lib/errors.js';
import { must, sameBytes, stateless, TAKEN, type Surface, type Verdict } from '../surface.js';
import { written } from './group.js';

export function entryBlocks(): Surface {
  const corpus = [entries(1, 1), entries(5, 4, 10), [...entries(1, 2), ...entries(3, 2, 30, 2)], []].map(
    (block) => written((w) => encodeEntries(w, block)),
  );
  return stateless('entries', 'blocks of entries', corpus, (input) => {
    const found = decodeEntries(new ByteReader(input));
    for (const entry of found) checkEntry(entry); // what is read can be stored
    const canonical = written((w) => encodeEntries(w, found));
    must(
      sameBytes(
        canonical,
        written((w) => encodeEntries(w, decodeEntries(new ByteReader(canonical)))),
      ),
      'a block reads otherwise',
    );
    return TAKEN;
  });
}

export function states(): Surface {
  const corpus = [
    ...[hard(3), hard(9, 4)].map((state) =>
      Buffer.concat([Uint8Array.of(0), written((w) => encodeHardState(w, state))]),
    ),
    Buffer.concat([Uint8Array.of(1), written((w) => encodeSnapshotMeta(w, metaAt(7)))]),
  ];
  return stateless('states', 'hard states and snapshot metadata', corpus, (input) => {
    const reader = new ByteReader(input, Math.min(1, input.length));
    if ((input[0] ?? 0) % 2 === 0) {
      const state = decodeHardState(reader);
      const canonical = written((w) => encodeHardState(w, state));
      must(
        JSON.stringify(decodeHardState(new ByteReader(canonical))) === JSON.stringify(state),
        'it reads otherwise',
      );
    } else {
      const meta = decodeSnapshotMeta(reader);
      const canonical = written((w) => encodeSnapshotMeta(w, meta));
      must(
        JSON.stringify(decodeSnapshotMeta(new ByteReader(canonical))) === JSON.stringify(meta),
        'it reads otherwise',
      );
    }
    return TAKEN;
  });
}

async function disk(): Promise<FaultyDisk> {
  const made = new FaultyDisk();
  const store = await openOn(made);
  await write(store, { group: 'g', hard: hard(1), entries: entries(1, 5) });
  await write(store, { group: 'h', entries: entries(1, 3) });
  await snapshot(store, 'g', metaAt(3));
  await write(store, { group: 'g', truncateFrom: 5, hard: hard(4, 2), entries: entries(5, 3, 60, 2) });
  await store.close();
  return made;
}

/** One file of a directory replaced by the input: opened, and read as far as it can be. */
export async function files(): Promise<Surface> {
  const made = await disk();
  const paths = [...made.files().keys()].filter((path) => !path.endsWith('lock')).sort();
  const corpus = paths.map((path, i) => {
    const content = made.files().get(path)!.current;
    let end = content.length;
    while (end > 0 && content[end - 1] === 0) end--;
    return Buffer.concat([Uint8Array.of(i), content.subarray(0, Math.min(content.length, end + 64))]);
  });
  return {
    name: 'files',
    about: 'damaged files of a disk storage: opened and read',
    corpus,
    life: 64,
    strict: false,
    begin: () => {
      const waiting: Promise<Verdict>[] = [];
      return {
        take: (input) => {
          const path = paths[(input[0] ?? 0) % paths.length]!;
          waiting.push(open(damage(made, path, () => Buffer.from(input.subarray(1)))));
          return TAKEN;
        },
        settle: async () => {
          const verdicts = await Promise.all(waiting.splice(0));
          return verdicts.filter((verdict) => verdict !== TAKEN);
        },
      };
    },
  };
}

async function open(damaged: FaultyDisk): Promise<Verdict> {
  try {
    const store = await openOn(damaged);
    try {
      await contentOf(store);
      return TAKEN;
    } finally {
      await store.close();
    }
  } catch (error) {
    if (!(error instanceof QuorateError)) throw error;
    must(error.code.startsWith('ERR_STORAGE_') || error.code === 'ERR_CLOSED', `refused with ${error.code}`);
    return error.code;
  }
}
