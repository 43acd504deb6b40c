/** A member in a process of its own: it works, stands still when it is told to, and tells its parent all that its mesh says. */
import { joinMesh } from '../../../lib/mesh/joinMesh.js';
import { webSocketSignaling } from '../../../lib/mesh/signaling/webSocket.js';
import { webrtc } from '../../../lib/mesh/webrtc/webrtc.js';
import { keyValue } from '../../../lib/machines/keyValue.js';
import { openReplica } from '../../../lib/replica/openReplica.js';
import { diskStorage } from '../../../lib/storage/diskStorage.js';
import { Clients } from './clients.js';
import { now, type MemberSetup, type Reply, type Request, type StallKind, type Told } from './messages.js';
import { watchedDetector } from './watchedDetector.js';

const setup = JSON.parse(process.argv[2] ?? '') as MemberSetup;
const reply = (message: Reply): void => {
  if (process.connected) process.send?.(message);
};
const tell = (event: Told['event'], about: string, more: Pick<Told, 'convicted' | 'ms'> = {}): void =>
  reply({ type: 'told', told: { at: now(), by: setup.id, event, about, ...more } });

const detector = watchedDetector();
const mesh = await joinMesh({
  id: setup.id,
  cluster: 'stalls',
  secret: setup.secret,
  transport: webrtc({ signaling: webSocketSignaling(setup.signaling), bindAddress: '127.0.0.1' }),
  failureDetector: detector,
});
mesh.on('peer:up', (peer) => tell('up', peer));
mesh.on('peer:suspect', (peer) => tell('suspect', peer));
mesh.on('peer:unreachable', (peer) => tell('unreachable', peer, { convicted: detector.convicting() }));
mesh.on('peer:path', (peer, path) => tell('path', `${path} ${peer}`));
mesh.on('local:stall', (ms) => tell('stall', setup.id, { ms }));
mesh.on('warning', (error) => tell('warning', error.message));

const replica = await openReplica({
  mesh,
  group: 'stalls',
  members: setup.members,
  stateMachine: keyValue<string>(),
  storage: diskStorage(setup.directory),
  timeout: 10_000,
});
replica.on('leader:changed', () => tell('leader', replica.status().leader ?? 'nobody'));
const clients = new Clients(replica, setup.id, (operation) => reply({ type: 'operation', operation }));

/** Blocks the event loop, and nothing else of this process. */
function stall(ms: number, kind: StallKind): void {
  const until = now() + ms;
  if (kind === 'sleep') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
  while (now() < until);
}

async function answer(request: Request): Promise<void> {
  switch (request.type) {
    case 'load':
      await replica.ready({ timeout: 60_000 });
      clients.start(request.clients, request.pauseMs, request.recorded);
      return;
    case 'unload':
      await clients.stop();
      reply({ type: 'unloaded' });
      return;
    case 'stall': {
      const from = now();
      stall(request.ms, request.kind);
      reply({ type: 'stalled', from, until: now() });
      return;
    }
    case 'status': {
      const { role, epoch, leader } = replica.status();
      const peers = mesh.peers().map(({ id, state, path }) => ({ id, state, path }));
      reply({ type: 'status', status: { role, epoch, leader, peers, commits: clients.commits } });
      return;
    }
    case 'close':
      await mesh.close();
      process.disconnect();
  }
}

process.on('message', (request: Request) => {
  answer(request).catch((error: unknown) => {
    console.error(setup.id, error);
    process.exit(1);
  });
});
reply({ type: 'open' });
