/** What to think of a snapshot that a peer begins to send: before a byte of it is written, for it would replace our log. */
import { MAX_EPOCH_JUMP, MAX_INDEX } from '../consensus/bounds.js';
import type { SnapshotMeta } from '../consensus/consensus.js';
import type { Group } from './group.js';

/** `breach`: it cannot be one of this group. `useless`: it may be, but cannot be taken here and now. */
export type OfferVerdict = 'take' | 'useless' | 'breach';

/** Judges a snapshot of which so many bytes are still to come. */
export function judgeOffer(group: Group, meta: SnapshotMeta, bytes: number): OfferVerdict {
  const { epoch, genesis, role } = group.core.status;
  const { membership } = meta;
  if (meta.index > MAX_INDEX || meta.epoch.n > epoch.n + MAX_EPOCH_JUMP) return 'breach';
  if (membership.genesis === '' || membership.voters.length === 0) return 'breach';
  if (genesis !== '' && membership.genesis !== genesis) return 'breach';
  // A leader has all that is committed. And a disk that is full would take the replica down.
  return role === 'leader' || bytes > group.store.headroom() ? 'useless' : 'take';
}
