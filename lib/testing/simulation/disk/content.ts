/** What a file holds: as it is read, and as the medium has it. */
import type { Random } from '../random.js';
import type { CompleteDiskSettings } from './settings.js';

/** What a disk writes whole or not at all. @internal */
export const SECTOR = 512;

const EMPTY = new Uint8Array(SECTOR);

/**
 * What changed from one moment on: sectors as they were then. Those beyond the length of that time were nothing, and are not
 * kept. A new layer begins with each flush; what is durable is what is read now, with all layers undone.
 *
 * @internal
 */
export interface Layer {
  undo: Map<number, Uint8Array>;
  length: number;
}

/** What became of the sectors that were not flushed. @internal */
export interface SectorFates {
  kept: number;
  lost: number;
  zeroed: number;
  garbage: number;
}

/** @internal */
export class Content {
  /** In bytes, as read. */
  length = 0;
  /** Whole sectors; zeros beyond the length. */
  #bytes: Buffer = Buffer.alloc(0);
  /** Oldest first. The last is of now, each other one of a flush under way. */
  #layers: Layer[] = [{ undo: new Map(), length: 0 }];
  /** Sectors whose flush failed, as the medium has them: what is read there was lost, and is written by no later flush. */
  #lost: Map<number, Uint8Array> | undefined;

  read(position: number, length: number): Uint8Array {
    const end = Math.max(position, Math.min(position + length, this.length));
    return new Uint8Array(this.#bytes.subarray(position, end));
  }

  /** Writes the first `count` bytes of the buffers. */
  write(buffers: readonly Uint8Array[], position: number, count: number): void {
    if (count <= 0) return;
    const end = position + count;
    this.#reserve(end);
    this.#save(position, end);
    let at = position;
    for (const buffer of buffers) {
      if (at + buffer.length > end) {
        this.#bytes.set(buffer.subarray(0, end - at), at);
        break;
      }
      this.#bytes.set(buffer, at);
      at += buffer.length;
    }
    if (end > this.length) this.length = end;
  }

  truncate(length: number): void {
    if (length < this.length) {
      this.#save(length, this.length);
      this.#bytes.fill(0, length, this.length);
    } else {
      this.#reserve(length);
    }
    this.length = length;
  }

  /** What was written so far is to become durable, by {@link endSync}. */
  beginSync(): Layer {
    const layer = this.#layers.at(-1)!;
    this.#layers.push({ undo: new Map(), length: this.length });
    return layer;
  }

  endSync(layer: Layer): void {
    this.#layers.splice(0, this.#layers.indexOf(layer) + 1);
  }

  /** What was to be flushed is as before, to be flushed by the next one. */
  failSync(layer: Layer): void {
    const at = this.#layers.indexOf(layer);
    if (at < 0) return; // a later flush was faster
    const next = this.#layers[at + 1]!;
    for (const [sector, saved] of layer.undo) next.undo.set(sector, saved);
    next.length = layer.length;
    this.#layers.splice(at, 1);
  }

  /** What was to be flushed is lost for good; `cached`: but is still read. Returns how many sectors. */
  loseSync(layer: Layer, cached: boolean): number {
    const at = this.#layers.indexOf(layer);
    if (at < 0) return 0;
    const next = this.#layers[at + 1]!;
    const lost = this.#dirty(at + 1, next.length);
    const old = new Map<number, Uint8Array>();
    for (const sector of lost) old.set(sector, Uint8Array.from(this.#version(0, sector)));
    this.#layers.splice(0, at + 1);
    for (const [sector, bytes] of old) {
      // What was written since is dirty, and undone to what the medium has.
      const owner = this.#layers.find(({ undo }) => undo.has(sector));
      if (owner !== undefined) owner.undo.set(sector, bytes);
      else if (cached) (this.#lost ??= new Map<number, Uint8Array>()).set(sector, bytes);
      else this.#put(sector, bytes);
    }
    return lost.size;
  }

  /** A write with O_DSYNC: these bytes are durable, and so is a length that has them. */
  makeDurable(from: number, to: number): void {
    if (from >= to) return;
    const first = Math.floor(from / SECTOR);
    const last = Math.floor((to - 1) / SECTOR);
    for (const layer of this.#layers) {
      for (let sector = first; sector <= last; sector++) layer.undo.delete(sector);
      if (layer.length >= to) continue;
      for (let sector = Math.ceil(layer.length / SECTOR); sector < first; sector++) {
        if (!layer.undo.has(sector)) layer.undo.set(sector, EMPTY);
      }
      layer.length = to;
    }
    if (this.#lost !== undefined)
      for (let sector = first; sector <= last; sector++) this.#lost.delete(sector);
  }

  /** No flush is under way any more: none of them came to its end. */
  endFlushes(): void {
    while (this.#layers.length > 1) this.failSync(this.#layers[0]!);
  }

  /** Power loss: of what was not flushed each sector is there or is not. */
  crash(random: Random, settings: CompleteDiskSettings, fates: SectorFates): void {
    const count = this.#layers.length;
    const length = this.#lengthAfterCrash(random);
    for (const sector of this.#dirty(count, this.length)) {
      const old = this.#version(0, sector);
      const { crashKeeps, crashZeroes, crashGarbage } = settings;
      if (random.chance(crashZeroes)) {
        fates.zeroed++;
        this.#put(
          sector,
          spoil(old, this.#version(count, sector), (bytes) => bytes.fill(0)),
        );
      } else if (random.chance(crashGarbage)) {
        fates.garbage++;
        const noise = (bytes: Uint8Array): void => bytes.set(random.bytes(bytes.length));
        this.#put(sector, spoil(old, this.#version(count, sector), noise));
      } else if (random.chance(crashKeeps)) {
        fates.kept++;
        if (count > 1) this.#put(sector, this.#version(1 + random.integer(count), sector));
      } else {
        fates.lost++;
        this.#put(sector, old);
      }
    }
    for (const [sector, bytes] of this.#lost ?? []) this.#put(sector, bytes);
    this.#lost = undefined;
    this.#reserve(length);
    this.#bytes.fill(0, length);
    this.length = length;
    this.#layers = [{ undo: new Map(), length }];
  }

  /** A bit changes, on the medium and wherever else that sector is held. */
  flip(offset: number, bit: number): void {
    this.#bytes[offset]! ^= 1 << bit;
    const sector = Math.floor(offset / SECTOR);
    for (const { undo } of this.#layers) flipIn(undo, sector, offset % SECTOR, bit);
    if (this.#lost !== undefined) flipIn(this.#lost, sector, offset % SECTOR, bit);
  }

  /** The place after the last byte that is not zero. */
  get used(): number {
    let end = this.length;
    while (end > 0 && this.#bytes[end - 1] === 0) end--;
    return end;
  }

  #reserve(length: number): void {
    if (length <= this.#bytes.length) return;
    const wanted = Math.max(length, Math.min(2 * this.#bytes.length, length + (1 << 20)), 2048);
    const grown = Buffer.alloc(Math.ceil(wanted / SECTOR) * SECTOR);
    this.#bytes.copy(grown);
    this.#bytes = grown;
  }

  #save(from: number, to: number): void {
    const layer = this.#layers.at(-1)!;
    const last = Math.min(Math.ceil(to / SECTOR), Math.ceil(layer.length / SECTOR)) - 1;
    for (let sector = Math.floor(from / SECTOR); sector <= last; sector++) {
      if (layer.undo.has(sector)) continue;
      const lost = this.#lost?.get(sector);
      if (lost !== undefined) this.#lost!.delete(sector);
      layer.undo.set(sector, lost ?? this.#copyOf(sector));
    }
  }

  /** From the pool of small buffers: an allocation for each sector would cost more than all else. */
  #copyOf(sector: number): Uint8Array {
    const copy = Buffer.allocUnsafe(SECTOR);
    this.#bytes.copy(copy, 0, sector * SECTOR, (sector + 1) * SECTOR);
    return copy;
  }

  #put(sector: number, bytes: Uint8Array): void {
    this.#reserve((sector + 1) * SECTOR);
    this.#bytes.set(bytes, sector * SECTOR);
  }

  /** The sectors that changed in the first `count` layers, at the end of which the file had that length. */
  #dirty(count: number, length: number): Set<number> {
    const out = new Set<number>();
    for (let i = 0; i < count; i++) for (const sector of this.#layers[i]!.undo.keys()) out.add(sector);
    const beyond = Math.ceil(this.#layers[0]!.length / SECTOR);
    for (let sector = beyond; sector * SECTOR < length; sector++) out.add(sector);
    return out;
  }

  /** A sector as it was when layer `from` began. */
  #version(from: number, sector: number): Uint8Array {
    for (let i = from; i < this.#layers.length; i++) {
      const { undo, length } = this.#layers[i]!;
      const saved = undo.get(sector);
      if (saved !== undefined) return saved;
      if (sector * SECTOR >= length) return EMPTY;
    }
    const bytes = this.#bytes.subarray(sector * SECTOR, (sector + 1) * SECTOR);
    return bytes.length === SECTOR ? bytes : EMPTY;
  }

  #lengthAfterCrash(random: Random): number {
    const lengths = [...new Set([...this.#layers.map(({ length }) => length), this.length])];
    if (lengths.length === 1) return this.length;
    const [min, max] = [Math.min(...lengths), Math.max(...lengths)];
    // A file that grew by several writes may end after any of them.
    return random.chance(0.25) ? min + random.integer(max - min + 1) : random.pick(lengths);
  }
}

/** The old sector with what is new in it spoilt: what was not being changed stays, as no sector is written in part. */
function spoil(old: Uint8Array, now: Uint8Array, change: (bytes: Uint8Array) => void): Uint8Array {
  const out = Uint8Array.from(now);
  let first = 0;
  while (first < SECTOR && old[first] === now[first]) first++;
  let end = SECTOR;
  while (end > first && old[end - 1] === now[end - 1]) end--;
  change(out.subarray(first, end));
  return out;
}

function flipIn(sectors: Map<number, Uint8Array>, sector: number, at: number, bit: number): void {
  const saved = sectors.get(sector);
  if (saved === undefined) return;
  const copy = Uint8Array.from(saved);
  copy[at]! ^= 1 << bit;
  sectors.set(sector, copy);
}
