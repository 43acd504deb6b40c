/** `QUORATE_LAB_LOG=directory` keeps there what the native library of each node and the TURN server say, for a scenario that went wrong. */
import { createWriteStream, mkdirSync, type WriteStream } from 'node:fs';
import { join } from 'node:path';

/** A log by this name, begun anew; undefined when nobody wants logs. */
export function openLog(name: string): WriteStream | undefined {
  const directory = process.env.QUORATE_LAB_LOG;
  if (directory === undefined) return undefined;
  mkdirSync(directory, { recursive: true });
  return createWriteStream(join(directory, `${name}.log`));
}
