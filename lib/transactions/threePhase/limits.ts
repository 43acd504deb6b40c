/** The caps of three-phase commit over a mesh. @internal */

/** Characters of a transaction's id. */
export const MAX_ID = 64;
/** Resources of one node in one transaction. */
export const MAX_RESOURCES = 64;
/** Characters of a resource's name. */
export const MAX_RESOURCE_NAME = 128;
/** Bytes of the payloads that one node gets in one transaction, encoded. */
export const MAX_PAYLOAD_BYTES = 65_536;
/** Transactions that a node takes part in and whose outcome it does not know. */
export const MAX_OPEN = 4096;
/** Transactions that a node keeps in all: with those whose outcome not everybody has carried out. */
export const MAX_KEPT = 65_536;
/** Bytes of all of them. */
export const MAX_KEPT_BYTES = 64 * 1024 * 1024;
/** Outcomes that are remembered, in memory, after everybody has carried them out. */
export const MAX_REMEMBERED = 16_384;
/** Ballots are whole numbers below this. */
export const MAX_BALLOT = 2 ** 48;
/** Bytes of the list of records, beyond twice what it must hold, at which it is written anew. */
export const SLACK_BYTES = 1024 * 1024;
