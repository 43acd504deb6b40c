/**
 * Which members missed which writes of this node, to be told when they can be reached again (hinted handoff: DeCandia et al., "Dynamo",
 * SOSP 2007, section 4.6). A hint names a key: what is handed over is what the key holds by then. Hints go to the log of the store, so
 * they survive a restart, and are capped in number, bytes and age: what is dropped here the comparison of the trees finds.
 *
 * @internal
 */
import type { NodeId } from '../../consensus/consensus.js';
import { encodeHint, encodeTold } from './records.js';

/** Keys that are remembered for one member. */
export const MAX_HINTS = 10_000;
/** Bytes of these keys. */
export const MAX_HINT_BYTES = 1 << 20;
/** How long a hint is kept, in milliseconds: three hours, as Cassandra keeps them. */
export const HINT_WINDOW_MS = 3 * 3_600_000;

/** That a member missed a key: since when, by the clock on the wall, in milliseconds. */
export interface Hint {
  readonly key: string;
  readonly since: number;
}

export interface HintsSetup {
  readonly wallClock: () => number;
  /** Writes a record; false where there is no room for it. */
  readonly append: (record: Uint8Array) => boolean;
}

/** The hints for one member, oldest first. */
interface Missed {
  readonly keys: Map<string, Hint>;
  bytes: number;
}

export class Hints {
  readonly #setup: HintsSetup;
  readonly #members = new Map<NodeId, Missed>();
  #dropped = 0;

  constructor(setup: HintsSetup) {
    this.#setup = setup;
  }

  /** Remembers that a member missed a key; false where that is over a cap. */
  add(member: NodeId, key: string): boolean {
    this.#expire();
    const since = Math.max(0, Math.floor(this.#setup.wallClock()));
    const missed = this.#members.get(member);
    const held = missed?.keys.get(key);
    if (held) {
      // Another object: a handover that is under way does not speak for what was written after it began.
      missed!.keys.set(key, { key, since: held.since });
      return true;
    }
    const full = missed && (missed.keys.size >= MAX_HINTS || missed.bytes + key.length > MAX_HINT_BYTES);
    if (full || !this.#setup.append(encodeHint(member, key, since))) {
      this.#dropped++;
      return false;
    }
    this.restore(member, { key, since });
    return true;
  }

  /** Takes in what the disk says. */
  restore(member: NodeId, hint: Hint): void {
    let missed = this.#members.get(member);
    if (missed === undefined) this.#members.set(member, (missed = { keys: new Map(), bytes: 0 }));
    if (!missed.keys.has(hint.key)) missed.bytes += hint.key.length;
    missed.keys.set(hint.key, hint);
  }

  /** Up to so many, oldest first. They stay until {@link told}. */
  peek(member: NodeId, count: number): Hint[] {
    this.#expire();
    const out: Hint[] = [];
    for (const hint of this.#members.get(member)?.keys.values() ?? []) {
      if (out.length === count) break;
      out.push(hint);
    }
    return out;
  }

  /** The member knows these now, durably. */
  told(member: NodeId, hints: readonly Hint[]): void {
    for (const hint of hints)
      if (this.#members.get(member)?.keys.get(hint.key) === hint) {
        this.forget(member, hint.key);
        this.#setup.append(encodeTold(member, hint.key));
      }
  }

  /** Drops a hint without a word to the disk. */
  forget(member: NodeId, key: string): void {
    const missed = this.#members.get(member);
    if (!missed?.keys.delete(key)) return;
    missed.bytes -= key.length;
    if (missed.keys.size === 0) this.#members.delete(member);
  }

  /** Drops those for nodes that are no members. */
  keepFor(members: readonly NodeId[]): void {
    for (const [member, { keys }] of [...this.#members])
      if (!members.includes(member)) this.told(member, [...keys.values()]);
  }

  /** For one member. */
  count(member: NodeId): number {
    this.#expire();
    return this.#members.get(member)?.keys.size ?? 0;
  }

  /** About the bytes that they take on the disk. */
  get bytes(): number {
    let bytes = 0;
    for (const [member, missed] of this.#members)
      bytes += missed.bytes + missed.keys.size * (member.length + 16);
    return bytes;
  }

  get size(): number {
    this.#expire();
    let size = 0;
    for (const { keys } of this.#members.values()) size += keys.size;
    return size;
  }

  /** How many were dropped over a cap or for their age since the store was opened. */
  get dropped(): number {
    this.#expire();
    return this.#dropped;
  }

  *records(): Generator<Uint8Array> {
    for (const [member, { keys }] of this.#members)
      for (const { key, since } of keys.values()) yield encodeHint(member, key, since);
  }

  // The oldest come first. After a restart they are dropped by their age again, so the disk need not be told.
  #expire(): void {
    const oldest = this.#setup.wallClock() - HINT_WINDOW_MS;
    for (const [member, { keys }] of [...this.#members])
      for (const { key, since } of keys.values()) {
        if (since >= oldest) break;
        this.forget(member, key);
        this.#dropped++;
      }
  }
}
