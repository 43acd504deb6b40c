/** Bugs in the storage. */
import type { Mutant } from '../mutant.js';

export const storageMutants: readonly Mutant[] = [
  {
    name: 'a batch is acknowledged without an fsync',
    file: 'storage/disk/journal.ts',
    find: 'else if (!this.#failStop.failed) this.#flushing!.segment.handle!.sync(this.#flushed);',
    replace: 'else if (!this.#failStop.failed) this.#flushed(null);',
    pitfall: 'an acknowledgement without fsync',
    within: 40,
    kinds: ['crash', 'blackout'],
  },
  {
    name: 'a batch is acknowledged before its write and fsync ended',
    file: 'storage/disk/journal.ts',
    find: `    this.#queue.shift();
    this.#flushing = frame;`,
    replace: `    this.#queue.shift();
    this.#flushing = frame;
    callAll(frame.done.splice(0));`,
    pitfall: 'an acknowledgement before write and fsync ended',
    within: 40,
    kinds: ['crash', 'blackout'],
  },
  {
    name: 'no directory fsync after a segment was made',
    file: 'storage/disk/segment.ts',
    find: 'await files.syncDirectory(maker.directory);',
    replace: '',
    pitfall: 'the directory is not flushed after a segment was made (etcd#6368)',
    within: 200,
    kinds: ['crash', 'blackout'],
  },
  {
    name: 'no directory fsync after the rename of a snapshot',
    file: 'storage/disk/snapshots.ts',
    find: "await this.#failStop.guard('flushing the snapshots', files.syncDirectory(this.#directory));",
    replace: '',
    pitfall: 'the directory is not flushed after a snapshot was renamed (etcd#6368)',
    within: 60,
    kinds: ['crash', 'blackout'],
  },
  {
    name: 'no fsync of a snapshot before its rename',
    file: 'storage/disk/snapshots.ts',
    find: "await this.#failStop.guard('flushing a snapshot', syncFile(this.#handle!));",
    replace: '',
    pitfall: 'a snapshot is not flushed before it is renamed',
    within: 60,
    kinds: ['crash', 'blackout'],
  },
  {
    name: 'the vote is forgotten at rotation',
    file: 'storage/disk/meta.ts',
    find: `    meta.u8(group.hard === undefined ? 0 : 1);
    if (group.hard !== undefined) encodeHardState(meta, group.hard);`,
    replace: '    meta.u8(0);',
    pitfall: 'the vote is not checkpointed when a new segment begins',
    within: 60,
    kinds: ['crash', 'blackout'],
  },
  {
    name: 'a vote is not written',
    file: 'storage/disk/diskStore.ts',
    find: `    changes.hard(this.#frame.meta, this.#log.name, hard);
`,
    replace: '',
    pitfall: 'the hard state is left out of the batch',
    within: 20,
    kinds: ['crash', 'blackout'],
  },
];
