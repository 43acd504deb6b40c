/** Nodes with sites in the simulator: real mesh, real storage on simulated disks, and resources that the test can look into. */
import { expect } from 'chai';
import { QuorateError } from '../../../../lib/errors.js';
import {
  diskStorage,
  openSites,
  transact,
  type Mesh,
  type ThreePhaseOptions,
  type TransactionResource,
  type TransactionSites,
} from '../../../../lib/index.js';
import { createSimulation, type Simulation } from '../../../../lib/testing/index.js';
import { siteDeskOf } from '../../../../lib/transactions/threePhase/desk.js';
import type { Message } from '../../../../lib/transactions/threePhase/wire.js';

/** Something outside that survives whatever happens to the node: what it was told of each transaction. */
export class Vault implements TransactionResource<{ readonly n: number }> {
  readonly prepared = new Set<string>();
  readonly ended = new Map<string, 'commit' | 'abort'>();
  readonly payloads = new Map<string, number>();
  /** What must never be. */
  readonly broken: string[] = [];
  vote: (id: string) => boolean | Promise<boolean> = () => true;
  refuseOutcomes = 0;

  async prepare(id: string, { n }: { readonly n: number }): Promise<boolean> {
    this.payloads.set(id, n);
    const yes = await this.vote(id);
    if (this.ended.has(id)) return false;
    if (yes) this.prepared.add(id);
    return yes;
  }

  commit(id: string): void {
    if (!this.prepared.has(id)) this.broken.push(`${id} was committed and not prepared`);
    this.#end(id, 'commit');
  }

  abort(id: string): void {
    this.#end(id, 'abort');
  }

  #end(id: string, outcome: 'commit' | 'abort'): void {
    if (this.refuseOutcomes-- > 0) throw new Error('not now');
    if (this.ended.has(id) && this.ended.get(id) !== outcome) this.broken.push(`${id} has two outcomes`);
    this.ended.set(id, outcome);
  }
}

export interface Told {
  id: string | undefined;
  outcome: 'committed' | 'refused' | 'ambiguous' | 'under way';
  error: QuorateError | undefined;
}

export class Stage {
  readonly simulation: Simulation;
  readonly nodes: readonly string[];
  readonly vaults = new Map<string, Vault>();
  readonly #sites = new Map<string, TransactionSites>();
  readonly #directories = new Map<string, string>();
  /** Looks at what a node is about to send; `false`: it is lost. */
  filter: (from: string, to: string, message: Message) => boolean = () => true;

  constructor(seed: number, nodes: readonly string[] = ['a', 'b', 'c']) {
    this.nodes = nodes;
    this.simulation = createSimulation({ seed, nodes: ['z'], clients: nodes });
    for (const node of nodes) {
      this.vaults.set(node, new Vault());
      this.#openWhenUp(node);
    }
  }

  async ready(): Promise<this> {
    await this.simulation.ready();
    const all = (): boolean => this.nodes.every((node) => this.#sites.has(node));
    expect(await this.simulation.runUntil(all, 30_000), 'all sites are open').to.equal(true);
    await this.simulation.run(1000);
    return this;
  }

  isUp(node: string): boolean {
    return this.simulation.state(node) === 'up' && this.#sites.has(node);
  }

  at(node: string): TransactionSites {
    return this.#sites.get(node)!;
  }

  vault(node: string): Vault {
    return this.vaults.get(node)!;
  }

  crash(node: string, power = true): void {
    this.#sites.delete(node);
    this.simulation.crash(node, { power });
  }

  /** It comes back; with `wiped` on a new disk. */
  restart(node: string, wiped = false): void {
    if (this.simulation.state(node) !== 'down') this.crash(node);
    if (wiped) this.#directories.set(node, `/sites-${this.simulation.now}`);
    this.simulation.restart(node);
    this.#openWhenUp(node);
  }

  heal(): void {
    this.simulation.heal();
    for (const node of this.nodes) if (this.simulation.state(node) === 'down') this.restart(node);
  }

  settle<T>(promise: Promise<T>): Promise<T> {
    return this.simulation.settle(promise, 60_000);
  }

  /** A transaction that a node begins, with the vaults of others. */
  begin(from: string, to: readonly string[], options: Partial<ThreePhaseOptions> = {}): Told {
    const told: Told = { id: undefined, outcome: 'under way', error: undefined };
    const sites = this.at(from);
    transact(
      to.map((node) => sites.at<{ n: number }>(node, 'vault')),
      (handles, { id }) => {
        told.id = id;
        for (const [n, handle] of handles.entries()) handle.enlist({ n });
      },
      { protocol: 'three-phase', patience: 500, timeout: 4000, ...options },
    ).then(
      () => (told.outcome = 'committed'),
      (error: unknown) => {
        if (!(error instanceof QuorateError) || error.fate === undefined || error.fate === 'lost')
          throw error;
        told.error = error;
        told.outcome = error.fate;
      },
    );
    return told;
  }

  /** Nobody has anything left to do. */
  get settled(): boolean {
    return this.nodes.every((node) => {
      if (!this.isUp(node)) return false;
      const { open, unfinished } = this.at(node).metrics();
      return open === 0 && unfinished === 0;
    });
  }

  /** What the vaults have seen of a transaction. */
  outcomes(id: string): Set<'commit' | 'abort'> {
    const all = [...this.vaults.values()].map((vault) => vault.ended.get(id));
    return new Set(all.filter((outcome) => outcome !== undefined));
  }

  /** What must hold whatever happened: one outcome everywhere, which is what the caller was told; no vault is left prepared. */
  check(calls: readonly Told[], what = ''): void {
    this.simulation.check();
    for (const [node, vault] of this.vaults) {
      expect(vault.broken, `${what}: ${node}`).to.deep.equal([]);
      const left = [...vault.prepared].filter((id) => !vault.ended.has(id));
      expect(left, `${what}: prepared at ${node}`).to.deep.equal([]);
    }
    for (const { id, outcome } of calls) {
      const seen = [...this.outcomes(id ?? '')];
      expect(seen.length, `${what}: ${id} has outcomes ${seen.join(' ')}`).to.be.at.most(1);
      if (outcome === 'committed') expect(seen, `${what}: ${id}`).to.deep.equal(['commit']);
      if (outcome === 'refused') expect(seen, `${what}: ${id}`).to.not.include('commit');
    }
  }

  #openWhenUp(node: string): void {
    const { simulation } = this;
    const look = (): void => {
      const state = simulation.state(node);
      if (state === 'starting') simulation.after(1, look);
      else if (state === 'up') void this.#open(node, simulation.mesh(node));
    };
    simulation.after(0, look);
  }

  async #open(node: string, mesh: Mesh): Promise<void> {
    const desk = siteDeskOf(mesh);
    const send = desk.send.bind(desk);
    desk.send = (to, message) => {
      if (this.filter(node, to, message) && this.simulation.state(node) === 'up') send(to, message);
    };
    const sites = await openSites({
      mesh,
      storage: diskStorage(this.#directories.get(node) ?? '/sites', { segmentBytes: 65_536, reserve: 0 }),
      resources: { vault: this.vault(node) },
    });
    if (this.simulation.state(node) === 'up' && this.simulation.mesh(node) === mesh)
      this.#sites.set(node, sites);
  }
}
