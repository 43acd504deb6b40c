import { expect } from 'chai';
import { QuorateError } from '../../../../lib/errors.js';
import {
  defineSaga,
  type AnySaga,
  type SagaStepContext,
} from '../../../../lib/transactions/sagas/definition.js';
import { seeded } from '../../support/seeded.js';
import { chain, Cluster, STEPS } from './support.js';

const never = new Promise<never>(() => undefined);
const DONE = STEPS.map((id) => `s/${id}/do`);

function codeOf(promise: Promise<unknown>): Promise<string | undefined> {
  return promise.then(
    () => undefined,
    (error: unknown) => (error as QuorateError).code,
  );
}

describe('sagas on several members', () => {
  it('are gone on with by others where the owner is cut off, whose token is old then', async () => {
    const cluster = new Cluster({ sagas: { lease: 2000, settle: 10_000 } });
    const { simulation, world } = cluster;
    const events: string[] = [];
    let cutOff: string | undefined;
    let aborted: boolean | undefined;
    cluster.onOpen = (sagas, node) => {
      sagas.on('lease:lost', () => events.push(`${node} lost`));
      sagas.on('lease:regained', () => events.push(`${node} regained`));
      // The owner is cut off in its third step, and works on as if nothing had happened.
      const probe = async (when: string, context: SagaStepContext): Promise<void> => {
        if (when !== 'before' || context.step !== 'three' || (cutOff ?? node) !== node) return;
        if (cutOff === undefined)
          simulation.partition([[node], simulation.nodes.filter((one) => one !== node)]);
        cutOff = node;
        await simulation.sleep(8000);
        // It was told to stop, by nobody but itself.
        aborted = context.signal.aborted;
      };
      sagas.define(chain(cluster, node, { probe }));
    };
    await cluster.ready();
    await simulation.settle(cluster.on('a').start(chain(cluster, 'a'), { id: 's', input: 1 }));
    await cluster.until(() => cluster.state('s') !== undefined);
    expect(cutOff).to.equal('a');
    await simulation.run(10_000);
    simulation.heal();
    await simulation.run(10_000);
    expect(cluster.state('s')).to.equal('completed');
    expect(world.effects).to.deep.equal(DONE);
    const fenced = world.calls.filter(({ answer }) => answer === 'fenced');
    expect(fenced.map(({ node, key }) => [node, key])).to.deep.equal([['a', 's/three/do']]);
    expect(world.tokensOnlyGrow).to.equal(true);
    expect(events).to.include('a lost');
    expect(aborted).to.equal(true);
    // Nothing is left under way anywhere.
    for (const node of simulation.nodes)
      expect(cluster.on(node).metrics()).to.deep.equal({ handlers: 0, sagas: 0, stuck: 0 });
    simulation.check();
  });

  it('begin no handler where the lease is over, and go on with the same owner if there is no other', async () => {
    const cluster = new Cluster();
    const { simulation, world } = cluster;
    const begun: number[] = [];
    cluster.onOpen = (sagas, node) => {
      const probe = (when: string): void => {
        if (when === 'before') begun.push(simulation.now);
      };
      if (node === 'a') sagas.define(chain(cluster, node, { probe, ms: 400 }));
    };
    await cluster.ready();
    await simulation.settle(cluster.on('a').start(chain(cluster, 'a'), { id: 's', input: 1 }));
    await simulation.run(100);
    simulation.partition([['a'], ['b', 'c']]);
    const cutAt = simulation.now;
    await simulation.run(20_000);
    // Nothing was begun without the log, and nothing after the lease.
    expect(begun.filter((at) => at > cutAt + 2500)).to.deep.equal([]);
    simulation.heal();
    await cluster.until(() => cluster.state('s') !== undefined);
    expect(cluster.state('s')).to.equal('completed');
    expect(world.effects).to.deep.equal(DONE);
    simulation.check();
  });

  it('begin no handler with an old token after a new one was used, where the owner stood still', async () => {
    const cluster = new Cluster({ seed: 2, sagas: { lease: 2000, settle: 500, concurrency: 1 } });
    const { simulation } = cluster;
    const begun: { readonly saga: string; readonly token: number; readonly node: string }[] = [];
    const make = (node: string): AnySaga =>
      defineSaga({ name: 'c', version: 1 }).step('one', {
        do: async ({ saga, token }) => {
          begun.push({ saga, token, node });
          // In the first owner the first of them is held up, and the others wait for its place.
          await simulation.sleep(node === 'a' && begun.length === 1 ? 4000 : 50);
        },
      });
    cluster.onOpen = (sagas, node) => {
      if (node === 'a') sagas.define(make(node));
    };
    await cluster.ready();
    const ids = ['x', 'y', 'z'];
    for (const id of ids) await simulation.settle(cluster.on('a').start(make('a'), { id, input: 1 }));
    await simulation.run(100);
    cluster.on('b').define(make('b'));
    await simulation.run(100);
    simulation.pause('a', 6000);
    await cluster.until(() => ids.every((id) => cluster.state(id) === 'completed'));
    await simulation.run(8000);
    expect(begun[0]!.node).to.equal('a');
    for (const id of ids) {
      const tokens = begun.filter(({ saga }) => saga === id).map(({ token }) => token);
      expect(tokens, JSON.stringify(begun)).to.deep.equal([...tokens].sort((one, other) => one - other));
    }
    expect(begun.filter(({ node }) => node === 'b').length).to.equal(3);
    simulation.check();
  });

  it('are safe from an owner that stood still: its old token is refused', async () => {
    const cluster = new Cluster({ seed: 3 });
    const { simulation, world } = cluster;
    let paused: string | undefined;
    cluster.onOpen = (sagas, node) => {
      const probe = async (when: string, context: { step: string }): Promise<void> => {
        if (when !== 'before' || context.step !== 'two' || paused !== undefined) return;
        paused = node;
        simulation.pause(node, 6000);
        // This goes on in true time: it stands for a call that is on its way.
        await simulation.sleep(5000);
      };
      sagas.define(chain(cluster, node, { probe }));
    };
    await cluster.ready();
    await simulation.settle(cluster.on('b').start(chain(cluster, 'b'), { id: 's', input: 1 }));
    await cluster.until(() => cluster.state('s') !== undefined);
    await simulation.run(10_000);
    expect(cluster.state('s')).to.equal('completed');
    expect(world.effects).to.deep.equal(DONE);
    expect(world.tokensOnlyGrow).to.equal(true);
    expect(new Set(world.calls.map(({ token }) => token)).size).to.equal(2);
    simulation.check();
  });

  it('outlive the loss of power of all members, with snapshots in between', async () => {
    const cluster = new Cluster({ seed: 5, snapshot: { logBytes: 4096, keepEntries: 10 } });
    const { simulation, world } = cluster;
    const rejects = (step: string, { saga }: { saga: string }): boolean =>
      step === 'four' && Number(saga.slice(1)) % 3 === 0;
    cluster.onOpen = (sagas, node) => sagas.define(chain(cluster, node, { rejects, ms: 50 }));
    await cluster.ready();
    const ids = Array.from({ length: 24 }, (_, i) => `s${i}`);
    const start = (id: string, i: number): Promise<unknown> => {
      const node = simulation.nodes[i % 3]!;
      return cluster.on(node).start(chain(cluster, node), { id, input: i });
    };
    await simulation.settle(Promise.all(ids.map(start)));
    for (let round = 0; round < 3; round++) {
      await simulation.run(120);
      for (const node of simulation.nodes) simulation.crash(node);
      await simulation.run(200);
      if (round === 1) simulation.disk('c').wipe();
      for (const node of simulation.nodes) simulation.restart(node);
      await cluster.until(() => simulation.nodes.every((node) => simulation.state(node) === 'up'));
    }
    await cluster.until(() => ids.every((id) => cluster.state(id) !== undefined));
    for (const [i, id] of ids.entries()) {
      expect(cluster.state(id)).to.equal(i % 3 === 0 ? 'compensated' : 'completed');
      expect(world.standing(id), id).to.deep.equal(i % 3 === 0 ? [] : STEPS);
    }
    expect(new Set(world.effects).size).to.equal(world.effects.length);
    expect(world.tokensOnlyGrow).to.equal(true);
    await simulation.run(2000);
    const { counts } = simulation.check();
    expect(counts['states compared']).to.be.above(0);
    // One of them had lost its disk and got all of it from another.
    expect(counts['snapshots installed']).to.be.above(0);
  });

  it('are spread over the members that define them', async () => {
    const cluster = new Cluster({ nodes: ['a', 'b', 'c', 'd', 'e'] });
    const { simulation } = cluster;
    const hangs = defineSaga({ name: 'h', version: 1 }).step('one', { do: () => never });
    cluster.onOpen = (sagas, node) => {
      if (node !== 'e') sagas.define(hangs);
    };
    await cluster.ready();
    for (let i = 0; i < 40; i++)
      await simulation.settle(cluster.on('e').start(hangs, { id: `x${i}`, input: i }));
    const owners = (await simulation.settle(cluster.on('a').list())).map(({ owner }) => owner);
    for (const node of ['a', 'b', 'c', 'd'])
      expect(owners.filter((owner) => owner === node).length, node).to.equal(10);
    // One of them dies, and what it had is spread over the others.
    simulation.crash('a');
    await cluster.until(() =>
      simulation
        .replica('b')
        .peek({ op: 'list' })
        .every(({ node }) => node !== undefined && node !== 'a'),
    );
    const after = (await simulation.settle(cluster.on('b').list())).map(({ owner }) => owner);
    for (const node of ['b', 'c', 'd'])
      expect(after.filter((owner) => owner === node).length, node).to.be.within(13, 14);
    simulation.check();
  });

  it('of a definition whose steps differ are refused, and told of', async () => {
    const cluster = new Cluster();
    const { simulation } = cluster;
    const one = defineSaga({ name: 'm', version: 1 }).step('one', { do: () => never });
    const other = defineSaga({ name: 'm', version: 1 }).step('other', { do: () => 1 });
    const next = defineSaga({ name: 'm', version: 2 }).step('other', { do: () => 1 });
    const told: string[] = [];
    cluster.onOpen = (sagas, node) => {
      sagas.on('saga:mismatch', (error) => told.push(`${node} ${error.code}`));
      sagas.define(node === 'a' ? one : node === 'b' ? other : next);
    };
    await cluster.ready();
    const a = cluster.on('a');
    const b = cluster.on('b');
    await simulation.settle(a.start(one, { id: 'x', input: 1 }));
    await simulation.run(1000);
    expect(told).to.deep.equal(['b ERR_SAGA_DEFINITION']);
    expect(await simulation.settle(codeOf(b.start(other, { id: 'y', input: 1 })))).to.equal(
      'ERR_SAGA_DEFINITION',
    );
    expect(() => cluster.on('c').define(other)).to.throw(QuorateError, 'raise the version');
    expect(() => a.define(other)).to.throw(QuorateError, 'defined here before');
    a.define(defineSaga({ name: 'm', version: 1 }).step('one', { do: () => 2 })); // the same steps: nothing new
    // The other version is another saga.
    await simulation.settle(b.start(next, { id: 'z', input: 1 }));
    expect((await simulation.settle(cluster.on('c').result(next, 'z'))).other).to.equal(1);
    // Who could run it dies: nobody does, until somebody defines it or an operator gives it up.
    simulation.crash('a');
    await simulation.run(5000);
    const orphan = await simulation.settle(b.status('x'));
    expect(orphan).to.deep.include({ state: 'running', owner: undefined });
    expect(await simulation.settle(codeOf(b.resolve('x', { action: 'retry' })))).to.equal(
      'ERR_SAGA_NOT_STUCK',
    );
    expect(await simulation.settle(b.resolve('x', { action: 'abandon' }))).to.equal('abandoned');
    simulation.check();
  });

  it('wait for somebody who can run them', async () => {
    const cluster = new Cluster();
    const { simulation } = cluster;
    cluster.onOpen = () => undefined;
    await cluster.ready();
    const late = defineSaga<number>({ name: 'late', version: 1 }).step('one', {
      do: ({ input }) => input + 1,
    });
    await simulation.settle(cluster.on('a').start(late, { id: 'x', input: 1 }));
    await simulation.run(10_000);
    expect((await simulation.settle(cluster.on('b').status('x')))!.owner).to.equal(undefined);
    cluster.on('c').define(late);
    expect((await simulation.settle(cluster.on('a').result(late, 'x'))).one).to.equal(2);
    simulation.check();
  });

  it('go to others at once when a member closes, and come to their end first with drain', async () => {
    const cluster = new Cluster({ sagas: { lease: 60_000, settle: 100 } });
    const { simulation, world } = cluster;
    cluster.onOpen = (sagas, node) => sagas.define(chain(cluster, node, { ms: 300 }));
    await cluster.ready();
    const began = simulation.now;
    await simulation.settle(cluster.on('a').start(chain(cluster, 'a'), { id: 's', input: 1 }));
    await simulation.run(400);
    await simulation.settle(cluster.on('a').close());
    await simulation.run(400);
    const [second] = (await simulation.settle(cluster.on('b').list())).map(({ owner }) => owner!);
    expect(second).to.be.oneOf(['b', 'c']);
    await simulation.settle(cluster.on(second!).close({ drain: true }));
    await cluster.until(() => cluster.state('s') !== undefined);
    expect(simulation.now - began, 'nobody waited for a lease').to.be.below(10_000);
    expect(world.effects).to.deep.equal(DONE);
    // With drain the handler that ran had its answer counted: no other call of the same key.
    const calls = world.calls.filter(({ node }) => node === second);
    const last = calls.at(-1)!.key;
    expect(world.calls.filter(({ key }) => key === last).length).to.equal(1);
    simulation.check();
  });

  it('are started once by a starter that dies and another that starts again', async () => {
    for (const seed of [1, 2, 3, 4]) {
      const cluster = new Cluster({ seed });
      const { simulation, world } = cluster;
      cluster.onOpen = (sagas, node) => sagas.define(chain(cluster, node));
      await cluster.ready();
      const saga = chain(cluster, 'a');
      cluster
        .on('a')
        .start(saga, { id: 's', input: 1 })
        .catch(() => undefined);
      await simulation.run(seed);
      simulation.crash('a');
      await simulation.settle(cluster.on('b').start(saga, { id: 's', input: 1 }));
      await cluster.until(() => cluster.state('s') !== undefined);
      expect(world.effects).to.deep.equal(DONE);
      simulation.check();
    }
  });

  it('give a step up that kills whoever runs it, after its attempts', async () => {
    const cluster = new Cluster();
    const { simulation, world } = cluster;
    let kills = 0;
    cluster.onOpen = (sagas, node) => {
      const probe = (when: string, { key }: { key: string }): void => {
        if (when !== 'after' || key !== 's/two/do') return;
        kills++;
        simulation.crash(node);
        simulation.after(500, () => simulation.restart(node));
      };
      sagas.define(chain(cluster, node, { probe }));
    };
    await cluster.ready();
    await simulation.settle(cluster.on('a').start(chain(cluster, 'a'), { id: 's', input: 1 }));
    await cluster.until(() => cluster.state('s') !== undefined);
    expect(kills).to.equal(5);
    expect(cluster.state('s')).to.equal('compensated');
    expect(world.effects).to.deep.equal(['s/one/do', 's/two/do', 's/two/undo', 's/one/undo']);
    const view = simulation.replica(simulation.leader()!).peek({ op: 'get', id: 's' })!;
    expect(view.saga.cause!.error!.code).to.equal('ERR_SAGA_ATTEMPTS');
    simulation.check();
  });

  it('end well whatever befalls the members: any faults', async function () {
    this.timeout(120_000);
    for (let seed = 1; seed <= 4; seed++) await storm(seed);
  });
});

/** Some seconds of kills, cuts and pauses; then all is mended, and every saga has to end as it should. */
async function storm(seed: number): Promise<void> {
  const random = seeded(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  const cluster = new Cluster({ seed, snapshot: { logBytes: 8192, keepEntries: 20 } });
  const { simulation, world } = cluster;
  const rejects = (step: string, { saga }: { saga: string }): boolean =>
    step === STEPS[Number(saga.slice(1)) % 8];
  cluster.onOpen = (sagas, node) => sagas.define(chain(cluster, node, { rejects, ms: 60 }));
  await cluster.ready();
  const saga: AnySaga = chain(cluster, 'a', { rejects });
  const ids: string[] = [];
  for (let i = 0; i < 30; i++) {
    const up = simulation.nodes.filter((node) => simulation.state(node) === 'up');
    if (up.length > 0 && ids.length < 16) {
      const id = `s${ids.length}`;
      ids.push(id);
      cluster
        .on(pick(up))
        .start(saga, { id, input: ids.length - 1 })
        .catch(() => undefined);
    }
    const node = pick(simulation.nodes);
    const fault = Math.floor(random() * 6);
    if (fault === 0) simulation.crash(node, { power: random() < 0.5 });
    if (fault === 1) simulation.pause(node, random() * 3000);
    if (fault === 2) simulation.partition([[node], simulation.nodes.filter((one) => one !== node)]);
    if (fault === 3) simulation.heal();
    await simulation.run(random() * 500);
    for (const one of simulation.nodes)
      if (simulation.state(one) === 'down' && random() < 0.5) simulation.restart(one);
    cluster.open();
  }
  simulation.heal();
  for (const one of simulation.nodes) if (simulation.state(one) === 'down') simulation.restart(one);
  await cluster.until(() => simulation.nodes.every((one) => simulation.state(one) === 'up'));
  // What was lost on the way is started again.
  for (const [i, id] of ids.entries()) {
    const start = (): Promise<unknown> => cluster.on('a').start(saga, { id, input: i });
    await simulation.settle(start());
  }
  await cluster.until(() => ids.every((id) => cluster.state(id) !== undefined), 300_000);
  for (const [i, id] of ids.entries()) {
    const fails = i % 8 < 5;
    // A saga whose attempts were all cut short turns back, too.
    if (fails) expect(cluster.state(id), `${id}, seed ${seed}`).to.equal('compensated');
    expect(world.standing(id), `${id}, seed ${seed}`).to.deep.equal(
      cluster.state(id) === 'completed' ? STEPS : [],
    );
  }
  expect(ids.some((id) => cluster.state(id) === 'completed')).to.equal(true);
  expect(new Set(world.effects).size).to.equal(world.effects.length);
  expect(world.tokensOnlyGrow).to.equal(true);
  simulation.check();
}
