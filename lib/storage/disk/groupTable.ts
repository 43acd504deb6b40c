/** The groups of a storage. */
import { GroupLog } from './groupLog.js';
import type { Segment } from './segment.js';

/** @internal */
export class GroupTable {
  readonly groups = new Map<string, GroupLog>();
  /** Of erased groups: snapshots with a number below this are to be removed. */
  readonly floors = new Map<string, number>();
  /** The sequence of the frame that is being filled. */
  frame = 0;
  /** A segment was left by the last entry that was needed in it. */
  died = false;

  /** The group of that name; made if there is none. */
  ensure(name: string): GroupLog {
    let group = this.groups.get(name);
    if (group === undefined) {
      group = new GroupLog(name, this.#left);
      this.groups.set(name, group);
    }
    return group;
  }

  erase(name: string, floor: number): void {
    this.groups.get(name)?.cutParts(0);
    this.groups.delete(name);
    this.floors.set(name, floor);
  }

  readonly #left = (segment: Segment): void => {
    if (segment.live) return;
    segment.deadBy = this.frame;
    this.died = true;
  };
}
