/** One member of three stands still, again and again; what came of it. */
import { checkLinearizable } from '../../../lib/testing/linearizability/checkLinearizable.js';
import { keyValueModel } from '../../../lib/testing/linearizability/keyValueModel.js';
import type { Verdict } from '../../../lib/testing/linearizability/model.js';
import { inWords, linksLost, stoodStill, unorderedStalls } from './evidence.js';
import { Group, type Member } from './group.js';
import { now, sleep, type RecordedOperation } from './messages.js';

/** The shortest and the longest stall, and the pauses between. */
export const stallRange = { min: 50, max: 2000, pauseMin: 200, pauseMax: 2500 } as const;
/** After so long a stall was announced, those of up to 2 s are covered: found dead after 1564 ms + this. */
const wideningMs = 1000;
/** A stall that the machine drew out beyond this may cost a link all the same. */
const drawnOutMs = 2300;

/** The figures of a run, and what was wrong. */
export interface StallFigures {
  readonly role: 'leader' | 'follower';
  readonly seconds: number;
  readonly stalls: number;
  readonly stalledSeconds: number;
  readonly longestMs: number;
  /** How often peers suspected the one that stalls. */
  readonly suspected: number;
  /** How often peers took it for dead: in all, and after patience had widened (and the stall was not drawn out). */
  readonly convicted: number;
  readonly convictedLate: readonly string[];
  /** Peers that it took for dead though they did not stand still themselves. */
  readonly convicts: readonly string[];
  /** The same with those that did: on an overloaded machine they may well stand still. */
  readonly convictsAtAll: number;
  /** Links that it saw end: closed by a peer that had convicted it, and otherwise. */
  readonly closedByPeers: number;
  readonly unexplained: readonly string[];
  readonly linksLostByOthers: number;
  readonly elections: number;
  /** The machine had no time for the others so often: each may cost an election that no stall of ours caused. */
  readonly unorderedStalls: number;
  readonly commits: number;
  readonly operations: number;
  readonly verdict: Verdict;
}

/** With `worstMs` the first stall and every third after it are that long; the others, or all, are random. */
export async function runStalls(
  role: 'leader' | 'follower',
  seconds: number,
  worstMs?: number,
): Promise<StallFigures> {
  const group = await Group.start();
  try {
    await sleep(3000); // the detectors learn a rhythm
    const victim = role === 'leader' ? await group.leader() : await group.follower();
    const [before] = await group.settled();
    group.load(2, 40, true);
    const from = group.told.length;
    const start = now();
    const stalls = await stallAgainAndAgain(victim, start + seconds * 1000, worstMs);
    await sleep(2000);
    await group.unload();
    const after = await group.settled();
    const told = group.told.slice(from);

    const longestMs = stalls.reduce((longest, { ms }) => Math.max(longest, ms), 0);
    const ends = linksLost(told, victim.id, longestMs);
    const widened = stalls.find(({ ms }) => ms >= wideningMs)?.until ?? Infinity;
    const late = ends.ofVictim.filter(
      ({ at }) =>
        at > widened + 1000 &&
        !stalls.some(({ ms, until }) => ms > drawnOutMs && at > until - ms && at < until + 1000),
    );
    return {
      role,
      seconds,
      stalls: stalls.length,
      stalledSeconds: stalls.reduce((sum, { ms }) => sum + ms, 0) / 1000,
      longestMs,
      suspected: told.filter((one) => one.event === 'suspect' && one.about === victim.id).length,
      convicted: ends.ofVictim.length,
      convictedLate: late.map(inWords),
      convicts: ends.byVictim.filter((one) => !stoodStill(told, one)).map(inWords),
      convictsAtAll: ends.byVictim.length,
      closedByPeers: ends.closedOnVictim.length,
      unexplained: ends.unexplained.map(inWords),
      linksLostByOthers: ends.amongOthers.length,
      elections: after[0]!.epoch - before!.epoch,
      unorderedStalls: unorderedStalls(told, victim.id).length,
      commits: after.reduce((sum, { commits }) => sum + commits, 0),
      operations: group.operations.length,
      verdict: judged(group.operations),
    };
  } finally {
    await group.destroy();
  }
}

export function judged(operations: readonly RecordedOperation[]): Verdict {
  return checkLinearizable(keyValueModel(), operations, { timeoutMs: 60_000 });
}

async function stallAgainAndAgain(
  victim: Member,
  end: number,
  worstMs: number | undefined,
): Promise<{ readonly ms: number; readonly until: number }[]> {
  const stalls = [];
  const { min, max, pauseMin, pauseMax } = stallRange;
  let next = worstMs ?? between(min, max);
  do {
    const { from, until } = await victim.stall(next, stalls.length % 2 === 0 ? 'spin' : 'sleep');
    stalls.push({ ms: until - from, until });
    await sleep(between(pauseMin, pauseMax));
    next = worstMs !== undefined && stalls.length % 3 === 0 ? worstMs : between(min, max);
  } while (now() < end);
  return stalls;
}

const between = (low: number, high: number): number => low + Math.random() * (high - low);
