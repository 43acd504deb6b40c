/** A process is suspended and woken, as a laptop is. */
import type { Verdict } from '../../../lib/testing/linearizability/model.js';
import { inWords, linksLost, stoodStill } from './evidence.js';
import { Group } from './group.js';
import { now, sleep } from './messages.js';
import { judged } from './stallRun.js';

export interface PauseFigures {
  readonly role: 'leader' | 'follower';
  readonly pausedMs: number;
  /** How many peers took the sleeper for dead. */
  readonly convicted: number;
  /** Peers that the sleeper took for dead when it woke, though they did not stand still. */
  readonly convicts: readonly string[];
  readonly unexplained: readonly string[];
  /** Milliseconds from waking until all links were up and direct and all agreed on a leader. */
  readonly backMs: number;
  /** And until a write of the sleeper's own clients was acknowledged. */
  readonly servesMs: number;
  readonly elections: number;
  readonly operations: number;
  readonly verdict: Verdict;
}

export async function runPause(role: 'leader' | 'follower', ms: number): Promise<PauseFigures> {
  const group = await Group.start();
  try {
    group.load(2, 20, true);
    await sleep(4000);
    const sleeper = role === 'leader' ? await group.leader() : await group.follower();
    const [before] = await group.settled();
    const from = group.told.length;
    const paused = sleeper.signal('SIGSTOP');
    await sleep(ms);
    const woken = sleeper.signal('SIGCONT');
    const back = group.settled().then((statuses) => ({ epoch: statuses[0]!.epoch, at: now() }));
    const served = await firstWrite(group, sleeper.id, woken);
    const { epoch, at } = await back;
    await sleep(6000); // whom it would take for dead, it would by now
    await group.unload();
    await group.settled();
    const told = group.told.slice(from);
    const ends = linksLost(told, sleeper.id, woken - paused);
    return {
      role,
      pausedMs: woken - paused,
      convicted: ends.ofVictim.length,
      convicts: ends.byVictim.filter((one) => !stoodStill(told, one)).map(inWords),
      unexplained: ends.unexplained.map(inWords),
      backMs: at - woken,
      servesMs: served - woken,
      elections: epoch - before!.epoch,
      operations: group.operations.length,
      verdict: judged(group.operations),
    };
  } finally {
    await group.destroy();
  }
}

/** When a write that the member called after `since` was acknowledged. */
async function firstWrite(group: Group, id: string, since: number): Promise<number> {
  const giveUp = now() + 60_000;
  const from = group.operations.length;
  for (;;) {
    const found = group.operations
      .slice(from)
      .find(
        ({ process, call, input, return: at }) =>
          String(process).startsWith(`${id}.`) && input.op !== 'get' && call > since && at < Infinity,
      );
    if (found !== undefined) return found.return;
    if (now() > giveUp) throw new Error(`no write of ${id} for a minute after it woke`);
    await sleep(20);
  }
}
