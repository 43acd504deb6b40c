/**
 * The app's end of snapshots on a witness: there is no state, so each is empty and stands for the log up to its index alone.
 */
import type { SnapshotMeta } from '../consensus/consensus.js';
import type { Applier } from './applier.js';
import { QuorateError } from '../errors.js';
import type { AppSnapshotHost, Captured, RoomSnapshots, SnapshotNotice } from './appSnapshots.js';

const nothing = new Uint8Array(0);

export class WitnessSnapshots implements RoomSnapshots {
  readonly #applier: Applier;
  readonly #host: AppSnapshotHost;
  #wanted = false;
  #restored: SnapshotMeta | undefined;

  constructor(applier: Applier, host: AppSnapshotHost) {
    this.#applier = applier;
    this.#host = host;
  }

  get restoring(): boolean {
    return this.#restored !== undefined;
  }

  take(notice: SnapshotNotice): void {
    switch (notice.type) {
      case 'snapshotWanted':
        this.#wanted = true;
        this.progress();
        return;
      case 'snapshotPull':
        this.#host.say({ type: 'snapshotChunk', chunk: nothing });
        return;
      case 'restoreBegin':
        this.#applier.clear();
        this.#restored = notice.meta;
        this.#host.say({ type: 'restorePull' });
        return;
      case 'restoreChunk':
        this.#take(notice.chunk);
    }
  }

  #take(chunk: Uint8Array): void {
    const meta = this.#restored;
    if (meta === undefined) return;
    // Whatever it carries is let go.
    if (chunk.length > 0) {
      this.#host.say({ type: 'restorePull' });
      return;
    }
    this.#restored = undefined;
    this.#applier.restored(meta);
    this.#host.restored(meta);
    this.#host.say({ type: 'restored' });
  }

  progress(): void {
    if (!this.#wanted || this.restoring) return;
    this.#wanted = false;
    const { meta } = this.#applier;
    if (meta) this.#host.say({ type: 'snapshotBegin', meta });
    else this.#host.say({ type: 'snapshotFailed', message: 'there is nothing to capture yet' });
  }

  captured(): Promise<Captured> {
    return Promise.reject(new QuorateError('ERR_WITNESS', 'this member is a witness and holds no state'));
  }

  close(): void {
    this.#wanted = false;
    this.#restored = undefined;
  }
}
