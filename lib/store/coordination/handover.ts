/**
 * Hands over what a member missed: a batch at a time, the next one once the member has the last one on its disk, and after a pause.
 *
 * @internal
 */
import type { NodeId } from '../../consensus/consensus.js';
import type { Environment } from '../../environment.js';
import type { LocalStore } from '../local/localStore.js';
import { exchange, EXCHANGE_KEYS, type Ask } from './repair.js';

/** Between two batches, in milliseconds: the member has its own clients to serve. */
const PAUSE_MS = 10;

export interface Handover {
  readonly local: LocalStore<unknown, unknown, unknown>;
  readonly member: NodeId;
  readonly ask: Ask;
  /** Whether the member is still to hold a key; a hint for one that it is not is dropped. */
  readonly owns: (key: string) => boolean;
  readonly environment: Environment;
}

/** Resolves to how many hints were handed over. Rejects with what `ask` rejects with: what was not handed over stays. */
export async function handOver({ local, member, ask, owns, environment }: Handover): Promise<number> {
  const { hints } = local.table;
  // Those that come meanwhile are for the next time: else a busy store would not come to an end.
  let left = hints.count(member);
  let told = 0;
  while (left > 0) {
    const batch = hints.peek(member, Math.min(left, EXCHANGE_KEYS));
    if (batch.length === 0) break;
    if (told > 0) await new Promise<void>((resolve) => environment.setTimer(PAUSE_MS, resolve));
    const keys = batch.map(({ key }) => key).filter(owns);
    if (keys.length > 0) await exchange(local, keys, ask);
    hints.told(member, batch);
    told += keys.length;
    left -= batch.length;
  }
  return told;
}
