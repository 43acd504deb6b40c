/** A member of a test cluster: a process of its own that writes to the ledger, and answers what its parent asks. */
import { joinMesh } from '../../../lib/mesh/joinMesh.js';
import { webSocketSignaling } from '../../../lib/mesh/signaling/webSocket.js';
import { webrtc } from '../../../lib/mesh/webrtc/webrtc.js';
import { openReplica } from '../../../lib/replica/openReplica.js';
import { diskStorage } from '../../../lib/storage/diskStorage.js';
import { QuorateError } from '../../../lib/errors.js';
import { ledger } from './ledger.js';
import type { MemberSetup, Recorded, Reply, Request } from './messages.js';

const setup = JSON.parse(process.argv[2] ?? '') as MemberSetup;
const mesh = await joinMesh({
  id: setup.id,
  cluster: 'system-test',
  secret: setup.secret,
  transport: webrtc({ signaling: webSocketSignaling(setup.signaling), bindAddress: '127.0.0.1' }),
});
const replica = await openReplica({
  mesh,
  group: 'ledger',
  ...(setup.members === undefined
    ? { join: true, as: setup.witness ? 'witness' : 'voter' }
    : { members: setup.members }),
  stateMachine: ledger(),
  storage: diskStorage(setup.directory, setup.witness ? { segmentBytes: 2 ** 18, reserve: 2 ** 20 } : {}),
  snapshot: { logBytes: setup.snapshotLogBytes, keepEntries: 500 },
  timeout: 10_000,
});

const marks = {
  voter: (id: string) => id,
  learner: (id: string) => `(${id})`,
  witness: (id: string) => `<${id}>`,
};

const reply = (message: Reply): void => {
  if (process.connected) process.send?.(message);
};

let writing = false;
let writers: Promise<void>[] = [];
let count = 0;
let think = 0;
const recorded: Recorded[] = [];
// The same in all processes of a machine, and never set.
const clock = (): number => Number(process.hrtime.bigint() / 1000n) / 1000;
const run = `${setup.id}.${process.pid}.${Date.now()}`;

function record(input: Recorded['input'], call: number, output: number): void {
  if (think > 0) recorded.push({ process: setup.id, call, return: clock(), input, output });
}

async function read(): Promise<void> {
  const call = clock();
  try {
    record('size', call, await replica.query({ op: 'size' }));
  } catch (error) {
    if (!(error instanceof QuorateError)) throw error;
    reply({ type: 'failed', call: 'query', message: error.message });
  }
}

async function write(): Promise<void> {
  while (writing) {
    const id = `${run}.${++count}`;
    let requestId: string | undefined;
    const call = clock();
    for (;;) {
      try {
        const { size } = await replica.submit(
          { op: 'write', id },
          requestId === undefined ? undefined : { requestId },
        );
        record('write', call, size);
        reply({ type: 'acknowledged', id });
        break;
      } catch (error) {
        if (!(error instanceof QuorateError)) throw error;
        reply({ type: 'failed', call: 'submit', message: error.message });
        if (error.fate === 'ambiguous') requestId = error.requestId;
        else if (error.fate !== 'refused') throw error;
        if (!(writing as boolean)) break;
      }
    }
    if (think === 0) continue;
    await read();
    await new Promise((resolve) => setTimeout(resolve, think * 2 * Math.random()));
  }
}

/** How a call that only a leader can fulfil ended. */
async function tell(call: Promise<void>): Promise<void> {
  try {
    await call;
    reply({ type: 'done', code: '', message: '' });
  } catch (error) {
    if (!(error instanceof QuorateError)) throw error;
    reply({ type: 'done', code: error.code, message: error.message });
  }
}

async function answer(request: Request): Promise<void> {
  switch (request.type) {
    case 'write':
      writing = true;
      think = request.think ?? 0;
      writers = Array.from({ length: request.writers }, write);
      return;
    case 'stop':
      writing = false;
      await Promise.all(writers);
      await replica.ready();
      reply({ type: 'stopped' });
      return;
    case 'check': {
      await replica.ready({ timeout: 30_000 });
      const odd = await replica.query({ op: 'odd', ids: request.ids }, { consistency: 'committed' });
      const doubled = await replica.query({ op: 'doubled' }, { consistency: 'committed' });
      const { index, digest } = await replica.digest();
      reply({ type: 'checked', odd, doubled, index, digest });
      return;
    }
    case 'status': {
      const { role, epoch, appliedIndex, leader, members } = replica.status();
      const names = members.map(({ id, as }) => marks[as](id)).sort();
      reply({ type: 'status', role, epoch, appliedIndex, leader, members: names });
      return;
    }
    case 'change':
      await tell(replica.changeMembers(request, { timeout: 30_000 }));
      return;
    case 'transfer':
      await tell(replica.transferLeadership(request.to, { timeout: 10_000 }));
      return;
    case 'recorded':
      reply({ type: 'recorded', calls: recorded });
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
