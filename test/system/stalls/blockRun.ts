/** All members work without a pause, and their event loops are blocked again and again for up to half an election time-out. */
import { inWords, unorderedStalls } from './evidence.js';
import { Group, type Member } from './group.js';
import { now, sleep } from './messages.js';

/** The longest block: half of the default `electionTimeoutMs`. */
export const longestBlockMs = 150;
const shortestMs = 20;
const pause = { min: 100, max: 900 } as const;
/** Of each member; they never pause. */
const clients = 4;

export interface BlockFigures {
  readonly seconds: number;
  readonly blocks: number;
  readonly blockedSeconds: number;
  /** The machine drew it out beyond what was ordered. */
  readonly longestMs: number;
  readonly elections: number;
  /** Stalls of an election time-out or more: only the machine can make these. */
  readonly drawnOut: readonly string[];
  readonly commits: number;
}

export async function runBlocks(seconds: number): Promise<BlockFigures> {
  const group = await Group.start();
  try {
    await group.settled();
    group.load(clients, 0, false);
    await sleep(3000);
    const before = await group.statuses();
    const from = group.told.length;
    const end = now() + seconds * 1000;
    const blocks = (await Promise.all(group.members.map((member) => blockAgainAndAgain(member, end)))).flat();
    const after = await group.statuses();
    await group.unload();
    const epochs = (statuses: typeof before): number => Math.max(...statuses.map(({ epoch }) => epoch));
    const commits = (statuses: typeof before): number => statuses.reduce((sum, one) => sum + one.commits, 0);
    return {
      seconds,
      blocks: blocks.length,
      blockedSeconds: blocks.reduce((sum, ms) => sum + ms, 0) / 1000,
      longestMs: Math.max(0, ...blocks),
      elections: epochs(after) - epochs(before),
      drawnOut: unorderedStalls(group.told.slice(from), '').map(inWords),
      commits: commits(after) - commits(before),
    };
  } finally {
    await group.destroy();
  }
}

async function blockAgainAndAgain(member: Member, end: number): Promise<number[]> {
  const blocks: number[] = [];
  while (now() < end) {
    const { from, until } = await member.stall(
      between(shortestMs, longestBlockMs),
      blocks.length % 2 === 0 ? 'spin' : 'sleep',
    );
    blocks.push(until - from);
    await sleep(between(pause.min, pause.max));
  }
  return blocks;
}

const between = (low: number, high: number): number => low + Math.random() * (high - low);
