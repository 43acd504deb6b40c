/** Counts members towards what a call needs. @internal */
import type { Environment } from '../../environment.js';
import { QuorateError, type Fate } from '../../errors.js';

/** The `data` of a call that too few members took part in. */
export interface QuorumShortfall {
  /** How many members had to take part, this node among them. */
  readonly needed: number;
  /** How many did, this node among them. */
  readonly answered: number;
  /** How many members the store has. */
  readonly members: number;
}

/** No member, or too few, can be reached for a call, which did nothing. */
export function storeNotReady(what: string, data: QuorumShortfall): QuorateError {
  const { needed, answered, members } = data;
  const message = `${what}: ${answered} of ${members} members can be reached and took part, ${needed} were needed`;
  return new QuorateError('ERR_NOT_READY', message, { data, fate: 'refused' });
}

export interface Gathering {
  readonly environment: Environment;
  readonly needed: number;
  readonly timeoutMs: number;
  /** What each other member does; resolves when that is done. */
  readonly steps: readonly Promise<unknown>[];
  /** How many members there are, where some were not asked. @defaultValue those that do something, and this node */
  readonly members?: number;
  /** 1 where this node is one of those that count, and has done its part. @defaultValue 1 */
  readonly own?: 0 | 1;
  readonly what: string;
  readonly fate?: Fate;
}

/**
 * Waits until so many members did their part, this node included, which did; resolves to how many did by then. Rejects with ERR_TIMEOUT,
 * or with ERR_NOT_READY as soon as no more can follow.
 */
export function gather({
  environment,
  needed,
  timeoutMs,
  steps,
  members: given,
  own = 1,
  what,
  fate,
}: Gathering): Promise<number> {
  return new Promise((resolve, reject) => {
    const members = given ?? steps.length + own;
    let answered: number = own;
    let open = steps.length;
    let over = false;
    const end = (settle: () => void): void => {
      if (over) return;
      over = true;
      timer?.cancel();
      settle();
    };
    let late = false;
    const fail = (): void => {
      const [code, why] = late
        ? (['ERR_TIMEOUT', `took part within ${timeoutMs} ms`] as const)
        : (['ERR_NOT_READY', 'can be reached and took part'] as const);
      const data: QuorumShortfall = { needed, answered, members };
      const message = `${what}: ${answered} of ${members} members ${why}, ${needed} were needed`;
      end(() => reject(new QuorateError(code, message, { data, fate })));
    };
    const look = (): void => {
      if (answered >= needed) end(() => resolve(answered));
      else if (answered + open < needed) fail();
    };
    const timer =
      needed > own
        ? environment.setTimer(timeoutMs, () => {
            late = true;
            fail();
          })
        : undefined;
    for (const step of steps)
      step.then(
        () => {
          open--;
          answered++;
          look();
        },
        (error: unknown) => {
          open--;
          if (error instanceof QuorateError && error.code === 'ERR_TIMEOUT') late = true;
          look();
        },
      );
    look();
  });
}
