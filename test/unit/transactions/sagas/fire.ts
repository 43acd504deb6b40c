/** One run of random sagas under fire; one seed decides it. Throws where a saga did not end as it should. */
import { expect } from 'chai';
import {
  defineSaga,
  type AnySaga,
  type SagaStepContext,
} from '../../../../lib/transactions/sagas/definition.js';
import { dice } from '../world.js';
import { alive, Cluster } from './support.js';

/**
 * What a step does when it is called. `throws`: it fails at first. `lost`: it happens, and fails to say so at first. `rejects`: it never
 * happens. `stuck`: it rejects until somebody has mended it; only where nothing can turn back.
 */
type Temper = 'well' | 'throws' | 'lost' | 'rejects' | 'stuck';

interface Step {
  readonly id: string;
  readonly after: readonly string[];
  readonly pivot: boolean;
  readonly undo: boolean;
}

interface Plan {
  readonly id: string;
  readonly kind: number;
  /** By the part of a key after the saga: `step/do`, `step/undo`. */
  readonly tempers: ReadonlyMap<string, Temper>;
}

type Dice = (below: number) => number;

/** Up to six steps; what comes before a pivot can be undone or not, and beside each other run those that do not wait. */
function shape(roll: Dice): Step[] {
  const size = 1 + roll(6);
  const pivot = roll(2) === 0 ? roll(size) : -1;
  return Array.from({ length: size }, (_, at): Step => {
    const after = new Set<number>();
    if (at > 0) for (let i = 0; i < 2; i++) if (roll(3) > 0) after.add(roll(at));
    if (at === pivot) for (let i = 0; i < at; i++) after.add(i);
    if (pivot >= 0 && at > pivot) after.add(pivot);
    const undo = at !== pivot && (pivot < 0 || at < pivot) && roll(6) > 0;
    return { id: `s${at}`, after: [...after].sort().map((i) => `s${i}`), pivot: at === pivot, undo };
  });
}

function tempers(steps: readonly Step[], roll: Dice): Map<string, Temper> {
  const found = new Map<string, Temper>();
  const pivot = steps.findIndex((step) => step.pivot);
  for (const [at, { id, undo }] of steps.entries()) {
    const last = pivot >= 0 && at > pivot;
    const some: readonly Temper[] = ['throws', 'lost', last ? 'stuck' : 'rejects'];
    found.set(`${id}/do`, roll(4) === 0 ? some[roll(3)]! : 'well');
    if (undo)
      found.set(`${id}/undo`, roll(4) === 0 ? (['throws', 'lost', 'stuck'] as const)[roll(3)]! : 'well');
  }
  return found;
}

class Fire {
  readonly cluster: Cluster;
  readonly roll: Dice;
  readonly kinds: readonly (readonly Step[])[];
  readonly plans: readonly Plan[];
  readonly counts: Record<string, number> = {};
  /** Sagas that somebody tried to cancel, and steps that an operator skipped. */
  readonly cancelled = new Set<string>();
  readonly skipped = new Set<string>();
  readonly #mended = new Set<string>();
  readonly #failures = new Map<string, number>();
  #kills = 10;

  constructor(seed: number) {
    this.roll = dice(seed);
    const { roll } = this;
    this.kinds = Array.from({ length: 3 }, () => shape(roll));
    this.plans = Array.from({ length: 12 }, (_, at): Plan => {
      const kind = roll(3);
      return { id: `g${at}`, kind, tempers: tempers(this.kinds[kind]!, roll) };
    });
    this.cluster = new Cluster({
      seed,
      snapshot: { logBytes: 8192, keepEntries: 20 },
      sagas: { lease: 1000 + roll(2000), settle: 200 + roll(500), concurrency: 1 + roll(8) },
    });
    this.cluster.onReplica = (replica, node) => this.#watchRecords(replica, node);
    this.cluster.onOpen = (sagas, node) => {
      for (const kind of this.kinds.keys()) sagas.define(this.saga(kind, node));
    };
  }

  count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
  }

  /** From now on nobody is killed. */
  calm(): void {
    this.#kills = 0;
  }

  mend(id: string): void {
    this.#mended.add(id);
  }

  saga(kind: number, node: string): AnySaga {
    const act = this.#handler(node);
    let saga: AnySaga & { step: (id: string, step: object) => AnySaga } = defineSaga<number>({
      name: `kind${kind}`,
      version: 1,
    }) as never;
    for (const { id, after, pivot, undo } of this.kinds[kind]!) {
      const retry = { attempts: 20, delay: 100, maxDelay: 1000 };
      saga = saga.step(id, {
        do: act,
        after,
        retry,
        ...(pivot && { pivot }),
        ...(undo && { undo: act }),
      }) as never;
    }
    return saga;
  }

  #handler(node: string): (context: SagaStepContext) => Promise<string> {
    const { cluster, roll } = this;
    const life = cluster.lives(node);
    return async (context) => {
      await alive(cluster, node, life);
      await this.#mayDie('before a handler', node, life);
      // Some calls are on their way for longer than anybody waits for them.
      await cluster.simulation.sleep(roll(20) === 0 ? 3000 : 5 + roll(80));
      await alive(cluster, node, life);
      const { saga, key } = context;
      const temper = this.plans.find(({ id }) => id === saga)!.tempers.get(key.slice(saga.length + 1))!;
      const first = (this.#failures.get(key) ?? 0) < 2;
      if (temper === 'rejects' || (temper === 'stuck' && !this.#mended.has(saga))) context.reject('NO');
      if (first && (temper === 'throws' || temper === 'lost'))
        this.#failures.set(key, (this.#failures.get(key) ?? 0) + 1);
      if (first && temper === 'throws') throw new Error('not now');
      const answer = cluster.world.call(context, node);
      if (first && temper === 'lost') throw new Error('who knows');
      await this.#mayDie('after a handler', node, life);
      return answer;
    };
  }

  /** Kills a node as it hands a record to the log: before, in the same turn, or as it hears that it is there. */
  #watchRecords(replica: object, node: string): void {
    const own = replica as { submit: (command: object, options?: object) => Promise<unknown> };
    const submit = own.submit;
    own.submit = async (command, options) => {
      const life = this.cluster.lives(node);
      await Promise.resolve(); // whoever opens the sagas of the node is not cut off in the middle of it
      await this.#mayDie('before a record', node, life);
      const sent = submit.call(own, command, options);
      sent.catch(() => undefined);
      await this.#mayDie('with a record', node, life);
      const result = await sent;
      await this.#mayDie('after a record', node, life);
      return result;
    };
  }

  async #mayDie(where: string, node: string, life: number): Promise<void> {
    const { cluster, roll } = this;
    if (this.#kills === 0 || roll(25) > 0 || cluster.lives(node) !== life) return;
    if (cluster.simulation.state(node) !== 'up') return;
    this.#kills--;
    this.count(`killed ${where}`);
    this.kill(node);
    await new Promise(() => undefined);
  }

  kill(node: string): void {
    const { simulation } = this.cluster;
    simulation.crash(node, { power: this.roll(2) === 0 });
    simulation.after(100 + this.roll(4000), () => {
      if (simulation.state(node) === 'down') simulation.restart(node);
    });
  }
}

/** Runs the sagas of a seed. */
export async function runSagas(seed: number): Promise<Record<string, number>> {
  const fire = new Fire(seed);
  const { cluster, roll, plans } = fire;
  const { simulation, world } = cluster;
  await cluster.ready();
  const ups = (): string[] => simulation.nodes.filter((node) => simulation.state(node) === 'up');
  for (let round = 0; round < 40; round++) {
    const up = ups();
    const plan = plans[roll(plans.length)]!;
    if (up.length > 0) {
      const node = up[roll(up.length)]!;
      const on = cluster.on(node);
      // Any saga may be started again and again, from anywhere.
      on.start(fire.saga(plan.kind, node), { id: plan.id, input: 1 }).catch(() => undefined);
      if (roll(20) === 0) {
        fire.cancelled.add(plan.id);
        on.cancel(plan.id).catch(() => undefined);
      }
    }
    const node = simulation.nodes[roll(simulation.nodes.length)]!;
    const others = simulation.nodes.filter((one) => one !== node);
    const fault = roll(12);
    if (fault === 0 && simulation.state(node) === 'up') fire.kill(node);
    if (fault === 1) simulation.pause(node, 100 + roll(4000));
    if (fault === 2) simulation.partition([[node], others]);
    if (fault === 3) simulation.cutOneWay(node, others[roll(2)]!);
    if (fault >= 9) simulation.heal();
    await simulation.run(roll(500));
    cluster.open();
  }
  fire.calm();
  simulation.heal();
  for (const node of simulation.nodes) if (simulation.state(node) === 'down') simulation.restart(node);
  await cluster.until(() => ups().length === simulation.nodes.length);
  for (const { id, kind } of plans)
    await simulation.settle(cluster.on('a').start(fire.saga(kind, 'a'), { id, input: 1 }), 120_000);
  await operate(fire);
  await simulation.run(5000); // calls that are still on their way arrive
  for (const plan of plans) await judge(fire, plan);
  expect(new Set(world.effects).size, 'each effect once').to.equal(world.effects.length);
  expect(world.tokensOnlyGrow, 'tokens only grow').to.equal(true);
  for (const { answer } of world.calls) fire.count(`calls ${answer}`);
  simulation.check();
  return fire.counts;
}

/** Sees to what is stuck until all have ended. */
async function operate(fire: Fire): Promise<void> {
  const { cluster, plans, roll } = fire;
  const end = cluster.simulation.now + 300_000;
  const over = (): boolean => plans.every(({ id }) => cluster.state(id) !== undefined);
  const stuck = (): { readonly id: string; readonly step: string }[] =>
    cluster.simulation
      .replica('a')
      .peek({ op: 'list' })
      .filter(({ saga }) => saga.ended === 0)
      .flatMap(({ saga }) =>
        saga.steps.flatMap(({ stuck: waits, retryAt }, at) =>
          waits && retryAt === 0 ? [{ id: saga.id, step: `s${at}` }] : [],
        ),
      );
  while (!over()) {
    await cluster.until(() => over() || stuck().length > 0, end - cluster.simulation.now);
    for (const { id, step } of stuck()) {
      const skip = roll(2) === 0;
      if (skip) fire.skipped.add(`${id}/${step}`);
      else fire.mend(id);
      fire.count(skip ? 'skipped' : 'retried');
      const resolved = skip
        ? cluster.on('a').resolve(id, { action: 'skip', step, result: 'skipped' })
        : cluster.on('a').resolve(id, { action: 'retry', step });
      await cluster.simulation.settle(resolved);
    }
  }
}

/** What must hold of a saga that has ended. */
async function judge(fire: Fire, { id, kind, tempers: how }: Plan): Promise<void> {
  const { cluster, skipped, kinds } = fire;
  const { world, simulation } = cluster;
  const steps = kinds[kind]!;
  const status = (await simulation.settle(cluster.on('b').status(id)))!;
  fire.count(status.state);
  const told = `${id}: ${JSON.stringify({ status, steps, effects: world.effects.filter((key) => key.startsWith(`${id}/`)) })}`;
  const standing = world.standing(id);
  const happened = (step: string, act: 'do' | 'undo'): number =>
    world.effects.indexOf(`${id}/${step}/${act}`);
  const refused = steps.some(({ id: step }) => how.get(`${step}/do`) === 'rejects');
  if (status.state === 'completed') {
    expect(refused, `a step never happens; ${told}`).to.equal(false);
    for (const { id: step } of steps) {
      if (!skipped.has(`${id}/${step}`)) expect(standing, told).to.include(step);
      expect(happened(step, 'undo'), told).to.equal(-1);
    }
    const results = (await simulation.settle(cluster.on('c').result(fire.saga(kind, 'c'), id))) as object;
    for (const [step, result] of Object.entries(results))
      expect(result, told).to.equal(skipped.has(`${id}/${step}`) ? 'skipped' : `${id}/${step}/do done`);
  } else {
    expect(status.state, told).to.equal('compensated');
    // Something made it turn back.
    const { kind: cause, error } = status.cause!;
    if (cause === 'cancelled') expect(fire.cancelled, told).to.include(id);
    else
      expect(refused || error!.code === 'ERR_SAGA_ATTEMPTS' || error!.code === 'ERR_REJECTED', told).to.equal(
        true,
      );
    for (const { id: step, undo } of steps)
      if (undo && !skipped.has(`${id}/${step}`)) expect(standing, told).to.not.include(step);
    // Past the pivot nothing turns back.
    for (const { id: step, pivot } of steps) if (pivot) expect(happened(step, 'do'), told).to.equal(-1);
  }
  for (const { id: step, after } of steps) {
    for (const earlier of after) {
      const name = `${earlier} before ${step}; ${told}`;
      if (happened(step, 'do') >= 0 && !skipped.has(`${id}/${earlier}`))
        expect(happened(earlier, 'do'), name).to.be.within(0, happened(step, 'do'));
      // It is undone the other way round.
      if (happened(earlier, 'undo') >= 0 && happened(step, 'undo') >= 0)
        expect(happened(step, 'undo'), name).to.be.below(happened(earlier, 'undo'));
    }
  }
}
