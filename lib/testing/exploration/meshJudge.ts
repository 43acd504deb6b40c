/**
 * What the meshes of a simulation have to have achieved once they were left in peace for a while, looked at from time to time:
 * who can reach whom does, directly where a direct way is open; and all that can reach each other see the same.
 */
import type { Mesh, PeerStatus } from '../../mesh/mesh.js';
import type { Simulation } from '../simulation/simulation.js';

/** After so long without a disturbance every two nodes with a way between them are linked, over others if need be. */
export const REACHED_MS = 8000;
/** After so long every two nodes with an open direct way have a direct link, and views are equal. */
export const DIRECT_MS = 15_000;
/** After so long with nothing else than cuts that leave the nodes connected, no cut causes an election. */
export const STEADY_MS = 10_000;
const lookEveryMs = 100;
/** Resets this close to each other may take a node all its links. */
const spacedMs = 1500;

/** What a {@link MeshJudge} is made with. */
export interface MeshJudgeOptions {
  readonly relay: boolean;
  /** Packets are lost by chance: links fall silent for moments, and what is wrong has to stay so. */
  readonly lossy: boolean;
  /** Nothing but cuts is planned, on a network and disks that do nothing to wonder at. */
  readonly cutsOnly: boolean;
  /** The mesh is faster than the election time-out. */
  readonly strict: boolean;
}

export class MeshJudge {
  readonly #simulation: Simulation;
  readonly #options: MeshJudgeOptions;
  /** When the nodes were last not all up and connected. */
  #apartAt = 0;
  /** When a reset came close after another. */
  #hardResetAt = 0;
  #resetAt = 0;
  #epoch = 0;
  /** When some two nodes without a link had no neighbour in common either. */
  #farAt = 0;
  #harmlessAt = 0;
  #reachedAt = 0;
  #settledAt = 0;
  /** Up to which disturbance it was counted how long the mesh took. */
  #countedReach = -1;
  #countedDirect = -1;

  constructor(simulation: Simulation, options: MeshJudgeOptions) {
    this.#simulation = simulation;
    this.#options = options;
    simulation.disturbances.onDisturbance = () => this.#disturbed();
    this.#later();
  }

  /** Since the last disturbance everything came into order. */
  get settled(): boolean {
    return this.#countedDirect === this.#simulation.disturbances.last;
  }

  /** Those that were ever started: of the others no mesh knows. */
  get #nodes(): string[] {
    const { nodes, clients } = this.#simulation;
    return [...nodes, ...clients].filter((id) => this.#simulation.began(id));
  }

  #later(): void {
    this.#simulation.after(lookEveryMs, () => {
      this.#look();
      this.#later();
    });
  }

  #disturbed(): void {
    const { disturbances, now } = this.#simulation;
    const resetAt = disturbances.of('reset');
    if (resetAt !== this.#resetAt) {
      if (resetAt - this.#resetAt < spacedMs) this.#hardResetAt = resetAt;
      this.#resetAt = resetAt;
    }
    if (this.#parts(this.#nodes).length > 1) this.#apartAt = now;
    if (this.#far()) this.#farAt = now;
    const isCut = Math.max(disturbances.of('cut'), disturbances.of('heal')) === now;
    if (!isCut || now === this.#harmlessAt || !this.#harmless) return;
    this.#harmlessAt = now;
    this.#simulation.count('mesh: harmless cuts and healings');
  }

  /** For long nothing was done but to cut links, and the nodes were connected all the time. */
  get #harmless(): boolean {
    const { now, disturbances } = this.#simulation;
    const harmed = (['clog', 'reset', 'shape', 'pause', 'process'] as const).map((kind) =>
      disturbances.of(kind),
    );
    const { cutsOnly, relay } = this.#options;
    return cutsOnly && relay && now - Math.max(this.#apartAt, ...harmed) >= STEADY_MS;
  }

  #look(): void {
    const { now, disturbances } = this.#simulation;
    const nodes = this.#nodes;
    const live = nodes.filter((id) => this.#simulation.meshes(id));
    const parts = this.#parts(live);
    if (live.length < nodes.length || parts.length > 1) this.#apartAt = now;
    if (this.#far()) this.#farAt = now;
    this.#elections();
    if (disturbances.shaped || this.#rendezvousMatters(live)) return;
    const calm = now - disturbances.last;
    if (calm < 0) return;
    const meshes = new Map(live.map((id) => [id, this.#simulation.mesh(id)]));
    const unreached = this.#unreached(parts, meshes);
    const since = (at: number): number => (this.#options.lossy ? Math.min(calm, now - at) : calm);
    if (unreached === undefined) this.#reached(calm);
    else if (since(this.#reachedAt) > REACHED_MS)
      this.#simulation.report(
        'reachability',
        unreached.node,
        `${unreached.text} after ${calm.toFixed(0)} ms`,
      );
    const unsettled = unreached ?? this.#unsettled(parts, meshes);
    if (unsettled === undefined) this.#settled(calm);
    else if (since(this.#settledAt) > DIRECT_MS)
      this.#simulation.report(
        'mesh healing',
        unsettled.node,
        `${unsettled.text} after ${calm.toFixed(0)} ms`,
      );
  }

  /** Whether nodes may have lost each other for good, since they cannot meet: nothing can be asked of the mesh then. */
  #rendezvousMatters(live: readonly string[]): boolean {
    const { network, disturbances } = this.#simulation;
    if (live.every((id) => network.meets(id))) return false;
    const since = Math.min(...live.filter((id) => !network.meets(id)).map((id) => disturbances.ofNode(id)));
    return (
      Math.max(this.#apartAt, this.#hardResetAt, disturbances.of('cut')) >= since - spacedMs ||
      Math.max(disturbances.of('pause'), disturbances.of('process'), disturbances.of('clog')) >= since - 5000
    );
  }

  /** Who is linked with whom as it should be; else the first that is not. */
  #unreached(parts: readonly (readonly string[])[], meshes: ReadonlyMap<string, Mesh>): Finding | undefined {
    for (const part of parts) {
      for (const id of part) {
        const peers = peersOf(meshes.get(id)!);
        for (const other of part) {
          if (other === id || (!this.#options.relay && !this.#open(id, other))) continue;
          const peer = peers.get(other);
          if (peer?.state !== 'up')
            return { node: id, text: `${id} does not reach ${other} (${peer?.state}, ${peer?.path})` };
        }
      }
    }
    return undefined;
  }

  #unsettled(parts: readonly (readonly string[])[], meshes: ReadonlyMap<string, Mesh>): Finding | undefined {
    const nodes = this.#nodes;
    for (const part of parts) {
      const views = part.map((id) => meshes.get(id)!.partition());
      for (const [at, id] of part.entries()) {
        const peers = peersOf(meshes.get(id)!);
        for (const other of part) {
          const path = other === id || !this.#open(id, other) ? undefined : peers.get(other)?.path;
          if (path !== undefined && path !== 'direct')
            return { node: id, text: `${id} reaches ${other} ${path}, though a direct way is open` };
        }
        const [first, view] = [views[0]!, views[at]!];
        if (view.state !== first.state || String(view.components) !== String(first.components)) {
          const text = `${part[0]} sees ${textOf(first)}, ${id} sees ${textOf(view)}`;
          return { node: id, text };
        }
        const expected = [...part].sort().join();
        if (view.reachable.join() !== expected)
          return { node: id, text: `${id} takes ${view.reachable.join()} for its part, it is ${expected}` };
        const whole = part.length === nodes.length && this.#uncut(part);
        const healthy = view.state === 'healthy';
        // Where packets are lost links fall silent now and then, and each time it takes a while until all is said to be well.
        const heals = this.#options.lossy && view.state === 'healing';
        if (
          whole ? !healthy && !heals : healthy && (!this.#uncut(part) || this.#isMissed(nodes, part, meshes))
        )
          return { node: id, text: `${id} sees ${textOf(view)}, ${whole ? 'nothing is' : 'links are'} cut` };
      }
    }
    return undefined;
  }

  /** Whether somebody is not there whom the others know: by having met it, or since it votes in a group of theirs. */
  #isMissed(nodes: readonly string[], part: readonly string[], meshes: ReadonlyMap<string, Mesh>): boolean {
    const voters = (this.#simulation.group.members.membership?.voters ?? []).map(({ id }) => id);
    const meets = (one: string, id: string): boolean =>
      (peersOf(meshes.get(one)!).get(id)?.state ?? 'connecting') !== 'connecting';
    return nodes.some(
      (id) =>
        !part.includes(id) &&
        (part.every((one) => meets(one, id)) || [...part, id].every((one) => voters.includes(one))),
    );
  }

  /** A cut that leaves a way over others, and its end, are no reason for an election. */
  #elections(): void {
    const { now, nodes, disturbances } = this.#simulation;
    let epoch = 0;
    for (const id of nodes)
      if (this.#simulation.state(id) === 'up')
        epoch = Math.max(epoch, this.#simulation.replica(id).status().epoch);
    const before = this.#epoch;
    this.#epoch = epoch;
    if (epoch <= before || before === 0 || !this.#harmless) return;
    this.#simulation.count('mesh: needless elections');
    if (!this.#options.strict || now - this.#farAt < STEADY_MS) return;
    const cut = Math.max(disturbances.of('cut'), disturbances.of('heal'));
    const text = `epoch ${epoch} began ${(now - cut).toFixed(0)} ms after a cut or its end, and the nodes were connected`;
    this.#simulation.report('needless election', '', text);
  }

  #reached(calm: number): void {
    this.#reachedAt = this.#simulation.now;
    const { last } = this.#simulation.disturbances;
    if (last === this.#countedReach) return;
    this.#countedReach = last;
    this.#simulation.count(`mesh: all reached within ${bucketOf(calm)} ms`);
  }

  #settled(calm: number): void {
    this.#settledAt = this.#simulation.now;
    const { last } = this.#simulation.disturbances;
    if (last === this.#countedDirect) return;
    this.#countedDirect = last;
    this.#simulation.count(`mesh: settled within ${bucketOf(calm)} ms`);
  }

  /** Whether some way takes more than two hops. */
  #far(): boolean {
    const nodes = this.#nodes;
    const near = (a: string, b: string): boolean => a === b || this.#open(a, b);
    return !nodes.every((a) => nodes.every((b) => nodes.some((via) => near(a, via) && near(via, b))));
  }

  #open(a: string, b: string): boolean {
    const { network } = this.#simulation;
    return !network.isCut(a, b) && !network.isCut(b, a);
  }

  #uncut(part: readonly string[]): boolean {
    return part.every((a) => part.every((b) => a === b || this.#open(a, b)));
  }

  /** The parts that nodes fall into by the links that are open both ways. */
  #parts(nodes: readonly string[]): string[][] {
    const left = new Set(nodes);
    const parts: string[][] = [];
    for (const start of nodes) {
      if (!left.delete(start)) continue;
      const part = [start];
      for (const id of part)
        for (const other of [...left]) if (this.#open(id, other) && left.delete(other)) part.push(other);
      parts.push(part.sort());
    }
    return parts;
  }
}

interface Finding {
  readonly node: string;
  readonly text: string;
}

function peersOf(mesh: Mesh): Map<string, PeerStatus> {
  return new Map(mesh.peers().map((peer) => [peer.id, peer]));
}

function textOf(view: {
  readonly state: string;
  readonly components: readonly (readonly string[])[];
}): string {
  return `${view.state} ${view.components.map((part) => part.join('+')).join(' | ')}`;
}

function bucketOf(ms: number): number {
  return (
    [500, 1000, 2000, 3000, 4000, 5000, 6000, 8000, 10_000, 12_000, 15_000, 20_000].find(
      (most) => ms <= most,
    ) ?? 99_999
  );
}
