/** A figure of a whole state: equal for equal states. @internal */
import { createHash } from 'node:crypto';
import type { StateMachine } from './stateMachine.js';

/** A SHA-256 over the snapshot of a machine that stands at `index`. */
export async function digestOf(
  machine: StateMachine,
  index: number,
): Promise<{ readonly index: number; readonly digest: string }> {
  const hash = createHash('sha256');
  for await (const chunk of machine.snapshot()) hash.update(chunk);
  return { index, digest: hash.digest('hex') };
}
