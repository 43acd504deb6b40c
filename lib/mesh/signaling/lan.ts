/**
 * A rendezvous without any server: nodes of a local network call out by UDP multicast, and talk by datagrams. Not mDNS: a
 * library for that shares port 5353 with the system's, shows names to everybody, and carries no messages; those would need all
 * of this all the same.
 */
import type { RemoteInfo } from 'node:dgram';
import { isIPv4 } from 'node:net';
import { described } from '../../description.js';
import type { Timer } from '../../environment.js';
import { QuorateError, checkName, checkNumber, configError } from '../../errors.js';
import { Backoff } from '../backoff.js';
import { localAddresses } from '../webrtc/addresses.js';
import { LanPeers } from './lanPeers.js';
import { LanSockets } from './lanSockets.js';
import { clusterTag, decodeDatagram, encodeDatagram } from './lanWire.js';
import type { LanSender, Unsigned } from './lanWire.js';
import { maxPayloadBytes } from './signaling.js';
import type { Signaling, SignalingHost, SignalingSession } from './signaling.js';

/** Options of {@link lanSignaling}. */
export interface LanSignalingOptions {
  /**
   * The IPv4 multicast address to meet at, 224.0.1.0 to 239.255.255.255; the same on all nodes.
   * @defaultValue '239.255.81.82'
   */
  readonly group?: string;
  /**
   * The UDP port to meet at, 1024 to 65535; the same on all nodes. Messages go to ports that the system picks.
   * @defaultValue 45782
   */
  readonly port?: number;
  /**
   * The IPv4 address of the network interface to use, and no other. By default all but loopback; a machine that has nothing but
   * loopback uses that.
   * @defaultValue undefined
   */
  readonly interface?: string;
  /**
   * Milliseconds between two calls of a node, 100 to 60 000.
   * @defaultValue 1000
   */
  readonly intervalMs?: number;
  /**
   * Milliseconds without a call after which a peer counts as gone, at least three times `intervalMs`, at most 600 000.
   * @defaultValue five times intervalMs
   */
  readonly expiryMs?: number;
  /**
   * The most peers of the cluster that are kept, 1 to 10 000; more are left out.
   * @defaultValue 256
   */
  readonly maxPeers?: number;
}

type LanSettings = Required<Omit<LanSignalingOptions, 'interface'>> & {
  readonly interface: string | undefined;
};

/**
 * Finds peers on the local network, without a server. It meets whoever hears the same multicast group, as a rule the machines
 * of one network segment. The cluster's name does not show (a hash of it does, which can be guessed at); ids do. Nothing that
 * comes is trusted: what protects the mesh is its secret.
 *
 * Warnings: ERR_SIGNALING where no socket can be opened (the node tries on, 0.5 to 15 s apart), ERR_PEER_REPLACED while a newer
 * run of this node's id calls.
 *
 * @throws QuorateError `ERR_CONFIG`.
 *
 * @example
 * ```ts
 * const mesh = await joinMesh({ id: 'a', cluster: 'home', secret, transport: webrtc({ signaling: lanSignaling() }) });
 * ```
 */
export function lanSignaling(options: LanSignalingOptions = {}): Signaling {
  if (typeof options !== 'object' || (options as unknown) === null)
    throw configError('options', options, 'an object');
  const { group = '239.255.81.82', interface: address } = options;
  if (typeof group !== 'string' || !isIPv4(group) || !isGroup(group))
    throw configError('group', group, 'an IPv4 multicast address from 224.0.1.0 to 239.255.255.255');
  if (address !== undefined && (typeof address !== 'string' || !isIPv4(address)))
    throw configError('interface', address, 'the IPv4 address of a network interface');
  const intervalMs = checkNumber('intervalMs', options.intervalMs ?? 1000, 100, 60_000, false);
  const settings: LanSettings = {
    group,
    interface: address,
    port: checkNumber('port', options.port ?? 45_782, 1024, 65_535),
    intervalMs,
    expiryMs: checkNumber('expiryMs', options.expiryMs ?? 5 * intervalMs, 3 * intervalMs, 600_000, false),
    maxPeers: checkNumber('maxPeers', options.maxPeers ?? 256, 1, 10_000),
  };
  const signaling: Signaling = {
    kind: 'lan',
    async start(host) {
      checkName('id', host.id);
      checkName('cluster', host.cluster);
      checkName('incarnation', host.incarnation);
      const session = new LanSession(settings, host);
      await session.start();
      return session;
    },
  };
  return described(signaling, 'lanSignaling', [options]);
}

/** Not the addresses 224.0.0.x, which are the protocols' own. */
function isGroup(address: string): boolean {
  const [a, b, c] = address.split('.').map(Number);
  return a! >= 224 && a! <= 239 && !(a === 224 && b === 0 && c === 0);
}

class LanSession implements SignalingSession {
  readonly #settings: LanSettings;
  readonly #host: SignalingHost;
  readonly #tag: Buffer;
  readonly #peers: LanPeers;
  readonly #backoff: Backoff;
  #sockets: LanSockets | undefined;
  #opening: Promise<void> | undefined;
  #timer: Timer | undefined;
  #addresses = '';
  #warned = false;
  /** Until when a newer run of this id has the field. */
  #replacedUntil = 0;
  #replaced = false;
  #closed = false;

  constructor(settings: LanSettings, host: SignalingHost) {
    this.#settings = settings;
    this.#host = host;
    this.#tag = clusterTag(host.cluster);
    this.#backoff = new Backoff(500, 15_000, () => host.environment.random());
    this.#peers = new LanPeers({
      host,
      maxPeers: settings.maxPeers,
      intervalMs: settings.intervalMs,
      expiryMs: settings.expiryMs,
      tell: (datagram, address, port) => this.#tell(datagram, address, port),
    });
  }

  get connected(): boolean {
    return this.#sockets !== undefined && !this.#replaced && !this.#closed;
  }

  start(): Promise<void> {
    this.#opening = this.#open();
    return this.#opening;
  }

  send(to: string, payload: string): void {
    if (!this.connected || Buffer.byteLength(payload) > maxPayloadBytes) return;
    this.#peers.send(to, Buffer.from(payload));
  }

  async close(): Promise<void> {
    if (!this.#closed) {
      if (!this.#replaced) this.#call('bye');
      this.#closed = true;
      this.#timer?.cancel();
      this.#peers.close();
    }
    await this.#opening;
    await this.#sockets?.close();
  }

  async #open(): Promise<void> {
    const { group, port, interface: address } = this.#settings;
    this.#addresses = localAddresses(address);
    let sockets: LanSockets;
    try {
      sockets = await LanSockets.open({
        group,
        port,
        interface: address,
        onDatagram: (bytes, from) => this.#received(bytes, from),
        onError: (error) => {
          if (this.#sockets === sockets) this.#failed(error);
        },
      });
    } catch (error) {
      this.#failed(error);
      return;
    }
    if (this.#closed) {
      await sockets.close();
      return;
    }
    this.#sockets = sockets;
    this.#call('ask');
    this.#schedule();
  }

  #failed(cause: unknown): void {
    this.#sockets = undefined;
    if (this.#closed) return;
    if (!this.#warned) {
      this.#warned = true;
      const { group, port } = this.#settings;
      const text = `no multicast on this network (${group}, port ${port}): ${String(cause)}`;
      this.#later(() => this.#host.onWarning(new QuorateError('ERR_SIGNALING', text, { cause })));
    }
    this.#timer?.cancel();
    this.#timer = this.#host.environment.setTimer(this.#backoff.next(), () => {
      this.#peers.expire();
      this.#opening = this.#open();
    });
  }

  #schedule(): void {
    const { environment } = this.#host;
    // Nodes that were started together should not call together for ever.
    const delay = this.#settings.intervalMs * (0.9 + environment.random() / 10);
    this.#timer = environment.setTimer(delay, () => this.#beat());
  }

  #beat(): void {
    this.#peers.expire();
    const now = this.#host.environment.now();
    if (this.#replaced && now >= this.#replacedUntil) this.#replaced = false;
    const addresses = localAddresses(this.#settings.interface);
    if (addresses !== this.#addresses) {
      // Memberships belong to interfaces: another network needs other sockets.
      const old = this.#sockets;
      this.#sockets = undefined;
      this.#opening = Promise.resolve(old?.close()).then(() => this.#open());
      return;
    }
    if (!this.#replaced) this.#call('here');
    if (this.#sockets === undefined) return; // the call failed at once
    this.#warned = false;
    this.#backoff.reset();
    this.#schedule();
  }

  #received(bytes: Buffer, remote: RemoteInfo): void {
    if (this.#closed) return;
    const datagram = decodeDatagram(this.#tag, bytes);
    if (datagram === undefined) return;
    const { from } = datagram;
    if (from.id === this.#host.id) {
      if (datagram.kind === 'beacon') this.#namesake(from, datagram.mood === 'bye', remote);
    } else if (!this.#replaced) this.#peers.received(datagram, remote.address, remote.port);
  }

  /** Somebody calls with the id of this node. */
  #namesake(from: LanSender, leaves: boolean, remote: RemoteInfo): void {
    if (from.incarnation === this.#host.incarnation) return; // this node, heard by itself
    if (from.incarnation < this.#host.incarnation) {
      if (!this.#replaced && !leaves && this.#peers.mayAnswer(remote.address))
        this.#tell({ kind: 'beacon', mood: 'here' }, remote.address, from.port);
      return;
    }
    if (leaves) {
      this.#replacedUntil = 0;
      return;
    }
    this.#replacedUntil = this.#host.environment.now() + this.#settings.expiryMs;
    if (this.#replaced) return;
    this.#replaced = true;
    const { id, cluster } = this.#host;
    const text = `a newer run of node "${id}" calls on the local network of cluster "${cluster}"`;
    this.#later(() => this.#host.onWarning(new QuorateError('ERR_PEER_REPLACED', text)));
  }

  #call(mood: 'here' | 'ask' | 'bye'): void {
    this.#sockets?.call(this.#encode({ kind: 'beacon', mood }));
  }

  #tell(datagram: Unsigned, address: string, port: number): void {
    this.#sockets?.tell(this.#encode(datagram), address, port);
  }

  #encode(datagram: Unsigned): Buffer {
    const { id, incarnation } = this.#host;
    const from: LanSender = { id, incarnation, port: this.#sockets!.port };
    return encodeDatagram(this.#tag, { ...datagram, from });
  }

  #later(report: () => void): void {
    this.#host.environment.defer(() => {
      if (!this.#closed) report();
    });
  }
}
