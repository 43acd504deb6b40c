/** A flag that everybody may set. */
import { configError } from '../../errors.js';
import type { Dotted } from '../causality/versionSet.js';
import type { CrdtType } from './crdt.js';
import { malformed, operationOf } from './data.js';
import { emptyMap, mapData, mapOf, mergeMaps, replace, type DotMap } from './dotMap.js';

/** What {@link flag} takes. */
export interface FlagOperation {
  readonly op: 'enable' | 'disable';
}

/** The state of {@link flag}: the writes of the kind that wins and that nobody has overridden. */
export type FlagState = DotMap<Dotted>;

/**
 * A flag; false before the first update. `wins` says what it is where somebody enables it while somebody else, who does not know,
 * disables it.
 *
 * @throws QuorateError `ERR_CONFIG` for another `wins`.
 *
 * @example
 * ```ts
 * const maintenance = flag({ wins: 'enable' });
 * ```
 */
export function flag(options: {
  readonly wins: 'enable' | 'disable';
}): CrdtType<FlagState, boolean, FlagOperation> {
  const wins = (options as { wins: unknown } | undefined)?.wins;
  if (wins !== 'enable' && wins !== 'disable') throw configError('wins', wins, "'enable' or 'disable'");
  return {
    name: `flag:${wins}`,
    initial: emptyMap,
    apply(state, operation, context) {
      const { op } = operationOf(operation, ['enable', 'disable']);
      return replace(state, '', op === wins ? [{ dot: context.dot }] : [], context);
    },
    merge: mergeMaps,
    value: ({ clock, entries }) =>
      wins === 'enable' ? entries.size > 0 : clock.size > 0 && entries.size === 0,
    encode: (state) => mapData(state, () => []),
    decode: (data) =>
      mapOf(data, (dot, fields, key) => {
        if (fields.length > 0 || key !== '') throw malformed('more than a flag needs');
        return { dot };
      }),
  };
}
