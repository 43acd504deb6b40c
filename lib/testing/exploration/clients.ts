/** Clients that do one thing after another, each through whichever node it likes. */
import { QuorateError } from '../../errors.js';
import type { SubmitOptions } from '../../replica/replicaTypes.js';
import { Random } from '../simulation/random.js';
import type { Simulation } from '../simulation/simulation.js';
import type { RunPlan } from './plan.js';
import type { ClientStep, Subject } from './subject.js';

/** How often a command whose fate is open is submitted at most. */
const TRIES = 3;
/** How long a client thinks between two calls, on average, in the end. */
const CALM_MS = 100;

export class Clients {
  readonly #simulation: Simulation;
  readonly #next: (random: Random) => ClientStep;
  readonly #running: Promise<void>[] = [];
  #stopped = false;
  #leastMs = 0;

  constructor(simulation: Simulation, plan: RunPlan, subject: Subject) {
    this.#simulation = simulation;
    const random = new Random(`quorate clients ${plan.seed}`);
    this.#next = subject.workload(random.stream('workload'), plan);
    const fail = (error: unknown): void => {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      simulation.report('no exception', '', `a client ended with ${text}`);
    };
    for (let i = 0; i < plan.clients; i++)
      this.#running.push(this.#client(random.stream(`client ${i}`), plan.thinkMs).catch(fail));
  }

  /** Has them take their time from now on: what is to be seen is that they are served, and newcomers have to catch up beside them. */
  calm(): void {
    this.#leastMs = CALM_MS;
  }

  /** Lets them finish what they are at. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
  }

  /** Works through a member until a command was answered and it is ready (which is all that a witness can be), or until `until`, which may move. */
  async serve(id: string, until: () => number): Promise<boolean> {
    const simulation = this.#simulation;
    const random = new Random(`quorate serve ${id}`);
    while (simulation.now < until()) {
      try {
        const replica = simulation.replica(id);
        const silent = simulation.witnesses.includes(id);
        for (let step = this.#next(random); !silent; step = this.#next(random)) {
          if (!('command' in step)) continue;
          await replica.submit(step.command).catch(orThrow);
          break;
        }
        await replica.ready();
        return true;
      } catch (error) {
        if (!(error instanceof QuorateError)) throw error;
        await simulation.sleep(200);
      }
    }
    return false;
  }

  async #client(random: Random, thinkMs: number): Promise<void> {
    const simulation = this.#simulation;
    while (!this.#stopped) {
      await simulation.sleep(random.exponential(Math.max(thinkMs, this.#leastMs)));
      const up = this.#doors(random);
      if (up.length === 0) continue;
      // Most do one thing at a time; some a burst, whose commands travel in one batch.
      const id = random.pick(up);
      const burst = random.chance(0.15) ? 2 + random.integer(12) : 1;
      await Promise.all(Array.from({ length: burst }, () => this.#call(random, id, this.#next(random))));
    }
  }

  /** The nodes to work through: members mostly, and those from which a client of the group does. */
  #doors(random: Random): string[] {
    const { nodes, clients, group, witnesses } = this.#simulation;
    const patient = random.chance(0.1);
    const inside = nodes.filter(
      (id) =>
        patient ||
        (!witnesses.includes(id) && (group.members.membership === undefined || group.members.has(id))),
    );
    return [...inside, ...clients].filter((id) => this.#simulation.state(id) === 'up');
  }

  async #submit(id: string, command: unknown, options: SubmitOptions): Promise<unknown> {
    const simulation = this.#simulation;
    if (!simulation.clients.includes(id)) return simulation.replica(id).submit(command, options);
    const client = await simulation.client(id);
    const result: unknown = await client.submit(command, options);
    simulation.count('commands submitted from outside');
    return result;
  }

  async #ask(id: string, query: unknown): Promise<unknown> {
    const simulation = this.#simulation;
    if (!simulation.clients.includes(id)) return simulation.replica(id).query(query);
    const client = await simulation.client(id);
    return client.query(query);
  }

  async #call(random: Random, id: string, step: ClientStep): Promise<void> {
    const simulation = this.#simulation;
    if (!('command' in step)) {
      await this.#ask(id, step.query).catch(orThrow);
      return;
    }
    let { requestId } = step;
    for (let tries = 0; tries < TRIES && simulation.state(id) === 'up'; tries++) {
      try {
        await this.#submit(id, step.command, requestId === undefined ? {} : { requestId });
        return;
      } catch (error) {
        orThrow(error);
        const { fate, requestId: given } = error as QuorateError;
        if (fate !== 'ambiguous' || given === undefined || random.chance(0.3)) return;
        // The same command again, perhaps through another member: it must take effect once.
        requestId = given;
        simulation.count('commands submitted again');
        const up = this.#doors(random);
        if (up.length > 0) id = random.pick(up);
      }
    }
  }
}

/** Calls may fail in any way that the library announces; anything else is a fault of its own. */
function orThrow(error: unknown): void {
  if (!(error instanceof QuorateError)) throw error;
}
