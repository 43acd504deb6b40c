import { expect } from 'chai';
import { foundingMembership } from '../../../../lib/consensus/membership.js';
import type { Entry, Epoch } from '../../../../lib/consensus/consensus.js';
import { DiskWatch } from '../../../../lib/testing/simulation/watch/diskWatch.js';
import { GroupWatch } from '../../../../lib/testing/simulation/watch/groupWatch.js';

const epoch = (n: number, node: string): Epoch => ({ config: 0, n, priority: 0, node });
const made = (index: number, by: Epoch): Entry => {
  return { index, count: 1, epoch: by, time: 0, kind: 'user', data: new Uint8Array(1) };
};

describe('leader completeness', () => {
  // A seed of the soak (700269): b was asleep while the votes that made it leader of 5 waited, and a led in 6 meanwhile.
  it('is asked of who leads after the commit, not of a leader of the past who hears late that it had won', () => {
    const found: string[] = [];
    const report = (invariant: string): void => void found.push(invariant);
    const watch = new GroupWatch(report);
    const membership = foundingMembership(['a', 'b', 'c']);
    for (const id of ['a', 'b', 'c']) {
      const disk = new DiskWatch(id, id, report);
      watch.disks.set(id, disk);
      const entries = [made(1, epoch(4, 'a')), ...(id === 'b' ? [] : [made(2, epoch(4, 'a'))])];
      disk.write({ group: 'g', entries });
      disk.acknowledged();
    }
    const recorded = { ...membership, voters: membership.voters.map(({ id }) => ({ id, incarnation: id })) };
    watch.committed('a', made(1, epoch(4, 'a')), recorded, epoch(4, 'a'));
    watch.committed('a', made(2, epoch(4, 'a')), recorded, epoch(6, 'a'));
    expect(found).to.deep.equal([]);
    watch.beginsToLead('b', epoch(5, 'b'), (entry) => watch.disks.get('b')!.written.holds(entry));
    expect(found).to.deep.equal([]);
    watch.beginsToLead('b', epoch(7, 'b'), (entry) => watch.disks.get('b')!.written.holds(entry));
    expect(found).to.deep.equal(['leader completeness']);
    watch.beginsToLead('c', epoch(7, 'c'), (entry) => watch.disks.get('c')!.written.holds(entry));
    expect(found).to.have.length(1);
  });
});
