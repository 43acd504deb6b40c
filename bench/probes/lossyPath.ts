/**
 * A path that loses packets, in user space: the bulk lane of a real link through a forwarder that delays and drops datagrams.
 * Since candidates carry addresses, the rendezvous writes the forwarder's port into them. Run alone:
 * `node build/bench/probes/lossyPath.js [seconds]`.
 */
import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { nodeEnvironment } from '../../lib/environment.js';
import { localSignaling } from '../../lib/mesh/signaling/local.js';
import type { Signaling } from '../../lib/mesh/signaling/signaling.js';
import type { RawLink, TransportHost } from '../../lib/mesh/transport.js';
import { webrtc } from '../../lib/mesh/webrtc/webrtc.js';

interface Path {
  readonly lossShare: number;
  readonly delayMs: number;
}

/** Forwards between each pair of ports that meet at it, with delay and loss both ways. */
class Forwarder {
  readonly #path: Path;
  /** For each real port, the socket whose port is told in its place. */
  readonly #doubles = new Map<number, Promise<{ socket: Socket; port: number }>>();
  readonly #byPort = new Map<number, Socket>();
  readonly #due: { at: number; send: () => void }[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(path: Path) {
    this.#path = path;
  }

  /** The port to tell in place of a real one. */
  async stand(real: number): Promise<number> {
    let double = this.#doubles.get(real);
    if (double === undefined) {
      double = this.#open(real);
      this.#doubles.set(real, double);
    }
    return (await double).port;
  }

  close(): void {
    clearTimeout(this.#timer);
    for (const socket of this.#byPort.values()) socket.close();
  }

  #open(real: number): Promise<{ socket: Socket; port: number }> {
    const socket = createSocket({ type: 'udp4', recvBufferSize: 4_194_304, sendBufferSize: 4_194_304 });
    this.#byPort.set(real, socket);
    socket.on('message', (bytes, from) => {
      if (Math.random() < this.#path.lossShare) return;
      // It should seem to come from the double of its sender.
      const through = this.#byPort.get(from.port);
      if (through === undefined) return;
      const send = (): void => {
        through.send(bytes, real, '127.0.0.1', () => undefined);
      };
      this.#due.push({ at: performance.now() + this.#path.delayMs, send });
      if (this.#due.length === 1) this.#schedule();
    });
    return new Promise((resolve) =>
      socket.bind(0, '127.0.0.1', () => resolve({ socket, port: socket.address().port })),
    );
  }

  #schedule(): void {
    const wait = Math.max(0, this.#due[0]!.at - performance.now());
    this.#timer = setTimeout(() => {
      const now = performance.now();
      while (this.#due.length > 0 && this.#due[0]!.at <= now) this.#due.shift()!.send();
      if (this.#due.length > 0) this.#schedule();
    }, wait);
  }
}

/** A rendezvous that leads both ends through the forwarder. */
function detour(forwarder: Forwarder): Signaling {
  const honest = localSignaling();
  return {
    kind: 'detour',
    async start(host) {
      const session = await honest.start(host);
      let last = Promise.resolve();
      return {
        connected: true,
        send: (to, payload) => {
          last = last.then(async () => {
            const message = JSON.parse(payload) as { candidates?: string[] };
            for (const [i, candidate] of (message.candidates ?? []).entries()) {
              const words = candidate.split(' ');
              words[5] = String(await forwarder.stand(Number(words[5])));
              message.candidates![i] = words.join(' ');
            }
            session.send(to, JSON.stringify(message));
          });
        },
        close: () => session.close(),
      };
    },
  };
}

function end(id: string, onLink: (link: RawLink) => void): TransportHost {
  return {
    id,
    cluster: 'bench',
    incarnation: '1',
    environment: nodeEnvironment,
    onLink,
    onPresence: () => undefined,
    route: () => false,
    onWarning: () => undefined,
  };
}

/** MB/s of the bulk lane. */
async function measure(path: Path, bulkConnections: number, seconds: number): Promise<number> {
  const forwarder = new Forwarder(path);
  const signaling = detour(forwarder);
  const options = { signaling, bindAddress: '127.0.0.1', bulkConnections, setupTimeoutMs: 20_000 };
  const links: RawLink[] = [];
  const sessions = await Promise.all(
    ['a', 'b'].map((id) => webrtc(options).start(end(id, (link) => links.push(link)))),
  );
  try {
    for (let i = 0; links.length < 2; i++) {
      if (i % 100 === 0) sessions[0]!.connect('b');
      if (i > 6000) throw new Error('no link');
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const [from, to] = links[0]!.peer === 'b' ? [links[0]!, links[1]!] : [links[1]!, links[0]!];
    let bytes = 0;
    to.bulk.onMessage = (message) => (bytes += message.length);
    const ends: string[] = [];
    from.onClosed = (reason) => ends.push(reason);
    const message = new Uint8Array(16_384);
    const fill = (): void => {
      while (from.bulk.bufferedAmount <= 65_536 && from.bulk.send(message));
    };
    from.bulk.onDrain = fill;
    fill();
    const warmUp = 1000;
    await new Promise((resolve) => setTimeout(resolve, warmUp));
    const [before, since] = [bytes, performance.now()];
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    const rate = (bytes - before) / (performance.now() - since) / 1000;
    return ends.length > 0 ? NaN : rate;
  } finally {
    await Promise.all(sessions.map((session) => session.close()));
    forwarder.close();
  }
}

const seconds = Number(process.argv[2] ?? 5);
console.log('| loss | delay, one way | 1 | 2 | 4 | 8 |\n| - | - | - | - | - | - |');
for (const delayMs of [20]) {
  for (const lossShare of [0, 0.01, 0.05]) {
    const rates: number[] = [];
    for (const count of [1, 2, 4, 8]) rates.push(await measure({ lossShare, delayMs }, count, seconds));
    const cells = rates.map((rate) => `${rate.toFixed(2)} (${(rate / rates[0]!).toFixed(1)}x)`);
    console.log(`| ${lossShare * 100} % | ${delayMs} ms | ${cells.join(' | ')} |`);
  }
}
