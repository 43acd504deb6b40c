/** What the tests of simulations have in common. */
import { expect } from 'chai';
import { QuorateError } from '../../../../lib/errors.js';
import type { ErrorCode } from '../../../../lib/errors.js';
import type { KeyValueMachine } from '../../../../lib/machines/keyValue.js';
import { raft, type ConsensusOption } from '../../../../lib/replica/consensus.js';
import type { StateMachine } from '../../../../lib/replica/stateMachine.js';
import { alterCores } from '../../../../lib/testing/exploration/alterCores.js';
import { createSimulation, type Simulation, type SimulationOptions } from '../../../../lib/testing/index.js';

export const three = ['a', 'b', 'c'];
export const five = ['a', 'b', 'c', 'd', 'e'];

export type KeyValueSimulation = Simulation<KeyValueMachine<unknown>>;

/** A cluster that has elected, and would again without any one of its nodes. */
export async function elected(
  options: Partial<SimulationOptions<KeyValueMachine<unknown>>> = {},
): Promise<KeyValueSimulation> {
  const simulation = createSimulation({ seed: 1, nodes: three, ...options });
  await simulation.ready();
  return simulation;
}

/** Waits until one of these leads; answers who. */
export async function untilLed<M extends StateMachine>(
  simulation: Simulation<M>,
  among: readonly string[] = simulation.nodes,
): Promise<string> {
  const leads = (): boolean => among.includes(simulation.leader() ?? '');
  expect(await simulation.runUntil(leads, 20_000), 'somebody leads').to.equal(true);
  return simulation.leader()!;
}

/** Waits until all nodes are up and stand at the same index. */
export async function untilEqual<M extends StateMachine>(simulation: Simulation<M>): Promise<void> {
  const equal = (): boolean =>
    simulation.nodes.every(
      (id) =>
        simulation.state(id) === 'up' &&
        simulation.replica(id).status().appliedIndex === simulation.commitIndex,
    );
  expect(await simulation.runUntil(equal, 20_000), 'all stand at the same index').to.equal(true);
}

export function put(simulation: KeyValueSimulation, id: string, key: string, value: unknown) {
  return simulation.settle(simulation.replica(id).submit({ op: 'put', key, value }));
}

export function get(simulation: KeyValueSimulation, id: string, key: string) {
  return simulation.settle(simulation.replica(id).query({ op: 'get', key }));
}

/** What a call throws, at once or later. */
export async function thrown(call: () => unknown, code: ErrorCode): Promise<QuorateError> {
  let error: unknown;
  try {
    await call();
  } catch (caught) {
    error = caught;
  }
  expect(error, `a QuorateError ${code}`).to.be.instanceOf(QuorateError);
  expect((error as QuorateError).code, (error as QuorateError).message).to.equal(code);
  return error as QuorateError;
}

/** Raft whose cores are changed: what `change` answers takes the place of the core's own. */
export function brokenRaft(
  change: Parameters<typeof alterCores>[1],
  prepare?: Parameters<typeof alterCores>[2],
): ConsensusOption {
  return alterCores(raft(), change, prepare);
}
