/** The door to native code. Loaded when first needed: a process without WebRTC never does. @internal */
import type * as NodeDatachannel from 'node-datachannel';

/** What is used of node-datachannel. */
export type Native = Pick<typeof NodeDatachannel, 'PeerConnection' | 'setSctpSettings'>;
export type NativeConnection = NodeDatachannel.PeerConnection;
export type NativeChannel = NodeDatachannel.DataChannel;

export async function loadNative(): Promise<Native> {
  return import('node-datachannel');
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
