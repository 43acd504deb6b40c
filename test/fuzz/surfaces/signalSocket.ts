/** The rendezvous server over real sockets on the loopback address: each input on a connection of its own. */
import { WebSocket } from 'ws';
import { serveSignaling } from '../../../lib/mesh/signaling/server.js';
import { helloFrame } from '../../../lib/mesh/signaling/protocol.js';
import { must, TAKEN, type Surface, type Verdict } from '../surface.js';
import { clientCorpus } from './signaling.js';

const MANY = 1_000_000;

export async function signalSocket(): Promise<Surface> {
  const server = await serveSignaling({
    messagesPerSecond: MANY,
    messageBurst: MANY,
    maxRooms: 64,
    maxConnections: 1024,
  });
  let nodes = 0;
  return {
    name: 'signalSocket',
    about: 'the rendezvous server over sockets',
    corpus: clientCorpus,
    life: 1_000_000_000,
    strict: false,
    begin: (random) => {
      const waiting: Promise<Verdict>[] = [];
      return {
        take: (input) => {
          const hello = helloFrame({
            cluster: 'orders',
            id: `n${++nodes}`,
            incarnation: '000000000000001-0123456789abcdef',
          });
          waiting.push(say(server.url, random.chance(0.5) ? [hello, input] : [input], random.chance(0.05)));
          return TAKEN;
        },
        settle: async () => {
          const verdicts = await Promise.all(waiting.splice(0));
          const { clients, pending, rooms } = server.metrics();
          must(clients + pending <= 1024 && rooms <= 64, 'more connections or rooms than the caps');
          return verdicts.filter((verdict) => verdict !== TAKEN);
        },
        dispose: () => server.close(),
      };
    },
  };
}

/** Sends frames; taken if the server still answers a ping behind them. */
function say(url: string, frames: readonly Uint8Array[], binary: boolean): Promise<Verdict> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, { perMessageDeflate: false });
    socket.on('open', () => {
      for (const frame of frames) socket.send(frame, { binary });
      socket.ping();
    });
    socket.on('pong', () => {
      // The refusal of a frame before the ping may be on its way.
      if (socket.readyState === WebSocket.OPEN) setImmediate(() => socket.close(1000));
    });
    socket.on('error', () => undefined);
    socket.on('close', (code) => {
      // 4000: refused with a word; 1007: no UTF-8, by the socket's own rules; 1000: ours.
      if (code === 1000) resolve(TAKEN);
      else if (code === 4000 || code === 1007) resolve('ERR_SIGNALING');
      else reject(new Error(`closed with ${code}`));
    });
  });
}
