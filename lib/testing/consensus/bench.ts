/** What one test of the suite for consensuses works with; whatever it began is judged and ended with it. */
import type { KeyValueMachine } from '../../machines/keyValue.js';
import type { ConsensusOption } from '../../replica/consensus.js';
import type { StateMachine } from '../../replica/stateMachine.js';
import type { ConsensusFeatures, ConsensusSettings, ConsensusUnderTest } from '../consensus.js';
import { createSimulation, type Simulation } from '../simulation/simulation.js';
import type { SimulationOptions } from '../simulation/settings.js';
import { Nodes } from './nodes.js';

/** A simulated group of the machine that most tests use. @internal */
export type Group = Simulation<KeyValueMachine<unknown>>;

/** What such a group may be made with. @internal */
export type GroupOptions = Partial<SimulationOptions<KeyValueMachine<unknown>>>;

/** @internal */
export const three: readonly string[] = ['a', 'b', 'c'];
/** @internal */
export const five: readonly string[] = ['a', 'b', 'c', 'd', 'e'];

/** The time-outs that the suite sets where a test looks at the time. @internal */
export const ELECTION_MS = 300;
const pace = { heartbeatMs: 50, electionTimeoutMs: ELECTION_MS };

/** @internal */
export class Bench {
  readonly features: ConsensusFeatures;
  readonly #subject: ConsensusUnderTest;
  readonly #simulations: Simulation[] = [];
  #nodes: Nodes | undefined;

  constructor(subject: ConsensusUnderTest) {
    this.#subject = subject;
    this.features = subject.features ?? {};
  }

  /** The consensus under test, as it comes, or with settings. */
  consensus(settings?: ConsensusSettings): ConsensusOption {
    return this.#subject.consensus(settings);
  }

  /** A simulated group; three nodes, seed 1 and time-outs of 300 ms unless something else is said. */
  simulate<M extends StateMachine = KeyValueMachine<unknown>>(
    options: Partial<SimulationOptions<M>> = {},
  ): Simulation<M> {
    const consensus = this.consensus(pace);
    const simulation = createSimulation<M>({ seed: 1, nodes: three, consensus, ...options });
    this.#simulations.push(simulation as unknown as Simulation);
    return simulation;
  }

  /** The same, when it has elected, and would again without any one of its nodes. */
  async elected<M extends StateMachine = KeyValueMachine<unknown>>(
    options: Partial<SimulationOptions<M>> = {},
  ): Promise<Simulation<M>> {
    const simulation = this.simulate(options);
    await simulation.ready();
    return simulation;
  }

  /** Nodes in this process, over a network in memory and with real timers. */
  get nodes(): Nodes {
    return (this.#nodes ??= new Nodes((settings) => this.consensus(settings)));
  }

  /** Throws if an invariant did not hold in any group that was simulated. */
  check(): void {
    for (const simulation of this.#simulations) simulation.check();
  }

  async close(): Promise<void> {
    await this.#nodes?.close();
  }
}
