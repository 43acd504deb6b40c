/** The door to native code. Loaded when first needed: a process without WebRTC never does. @internal */
import type * as NodeDatachannel from 'node-datachannel';
import { configError } from '../../errors.js';

/** What is used of node-datachannel. */
export type Native = Pick<typeof NodeDatachannel, 'PeerConnection' | 'setSctpSettings'>;
export type NativeConnection = NodeDatachannel.PeerConnection;
export type NativeChannel = NodeDatachannel.DataChannel;

export async function loadNative(): Promise<Native> {
  claimNative('this thread');
  return import('node-datachannel');
}

let holder: 'this thread' | 'the worker' | undefined;

/**
 * Native code does not survive use in two threads of a process, nor a second thread after the first has ended: whoever comes first
 * keeps it.
 *
 * @throws QuorateError `ERR_CONFIG`.
 */
export function claimNative(by: 'this thread' | 'the worker'): void {
  if (holder !== undefined && holder !== by) {
    const text = `the value of the first mesh with webrtc() of this process, which runs in ${holder}`;
    throw configError('thread', by === 'this thread' ? 'main' : 'worker', text);
  }
  holder = by;
}

/** Stops what native code has running of its own, so that its thread, or the process, can end. Everything must be closed. */
export async function restNative(): Promise<void> {
  if (holder === 'this thread') (await import('node-datachannel')).cleanup();
}

/**
 * Wraps a callback for native code: a throw inside one would abort the process, past every handler.
 */
export function guarded<A extends unknown[]>(
  callback: (...args: A) => void,
  failed: (error: unknown) => void,
): (...args: A) => void {
  return (...args) => {
    try {
      callback(...args);
    } catch (error) {
      try {
        failed(error);
      } catch {
        // Nobody left to tell, and nothing may leave here.
      }
    }
  };
}

/** Runs a call into native code, which throws for what merely came too late. */
export function attempt<T>(call: () => T, otherwise: T): T {
  try {
    return call();
  } catch {
    return otherwise;
  }
}

let sendBufferBytes: number | undefined;

/**
 * Sets the size of the SCTP send buffer, which the library has once for the whole process: the first caller decides.
 * Returns the size in force.
 */
export function setSendBuffer(native: Native, bytes: number): number {
  if (sendBufferBytes === undefined) {
    sendBufferBytes = bytes;
    native.setSctpSettings({ sendBufferSize: bytes });
  }
  return sendBufferBytes;
}
