/** A member in a process of its own, whose engine is in a thread of its own. */
import { QuorateError } from '../../lib/errors.js';
import { keyValue } from '../../lib/machines/keyValue.js';
import { joinMesh } from '../../lib/mesh/joinMesh.js';
import { meshEngine } from '../../lib/mesh/mesh.js';
import { webSocketSignaling } from '../../lib/mesh/signaling/webSocket.js';
import { webrtc } from '../../lib/mesh/webrtc/webrtc.js';
import { openReplica } from '../../lib/replica/openReplica.js';
import { diskStorage } from '../../lib/storage/diskStorage.js';
import type { MemberSetup, Reply, Request } from './engineThreadMessages.js';

const { id, members, signaling, directory } = JSON.parse(process.argv[2]!) as MemberSetup;
const tell = (reply: Reply): void => void process.send?.(reply);
const clock = (): number => performance.timeOrigin + performance.now();

const transport = webrtc({ signaling: webSocketSignaling(signaling), bindAddress: '127.0.0.1' });
const secret = 'the secret of a test, not of a cluster';
const mesh = await joinMesh({ id, cluster: 'threads', secret, transport, thread: 'worker' });
const replica = await openReplica({
  ...{ mesh, group: 'g', members, stateMachine: keyValue<string>(), storage: diskStorage(directory) },
});
let stalls = 0;
let elections = 0;
mesh.on('local:stall', () => stalls++);
replica.on('leader:changed', () => elections++);
replica.on('replica:failed', (error) =>
  tell({ type: 'failed', code: error instanceof QuorateError ? error.code : error.message }),
);

let running = false;
let loops: Promise<void>[] = [];
let acknowledged: number[] = [];
let failed = 0;

async function write(loop: number): Promise<void> {
  for (let n = 0; running; n++) {
    try {
      await replica.submit({ op: 'put', key: `${id}.${loop}.${n % 100}`, value: 'v'.repeat(70) });
      acknowledged.push(clock());
    } catch {
      failed++;
    }
  }
}

process.on('message', (request: Request) => {
  switch (request.type) {
    case 'status':
      tell({ type: 'status', status: replica.status(), stalls, elections });
      return;
    case 'write':
      running = true;
      acknowledged = [];
      loops = Array.from({ length: request.loops }, (_, loop) => write(loop));
      return;
    case 'stop':
      running = false;
      void Promise.all(loops).then(() => tell({ type: 'stopped', acknowledged, failed }));
      return;
    case 'block': {
      const from = clock();
      while (clock() < from + request.ms);
      tell({ type: 'blocked', from, to: clock() });
      return;
    }
    case 'close':
      void mesh.close().then(() => process.disconnect());
      return;
    case 'exit':
      process.exit(request.code);
      return;
    case 'throw':
      if (request.where === 'app') throw new Error('on purpose');
      // What no app can send. Once the mesh is over nothing else is left to keep the process.
      void mesh.closed.then(() => setTimeout(() => process.disconnect(), 50));
      meshEngine(mesh)!.say({ type: 'batch', group: 1, batch: { proposals: [1, 1, 8] } });
  }
});
tell({ type: 'open' });
