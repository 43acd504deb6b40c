/**
 * What a core has asked its disk for, and what waits for it. Each drain that writes gets a token; an index counts as
 * persisted, and a vote, term or ballot as promised, only when its token is. Messages that say something about the term or the vote
 * are held here until that is durable.
 */
import { lastOf } from '../consensus.js';
import type {
  Effects,
  Entry,
  HardState,
  Index,
  IoToken,
  MessageBase,
  NodeId,
  Outgoing,
  SnapshotMeta,
} from '../consensus.js';

interface Held extends Outgoing {
  readonly token: IoToken;
}

/** The ledger of I/O, and the outbox behind it. @internal */
export class Disk {
  /** Set when term, vote, genesis or so changed and `hard` has to be written. */
  hardDirty = false;
  #voteDirty = false;
  /** The token with which the newest term and vote become durable. */
  #voteToken: IoToken = 0;
  #issued: IoToken = 0;
  #durable: IoToken = 0;
  /** The last index given to storage, and the last that is known to be durable there. */
  #queuedLast: Index;
  #persisted: Index;
  /** Token, last index and time of each write under way: triples, from `#head` on. */
  #inFlight: number[] = [];
  #head = 0;
  #truncateFrom: Index = 0;
  #append: Entry[] = [];
  #install: SnapshotMeta | undefined;
  #installKeeps = false;
  #send: Outgoing[] = [];
  #held: Held[] = [];

  constructor(last: Index) {
    this.#queuedLast = this.#persisted = last;
  }

  /** Everything up to this index is durable. */
  get persistedIndex(): Index {
    return this.#persisted;
  }

  /** Whether the newest term and vote are durable. */
  get voteDurable(): boolean {
    return !this.#voteDirty && this.#voteToken <= this.#durable;
  }

  /** There is something to write. */
  get pending(): boolean {
    return this.hardDirty || this.#truncateFrom > 0 || this.#append.length > 0 || this.#install !== undefined;
  }

  /** Nothing is to be written, or under way. */
  get rests(): boolean {
    return !this.pending && this.#head === this.#inFlight.length && this.#held.length === 0;
  }

  /** Since when the oldest write that is under way has been; Infinity without one. */
  get waitingSince(): number {
    return this.#inFlight[this.#head + 2] ?? Infinity;
  }

  get toSend(): boolean {
    return this.#send.length > 0;
  }

  /** The term or the vote changed. */
  voteChanged(): void {
    this.hardDirty = this.#voteDirty = true;
  }

  append(entry: Entry): void {
    this.#append.push(entry);
  }

  truncateFrom(index: Index): void {
    while (this.#append.length > 0 && this.#append.at(-1)!.index >= index) this.#append.pop();
    if (index <= this.#queuedLast) {
      this.#truncateFrom = index;
      this.#queuedLast = index - 1;
    }
    // What is under way may still report the removed entries as durable: they no longer are what the log holds there.
    this.#cap(index - 1);
  }

  /** `keeps`: the log already holds the snapshot's last entry, so what follows it stays. */
  install(meta: SnapshotMeta, keeps: boolean): void {
    this.#install = meta;
    this.#installKeeps = keeps;
    this.#append = keeps ? this.#append.filter((entry) => lastOf(entry) > meta.index) : [];
    if (!keeps || this.#truncateFrom <= meta.index) this.#truncateFrom = 0;
    if (keeps) return;
    this.#queuedLast = meta.index;
    this.#cap(0);
  }

  /** Sends something that promises nothing. */
  sendNow<M extends MessageBase>(to: NodeId, message: M): void {
    this.#send.push({ to, message });
  }

  /** Sends as soon as the newest term and vote are durable. Of one kind to one peer only the newest is kept waiting. */
  send<M extends MessageBase>(to: NodeId, message: M): void {
    if (this.voteDurable) {
      this.#send.push({ to, message });
      return;
    }
    const held = { to, message, token: this.#voteDirty ? this.#issued + 1 : this.#voteToken };
    const at = this.#held.findIndex((other) => other.to === to && other.message.type === message.type);
    if (at < 0) this.#held.push(held);
    else this.#held[at] = held;
  }

  /** Everything up to `token` is durable. Returns whether that was news. */
  persisted(token: IoToken): boolean {
    if (token <= this.#durable || token > this.#issued) return false;
    this.#durable = token;
    while (this.#head < this.#inFlight.length && this.#inFlight[this.#head]! <= token) {
      this.#persisted = Math.max(this.#persisted, this.#inFlight[this.#head + 1]!);
      this.#head += 3;
    }
    if (this.#head === this.#inFlight.length) this.#inFlight.length = this.#head = 0;
    if (this.#held.length > 0) {
      for (const held of this.#held) {
        if (held.token <= token) this.#send.push({ to: held.to, message: held.message });
      }
      this.#held = this.#held.filter((held) => held.token > token);
    }
    return true;
  }

  /** Forgets all that was to be written or sent. */
  stop(): void {
    this.hardDirty = this.#voteDirty = false;
    this.#truncateFrom = 0;
    this.#append = [];
    this.#install = undefined;
    this.#send = [];
    this.#held = [];
  }

  /** Hands out what is to be written and sent. A received snapshot goes alone, so that the order within a token is no question. */
  drain(now: number, out: Effects, hard: () => HardState): void {
    const arrays = { append: out.append, send: out.send };
    arrays.append.length = arrays.send.length = 0;
    out.io = 0;
    out.hard = out.install = undefined;
    out.truncateFrom = 0;
    if (this.pending) {
      out.io = ++this.#issued;
      if (this.hardDirty) {
        out.hard = hard();
        if (this.#voteDirty) this.#voteToken = this.#issued;
        this.hardDirty = this.#voteDirty = false;
      }
      if (this.#install !== undefined) {
        out.install = this.#install;
        this.#queuedLast = Math.max(this.#queuedLast, this.#installKeeps ? this.#install.index : 0);
        this.#install = undefined;
      } else {
        out.truncateFrom = this.#truncateFrom;
        this.#truncateFrom = 0;
        out.append = this.#append;
        this.#append = arrays.append;
        const last = out.append.at(-1);
        if (last !== undefined) this.#queuedLast = lastOf(last);
      }
      this.#inFlight.push(this.#issued, this.#queuedLast, now);
    }
    out.send = this.#send;
    this.#send = arrays.send;
  }

  #cap(index: Index): void {
    this.#persisted = Math.min(this.#persisted, index);
    for (let at = this.#head + 1; at < this.#inFlight.length; at += 3) {
      this.#inFlight[at] = Math.min(this.#inFlight[at]!, index);
    }
  }
}
