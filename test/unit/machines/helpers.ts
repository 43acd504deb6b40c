import { expect } from 'chai';
import { QuorateError } from '../../../lib/errors.js';
import type { ApplyContext, StateMachine } from '../../../lib/replica/stateMachine.js';

/** A context as the replica gives it. */
export function contextAt(index: number, time = index, origin = 'a'): ApplyContext {
  return {
    index,
    time,
    origin,
    random: () => 0.5,
    reject(code, data) {
      throw new QuorateError('ERR_REJECTED', `rejected: ${code}`, { reason: code, data });
    },
  };
}

/** Applies commands of any form one after the other. */
export function driver(machine: StateMachine): (command: unknown, time?: number, origin?: string) => unknown {
  let index = 0;
  return (command, time, origin) => machine.apply(command, contextAt(++index, time, origin));
}

export function errorOf(run: () => unknown): QuorateError {
  try {
    run();
  } catch (error) {
    expect(error).to.be.instanceOf(QuorateError);
    return error as QuorateError;
  }
  throw new Error('it should have thrown');
}

export async function rejectionOf(promise: Promise<void> | void): Promise<QuorateError> {
  try {
    await promise;
  } catch (error) {
    expect(error).to.be.instanceOf(QuorateError);
    return error as QuorateError;
  }
  throw new Error('it should have rejected');
}

/** The bytes of a snapshot; chunks above 64 KiB fail. */
export function bytesOf(machine: StateMachine): Buffer {
  return collect(machine.snapshot() as Iterable<Uint8Array>);
}

export function collect(chunks: Iterable<Uint8Array>): Buffer {
  const parts = [...chunks];
  for (const part of parts) expect(part.length).to.be.within(1, 65_536);
  return Buffer.concat(parts);
}

/** The bytes in chunks of these sizes, over and over. Each chunk is overwritten once the next is asked for. */
export async function* inChunks(
  bytes: Uint8Array,
  sizes: readonly number[] = [bytes.length],
): AsyncGenerator<Uint8Array> {
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length]!;
    const chunk = Uint8Array.from(bytes.subarray(at, at + size));
    yield chunk;
    chunk.fill(0xee);
    at += size;
  }
}
