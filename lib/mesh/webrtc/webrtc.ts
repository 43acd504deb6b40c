/** The transport of a real mesh: WebRTC data channels, set up through a rendezvous. */
import { networkInterfaces } from 'node:os';
import { checkNumber, configError } from '../../errors.js';
import type { Signaling } from '../signaling/signaling.js';
import type { Transport } from '../transport.js';
import { loadNative, setSendBuffer } from './native.js';
import { WebrtcSession } from './session.js';

/** Options of {@link webrtc}. */
export interface WebrtcOptions {
  /** Where nodes find each other: `webSocketSignaling(url)` or `localSignaling()`. It never sees data and is not trusted. */
  readonly signaling: Signaling;
  /**
   * STUN and TURN servers as `stun:host:port` or `turn:user:password@host:port`, at most 16. None are needed where nodes reach
   * each other's addresses.
   * @defaultValue []
   */
  readonly iceServers?: readonly string[];
  /**
   * The local address to use, and no other. By default all but loopback; a machine that has nothing but loopback uses that.
   * @defaultValue undefined
   */
  readonly bindAddress?: string;
  /**
   * First and last UDP port to use, 1024 to 65535. Every peer takes two.
   * @defaultValue undefined
   */
  readonly portRange?: readonly [number, number];
  /**
   * Milliseconds that one try to set up a link may take, 1000 to 120 000.
   * @defaultValue 5000
   */
  readonly setupTimeoutMs?: number;
  /**
   * Size of the SCTP send buffer in bytes, 65 536 to 67 108 864. Small keeps large frames from delaying small ones; over long
   * distances 4 MiB is quicker. The native library has one such setting for the whole process: the first mesh decides, and a
   * later one that wants another value gets a warning.
   * @defaultValue 262144
   */
  readonly sendBufferBytes?: number;
}

/**
 * Links over WebRTC data channels: encrypted, through NATs, no port to open. A pair of nodes has two connections, so that large
 * frames never delay small ones. May serve several meshes of one thread; native code does not survive use in two threads.
 *
 * @throws QuorateError `ERR_CONFIG`.
 *
 * @example
 * ```ts
 * const transport = webrtc({ signaling: webSocketSignaling('ws://rendezvous:9000') });
 * ```
 */
export function webrtc(options: WebrtcOptions): Transport {
  if (typeof options !== 'object' || (options as unknown) === null)
    throw configError('options', options, 'an object');
  const { signaling, bindAddress, portRange } = options;
  if (typeof (signaling as { start?: unknown } | undefined)?.start !== 'function') {
    throw configError('signaling', signaling, 'a rendezvous such as webSocketSignaling(url)');
  }
  const iceServers = checkIceServers(options.iceServers ?? []);
  if (
    bindAddress !== undefined &&
    (typeof bindAddress !== 'string' || !/^[0-9A-Fa-f:.]{2,45}$/.test(bindAddress))
  ) {
    throw configError('bindAddress', bindAddress, 'an IPv4 or IPv6 address');
  }
  checkPortRange(portRange);
  const setupTimeoutMs = checkNumber('setupTimeoutMs', options.setupTimeoutMs ?? 5000, 1000, 120_000, false);
  const sendBufferBytes = checkNumber(
    'sendBufferBytes',
    options.sendBufferBytes ?? 262_144,
    65_536,
    67_108_864,
  );

  return {
    kind: 'webrtc',
    async start(host) {
      const native = await loadNative();
      const inForce = setSendBuffer(native, sendBufferBytes);
      if (inForce !== sendBufferBytes) {
        const text = `sendBufferBytes is ${inForce} in this process already, ${sendBufferBytes} is ignored`;
        host.onWarning(configError('sendBufferBytes', sendBufferBytes, text));
      }
      const config = { iceServers, bindAddress: bindAddress ?? loopbackOnly(), portRange };
      const session = new WebrtcSession({ native, config, host, setupTimeoutMs });
      await session.start(signaling);
      return session;
    },
  };
}

function checkIceServers(servers: unknown): readonly string[] {
  if (!Array.isArray(servers) || servers.length > 16)
    throw configError('iceServers', servers, 'a list of at most 16 URLs');
  for (const server of servers as unknown[]) {
    if (typeof server !== 'string' || !/^(?:stun|turn|turns):[\x21-\x7e]{1,1024}$/.test(server)) {
      throw configError('iceServers', server, 'URLs such as "stun:host:port"');
    }
  }
  return [...(servers as string[])];
}

function checkPortRange(range: unknown): void {
  if (range === undefined) return;
  if (!Array.isArray(range) || range.length !== 2) throw configError('portRange', range, 'two ports');
  const [first, last] = range as [unknown, unknown];
  checkNumber('portRange[1]', last, checkNumber('portRange[0]', first, 1024, 65535), 65535);
}

/** Loopback is never a candidate by itself: a machine without any other interface would never connect. */
function loopbackOnly(): string | undefined {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  if (addresses.some((address) => !address.internal)) return undefined;
  return addresses.some((address) => address.family === 'IPv4') ? '127.0.0.1' : '::1';
}
