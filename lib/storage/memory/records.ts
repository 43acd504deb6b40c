/** Records that are kept in memory. */
import type { RecordFile } from '../storage.js';

/** @internal */
export class MemoryRecords implements RecordFile {
  readonly records: readonly Uint8Array[];
  bytes = 0;
  readonly #held: Map<string, Uint8Array[]>;
  readonly #group: string;

  constructor(held: Map<string, Uint8Array[]>, group: string) {
    this.#held = held;
    this.#group = group;
    this.records = held.get(group) ?? [];
    this.#keep([...this.records]);
  }

  append(records: readonly Uint8Array[], _leaveRoom: boolean, done: (error?: Error) => void): void {
    this.#keep([...this.#held.get(this.#group)!, ...records]);
    done();
  }

  replace(records: readonly Uint8Array[], done: (error?: Error) => void): void {
    this.#keep([...records]);
    done();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #keep(records: Uint8Array[]): void {
    this.#held.set(this.#group, records);
    this.bytes = records.reduce((sum, record) => sum + record.length, 0);
  }
}
