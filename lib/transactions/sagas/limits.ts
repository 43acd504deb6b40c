/** The caps of sagas. Those of the state machine are part of the protocol: all members must refuse alike. @internal */

/** Steps of a saga. */
export const MAX_STEPS = 64;
/** Bytes of a saga's encoded input. */
export const MAX_INPUT_BYTES = 262_144;
/** Bytes of a step's encoded result. */
export const MAX_RESULT_BYTES = 65_536;
/** Bytes of what an error carries beside its message, encoded; more is left out. */
export const MAX_ERROR_DATA_BYTES = 4096;
/** Characters of an error's message; more is cut off. */
export const MAX_MESSAGE = 1000;
/** Sagas that the group remembers, ended ones included. */
export const MAX_SAGAS = 100_000;
/** Bytes of all of them above which none is begun; those under way may add their results. */
export const MAX_STATE_BYTES = 268_435_456;
/** Members that run sagas at the same time. */
export const MAX_RUNNERS = 256;
/** Definitions that one member runs. */
export const MAX_DEFINITIONS = 1024;
/** Attempts after which a step that is tried without end counts as stuck. */
export const STUCK_AFTER = 10;
/** Ended sagas that one command forgets at most. */
export const FORGET_AT_ONCE = 64;

export const MIN_LEASE_MS = 100;
export const MAX_LEASE_MS = 3_600_000;
export const MAX_SPAN_MS = 2 ** 31 - 1;
/** For how long an ended saga may be remembered: a year. */
export const MAX_RETENTION_MS = 31_536_000_000;
