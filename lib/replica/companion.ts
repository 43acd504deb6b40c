/** How something that lives beside a replica, and that its state machine needs, comes to life with it. @internal */
import type { Mesh } from '../mesh/mesh.js';
import type { Codec } from './codec.js';
import type { Replica } from './replica.js';
import type { StateMachine } from './stateMachine.js';

/** The name of the method of a state machine that is called once its replica is open. */
export const companion = Symbol('companion');

/** A state machine with a companion, which ends by itself when the replica is closed. */
export interface Accompanied {
  [companion]?(replica: Replica, mesh: Mesh, codec: Codec): void;
}

/** Calls the companion to life, if the machine has one. */
export function accompany(machine: StateMachine, replica: Replica, mesh: Mesh, codec: Codec): void {
  (machine as Accompanied)[companion]?.(replica, mesh, codec);
}
