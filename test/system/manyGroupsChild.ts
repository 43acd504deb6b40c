/** A process with many groups on one mesh. */
import { joinMesh } from '../../lib/mesh/joinMesh.js';
import { webSocketSignaling } from '../../lib/mesh/signaling/webSocket.js';
import { webrtc } from '../../lib/mesh/webrtc/webrtc.js';
import { keyValue } from '../../lib/machines/keyValue.js';
import { raft } from '../../lib/replica/consensus.js';
import { openReplica } from '../../lib/replica/openReplica.js';
import { diskStorage } from '../../lib/storage/diskStorage.js';

export interface Setup {
  readonly id: string;
  readonly members: readonly string[];
  readonly signaling: string;
  readonly secret: string;
  readonly directory: string;
  readonly groups: number;
}

export type Request =
  | { readonly type: 'figures' }
  | { readonly type: 'put'; readonly group: number }
  | { readonly type: 'close' };

export interface Figures {
  /** Frames that came but those that the mesh sends for itself, which are more when the machine is busy. */
  readonly framesReceived: number;
  readonly open: number;
  readonly quiet: number;
  /** Which groups have a leader, and in which term. */
  readonly terms: readonly number[];
  readonly leaders: readonly (string | undefined)[];
}

export type Reply =
  { readonly type: 'open' } | ({ readonly type: 'figures' } & Figures) | { readonly type: 'put' };

const setup = JSON.parse(process.argv[2] ?? '') as Setup;
const mesh = await joinMesh({
  id: setup.id,
  cluster: 'system-test',
  secret: setup.secret,
  transport: webrtc({ signaling: webSocketSignaling(setup.signaling), bindAddress: '127.0.0.1' }),
});
const storage = diskStorage(setup.directory);
const replicas = await Promise.all(
  Array.from({ length: setup.groups }, (_, n) =>
    openReplica({
      mesh,
      group: `group-${n}`,
      members: setup.members,
      stateMachine: keyValue<string>(),
      storage,
      // Generous, for a machine that is busy with other things.
      consensus: raft({ quietAfterMs: 1000, heartbeatMs: 100, electionTimeoutMs: 1000 }),
      timeout: 60_000,
    }),
  ),
);
await Promise.all(replicas.map((replica) => replica.ready()));

const reply = (message: Reply): void => {
  if (process.connected) process.send?.(message);
};

async function answer(request: Request): Promise<void> {
  switch (request.type) {
    case 'figures': {
      const { groups, datagramsReceived, datagramsRelayed, datagramsDropped, ...mine } = mesh.metrics();
      const framesReceived = mine.framesReceived - datagramsReceived - datagramsRelayed - datagramsDropped;
      const statuses = replicas.map((replica) => replica.status());
      const terms = statuses.map(({ epoch }) => epoch);
      reply({
        type: 'figures',
        framesReceived,
        ...groups,
        terms,
        leaders: statuses.map(({ leader }) => leader),
      });
      return;
    }
    case 'put':
      await replicas[request.group]!.submit({ op: 'put', key: 'from', value: setup.id });
      reply({ type: 'put' });
      return;
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
