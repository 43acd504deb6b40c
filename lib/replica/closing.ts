/** What a replica does for others before it closes. @internal */
import type { Environment } from '../environment.js';
import type { Room } from './room.js';
import type { Standing } from './standing.js';
import { transferTo } from './transferCall.js';

/** How often it looks whether it may close, in milliseconds. */
const LOOK_MS = 5;

/** Waits until nothing is pending, the time is over, or `over` says so. */
export function drained(
  environment: Environment,
  { submitter, reads }: Pick<Room, 'submitter' | 'reads'>,
  timeout: number,
  over: () => boolean,
): Promise<void> {
  const end = environment.now() + timeout;
  return new Promise((resolve) => {
    const look = (): void => {
      const idle = submitter.pendingCommands === 0 && reads.pending === 0;
      if (idle || over() || environment.now() >= end) resolve();
      else environment.setTimer(LOOK_MS, look);
    };
    look();
  });
}

/** Gives the leadership to anybody. Best effort: who cannot take over finds out by itself that the leader is gone. */
export async function handOver(
  { leaderCalls }: Pick<Room, 'leaderCalls'>,
  { leads, members }: Pick<Standing, 'leads' | 'members'>,
  timeout: number,
): Promise<void> {
  if (!leads || members.length < 2) return;
  await leaderCalls.ask(transferTo('', true), { timeout }).catch(() => undefined);
}
