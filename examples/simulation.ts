/**
 * A state machine tested on simulated clusters. `explore` finds that a raffle is not deterministic, and passes it once it is; then
 * a cluster is taken through a partition by hand, and what its clients were told is judged. All of it in virtual time.
 */
import { defineMachine, QuorateError, type ApplyContext } from 'quorate';
import {
  checkLinearizable,
  createSimulation,
  explore,
  keyValueModel,
  type ExploreFinding,
} from 'quorate/testing';

/** A raffle: people enter, and now and then one of them wins. */
const raffle = (drawsFrom: (context: ApplyContext) => number) =>
  defineMachine({
    version: 1,
    initial: () => ({ tickets: [] as string[], winners: [] as string[] }),
    commands: {
      enter: (state, { name }: { name: string }) => state.tickets.push(name),
      draw: (state, _: object, context) => {
        if (state.tickets.length === 0) context.reject('NO_TICKETS');
        const [winner] = state.tickets.splice(Math.floor(drawsFrom(context) * state.tickets.length), 1);
        state.winners.push(winner!);
        return winner;
      },
    },
    queries: { winners: (state) => state.winners },
  });

const test = (drawsFrom: (context: ApplyContext) => number) =>
  explore({
    stateMachine: () => raffle(drawsFrom),
    client: (random) => {
      if (random.chance(0.1)) return { query: { op: 'winners' } };
      if (random.chance(0.2)) return { command: { op: 'draw' } };
      return { command: { op: 'enter', name: random.pick(['Ada', 'Barbara', 'Edsger', 'Leslie']) } };
    },
    seeds: 8,
  });

console.log('── a raffle that draws with Math.random()');
try {
  await test(() => Math.random());
} catch (error) {
  if (!(error instanceof QuorateError) || error.code !== 'ERR_INVARIANT') throw error;
  const { violation, seed } = error.data as ExploreFinding;
  console.log(`found: ${violation.invariant}, in seed ${seed}`);
  console.log(error.message);
}

console.log('\n── the same raffle, drawing with context.random()');
const { seeds, virtualMs, events, counts } = await test((context) => context.random());
console.log(
  `${seeds} clusters, ${Math.round(virtualMs / 1000)} virtual seconds, ${events} events: all is well`,
);
console.log('what they went through:');
for (const [kind, n] of Object.entries(counts))
  if (kind.startsWith('fault: ')) console.log(`  ${String(n).padStart(4)} × ${kind.slice(7)}`);

console.log('\n── a partition, by hand');
const simulation = createSimulation({ seed: 7, nodes: ['a', 'b', 'c', 'd', 'e'] });
const tell = (text: string) => console.log(`${simulation.now.toFixed(0).padStart(6)} ms  ${text}`);
const leads = (among: readonly string[]) => () => among.includes(simulation.leader() ?? '');

await simulation.ready();
const first = simulation.leader()!;
tell(`${first} leads`);
await simulation.settle(simulation.replica('a').submit({ op: 'put', key: 'colour', value: 'red' }));
tell('a writes red');

const others = simulation.nodes.filter((id) => id !== first);
const minority = [first, others[0]!];
const majority = others.slice(1);
simulation.partition([minority, majority]);
tell(`the network splits: ${minority.join(' ')} | ${majority.join(' ')}`);
const late = simulation.replica(first).submit({ op: 'put', key: 'colour', value: 'green' });
tell(`${first} is asked to write green, and can not`);

await simulation.runUntil(leads(majority), 10_000);
tell(`${simulation.leader()} leads the majority`);
await simulation.settle(simulation.replica(majority[0]!).submit({ op: 'put', key: 'colour', value: 'blue' }));
tell(`${majority[0]} writes blue`);

simulation.heal();
tell('the network heals');
await simulation.settle(late);
tell(`${first} writes green, late`);
for (const id of simulation.nodes) {
  const colour = await simulation.settle(simulation.replica(id).query({ op: 'get', key: 'colour' }));
  tell(`${id} reads ${String(colour)}`);
}

simulation.check();
console.log(
  `every invariant held; the history is linearizable: ${checkLinearizable(keyValueModel(), simulation.history)}`,
);
console.log(`the same seed gives the same run, always: its hash is ${simulation.trace.hash}`);
