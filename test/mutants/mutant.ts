/** What a planted bug is. */
import type { FaultKind } from '../../lib/testing/exploration/fault.js';

/** A bug, as a change to the text of one source file. */
export interface Mutant {
  /** A few words that say what is wrong; also the name of its directory. */
  readonly name: string;
  /** Under `lib/`. */
  readonly file: string;
  /** Must occur exactly once in the file. */
  readonly find: string;
  readonly replace: string;
  /** The known mistake that it stands for. */
  readonly pitfall: string;
  /** So many seeds have to be enough to catch it. */
  readonly within: number;
  /**
   * The only kinds of faults in its runs; or a storm, see {@link planStorm}; or the mesh under fire, see {@link planMesh}; or a group
   * that grows and shrinks, see {@link planMembers}.
   * @defaultValue all kinds
   */
  readonly kinds?: readonly FaultKind[] | 'storm' | 'mesh' | 'growth';
  /** The protocol of its runs. @defaultValue 'raft' */
  readonly consensus?: 'raft' | 'paxos';
  /** Not for the simulation, but for these unit tests: a file or a directory under `test/unit/`. */
  readonly tests?: string;
}

/** Puts the bug into the source. Throws when there is not exactly one place for it. */
export function plant(mutant: Mutant, source: string): string {
  const places = source.split(mutant.find).length - 1;
  if (places !== 1) {
    throw new Error(`${mutant.name}: the text to replace occurs ${places} times in ${mutant.file}, not once`);
  }
  return source.replace(mutant.find, () => mutant.replace);
}
