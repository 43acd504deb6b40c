/**
 * A rendezvous on an HTTP server that one has already, which lets in only who brings a token. Two nodes meet there and talk
 * over WebRTC; a third, with a wrong token, hears why it stays outside. The token guards the rendezvous only: what guards the
 * data is the cluster's secret, which the rendezvous never sees.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  joinMesh,
  keyValue,
  memoryStorage,
  openReplica,
  serveSignaling,
  webrtc,
  webSocketSignaling,
  type Mesh,
} from 'quorate';

const secret = randomBytes(32);
const token = randomBytes(16).toString('hex');

const http = createServer((request, response) => {
  response.writeHead(request.url === '/health' ? 200 : 404, { 'content-type': 'text/plain' });
  response.end(request.url === '/health' ? 'fine\n' : 'nothing here\n');
});
http.listen(0, '127.0.0.1');
await once(http, 'listening');
const { port } = http.address() as AddressInfo;

const signaling = await serveSignaling({
  server: http,
  path: '/signal',
  authorize: (request, { cluster, id }) => {
    const given = Buffer.from(request.headers.authorization ?? '');
    const wanted = Buffer.from(`Bearer ${token}`);
    const ok = cluster === 'example' && given.length === wanted.length && timingSafeEqual(given, wanted);
    console.log(`the rendezvous ${ok ? 'lets in' : 'turns away'} ${id}`);
    return ok;
  },
});

const join = (id: string, bearer: string) =>
  joinMesh({
    id,
    cluster: 'example',
    secret,
    transport: webrtc({
      signaling: webSocketSignaling({
        urls: [`ws://127.0.0.1:${port}/signal`],
        headers: { authorization: `Bearer ${bearer}` },
      }),
      bindAddress: '127.0.0.1', // all of this is on one machine; without it every address but loopback is used
    }),
  });

const open = (mesh: Mesh) =>
  openReplica({
    mesh,
    group: 'settings',
    members: ['a', 'b'],
    stateMachine: keyValue<string>(),
    storage: memoryStorage(),
  });
const meshes = await Promise.all([join('a', token), join('b', token)]);
const [a, b] = await Promise.all([open(meshes[0]), open(meshes[1])]);
await a.submit({ op: 'put', key: 'theme', value: 'dark' });
console.log('b reads what a wrote:', await b.query({ op: 'get', key: 'theme' }));

const stranger = await join('c', 'a guess');
const [warning] = (await new Promise<unknown[]>((resolve) => {
  stranger.on('warning', (...args) => resolve(args));
})) as [Error & { code?: string }];
console.log('c hears:', warning.code);

const health = await fetch(`http://127.0.0.1:${port}/health`);
console.log('the server goes on with its own work:', (await health.text()).trim());

await Promise.all([...meshes, stranger].map((mesh) => mesh.close()));
await signaling.close(); // leaves the server to its owner
http.close();
http.closeAllConnections(); // fetch keeps one for later
