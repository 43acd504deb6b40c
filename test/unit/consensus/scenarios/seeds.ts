/** Disks as a script wants to find them. */
import { createEffects } from '../../../../lib/consensus/consensus.js';
import { configEntry, entry, epoch } from '../rig.js';
import { SimDisk } from '../simDisk.js';
import type { Entry, Index, NodeId } from '../../../../lib/consensus/consensus.js';
import type { Membership } from '../../../../lib/consensus/membership.js';
import type { RaftMessage } from '../../../../lib/consensus/raft/messages.js';

/** What a node finds on its disk: the terms of its entries, the first of which is the founding, or entries as they are. */
export interface Seed {
  readonly log: readonly (number | Entry)[];
  readonly term?: number;
  readonly vote?: NodeId;
  readonly commit?: Index;
}

export class Seeds {
  readonly #membership: Membership;
  readonly #seeded = new Map<string, Entry>();

  constructor(membership: Membership) {
    this.#membership = membership;
  }

  disk(id: NodeId, seed: Seed): SimDisk {
    const disk = new SimDisk(id.toUpperCase());
    const append = seed.log.map((item, i) => (typeof item === 'number' ? this.#entry(i + 1, item) : item));
    const n = seed.term ?? append.at(-1)?.epoch.n ?? 0;
    const hard = {
      protocol: 'raft',
      config: 0,
      epoch: epoch(n, ''),
      vote: seed.vote ?? '',
      commit: seed.commit ?? 0,
      genesis: 'G',
    };
    disk.flush(disk.write({ ...createEffects<RaftMessage>(), hard, append }, undefined));
    return disk;
  }

  /** The same entry for everyone: data is compared by identity. */
  #entry(index: Index, n: number): Entry {
    const key = `${index}@${n}`;
    let made = this.#seeded.get(key);
    if (made === undefined) {
      made = index === 1 ? configEntry(1, n, this.#membership) : entry(index, n);
      this.#seeded.set(key, made);
    }
    return made;
  }
}
