/** What may be asked of `read`, alike for all storages. */
import type { Entry, Index } from '../consensus/consensus.js';
import { QuorateError } from '../errors.js';
import { ENTRY_OVERHEAD } from './entryCodec.js';

/** What an entry counts against a limit of bytes: its data and a little more, so that empty ones are limited too. @internal */
export function costOf(entry: Entry): number {
  return entry.data.length + ENTRY_OVERHEAD;
}

/** Throws ERR_COMPACTED or ERR_INTERNAL where there is no such range. @internal */
export function checkReadRange(group: string, first: Index, last: Index, from: Index, to: Index): void {
  if (from < first) {
    throw new QuorateError(
      'ERR_COMPACTED',
      `group ${group} holds entries from ${first} on, ${from} was asked for`,
    );
  }
  if (from > last || to < from) {
    throw new QuorateError(
      'ERR_INTERNAL',
      `group ${group} holds entries up to ${last}; ${from} to ${to} were asked for`,
    );
  }
}
