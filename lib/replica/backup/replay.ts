/** The state of a group as a closed storage holds it: the snapshot, and all of the log behind it. */
import { lastOf, type Recovered, type SnapshotMeta } from '../../consensus/consensus.js';
import type { Environment } from '../../environment.js';
import { QuorateError } from '../../errors.js';
import type { NodeStore, SnapshotReader } from '../../storage/storage.js';
import { Applier, type AppliedListener } from '../applier.js';
import { batchCodec, type Codec } from '../codec.js';
import { restoreChunks, snapshotChunks } from '../snapshotFormat.js';
import type { StateMachine } from '../stateMachine.js';
import type { Former } from './offline.js';

const READ_BYTES = 4 * 1024 * 1024;
const CHUNK_BYTES = 256 * 1024;

/** Brings a machine to the end of the log. Throws what the storage and the machine throw. @internal */
export async function replayGroup(
  store: NodeStore,
  environment: Environment,
  group: string,
  recovered: Recovered,
  machine: StateMachine,
  codec: Codec,
): Promise<Former & { readonly meta: SnapshotMeta }> {
  const batches = batchCodec(codec);
  const work = new Work();
  const applier = new Applier(machine, batches, environment, work);
  applier.protocol = recovered.hard?.protocol ?? recovered.snapshot?.protocol ?? 'raft';
  let next = recovered.firstIndex;
  const reader = await store.openSnapshot(group);
  if (reader !== undefined) {
    try {
      applier.sessions.restore(await restoreChunks(batches, machine, chunksOf(reader)));
    } finally {
      await reader.close();
    }
    applier.restored(reader.meta);
    next = reader.meta.index + 1;
  }
  while (next <= recovered.lastIndex) {
    const entries = await store.read(group, next, recovered.lastIndex, READ_BYTES);
    applier.push(entries);
    await work.done(applier);
    next = lastOf(entries.at(-1)!) + 1;
  }
  const { meta } = applier;
  if (meta === undefined || meta.membership.genesis === '')
    throw new QuorateError(
      'ERR_GROUP_UNKNOWN',
      `group ${group} was never founded, as far as this storage knows`,
    );
  const content = snapshotChunks(batches, machine.version, applier.sessions.image(), machine.snapshot());
  return { genesis: meta.membership.genesis, meta, content };
}

async function* chunksOf(reader: SnapshotReader): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = 0; at < reader.size;) {
    const chunk = await reader.read(at, CHUNK_BYTES);
    at += chunk.length;
    yield chunk;
  }
}

/** Nobody waits for a command: only that everything is applied counts, or that it cannot be. */
class Work implements AppliedListener {
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  async done(applier: Applier): Promise<void> {
    while (!applier.idle && this.#error === undefined)
      await new Promise<void>((resolve) => (this.#wake = resolve));
    if (this.#error !== undefined) throw this.#error;
  }

  progress(): void {
    this.#wake?.();
  }

  failed(error: Error): void {
    this.#error = error;
    this.#wake?.();
  }

  awaits(): boolean {
    return false;
  }

  batch(): void {}
  expired(): void {}
  registered(): void {}
  epoch(): void {}
  members(): void {}
  command(): void {}
}
