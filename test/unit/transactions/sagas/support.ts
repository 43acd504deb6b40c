/** A world outside that remembers keys and tokens, a saga of five steps that works on it, and a cluster that runs it. */
import { QuorateError } from '../../../../lib/errors.js';
import type { Replica } from '../../../../lib/replica/replica.js';
import { createSimulation, type Simulation } from '../../../../lib/testing/simulation/simulation.js';
import type { SimulationOptions } from '../../../../lib/testing/simulation/settings.js';
import {
  defineSaga,
  type AnySaga,
  type SagaStepContext,
} from '../../../../lib/transactions/sagas/definition.js';
import { openSagas } from '../../../../lib/transactions/sagas/openSagas.js';
import type { Sagas } from '../../../../lib/transactions/sagas/sagas.js';
import { sagas, type SagasMachine } from '../../../../lib/transactions/sagas/sagasMachine.js';
import type { OpenSagasOptions } from '../../../../lib/transactions/sagas/sagasTypes.js';

/** A call that reached the world. */
export interface Call {
  readonly key: string;
  readonly token: number;
  readonly node: string;
  /** What the world made of it. */
  readonly answer: 'new' | 'again' | 'fenced' | 'too late';
}

/** Something outside that does each thing once by its key, and turns away tokens that are older than one it has seen. */
export class World {
  readonly calls: Call[] = [];
  /** The keys that took effect, in order. */
  readonly effects: string[] = [];
  readonly #tokens = new Map<string, number>();

  call({ saga, key, token }: Pick<SagaStepContext, 'saga' | 'key' | 'token'>, node: string): string {
    const answer = this.#judge(saga, key, token);
    this.calls.push({ key, token, node, answer });
    if (answer === 'fenced') throw new QuorateError('ERR_REJECTED', `token ${token} is old`);
    if (answer === 'too late') throw new QuorateError('ERR_REJECTED', `${key} was undone before it came`);
    if (answer === 'new') this.effects.push(key);
    return `${key} done`;
  }

  #judge(saga: string, key: string, token: number): Call['answer'] {
    if (token < (this.#tokens.get(saga) ?? 0)) return 'fenced';
    this.#tokens.set(saga, token);
    if (this.effects.includes(key)) return 'again';
    return this.effects.includes(key.replace(/\/do$/, '/undo')) ? 'too late' : 'new';
  }

  /** What holds now of a saga: the steps that happened and were not undone. */
  standing(saga: string): string[] {
    return this.effects
      .filter((key) => key.startsWith(`${saga}/`) && key.endsWith('/do'))
      .filter((key) => !this.effects.includes(key.replace(/\/do$/, '/undo')))
      .map((key) => key.split('/')[1]!);
  }

  /** Tokens never went back among the calls that were let in. */
  get tokensOnlyGrow(): boolean {
    const latest = new Map<string, number>();
    return this.calls.every(({ key, token, answer }) => {
      if (answer === 'fenced') return true;
      const saga = key.split('/')[0]!;
      const fits = token >= (latest.get(saga) ?? 0);
      latest.set(saga, token);
      return fits;
    });
  }
}

export const STEPS = ['one', 'two', 'three', 'four', 'five'] as const;

/** Told at each end of each handler; may throw, or never come back. */
export type Probe = (when: 'before' | 'after', context: SagaStepContext, node: string) => unknown;

export interface ChainOptions {
  /** Steps that say that they did not happen. */
  readonly rejects?: (step: string, context: SagaStepContext) => boolean;
  readonly probe?: Probe;
  readonly version?: number;
  readonly ms?: number;
}

/** Five steps in a row, each of which can be undone. */
export function chain(cluster: Cluster, node: string, options: ChainOptions = {}): AnySaga {
  const { rejects, probe, version = 1, ms = 20 } = options;
  const life = cluster.lives(node);
  const act = async (context: SagaStepContext): Promise<string> => {
    await alive(cluster, node, life);
    await probe?.('before', context, node);
    await alive(cluster, node, life);
    await cluster.simulation.sleep(ms);
    await alive(cluster, node, life);
    if (rejects?.(context.step, context) === true && context.key.endsWith('/do')) context.reject('NO');
    const answer = cluster.world.call(context, node);
    await probe?.('after', context, node);
    await alive(cluster, node, life);
    return answer;
  };
  const step = { do: act, undo: act, retry: { attempts: 5, delay: 100, maxDelay: 1000 } };
  return defineSaga<number>({ name: 'chain', version })
    .step('one', step)
    .step('two', step)
    .step('three', step)
    .step('four', step)
    .step('five', step);
}

/** What a dead process was at never goes on. */
export async function alive(cluster: Cluster, node: string, life: number): Promise<void> {
  if (cluster.lives(node) !== life || cluster.simulation.state(node) === 'down')
    await new Promise(() => undefined);
}

/** A simulated cluster, with the sagas of each node opened whenever the node is up. */
export class Cluster {
  readonly simulation: Simulation<SagasMachine>;
  readonly world = new World();
  readonly #opened = new Map<string, { readonly replica: Replica<SagasMachine>; readonly sagas: Sagas }>();
  readonly #lives = new Map<string, number>();
  readonly #options: Omit<OpenSagasOptions, 'replica'>;
  /** Called for each node as its sagas are opened, with its replica before that. */
  onReplica: ((replica: Replica<SagasMachine>, node: string) => void) | undefined;
  onOpen: ((opened: Sagas, node: string) => void) | undefined;

  constructor(
    options: Partial<SimulationOptions<SagasMachine>> & {
      readonly sagas?: Omit<OpenSagasOptions, 'replica'>;
    } = {},
  ) {
    const { sagas: own = { lease: 2000, settle: 500 }, ...rest } = options;
    this.#options = own;
    this.simulation = createSimulation<SagasMachine>({
      seed: 1,
      nodes: ['a', 'b', 'c'],
      ...rest,
      stateMachine: () => sagas(),
    });
  }

  lives(node: string): number {
    return this.#lives.get(node) ?? 0;
  }

  /** The sagas of a node that is up. */
  on(node: string): Sagas {
    const replica = this.simulation.replica(node);
    const known = this.#opened.get(node);
    if (known?.replica === replica) return known.sagas;
    if (this.simulation.state(node) !== 'up') throw new QuorateError('ERR_CLOSED', `${node} is down`);
    this.#lives.set(node, this.lives(node) + 1);
    this.onReplica?.(replica, node);
    const opened = openSagas({ replica, ...this.#options });
    this.#opened.set(node, { replica, sagas: opened });
    this.onOpen?.(opened, node);
    return opened;
  }

  /** Opens what can be opened. */
  open(): void {
    for (const node of this.simulation.nodes) if (this.simulation.state(node) === 'up') this.on(node);
  }

  async ready(): Promise<void> {
    await this.simulation.ready();
    this.open();
    // Everybody who defines something has said so.
    await this.simulation.run(500);
  }

  /** Runs until something holds on any node that is up; nodes that come up are opened meanwhile. */
  async until(predicate: () => boolean, maxMs = 120_000): Promise<void> {
    const held = await this.simulation.runUntil(() => {
      this.open();
      return predicate();
    }, maxMs);
    this.simulation.check();
    if (!held)
      throw new Error(`it did not come about within ${maxMs} virtual ms: ${JSON.stringify(this.states())}`);
  }

  /** What the nodes that are up know of a saga's state. */
  state(id: string): string | undefined {
    for (const node of this.simulation.nodes) {
      if (this.simulation.state(node) !== 'up') continue;
      const view = this.simulation.replica(node).peek({ op: 'get', id });
      if (view !== undefined && view.saga.ended !== 0) return view.saga.state;
    }
    return undefined;
  }

  states(): unknown {
    return this.simulation.nodes.map((node) =>
      this.simulation.state(node) === 'up'
        ? this.simulation
            .replica(node)
            .peek({ op: 'list' })
            .map(({ saga, node: owner }) => [
              node,
              saga.id,
              saga.state,
              owner,
              saga.epoch,
              ...saga.steps.map(({ state, attempts }) => `${state} ${attempts}`),
            ])
        : node,
    );
  }

  /** The node that owns a saga, as the leader knows it. */
  owner(id: string): string {
    const leader = this.simulation.leader();
    const view = leader === undefined ? undefined : this.simulation.replica(leader).peek({ op: 'get', id });
    if (view?.node === undefined) throw new Error(`nobody owns ${id}`);
    return view.node;
  }
}
