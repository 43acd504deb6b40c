/** What an operator decides about a saga that cannot go on by itself. @internal */
import type { ApplyContext } from '../../replica/stateMachine.js';
import type { SagaCommands } from './commands.js';
import { STUCK_AFTER } from './limits.js';
import { hasEnded, isStuck } from './record.js';
import type { Plan } from './shape.js';
import {
  advance,
  end,
  settleDone,
  tryAgain,
  turnBack,
  type SagaDraft,
  type StepDraft,
} from './transitions.js';

/** Changes the draft, or rejects the command with everything as it was. */
export function resolveSaga(
  saga: SagaDraft,
  plan: Plan,
  c: SagaCommands['resolve']['input'],
  context: ApplyContext,
): void {
  const { id, action } = c;
  if (hasEnded(saga.state)) context.reject('ENDED', { id, state: saga.state });
  // What nobody can run is given up at most.
  const isOrphan = saga.owner === '' && action === 'abandon';
  if (!isStuck(saga) && !isOrphan) context.reject('NOT_STUCK', { id });
  switch (action) {
    case 'retry':
      for (const step of stuckSteps(saga, plan, c, context)) retry(step);
      break;
    case 'skip': {
      const [step] = stuckSteps(saga, plan, c, context);
      // As if its current attempt had done what it should; one that is under way is ended by its runner.
      if (step!.state === 'undoWaiting') step!.state = 'undoing';
      settleDone(step!, c.result);
      step!.retryAt = 0;
      break;
    }
    case 'compensate': {
      if (saga.state !== 'running') context.reject('NOT_RUNNING', { id, state: saga.state });
      const error = { code: 'RESOLVED', message: c.reason, data: undefined };
      turnBack(saga, { kind: 'resolved', step: c.step, error });
      break;
    }
    case 'abandon': {
      const error = { code: 'ABANDONED', message: c.reason, data: undefined };
      saga.cause ??= { kind: 'resolved', step: c.step, error };
      end(saga, 'abandoned', context.time);
      return;
    }
  }
  advance(saga, plan, context.time);
}

function retry(step: StepDraft): void {
  step.stuck = false;
  step.patience = step.attempts + STUCK_AFTER;
  if (step.state === 'waiting' || step.state === 'undoWaiting') tryAgain(step);
}

/** The stuck step that is named, or all of them. */
function stuckSteps(
  saga: SagaDraft,
  plan: Plan,
  { id, step: name }: SagaCommands['resolve']['input'],
  context: ApplyContext,
): StepDraft[] {
  const found = saga.steps.filter(
    (step, i) => step.stuck && (name === undefined || plan.shape.steps[i]!.id === name),
  );
  if (found.length === 0) context.reject('NOT_STUCK', { id, step: name });
  return found;
}
