/** One run of a partial partition, in the simulator: what becomes of a group under load. */
import type { ConsensusOption } from '../../lib/replica/consensus.js';
import { createSimulation, type Simulation } from '../../lib/testing/index.js';
import { Random } from '../../lib/testing/simulation/random.js';
import { fallen, type Scenario } from './scenarios.js';

/** What both protocols have by default. */
export const ELECTION_MS = 300;
/** The members have met, and the load runs, before anything falls. */
const WARM_MS = 1500;
/** Cut off from the leader, A lags by then. */
const LAG_MS = 2000;
/** How long the links are down. The paper had its own down for minutes, with time-outs from 50 ms to 50 s. */
const PARTITION_MS = 20_000;
const PAUSE_MS = 20;
const CALL_MS = 1000;
const HEALED_MS = 20_000;

/** What is tried. */
export interface Setting {
  readonly scenario: Scenario;
  readonly consensus: ConsensusOption;
  readonly relay: boolean;
  readonly seed: number;
  /** How long the links are down. @defaultValue 20 s */
  readonly partitionMs?: number;
}

/** What came of it. Times in milliseconds. */
export interface Outcome {
  /** In the second half of the partition commands were committed all the time, and the leader stayed. */
  readonly stable: boolean;
  /** The longest time in which no command was acknowledged, from the moment when the last links fell. */
  readonly downMs: number;
  /** How many leaders were elected since then. */
  readonly changes: number;
  /** Through so many of the members commands were done until the end. */
  readonly served: number;
  /** How long after healing until commands are done through all of them; undefined: not within 20 s. */
  readonly healedMs: number | undefined;
}

/** Runs it; throws `ERR_INVARIANT` when something does not hold. */
export async function measure({
  scenario,
  consensus,
  relay,
  seed,
  partitionMs = PARTITION_MS,
}: Setting): Promise<Outcome> {
  const nodes = scenario.parts.map((part) => part.toLowerCase());
  const simulation = createSimulation({ seed, nodes, consensus, relay, timeout: CALL_MS });
  await simulation.ready();
  await simulation.runUntil(() => simulation.group.members.settled(nodes), 10_000);
  const done = load(simulation);
  await simulation.run(WARM_MS);
  const of = cast(scenario, simulation);
  const cut = (a: string, b: string): void => simulation.cut(of(a), of(b));
  for (const [a, b] of scenario.before) cut(a!, b!);
  if (scenario.before.length > 0) await simulation.run(LAG_MS);
  if (simulation.leader() !== of(scenario.leader))
    throw new Error(`seed ${seed}: ${scenario.leader} does not lead any more before the partition`);

  for (const [a, b] of fallen(scenario)) cut(a, b);
  const begun = simulation.now;
  const before = simulation.counts()['reigns'] ?? 0;
  await simulation.run(partitionMs / 2);
  const half = simulation.now;
  const changesByHalf = (simulation.counts()['reigns'] ?? 0) - before;
  await simulation.run(partitionMs / 2);
  const end = simulation.now;
  const changes = (simulation.counts()['reigns'] ?? 0) - before;
  const times = [...done.values()].flat().sort((a, b) => a - b);
  const served = [...done.values()].filter((own) => own.some((at) => at > end - 2 * CALL_MS)).length;

  simulation.heal();
  const all = (): boolean => [...done.values()].every((own) => (own.at(-1) ?? 0) > end);
  const healed = await simulation.runUntil(all, HEALED_MS);
  simulation.check();
  return {
    stable: longestGap(times, half, end) < ELECTION_MS && changes === changesByHalf,
    downMs: longestGap(times, begun, end),
    changes,
    served,
    healedMs: healed ? simulation.now - end : undefined,
  };
}

/** Who plays which part: the leader its own, the others by lot. */
function cast({ parts, leader }: Scenario, simulation: Simulation): (part: string) => string {
  const leads = simulation.leader();
  if (leads === undefined) throw new Error(`seed ${simulation.seed}: nobody leads`);
  const others = new Random(`cast ${simulation.seed}`).shuffle(simulation.nodes.filter((id) => id !== leads));
  const rest = parts.filter((part) => part !== leader);
  return (part) => (part === leader ? leads : others[rest.indexOf(part)]!);
}

/** A client at every member, each one command after the other; answers when which were done. */
function load(simulation: Simulation): ReadonlyMap<string, number[]> {
  const done = new Map<string, number[]>();
  const client = async (id: string, times: number[]): Promise<void> => {
    for (let n = 0; ; n++) {
      const call = simulation.replica(id).submit({ op: 'put', key: id, value: n });
      const ok = await call.then(
        () => true,
        () => false,
      );
      if (ok) times.push(simulation.now);
      await simulation.sleep(PAUSE_MS);
    }
  };
  for (const id of simulation.nodes) {
    const times: number[] = [];
    done.set(id, times);
    void client(id, times);
  }
  return done;
}

/** The longest stretch from `from` to `to` without any of `times`, which are in order. */
export function longestGap(times: readonly number[], from: number, to: number): number {
  let last = from;
  let longest = 0;
  for (const at of times) {
    if (at <= from || at >= to) continue;
    longest = Math.max(longest, at - last);
    last = at;
  }
  return Math.max(longest, to - last);
}
