/** A process that runs sagas of five steps; each step asks the world outside, over the channel to the test, for its effect. */
import {
  defineSaga,
  diskStorage,
  joinMesh,
  openReplica,
  openSagas,
  QuorateError,
  sagas,
  webrtc,
  webSocketSignaling,
  type SagaStepContext,
  type SagaUndoContext,
} from '../../../lib/index.js';
import type { Setup } from './processes.js';
import { LEASE_MS, type Reply, type Request } from './sagaMessages.js';

interface Input {
  readonly fails: boolean;
}

const setup = JSON.parse(process.argv[2] ?? '') as Setup;
const reply = (message: Reply): void => {
  if (process.connected) process.send?.(message);
};
const mesh = await joinMesh({
  id: setup.id,
  cluster: 'system-test',
  secret: setup.secret,
  transport: webrtc({ signaling: webSocketSignaling(setup.signaling), bindAddress: '127.0.0.1' }),
});
const replica = await openReplica({
  mesh,
  group: 'sagas',
  members: ['a', 'b', 'c'],
  stateMachine: sagas(),
  storage: diskStorage(setup.directory),
});
const running = openSagas({ replica, lease: LEASE_MS, settle: 100 });

let calls = 0;
const waiting = new Map<number, () => void>();

function act({ saga, key, token }: { saga: string; key: string; token: number }): Promise<void> {
  return new Promise((resolve) => {
    waiting.set(++calls, resolve);
    reply({ type: 'act', call: calls, saga, key, token });
  });
}

async function undo(context: SagaUndoContext<Input, object>): Promise<void> {
  await act(context);
}

function step(name: string) {
  return async (context: SagaStepContext<Input, object>): Promise<void> => {
    if (name === 'five' && context.input.fails) context.reject('NO');
    await act(context);
  };
}

// On a busy machine a lease may be over, and the saga another's, again and again.
const retry = { attempts: 1000 };
const saga = defineSaga<Input>({ name: 'five', version: 1 })
  .step('one', { do: step('one'), undo, retry })
  .step('two', { do: step('two'), undo, retry })
  .step('three', { do: step('three'), undo, retry })
  .step('four', { do: step('four'), undo, retry })
  .step('five', { do: step('five'), undo, retry });
running.define(saga);

async function answer(request: Request): Promise<void> {
  switch (request.type) {
    case 'start':
      for (;;) {
        try {
          await running.start(saga, { id: request.id, input: { fails: request.fails } });
          break;
        } catch (error) {
          if (!(error instanceof QuorateError)) throw error; // it is idempotent: again
        }
      }
      reply({ type: 'started' });
      return;
    case 'done':
      waiting.get(request.call)?.();
      waiting.delete(request.call);
      return;
    case 'state': {
      try {
        const status = await running.status(request.id);
        const steps = status?.steps.map(({ id, state }) => `${id} ${state}`) ?? [];
        if (status?.cause !== undefined) steps.push(JSON.stringify(status.cause));
        reply({ type: 'state', state: status?.state ?? 'unknown', steps });
      } catch (error) {
        reply({ type: 'state', state: 'unknown', steps: [String(error)] });
      }
    }
  }
}

process.on('message', (request: Request) => {
  answer(request).catch((error: unknown) => {
    console.error(setup.id, error);
    process.exit(1);
  });
});
process.on('disconnect', () => process.exit());
reply({ type: 'open' });
