/** How far the members are: asked of the leader, and told again and again while somebody waits for a change of the members. */
import type { ProgressReport } from '../engine/progressWire.js';
import type { Environment, Timer } from '../environment.js';
import type { Wanted } from './leaderCalls.js';
import type { MemberProgress } from './replicaTypes.js';

/** How often the leader is asked. */
const EVERY_MS = 250;

/** Asks the leader once. @internal */
export const askProgress: Wanted = {
  request: { type: 'progress' },
  reached: () => false,
  missing: 'no leader told how far the members are',
  refused: 'the leader did not tell how far the members are',
  explain: () => 'no leader could be asked',
  code: 'ERR_NOT_READY',
};

/** As the app sees it. @internal */
export function progressOf({ lastIndex, members }: ProgressReport): MemberProgress[] {
  return members.map(({ id, state, matched, silentMs, snapshot }) => ({
    id,
    state,
    matchedIndex: matched,
    lag: Math.max(0, lastIndex - matched),
    silentMs,
    snapshot,
  }));
}

/**
 * Has `tell` called with what `ask` answers, now and then, until `work` is settled; answers what that does. If `tell` throws, so
 * does this, and what was begun goes on.
 *
 * @internal
 */
export async function withProgress(
  environment: Environment,
  work: Promise<unknown>,
  ask: () => Promise<MemberProgress[]>,
  tell: (members: readonly MemberProgress[]) => void,
): Promise<void> {
  let timer: Timer | undefined;
  const state = { over: false };
  const telling = new Promise<never>((_resolve, reject) => {
    const look = (): void => {
      ask()
        .catch(() => undefined) // asked again, and the change itself says what is wrong
        .then((members) => {
          if (state.over) return;
          if (members) tell(members);
          timer = environment.setTimer(EVERY_MS, look);
        })
        .catch(reject);
    };
    look();
  });
  try {
    await Promise.race([work, telling]);
  } finally {
    state.over = true;
    timer?.cancel();
  }
}
