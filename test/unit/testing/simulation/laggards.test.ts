/** One follower that is slow, hangs, has a slow disk or loses packets for a minute: the others go on as without it, and nothing piles up. */
import { expect } from 'chai';
import { meshPort } from '../../../../lib/mesh/mesh.js';
import { raft } from '../../../../lib/replica/consensus.js';
import { elected, three, untilEqual, type KeyValueSimulation } from './support.js';

const KiB = 1024;
const MINUTE = 60_000;
const window = { maxMessageBytes: 32 * KiB, maxInflightBytes: 128 * KiB };
const cacheBytes = 256 * KiB;
const VALUE = 'v'.repeat(2000);
/** Clients, each of which writes, waits for the answer, and thinks for a moment. */
const CLIENTS = 6;
const THINK_MS = 40;

interface Figures {
  commits: number;
  cachedBytes: number;
  uncommittedBytes: number;
  inflightBytes: number;
  inflightMessages: number;
  backlog: number;
}

class Run {
  readonly simulation: KeyValueSimulation;
  readonly leader: string;
  readonly laggard: string;
  readonly most: Figures = {
    commits: 0,
    cachedBytes: 0,
    uncommittedBytes: 0,
    inflightBytes: 0,
    inflightMessages: 0,
    backlog: 0,
  };
  #running = true;

  static async begin(seed: number): Promise<Run> {
    const simulation = await elected({
      seed,
      consensus: raft({ ...window, cacheBytes }),
      snapshot: { logBytes: 512 * KiB, keepEntries: 50, maxBytesPerSecond: 200_000 },
    });
    return new Run(simulation);
  }

  private constructor(simulation: KeyValueSimulation) {
    this.simulation = simulation;
    this.leader = simulation.leader()!;
    this.laggard = three.find((id) => id !== this.leader)!;
  }

  get ways(): [string, string][] {
    const others = three.filter((id) => id !== this.laggard);
    return others.flatMap((id): [string, string][] => [
      [id, this.laggard],
      [this.laggard, id],
    ]);
  }

  /** A minute of load on the leader. */
  async load(): Promise<Figures> {
    const { simulation, leader } = this;
    const watch = (): void => {
      if (!this.#running) return;
      this.#look();
      simulation.after(20, watch);
    };
    watch();
    for (let client = 0; client < CLIENTS; client++) void this.#client(client);
    await simulation.run(MINUTE);
    this.#running = false;
    expect(simulation.leader(), 'nobody else had to take over').to.equal(leader);
    expect(simulation.violation).to.equal(undefined);
    return this.most;
  }

  async #client(number: number): Promise<void> {
    const { simulation, leader } = this;
    for (let n = 0; this.#running; n++) {
      await simulation.replica(leader).submit({ op: 'put', key: `${number}/${n % 50}`, value: VALUE });
      this.most.commits++;
      await simulation.sleep(THINK_MS);
    }
  }

  #look(): void {
    const { simulation, leader, laggard, most } = this;
    const load = simulation.coreLoad(leader)!;
    for (const key of ['cachedBytes', 'uncommittedBytes', 'inflightBytes', 'inflightMessages'] as const)
      most[key] = Math.max(most[key], load[key]);
    const port = meshPort(simulation.mesh(leader));
    if (!port.linked().has(laggard)) return;
    const backlog = port.backlog(laggard, 'control') + port.backlog(laggard, 'bulk');
    most.backlog = Math.max(most.backlog, backlog);
  }

  /** All is well again: the laggard catches up, and no invariant was broken. */
  async heal(): Promise<void> {
    const { simulation } = this;
    simulation.network.resetShapes();
    simulation.setDisk(this.laggard, { sync: { minMs: 0.1, meanMs: 0.2 } });
    const last = simulation.commitIndex;
    expect(await simulation.runUntil(() => this.#applied(this.laggard) >= last, 30_000)).to.equal(true);
    await untilEqual(simulation);
    simulation.check();
  }

  #applied(id: string): number {
    return this.simulation.replica(id).status().appliedIndex;
  }

  /** How far behind the laggard is. */
  get lag(): number {
    return this.#applied(this.leader) - this.#applied(this.laggard);
  }
}

describe('simulation: laggards', function () {
  this.timeout(120_000);
  let healthy: Figures;

  before(async () => {
    const run = await Run.begin(1);
    healthy = await run.load();
  });

  const faults: Record<string, (run: Run) => void> = {
    'is slow': (run) => {
      for (const [from, to] of run.ways) run.simulation.network.shape(from, to, { bandwidth: 20_000 });
    },
    hangs: (run) => run.simulation.pause(run.laggard, MINUTE),
    'takes 300 ms over each flush': (run) =>
      run.simulation.setDisk(run.laggard, { sync: { minMs: 300, meanMs: 0 } }),
    'loses a fifth of all packets': (run) => {
      for (const [from, to] of run.ways) run.simulation.network.shape(from, to, { lossRate: 0.2 });
    },
  };
  for (const [what, spoil] of Object.entries(faults)) {
    it(`a follower that ${what} for a minute slows nobody, fills no memory, and catches up`, async () => {
      const run = await Run.begin(1);
      spoil(run);
      const most = await run.load();
      expect(most.commits, 'the speed is that of the majority').to.be.at.least(healthy.commits * 0.97);
      const entry = 2 * KiB;
      expect(most.cachedBytes).to.be.at.most(cacheBytes + most.uncommittedBytes + CLIENTS * entry);
      expect(most.uncommittedBytes, 'what the clients have under way').to.be.at.most(CLIENTS * 2 * entry);
      expect(most.inflightBytes).to.be.at.most(window.maxInflightBytes + window.maxMessageBytes);
      expect(most.inflightMessages).to.be.at.most(64);
      // Appends of a window, a snapshot's backlog and chunks, and what is small.
      expect(most.backlog).to.be.at.most(2 * window.maxInflightBytes + 700 * KiB);
      await run.heal();
    });
  }
});
