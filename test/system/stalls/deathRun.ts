/** kill -9 of random members, again and again: how soon the others notice. */
import { Group } from './group.js';
import { sleep } from './messages.js';

export interface Death {
  readonly loaded: boolean;
  readonly leader: boolean;
  /** Milliseconds from the kill until the first and the last survivor said `peer:unreachable`. */
  readonly firstMs: number | undefined;
  readonly lastMs: number | undefined;
  /** Until the last survivor suspected it. */
  readonly suspectMs: number | undefined;
  /** Whether the survivors said it on their own verdict; if not, their transport told them. */
  readonly ownVerdicts: number;
}

/** Longer than this nobody waits: the death went unnoticed. */
export const noticeWithinMs = 10_000;

export async function runDeaths(times: number, loaded: boolean): Promise<Death[]> {
  const group = await Group.start();
  try {
    const deaths: Death[] = [];
    for (let time = 0; time < times; time++) {
      const [status] = await group.settled();
      if (loaded) group.load(4, 0, false);
      await sleep(4000 + Math.random() * 500); // the detectors learn a rhythm; any phase of a heartbeat
      const victim = group.members[Math.floor(Math.random() * group.members.length)]!;
      const survivors = group.members.filter((member) => member !== victim);
      const from = group.told.length;
      const ended = victim.ended();
      const killed = victim.signal('SIGKILL');
      await ended;
      const notices = await Promise.all(
        survivors.map((survivor) =>
          group.heard(
            ({ at, by, event, about }) =>
              at >= killed && by === survivor.id && event === 'unreachable' && about === victim.id,
            noticeWithinMs,
          ),
        ),
      );
      const said = group.told.slice(from).filter(({ at, about }) => at >= killed && about === victim.id);
      const suspicions = said.filter(({ event }) => event === 'suspect');
      const when = notices.map((notice) => (notice === undefined ? Infinity : notice.at - killed));
      deaths.push({
        loaded,
        leader: victim.id === status!.leader,
        firstMs: finite(Math.min(...when)),
        lastMs: finite(Math.max(...when)),
        suspectMs: finite(Math.max(-Infinity, ...suspicions.map(({ at }) => at - killed))),
        ownVerdicts: notices.filter((notice) => notice?.convicted).length,
      });
      if (loaded) await Promise.all(survivors.map((member) => member.unload()));
      await victim.start();
    }
    await group.settled();
    return deaths;
  } finally {
    await group.destroy();
  }
}

const finite = (ms: number): number | undefined => (Number.isFinite(ms) ? ms : undefined);

/** The middle and the largest of what is known. */
export function spread(values: readonly (number | undefined)[]): {
  readonly p50: number;
  readonly max: number;
} {
  const known = values.filter((value) => value !== undefined).sort((a, b) => a - b);
  return { p50: known[Math.ceil(known.length / 2) - 1] ?? NaN, max: known.at(-1) ?? NaN };
}
