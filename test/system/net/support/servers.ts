/** The servers of a laboratory: rendezvous and TURN, each on a host of its own. */
import { fileURLToPath } from 'node:url';
import type { Lab } from './lab.js';
import { openLog } from './logs.js';
import { lines, sleep, type Running } from './processes.js';

/** The path of a program compiled beside this file. */
export const program = (name: string): string => fileURLToPath(new URL(`./${name}.js`, import.meta.url));

/** The first line that a program says; throws with its last words if it ends without one. */
export function firstLine(running: Running): Promise<string> {
  return new Promise((resolve, reject) => {
    lines(running.stdout, resolve);
    void running.ended.then((end) => reject(new Error(end)));
  });
}

/** Starts a rendezvous server; returns its URL and its process. */
export async function startRendezvous(lab: Lab, host: string): Promise<{ url: string; process: Running }> {
  const { address } = lab.host(host);
  const process_ = lab.spawn(host, 'rendezvous', [process.execPath, program('rendezvous'), address]);
  return { url: await firstLine(process_), process: process_ };
}

/** Starts a TURN (and STUN) server, and no service of the machine; returns what `iceServers` takes, and its process. */
export async function startTurn(
  lab: Lab,
  host: string,
  directory: string,
): Promise<{ readonly iceServers: readonly string[]; readonly process: Running }> {
  const { address } = lab.host(host);
  const log = openLog('turn');
  const running = lab.spawn(host, 'turnserver', [
    ...['turnserver', '-n', '--no-cli', '--no-tls', '--no-dtls', '--lt-cred-mech', '--fingerprint'],
    ...[`--listening-ip=${address}`, `--relay-ip=${address}`, '--listening-port=3478'],
    ...['--realm=laboratory', '--user=lab:oratory', '--log-file=stdout', '--simple-log'],
    ...(log === undefined ? [] : ['--verbose']),
    ...[`--pidfile=${directory}/turn.pid`, `--userdb=${directory}/turn.db`],
  ]);
  if (log === undefined) running.stdout.resume();
  else running.stdout.pipe(log);
  const port = (3478).toString(16).toUpperCase().padStart(4, '0');
  for (let tries = 0; tries < 500; tries++) {
    if (running.end !== undefined) throw new Error(running.end);
    const sockets = await lab.exec(host, ['cat', '/proc/net/udp']);
    if (sockets.includes(`:${port} `)) {
      const iceServers = [`stun:${address}:3478`, `turn:lab:oratory@${address}:3478`];
      return { iceServers, process: running };
    }
    await sleep(20);
  }
  throw new Error('turnserver: not listening after 10 s');
}
