/** The sockets of {@link lanSignaling}: one hears the group, one speaks with peers, and one an interface calls out. @internal */
import { createSocket } from 'node:dgram';
import type { RemoteInfo, Socket } from 'node:dgram';
import { networkInterfaces } from 'node:os';

const maxInterfaces = 8;

/** What {@link LanSockets} are opened with. */
export interface LanSocketsOptions {
  readonly group: string;
  readonly port: number;
  /** The IPv4 address of the interface to use, and no other. */
  readonly interface: string | undefined;
  readonly onDatagram: (bytes: Buffer, from: RemoteInfo) => void;
  /** Something is wrong with them; once. */
  readonly onError: (error: Error) => void;
}

export class LanSockets {
  /** Where this node takes messages. */
  readonly port: number;
  readonly #options: LanSocketsOptions;
  readonly #direct: Socket;
  readonly #callers: readonly Socket[];
  readonly #all: readonly Socket[];
  #closed = false;

  private constructor(options: LanSocketsOptions, group: Socket, direct: Socket, callers: readonly Socket[]) {
    this.#options = options;
    this.#direct = direct;
    this.#callers = callers;
    this.#all = [group, direct, ...callers];
    this.port = direct.address().port;
    for (const socket of this.#all) {
      socket.removeAllListeners('error');
      socket.on('error', (error) => this.#failed(error));
    }
    for (const socket of [group, direct])
      socket.on('message', (bytes, from) => {
        if (!this.#closed) options.onDatagram(bytes, from);
      });
  }

  static async open(options: LanSocketsOptions): Promise<LanSockets> {
    const opened: Socket[] = [];
    const bind = async (address: string, port: number, reuseAddr = false): Promise<Socket> => {
      // With a lookup that answers at once, a datagram has left when the call returns: even the last before a close.
      const socket = createSocket({
        type: 'udp4',
        reuseAddr,
        lookup: (host, _, callback) => callback(null, host, 4),
      });
      opened.push(socket);
      socket.unref();
      await new Promise<void>((resolve, reject) => {
        socket.once('error', reject);
        socket.bind({ address, port, exclusive: !reuseAddr }, resolve);
      });
      return socket;
    };
    try {
      const addresses = options.interface === undefined ? interfaces() : [options.interface];
      // Bound to any address, since not every system lets a socket be bound to a group.
      const group = await bind('0.0.0.0', options.port, true);
      for (const address of addresses) group.addMembership(options.group, address);
      const direct = await bind(options.interface ?? '0.0.0.0', 0);
      const callers: Socket[] = [];
      for (const address of addresses) {
        const caller = await bind(address, 0);
        caller.setMulticastInterface(address);
        caller.setMulticastTTL(1); // no router hands it on
        caller.setMulticastLoopback(true); // other nodes of this machine
        callers.push(caller);
      }
      return new LanSockets(options, group, direct, callers);
    } catch (error) {
      for (const socket of opened) socket.close();
      throw error;
    }
  }

  /** To everybody on the network. */
  call(bytes: Buffer): void {
    for (const caller of this.#callers) this.#send(caller, bytes, this.#options.port, this.#options.group);
  }

  /** To one node. What cannot be sent is lost, as any datagram may be. */
  tell(bytes: Buffer, address: string, port: number): void {
    if (!this.#closed) this.#direct.send(bytes, port, address, () => undefined);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.all(
      this.#all.map((socket) => new Promise<void>((resolve) => void socket.close(() => resolve()))),
    );
  }

  #send(socket: Socket, bytes: Buffer, port: number, address: string): void {
    if (this.#closed) return;
    socket.send(bytes, port, address, (error) => {
      if (error !== null) this.#failed(error);
    });
  }

  #failed(error: Error): void {
    if (this.#closed) return;
    void this.close();
    this.#options.onError(error);
  }
}

/** The addresses to call from: of every interface but loopback, or loopback where there is nothing else. */
function interfaces(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const found = all.filter((one) => one.family === 'IPv4' && !one.internal).map((one) => one.address);
  return found.length > 0 ? found.slice(0, maxInterfaces) : ['127.0.0.1'];
}
