/** What a room is furnished with, as the options of its replica say. @internal */
import type { Environment } from '../environment.js';
import type { CheckedOptions } from './options.js';
import type { RoomEvents, RoomSetup } from './room.js';
import type { StateMachine } from './stateMachine.js';

export function furnish(
  self: string,
  machine: StateMachine,
  options: CheckedOptions,
  environment: Environment,
  events: RoomEvents,
): RoomSetup {
  return {
    self,
    machine,
    codec: options.codec,
    environment,
    limits: {
      maxPendingCommands: options.maxPending,
      maxPendingBytes: options.maxPendingBytes,
      maxCommandBytes: options.maxCommandBytes,
      submitTimeoutMs: options.timeout,
    },
    outbox: options.outbox,
    protocol: options.wired.protocol.name,
    witness: options.join === 'witness',
    events,
  };
}
