/** The transport of a real mesh: WebRTC data channels, set up through a rendezvous and through the mesh. */
import { isIP } from 'node:net';
import { described } from '../../description.js';
import { checkNumber, configError } from '../../errors.js';
import type { Signaling } from '../signaling/signaling.js';
import type { Transport } from '../transport.js';
import { localAddresses, loopbackOnly } from './addresses.js';
import type { ConnectionConfig } from './connection.js';
import { checkRelayPolicy, parseIceServers } from './iceServers.js';
import { maxBulkConnections } from './messages.js';
import { loadNative, setSendBuffer } from './native.js';
import { Ports } from './ports.js';
import type { PortOptions } from './ports.js';
import { WebrtcSession } from './session.js';

/** Options of {@link webrtc}. */
export interface WebrtcOptions {
  /**
   * Where nodes find each other: `webSocketSignaling(url)`, `lanSignaling()`, `localSignaling()`, or several with
   * `anySignaling([…])`. It never sees data and is not trusted.
   */
  readonly signaling: Signaling;
  /**
   * STUN and TURN servers as `stun:host:port` or `turn:user:password@host:port` (port 3478 if left out, IPv6 addresses in
   * brackets, user and password percent-encoded), at most 16. None are needed where nodes reach each other's addresses. Native
   * code uses one STUN server and up to two TURN servers of the list, and speaks TURN over UDP only: `turns:` and
   * `?transport=tcp` are refused.
   * @defaultValue []
   */
  readonly iceServers?: readonly string[];
  /**
   * `relay` uses no path but through a TURN server. Both ends need one: candidates of a peer that are no relay are not tried.
   * @defaultValue 'all'
   */
  readonly iceTransportPolicy?: 'all' | 'relay';
  /**
   * The local address to use, and no other. By default all but loopback; a machine that has nothing but loopback uses that.
   * @defaultValue undefined
   */
  readonly bindAddress?: string;
  /**
   * First and last UDP port to use, 1024 to 65535. Every peer takes one for control and one for each bulk connection, and as
   * many again while a link is set up anew. Not with `port`.
   * @defaultValue undefined
   */
  readonly portRange?: readonly [number, number];
  /**
   * Fixed UDP ports that all peers share, 1024 to 65535: one for control, and for bulk the next one, or another of your choice.
   * Each further bulk connection takes the port after. Not with `portRange`.
   * @defaultValue undefined
   */
  readonly port?: number | { readonly control: number; readonly bulk: number };
  /**
   * Connections that the bulk lane of a link is spread over, 1 to 8; the smaller wish of the two ends holds. More help over
   * paths that lose packets, and only there.
   * @defaultValue 1
   */
  readonly bulkConnections?: number;
  /**
   * Bytes of the largest packet, 576 to 1500. Smaller than the default only for a path that carries less.
   * @defaultValue 1280
   */
  readonly mtu?: number;
  /**
   * Milliseconds that one try to set up a link may take, 1000 to 120 000.
   * @defaultValue 5000
   */
  readonly setupTimeoutMs?: number;
  /**
   * Milliseconds between looks at the addresses of this machine, 100 to 600 000. When they change, set-ups start again and the
   * mesh probes its links.
   * @defaultValue 2000
   */
  readonly addressCheckMs?: number;
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
 * Where a socket cannot be opened (the port range is used up, a fixed port is taken, the bind address is gone) `warning` tells,
 * with ERR_CONFIG, and the mesh tries again.
 *
 * @throws QuorateError `ERR_CONFIG`.
 *
 * @example
 * ```ts
 * const transport = webrtc({
 *   signaling: webSocketSignaling('ws://rendezvous:9000'),
 *   iceServers: ['stun:stun.example:3478', 'turn:orders:s%40cret@turn.example'],
 * });
 * ```
 */
export function webrtc(options: WebrtcOptions): Transport {
  if (typeof options !== 'object' || (options as unknown) === null)
    throw configError('options', options, 'an object');
  const { signaling, bindAddress } = options;
  if (typeof (signaling as { start?: unknown } | undefined)?.start !== 'function') {
    throw configError('signaling', signaling, 'a rendezvous such as webSocketSignaling(url)');
  }
  const iceServers = parseIceServers(options.iceServers ?? []);
  const relayOnly = checkRelayPolicy(options.iceTransportPolicy ?? 'all', iceServers);
  if (bindAddress !== undefined && (typeof bindAddress !== 'string' || isIP(bindAddress) === 0)) {
    throw configError('bindAddress', bindAddress, 'an IPv4 or IPv6 address');
  }
  const number = (
    name: 'bulkConnections' | 'setupTimeoutMs' | 'addressCheckMs' | 'sendBufferBytes',
    fallback: number,
    min: number,
    max: number,
  ): number => checkNumber(name, options[name] ?? fallback, min, max, !name.endsWith('Ms'));
  const bulkConnections = number('bulkConnections', 1, 1, maxBulkConnections);
  const setupTimeoutMs = number('setupTimeoutMs', 5000, 1000, 120_000);
  const addressCheckMs = number('addressCheckMs', 2000, 100, 600_000);
  const sendBufferBytes = number('sendBufferBytes', 262_144, 65_536, 67_108_864);
  const mtu = options.mtu === undefined ? undefined : checkNumber('mtu', options.mtu, 576, 1500);
  const config: ConnectionConfig = {
    relayOnly,
    bindAddress: () => bindAddress ?? loopbackOnly(),
    ports: new Ports(checkPorts(options, bulkConnections)),
    mtu,
  };

  const transport: Transport = {
    kind: 'webrtc',
    async start(host) {
      const native = await loadNative();
      const inForce = setSendBuffer(native, sendBufferBytes);
      if (inForce !== sendBufferBytes) {
        const text = `sendBufferBytes is ${inForce} in this process already, ${sendBufferBytes} is ignored`;
        host.onWarning(configError('sendBufferBytes', sendBufferBytes, text));
      }
      const session = new WebrtcSession({
        native,
        config,
        iceServers,
        host,
        setupTimeoutMs,
        bulkConnections,
        addresses: { read: () => localAddresses(bindAddress), intervalMs: addressCheckMs },
      });
      try {
        await session.start(signaling);
      } catch (error) {
        await session.close();
        throw error;
      }
      return session;
    },
  };
  return described(transport, 'webrtc', [options]);
}

function checkPorts({ portRange, port }: WebrtcOptions, bulkConnections: number): PortOptions {
  if (port !== undefined && portRange !== undefined)
    throw configError('port', port, 'absent when portRange is given');
  return {
    range: portRange === undefined ? undefined : checkPortRange(portRange),
    mux: port === undefined ? undefined : checkFixedPorts(port, bulkConnections),
  };
}

function checkPortRange(range: unknown): readonly [number, number] {
  if (!Array.isArray(range) || range.length !== 2) throw configError('portRange', range, 'two ports');
  const [low, high] = range as [unknown, unknown];
  const first = checkNumber('portRange[0]', low, 1024, 65_535);
  return [first, checkNumber('portRange[1]', high, first, 65_535)];
}

/** One connection an address pair is all that a shared port can tell apart: so each connection of a pair has a port of its own. */
function checkFixedPorts(
  port: NonNullable<WebrtcOptions['port']>,
  bulkConnections: number,
): { readonly control: number; readonly bulk: number } {
  const last = 65_536 - bulkConnections;
  if (typeof port === 'number') {
    const control = checkNumber('port', port, 1024, last - 1);
    return { control, bulk: control + 1 };
  }
  if (typeof port !== 'object' || (port as unknown) === null)
    throw configError('port', port, 'a port, or { control, bulk }');
  const control = checkNumber('port.control', port.control, 1024, 65_535);
  const bulk = checkNumber('port.bulk', port.bulk, 1024, last);
  if (control >= bulk && control < bulk + bulkConnections)
    throw configError(
      'port.control',
      control,
      `outside the bulk ports ${bulk} to ${bulk + bulkConnections - 1}`,
    );
  return { control, bulk };
}
