/** When the network and the processes of a simulation were last tampered with: what the mesh may be blamed for, and what not. */
import type { NodeId } from '../../consensus/consensus.js';

/** What was done. `process`: a node was started or killed. */
export type DisturbanceKind =
  'cut' | 'heal' | 'clog' | 'reset' | 'shape' | 'rendezvous' | 'pause' | 'process';

/** @internal */
export class Disturbances {
  /** When the newest of all ends, or ended. */
  last = 0;
  /** Some way is not as the settings say. */
  shaped = false;
  /** Called after each. */
  onDisturbance: (() => void) | undefined;
  readonly #kinds = new Map<DisturbanceKind, number>();
  readonly #nodes = new Map<NodeId, number>();
  readonly #paths = new Map<string, number>();
  readonly #pauses = new Map<NodeId, { from: number; until: number; asleep: number }>();

  /** Something was done to all, to a node, or to the path between two, and ends at `until`. */
  tell(kind: DisturbanceKind, until: number, ...of: readonly NodeId[]): void {
    const later = <K>(map: Map<K, number>, key: K): void =>
      void map.set(key, Math.max(map.get(key) ?? 0, until));
    this.last = Math.max(this.last, until);
    // A new process is awake.
    if (kind === 'process') for (const id of of) this.#pauses.delete(id);
    later(this.#kinds, kind);
    if (of.length === 1) later(this.#nodes, of[0]!);
    else later(this.#paths, pathOf(of));
    this.onDisturbance?.();
  }

  /** A process stands still, and for `asleep` milliseconds of that its clock does. */
  paused(id: NodeId, from: number, until: number, asleep = 0): void {
    const known = this.#pauses.get(id);
    if (known === undefined || known.until < from) this.#pauses.set(id, { from, until, asleep });
    else {
      known.until = Math.max(known.until, until);
      known.asleep += asleep;
    }
    this.tell('pause', until, id);
  }

  /** When the newest pause of a process ended, and how long it took by the clock of the process. */
  pauseOf(id: NodeId): { readonly until: number; readonly ms: number } | undefined {
    const pause = this.#pauses.get(id);
    return pause && { until: pause.until, ms: pause.until - pause.from - pause.asleep };
  }

  /** When the newest of a kind ended; 0: there was none. */
  of(kind: DisturbanceKind): number {
    return this.#kinds.get(kind) ?? 0;
  }

  /** When a node's process was last tampered with. */
  ofNode(id: NodeId): number {
    return this.#nodes.get(id) ?? 0;
  }

  /** When the path between two nodes was. */
  ofPath(a: NodeId, b: NodeId): number {
    return Math.max(this.#paths.get(pathOf([a, b])) ?? 0, this.#paths.get('') ?? 0);
  }
}

function pathOf(ends: readonly NodeId[]): string {
  return [...ends].sort().join(' ');
}
