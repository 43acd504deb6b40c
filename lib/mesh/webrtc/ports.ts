/**
 * The UDP ports of connections. Native code ends the whole process, past every handler, when it cannot open its socket: a port
 * range that is used up, a fixed port that another process has, a bind address that the machine lost, no file descriptor left.
 * So a socket is opened here first, in the same turn, and a connection is refused where that fails. @internal
 */
import { createSocket } from 'node:dgram';
import { isIP } from 'node:net';
import { QuorateError } from '../../errors.js';
import type { ConnectionName } from './messages.js';
import { bulkIndex } from './messages.js';

/** Which ports connections may use; none given: whatever the system picks. */
export interface PortOptions {
  /** One port a connection, first to last. */
  readonly range?: readonly [number, number] | undefined;
  /** One port a lane for all peers; each further bulk connection has the next port. */
  readonly mux?: { readonly control: number; readonly bulk: number } | undefined;
}

/** A connection's right to a port. */
export interface PortLease {
  /** The port; `undefined`: the system's choice. */
  readonly port: number | undefined;
  /** Whether other connections share it. */
  readonly mux: boolean;
  /** To be called right before native code opens its socket. Throws ERR_CONFIG if it could not. */
  check(): void;
  release(): void;
}

/** Ports looked at for one connection, in a range that others use too. */
const maxProbes = 512;

export class Ports {
  readonly #options: PortOptions;
  readonly #leased = new Set<number>();
  /** Connections of ours that share each port and have opened it. */
  readonly #sharing = new Map<number, number>();
  #cursor = 0;

  constructor(options: PortOptions = {}) {
    this.#options = options;
  }

  /** Finds a port for a connection. Throws ERR_CONFIG where there is none. */
  lease(name: ConnectionName, address: string | undefined): PortLease {
    const { range, mux } = this.#options;
    if (mux !== undefined) {
      return this.#shared(name === 'control' ? mux.control : mux.bulk + bulkIndex(name), address);
    }
    if (range !== undefined) return this.#fromRange(range, address);
    const check = (): void => refuse(probe(address, 0), address, undefined);
    check();
    return { port: undefined, mux: false, check, release: () => undefined };
  }

  #shared(port: number, address: string | undefined): PortLease {
    let opened = false;
    const check = (): void => {
      const users = this.#sharing.get(port) ?? 0;
      // While one of ours has it open, native code shares that socket.
      if (users === 0) refuse(probe(address, port), address, port);
      if (!opened) this.#sharing.set(port, users + 1);
      opened = true;
    };
    if (!this.#sharing.has(port)) refuse(probe(address, port), address, port);
    return {
      port,
      mux: true,
      check,
      release: () => {
        if (!opened) return;
        opened = false;
        const users = this.#sharing.get(port)!;
        if (users > 1) this.#sharing.set(port, users - 1);
        else this.#sharing.delete(port);
      },
    };
  }

  #fromRange([first, last]: readonly [number, number], address: string | undefined): PortLease {
    const size = last - first + 1;
    let probes = 0;
    for (let i = 0; i < size && probes < maxProbes; i++) {
      const port = first + ((this.#cursor + i) % size);
      if (this.#leased.has(port)) continue;
      probes++;
      const failure = probe(address, port);
      if (failure !== undefined && failure !== 'EADDRINUSE' && failure !== 'EACCES')
        refuse(failure, address, port);
      if (failure !== undefined) continue;
      this.#cursor = (port - first + 1) % size;
      this.#leased.add(port);
      return {
        port,
        mux: false,
        check: () => refuse(probe(address, port), address, port),
        release: () => void this.#leased.delete(port),
      };
    }
    const text = `portRange ${first} to ${last} is used up: this node has ${this.#leased.size} of its ports, others the rest`;
    throw new QuorateError('ERR_CONFIG', text);
  }
}

function refuse(failure: string | undefined, address: string | undefined, port: number | undefined): void {
  if (failure === undefined) return;
  const where = `${address ?? 'any address'}${port === undefined ? '' : `, port ${port}`}`;
  throw new QuorateError('ERR_CONFIG', `no UDP socket can be opened on ${where}: ${failure}`);
}

/** Opens and closes a socket, at once; the code of the error if that fails. */
function probe(address: string | undefined, port: number): string | undefined {
  if (address !== undefined) return tryBind(address, port);
  const failure = tryBind('::', port); // both families, as native code does
  return failure === 'EAFNOSUPPORT' || failure === 'EADDRNOTAVAIL' ? tryBind('0.0.0.0', port) : failure;
}

function tryBind(address: string, port: number): string | undefined {
  const family = isIP(address) === 6 ? 6 : 4;
  // With a lookup that answers at once, a bind is over when the call returns.
  const socket = createSocket({
    type: `udp${family}`,
    lookup: (_, __, callback) => callback(null, address, family),
  });
  let result: string | undefined = 'no answer';
  socket.on('error', (error: NodeJS.ErrnoException) => (result = error.code ?? error.message));
  socket.on('listening', () => (result = undefined));
  socket.bind({ port, address, exclusive: true });
  socket.close();
  return result;
}
