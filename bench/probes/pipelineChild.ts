/** A process of the bare pipeline: the leader, or one of the two followers. */
import { fdatasync, openSync, writeSync, writev, fsyncSync } from 'node:fs';
import { join } from 'node:path';
import type { DataChannel } from 'node-datachannel';
import { channels, serveWithChannels } from '../lib/channels.js';
import { Samples, spread } from '../lib/stats.js';
import type { Spread } from '../lib/stats.js';

const entryBytes = 100;
const maxFrameBytes = 16 * 1024;
const headerBytes = 8; // the index of the last entry in the frame
const fileBytes = 64 * 1024 * 1024;
const warmUpMs = 300;

/** A file filled with zeroes, written round and round: one flush in flight, what comes meanwhile goes with the next. */
class Log {
  readonly #fd: number;
  readonly #onDurable: (index: number) => void;
  #at = 0;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #last = 0;
  #flushing = false;

  constructor(path: string, onDurable: (index: number) => void) {
    this.#fd = openSync(path, 'w');
    this.#onDurable = onDurable;
    writeSync(this.#fd, new Uint8Array(fileBytes));
    fsyncSync(this.#fd);
  }

  append(frame: Uint8Array, last: number): void {
    this.#waiting.push(frame);
    this.#waitingBytes += frame.length;
    this.#last = last;
  }

  flush(): void {
    if (this.#flushing || this.#waiting.length === 0) return;
    const frames = this.#waiting;
    const last = this.#last;
    if (this.#at + this.#waitingBytes > fileBytes) this.#at = 0;
    const at = this.#at;
    this.#at += this.#waitingBytes;
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#flushing = true;
    writev(this.#fd, frames, at, (writeError) => {
      if (writeError) throw writeError;
      fdatasync(this.#fd, (syncError) => {
        if (syncError) throw syncError;
        this.#flushing = false;
        this.flush();
        this.#onDurable(last);
      });
    });
  }
}

const indexOf = (message: Uint8Array): number =>
  new DataView(message.buffer, message.byteOffset).getFloat64(0, true);

function follow({ dir }: { dir: string | undefined }): void {
  const leader = channels.get('leader')!;
  const ack = (index: number): void => {
    const message = new Uint8Array(headerBytes);
    new DataView(message.buffer).setFloat64(0, index, true);
    leader.sendMessageBinary(message);
  };
  const log = dir === undefined ? undefined : new Log(join(dir, `follower-${process.pid}`), ack);
  let last = 0;
  let turn = false;
  leader.onMessage((message) => {
    const frame = message as Buffer;
    last = indexOf(frame);
    log?.append(frame, last);
    if (turn) return;
    turn = true;
    setImmediate(() => {
      turn = false;
      if (log === undefined) ack(last);
      else log.flush();
    });
  });
}

class Leader {
  readonly #followers: readonly DataChannel[];
  readonly #acked: number[];
  readonly #log: Log | undefined;
  #frame = new Uint8Array(maxFrameBytes);
  #length = headerBytes;
  #last = 0;
  #own = 0;
  #done = 0;
  #turn = false;
  /** The promises of the entries after the done ones, in order, in a ring. */
  readonly #waiting: (() => void)[];

  constructor(dir: string | undefined, outstanding: number) {
    this.#followers = [channels.get('one')!, channels.get('two')!];
    this.#acked = this.#followers.map(() => 0);
    this.#waiting = new Array<() => void>(outstanding);
    this.#log = dir === undefined ? undefined : new Log(join(dir, 'leader'), (index) => this.#durable(index));
    for (const [i, follower] of this.#followers.entries()) {
      follower.onMessage((message) => {
        this.#acked[i] = indexOf(message as Buffer);
        this.#advance();
      });
    }
  }

  submit(entry: Uint8Array): Promise<void> {
    if (this.#length + entry.length > maxFrameBytes) this.#send();
    this.#frame.set(entry, this.#length);
    this.#length += entry.length;
    this.#last++;
    if (!this.#turn) {
      this.#turn = true;
      setImmediate(() => {
        this.#turn = false;
        this.#send();
        if (this.#log === undefined) this.#durable(this.#last);
        else this.#log.flush();
      });
    }
    return new Promise((resolve) => {
      this.#waiting[this.#last % this.#waiting.length] = resolve;
    });
  }

  #send(): void {
    if (this.#length === headerBytes) return;
    const frame = this.#frame.subarray(0, this.#length);
    new DataView(frame.buffer).setFloat64(0, this.#last, true);
    for (const follower of this.#followers) follower.sendMessageBinary(frame);
    this.#log?.append(frame, this.#last);
    this.#frame = new Uint8Array(maxFrameBytes);
    this.#length = headerBytes;
  }

  #durable(index: number): void {
    this.#own = index;
    this.#advance();
  }

  /** An entry is done when two of three hold it. */
  #advance(): void {
    const [one, two] = this.#acked as [number, number];
    const held = Math.max(Math.min(one, two), Math.min(this.#own, Math.max(one, two)));
    while (this.#done < held) {
      this.#done++;
      this.#waiting[this.#done % this.#waiting.length]!();
    }
  }
}

/** What a run brought; times in milliseconds. */
export interface PipelineRun extends Spread {
  readonly perSecond: number;
}

async function lead(o: {
  dir: string | undefined;
  outstanding: number;
  seconds: number;
}): Promise<PipelineRun> {
  const leader = new Leader(o.dir, o.outstanding);
  const entry = new Uint8Array(entryBytes).fill(1);
  const samples = new Samples();
  const from = performance.now() + warmUpMs;
  const end = from + o.seconds * 1000;
  const client = async (): Promise<void> => {
    for (let start = performance.now(); start < end;) {
      await leader.submit(entry);
      const now = performance.now();
      if (now >= from && now < end) samples.add(now - start);
      start = now;
    }
  };
  await Promise.all(Array.from({ length: o.outstanding }, client));
  return { ...spread(samples), perSecond: samples.count / o.seconds };
}

serveWithChannels({ follow, lead });
