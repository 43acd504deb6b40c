import { expect } from 'chai';
import type { SagaCommands } from '../../../../lib/transactions/sagas/commands.js';
import { chain, Cluster, STEPS, type ChainOptions, type Probe } from './support.js';

/** Where the owner of the saga dies, the first time that it comes there. */
type Point =
  | { readonly handler: 'before' | 'after'; readonly key: string }
  /** `unsent`: as it is about to say so; `sent`: in the same turn; `applied`: as it hears that it is in the log. */
  | { readonly record: 'unsent' | 'sent' | 'applied'; readonly key: string };

const never = new Promise<never>(() => undefined);

/** Runs the saga, kills its owner at that point, has another go on, and looks at what came of it. */
async function survive(point: Point, rejects: ChainOptions['rejects'], at: number): Promise<void> {
  const cluster = new Cluster({ seed: 100 + at });
  const { simulation, world } = cluster;
  let killed: string | undefined;
  const kill = (node: string): void => {
    killed = node;
    simulation.crash(node, { power: at % 2 === 0 });
    // In every third case the dead one comes back while the saga is under way, and in another after it.
    if (at % 3 !== 0) simulation.after(at % 3 === 1 ? 500 : 20_000, () => simulation.restart(node));
  };
  const probe: Probe = (when, { key }, node) => {
    if (killed !== undefined || !('handler' in point) || point.handler !== when || point.key !== key) return;
    kill(node);
  };
  cluster.onReplica = (replica, node) => {
    if (!('record' in point)) return;
    const own = replica as unknown as { submit: (command: object, options?: object) => Promise<unknown> };
    const submit = own.submit;
    own.submit = (command, options) => {
      if (killed !== undefined || keyOf(command) !== point.key) return submit.call(own, command, options);
      if (point.record === 'unsent') {
        kill(node);
        return never;
      }
      const sent = submit.call(own, command, options);
      sent.catch(() => undefined);
      if (point.record === 'sent') {
        kill(node);
        return never;
      }
      return sent.then(() => {
        kill(node);
        return never;
      });
    };
  };
  cluster.onOpen = (sagas, node) => {
    sagas.define(chain(cluster, node, { probe, ...(rejects && { rejects }) }));
  };
  await cluster.ready();
  // The owner leads in some cases and follows in others.
  const leader = simulation.leader()!;
  const starter = at % 2 === 0 ? leader : simulation.nodes.find((node) => node !== leader)!;
  await simulation.settle(cluster.on(starter).start(chain(cluster, starter), { id: 's', input: 1 }));
  await cluster.until(() => killed !== undefined && cluster.state('s') !== undefined);
  const name = JSON.stringify(point);
  expect(killed, name).to.equal(starter);
  const done = STEPS.map((id) => `s/${id}/do`);
  const undone = [...STEPS].slice(0, 4).map((id) => `s/${id}/undo`);
  if (rejects === undefined) {
    expect(cluster.state('s'), name).to.equal('completed');
    expect(world.effects, name).to.deep.equal(done);
  } else {
    expect(cluster.state('s'), name).to.equal('compensated');
    // The last step is undone, too, where a crash left it unknown whether it happened.
    const effects = world.effects.filter((key) => key !== 's/five/undo');
    expect(effects, name).to.deep.equal([...done.slice(0, 4), ...undone.reverse()]);
    expect(world.standing('s'), name).to.deep.equal([]);
  }
  expect(new Set(world.effects).size, name).to.equal(world.effects.length);
  expect(world.tokensOnlyGrow, name).to.equal(true);
  // Whoever went on did so with a newer token.
  const tokens = new Set(world.calls.map(({ token }) => token));
  const last = point.key === 's/five/do' || point.key === 's/one/undo';
  if (!last)
    expect(tokens.size, name).to.equal(
      point.key === 's/one/do' ? (world.calls[0]!.node === starter ? 2 : 1) : 2,
    );
  simulation.check();
}

function keyOf(command: object): string | undefined {
  const { op, id, step, undo } = command as { op: string } & SagaCommands['done']['input'];
  return op === 'done' || op === 'failed' ? `${id}/${STEPS[step]!}/${undo ? 'undo' : 'do'}` : undefined;
}

function points(keys: readonly string[]): Point[] {
  return keys.flatMap((key): Point[] => [
    { handler: 'before', key },
    { handler: 'after', key },
    { record: 'unsent', key },
    { record: 'sent', key },
    { record: 'applied', key },
  ]);
}

describe('a saga of five steps whose owner is killed', () => {
  const forward = points(STEPS.map((id) => `s/${id}/do`));
  for (const [at, point] of forward.entries())
    it(`completes: ${JSON.stringify(point)}`, () => survive(point, undefined, at));

  const rejects: NonNullable<ChainOptions['rejects']> = (step) => step === 'five';
  const back = points([
    ...STEPS.map((id) => `s/${id}/do`),
    ...[...STEPS]
      .slice(0, 4)
      .reverse()
      .map((id) => `s/${id}/undo`),
  ])
    // The last step does not come that far.
    .filter((point) => point.key !== 's/five/do' || !('handler' in point) || point.handler === 'before');
  for (const [at, point] of back.entries())
    it(`compensates: ${JSON.stringify(point)}`, () => survive(point, rejects, at));
});
