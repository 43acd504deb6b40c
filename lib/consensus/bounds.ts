/** Numbers that no group reaches: what is above them was never counted, but made up or corrupted. @internal */

/** No log gets so long: a million commands each second for 35 years. Leaves room to count on. */
export const MAX_INDEX = 2 ** 50;

/**
 * How far ahead of the own epoch number (Raft: term) another one may be. An election each second for 136 years: no node was away
 * for longer, and a corrupt one would end all counting.
 */
export const MAX_EPOCH_JUMP = 2 ** 32;
