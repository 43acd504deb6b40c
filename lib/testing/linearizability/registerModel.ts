/** A register that can be read, written, and compared and set. */
import { configError, type QuorateError } from '../../errors.js';
import { equalValues } from '../../machines/equal.js';
import type { Model } from './model.js';

/** What can be asked of a {@link registerModel}. */
export type RegisterInput<V = unknown> =
  | { readonly op: 'read' }
  | { readonly op: 'write'; readonly value: V }
  | { readonly op: 'cas'; readonly expected: V; readonly value: V };

/**
 * The register of Jepsen's test of etcd. Outputs: `read` gives the value, `write` nothing that is looked at, `cas`
 * whether the register held `expected` and was set to `value` (`true` or `false`). `undefined` stands for any output;
 * so do not use it as a value. Values are compared by content.
 *
 * @param initial - The value before the first write. Default: `null`.
 */
export function registerModel<V = unknown>(
  initial: V | null = null,
): Model<V | null, RegisterInput<V>, V | boolean | null | undefined> {
  return {
    init: () => initial,
    step(state, input, output) {
      switch (input.op) {
        case 'read':
          return { ok: output === undefined || equalValues(output, state), state };
        case 'write':
          return { ok: true, state: input.value };
        case 'cas': {
          const set = equalValues(state, input.expected);
          return { ok: output === undefined || output === set, state: set ? input.value : state };
        }
        default:
          throw unknownInput('read, write or cas', input);
      }
    },
  };
}

/** @internal */
export function unknownInput(expected: string, input: unknown): QuorateError {
  return configError('input.op', (input as { op?: unknown } | undefined)?.op, expected);
}
