/**
 * When the cores of a node's groups want to be ticked next. One timer serves them all; groups that are quiet are not even looked
 * at.
 */
import type { Group } from './group.js';

export class Deadlines {
  /** Of the groups that want a tick at all. */
  readonly #at = new Map<Group, number>();

  /** Something happened to the group: asks anew. Returns its deadline. */
  note(group: Group): number {
    const deadline = group.over ? Infinity : group.core.nextDeadline();
    if (deadline === Infinity) this.#at.delete(group);
    else this.#at.set(group, deadline);
    return deadline;
  }

  /** The earliest of all. */
  earliest(): number {
    let earliest = Infinity;
    for (const at of this.#at.values()) if (at < earliest) earliest = at;
    return earliest;
  }

  /** Those that are due. */
  due(now: number): Group[] {
    const due: Group[] = [];
    for (const [group, at] of this.#at) if (at <= now) due.push(group);
    return due;
  }

  forget(group: Group): void {
    this.#at.delete(group);
  }
}
