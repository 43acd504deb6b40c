/** The contexts that commands of transactions are rehearsed and applied in. @internal */
import { nextUint32 } from '../replica/prng.js';
import type { RehearsalStep } from '../replica/rehearsal.js';
import type { ApplyContext } from '../replica/stateMachine.js';
import type { Step } from './branches.js';

/**
 * The context of a step: what its own entry of the log said, however much later it is applied, so that it goes the way it was
 * rehearsed. Rejects through the context of the entry that is being applied now.
 */
export function contextOf(step: Omit<Step, 'command'>, outer: ApplyContext): ApplyContext {
  let state: Uint32Array | undefined;
  return {
    index: step.index,
    time: step.time,
    origin: step.origin,
    random: () => {
      if (state === undefined) {
        const seed = Math.floor(step.seed * 0x1_0000_0000);
        state = Uint32Array.of(seed, step.index >>> 0, seed ^ 0x9e3779b9, 1);
        for (let i = 0; i < 8; i++) nextUint32(state);
      }
      return nextUint32(state) / 0x1_0000_0000;
    },
    reject: (code, data) => outer.reject(code, data),
  };
}

/** The steps as a machine rehearses them. */
export function rehearsalOf(steps: readonly Step[], outer: ApplyContext): RehearsalStep<unknown>[] {
  return steps.map((step) => ({ command: step.command, context: contextOf(step, outer) }));
}
