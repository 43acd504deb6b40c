/** A full mesh of many nodes in one process of its own, and the deaths that it survives. */
import { fork } from 'node:child_process';
import { table } from '../../bench/lib/table.js';
import { spread } from './stalls/deathRun.js';

export interface MeshPlan {
  readonly nodes: number;
  /** How often three nodes die at once; they come back in between. */
  readonly triples: number;
}

/** Three deaths. Times are milliseconds from the cut. */
export interface Round {
  readonly dead: readonly string[];
  readonly cuts: readonly string[];
  readonly votersDead: number;
  readonly leaderDead: boolean;
  /** Until all survivors had given up the links to the three. */
  readonly noticedMs: number;
  /** Links between survivors that were lost, each end counted. */
  readonly survivorsLost: number;
  /** Commits of the group's surviving voters until all was noticed and each had committed ten more, and the longest gap. */
  readonly commits: number;
  readonly longestGapMs: number;
  /** From the return of the three until the mesh was full again. */
  readonly fullAgainMs: number;
}

export interface MeshFigures {
  readonly nodes: number;
  /** Set-up of one bare data channel in the same process before, several times; failures left out. */
  readonly rawPairMs: readonly number[];
  readonly rawFailures: number;
  /** From the first join until every node had a direct link to every other. */
  readonly formedMs: number;
  /** The longest that the process stood still in all that time: its nodes announce it, and are given as much more patience. */
  readonly longestStallMs: number;
  readonly rounds: readonly Round[];
}

/** Forks a process for it. */
export async function runFullMesh(plan: MeshPlan): Promise<MeshFigures> {
  const child = fork(new URL('./fullMeshChild.js', import.meta.url), [JSON.stringify(plan)]);
  let figures: MeshFigures | undefined;
  child.on('message', (message: MeshFigures) => (figures = message));
  const code = await new Promise<number | string | null>((resolve) =>
    child.once('exit', (status, signal) => resolve(status ?? signal)),
  );
  if (code !== 0 || figures === undefined) throw new Error(`the mesh of ${plan.nodes} ended with ${code}`);
  return figures;
}

export function meshTable(runs: readonly MeshFigures[]): string {
  const rounds = runs.flatMap((run) => run.rounds);
  const row = (name: string, values: readonly number[]) => {
    const { p50, max } = spread(values);
    return [name, String(values.length), String(Math.round(p50)), String(Math.round(max))];
  };
  return table(
    `Full mesh of ${runs[0]?.nodes ?? 0} in one process`,
    ['', 'measured', 'p50', 'max'],
    [
      row(
        'one bare data channel set up, ms',
        runs.flatMap((run) => run.rawPairMs),
      ),
      row(
        'mesh formed, ms',
        runs.map((run) => run.formedMs),
      ),
      row(
        'longest stall of the process, ms',
        runs.map((run) => run.longestStallMs),
      ),
      row(
        'three deaths noticed by all, ms',
        rounds.map((round) => round.noticedMs),
      ),
      row(
        'links lost between survivors',
        rounds.map((round) => round.survivorsLost),
      ),
      row(
        'longest time without a commit, ms',
        rounds.map((round) => round.longestGapMs),
      ),
      row(
        'three back, mesh full again, ms',
        rounds.map((round) => round.fullAgainMs),
      ),
    ],
  );
}
