/**
 * Measures a path with UDP. `echo PORT` answers every datagram, and says so; `measure HOST PORT COUNT BYTES INTERVAL_MS` sends that many, waits
 * for what comes back, and says as JSON how long each took (in ms, undefined for a lost one) and when the answers came.
 */
import { createSocket } from 'node:dgram';
import { now, sleep } from './processes.js';

/** What a measurement says. */
export interface Measured {
  readonly sent: number;
  readonly roundTrips: readonly number[];
  /** Milliseconds from the first to the last answer. */
  readonly spanMs: number;
}

const [mode, ...args] = process.argv.slice(2);
const socket = createSocket('udp4');
process.stdin.on('end', () => process.exit(0));
process.stdin.resume();

if (mode === 'echo') {
  socket.on('message', (data, from) => {
    socket.send(data, from.port, from.address);
    process.stdout.write('heard\n');
  });
  socket.bind(Number(args[0]), () => process.stdout.write('ready\n'));
} else {
  const [host, port, count, bytes, interval] = [args[0]!, ...args.slice(1).map(Number)] as [
    string,
    number,
    number,
    number,
    number,
  ];
  const sentAt: number[] = [];
  const roundTrips: number[] = [];
  let first = 0;
  let last = 0;
  socket.on('message', (data) => {
    last = now();
    first ||= last;
    roundTrips.push(last - sentAt[data.readUInt32BE(0)]!);
  });
  await new Promise<void>((resolve) => socket.bind(0, resolve));
  const start = now();
  for (let at = 0; at < count; at++) {
    const data = Buffer.alloc(bytes);
    data.writeUInt32BE(at);
    sentAt.push(now());
    socket.send(data, port, host);
    const wait = start + (at + 1) * interval - now();
    if (wait > 0) await sleep(wait);
  }
  for (let quiet = now(); roundTrips.length < count && now() - Math.max(last, quiet) < 1500;) await sleep(20);
  const measured: Measured = { sent: count, roundTrips, spanMs: last - first };
  process.stdout.write(`${JSON.stringify(measured)}\n`, () => process.exit(0));
}
