/** A rendezvous server on a host of the laboratory. Says its URL, and ends with its stdin. */
import { serveSignaling } from '../../../../lib/mesh/signaling/server.js';

const server = await serveSignaling({ host: process.argv[2] ?? '', port: 9000 });
process.stdout.write(`${server.url}\n`);
process.stdin.on('end', () => process.exit(0));
process.stdin.resume();
