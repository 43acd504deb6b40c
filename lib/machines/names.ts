/** Names that commands carry. @internal */
import type { ApplyContext } from '../replica/stateMachine.js';

const MAX_LENGTH = 256;

/** Rejects what is no string of 1 to 256 characters with `INVALID_NAME`. */
export function checkedName(name: unknown, context: ApplyContext): string {
  if (typeof name === 'string' && name.length > 0 && name.length <= MAX_LENGTH) return name;
  const got = typeof name === 'string' ? `${name.length} characters` : typeof name;
  context.reject('INVALID_NAME', { expected: `a string of 1 to ${MAX_LENGTH} characters`, got });
}
