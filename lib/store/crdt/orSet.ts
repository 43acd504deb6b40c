/** A set in which additions win. */
import type { Dotted } from '../causality/versionSet.js';
import { cbor, type Codec } from '../../replica/codec.js';
import type { CrdtType } from './crdt.js';
import { malformed, operationOf } from './data.js';
import { emptyMap, mapData, mapOf, mergeMaps, replace, type DotMap } from './dotMap.js';

/** What {@link orSet} takes. `clear` removes all elements that this node knows of. */
export type SetOperation<T> =
  | { readonly op: 'add'; readonly value: T }
  | { readonly op: 'remove'; readonly value: T }
  | { readonly op: 'clear' };

/** An element, and the write that added it. */
export interface SetElement<T> extends Dotted {
  readonly value: T;
}

/** The state of {@link orSet}. */
export type SetState<T> = DotMap<SetElement<T>>;

/**
 * A set; empty before the first update. A removal takes away what its node had seen: an element that somebody else adds meanwhile
 * stays (observed-remove set; Bieniusa et al., 2012). Elements are the same when their CBOR bytes are, so objects have to have their
 * properties in one order.
 *
 * @example
 * ```ts
 * const tags = crdt(orSet<string>());
 * ```
 */
export function orSet<T = unknown>(): CrdtType<SetState<T>, T[], SetOperation<T>> {
  const codec = cbor();
  return {
    name: 'or-set',
    initial: emptyMap,
    apply(state, operation, context) {
      const { op } = operationOf(operation, ['add', 'remove', 'clear']);
      if (operation.op === 'clear') return replace(state, '', [], context, true);
      const { value } = operation;
      return replace(state, keyOf(codec, value), op === 'add' ? [{ dot: context.dot, value }] : [], context);
    },
    merge: mergeMaps,
    value: ({ entries }) => [...entries.keys()].sort().map((key) => entries.get(key)![0]!.value),
    encode: (state) => mapData(state, ({ value }) => [value]),
    decode: (data) =>
      mapOf(data, (dot, fields, key): SetElement<T> => {
        if (fields.length !== 1 || keyOf(codec, fields[0]) !== key)
          throw malformed('an element with another name');
        return { dot, value: fields[0] as T };
      }),
  };
}

function keyOf(codec: Codec, value: unknown): string {
  return Buffer.from(codec.encode(value)).toString('base64');
}
