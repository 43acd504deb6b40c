/**
 * The sending end of one snapshot transfer, on the bulk lane: says what it has, hears from where the receiver lacks it, and sends
 * that as fast as the lane and the group's pace allow. What the receiver has already counts only if it is the beginning of what is
 * here; what it has in the end is checked as a whole by its SHA-256.
 */
import { createHash } from 'node:crypto';
import type { NodeId } from '../consensus/consensus.js';
import type { Timer } from '../environment.js';
import { FrameKind, type MeshPort } from '../mesh/port.js';
import type { SnapshotReader } from '../storage/storage.js';
import { BROKEN, FAILED, type Ending, type Exchange } from './exchange.js';
import type { TransferPace } from './transferPace.js';
import { encodeTransfer, type TransferFrame } from './transferWire.js';

/** The lane's backlog above which the sender pauses. */
const BACKLOG_BYTES = 512 * 1024;
/** A transfer of which nothing moves for so long is given up: a peer that reads nothing would keep it from the others. */
const STALL_MS = 30_000;

/** What a stream needs from the engine. */
export interface StreamHost {
  now(): number;
  setTimer(delayMs: number, callback: () => void): Timer;
}

export interface StreamSetup {
  readonly port: MeshPort;
  readonly host: StreamHost;
  readonly exchange: Exchange;
  /** Of the transfer, on the wire. */
  readonly request: number;
  readonly reader: SnapshotReader;
  readonly pace: TransferPace;
  /** Whether contact is still that in which the transfer began. */
  readonly alive: () => boolean;
  /** Told of each chunk that the receiver has, or was sent, by the bytes before its end. */
  readonly progress: (offset: number) => void;
}

/** Sends a snapshot, and answers how that ended. */
export class SnapshotStream {
  readonly #setup: StreamSetup;
  readonly #to: NodeId;
  #hash = createHash('sha256');

  constructor(setup: StreamSetup) {
    this.#setup = setup;
    this.#to = setup.exchange.to;
  }

  async run(): Promise<Ending> {
    const { exchange, alive } = this.#setup;
    if (!alive()) return FAILED;
    const address = this.#address;
    let whole = false;
    try {
      const offset = await this.#begin();
      if (typeof offset !== 'number') return offset;
      const failed = await this.#chunks(offset);
      if (failed) return failed;
      whole = alive() && this.#say({ type: 'end', ...address, ok: true, digest: this.#hash.digest() });
      if (!whole || !(await this.#word(() => exchange.ending !== undefined))) return BROKEN;
      return exchange.ending ?? BROKEN;
    } finally {
      // Nothing more will come: the receiver may have the rest from somebody else.
      if (!whole && !exchange.ending && alive())
        this.#say({ type: 'end', ...address, ok: false, digest: new Uint8Array(0) });
    }
  }

  get #address(): { group: number; request: number } {
    return { group: this.#setup.exchange.group.number, request: this.#setup.request };
  }

  #say(frame: TransferFrame): boolean {
    return this.#setup.port.send(this.#to, FrameKind.snapshot, encodeTransfer(frame), { lane: 'bulk' });
  }

  /** Where to begin; or how it ended before it could. */
  async #begin(): Promise<number | Ending> {
    const { exchange, reader, alive } = this.#setup;
    const { meta, size } = reader;
    for (const resume of [true, false]) {
      exchange.from = undefined;
      if (!alive() || !this.#say({ type: 'begin', ...this.#address, size, resume, meta })) return BROKEN;
      if (!(await this.#word(() => exchange.from !== undefined))) return BROKEN;
      if (exchange.ending) return exchange.ending;
      const { offset, digest } = exchange.from!;
      if (offset === 0 || (await this.#isMine(offset, digest))) return offset;
    }
    return BROKEN; // asked to begin anew, it does not
  }

  /** Whether what the receiver has is the beginning of what is here. */
  async #isMine(end: number, digest: Uint8Array): Promise<boolean> {
    const { reader, pace, progress } = this.#setup;
    if (end > reader.size) return false;
    const hash = createHash('sha256');
    for (let offset = 0; offset < end;) {
      const bytes = await reader.read(offset, Math.min(pace.chunkBytes, end - offset));
      if (bytes.length === 0) return false;
      hash.update(bytes);
      offset += bytes.length;
      progress(offset);
    }
    if (!hash.copy().digest().equals(digest)) return false;
    this.#hash = hash;
    return true;
  }

  /** Sends what is behind `start`; answers how it failed, if it did. */
  async #chunks(start: number): Promise<Ending | undefined> {
    const { host, port, exchange, reader, pace, alive, progress } = this.#setup;
    for (let offset = start; offset < reader.size;) {
      const bytes = await reader.read(offset, pace.chunkBytes);
      if (bytes.length === 0) return FAILED;
      if (exchange.ending) return exchange.ending;
      if (!alive() || !this.#say({ type: 'chunk', ...this.#address, offset, bytes })) return BROKEN;
      this.#hash.update(bytes);
      offset += bytes.length;
      progress(offset);
      await this.#pause(pace.spent(bytes.length, host.now()));
      if (port.backlog(this.#to, 'bulk') <= BACKLOG_BYTES) continue;
      let drained = false as boolean;
      port.whenDrained(this.#to, 'bulk', () => {
        drained = true;
        exchange.stir();
      });
      if (!(await this.#word(() => drained))) return BROKEN;
    }
    return undefined;
  }

  async #pause(ms: number): Promise<void> {
    const { host, exchange } = this.#setup;
    const until = host.now() + ms;
    // No word of the receiver makes it go faster.
    for (let left = ms; left > 0 && !exchange.ending; left = until - host.now()) {
      await exchange.wait((wake) => {
        const timer = host.setTimer(left, wake);
        return () => timer.cancel();
      });
    }
  }

  /** Waits until `said`, or until it has ended. `false`: the peer takes nothing off the lane, and says nothing. */
  async #word(said: () => boolean): Promise<boolean> {
    const { host, port, exchange } = this.#setup;
    let before = port.backlog(this.#to, 'bulk');
    while (!exchange.ending && !said()) {
      let silent = false as boolean;
      await exchange.wait((wake) => {
        const timer = host.setTimer(STALL_MS, () => {
          silent = true;
          wake();
        });
        return () => timer.cancel();
      });
      const backlog = port.backlog(this.#to, 'bulk');
      if (silent && backlog >= before) return false;
      before = backlog;
    }
    return true;
  }
}
