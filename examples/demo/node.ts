/** One member of the demo's cluster: a process of its own, with its own disk. */
import { diskStorage, joinMesh, keyValue, openReplica, webrtc, webSocketSignaling } from 'quorate';
import type { NodeSetup, Order, Report } from './protocol.js';

const setup = JSON.parse(process.argv[2] ?? '') as NodeSetup;
const say = (report: Report): void => {
  if (process.connected) process.send?.(report);
};

const mesh = await joinMesh({
  id: setup.id,
  cluster: 'demo',
  secret: setup.secret,
  // All of the demo is on this machine; without `bindAddress` every address but loopback is used.
  transport: webrtc({ signaling: webSocketSignaling(setup.signaling), bindAddress: '127.0.0.1' }),
});
const replica = await openReplica({
  mesh,
  group: 'settings',
  members: setup.members,
  stateMachine: keyValue<number>(),
  storage: diskStorage(setup.directory),
});
say({ type: 'open', restored: replica.status().appliedIndex });

const tellStatus = (): void => {
  const { role, leader, epoch, commitIndex: commit, appliedIndex: applied } = replica.status();
  say({ type: 'status', role, leader, epoch, commit, applied });
};
replica.on('leader:changed', tellStatus);
replica.on('role:changed', tellStatus);
const statusTimer = setInterval(tellStatus, 100);

// Sequences go on where the last run of this process left off, so that no key is written twice.
let sequence = Date.now() * 1000;
let writing = false;
let acknowledged: number[] = [];
let latencies: number[] = [];
let failed = 0;
const reportTimer = setInterval(() => {
  if (acknowledged.length === 0 && failed === 0) return;
  say({ type: 'writes', acknowledged, failed, latencies });
  acknowledged = [];
  latencies = [];
  failed = 0;
}, 20);

async function writer(): Promise<void> {
  while (writing) {
    const value = ++sequence;
    const start = performance.now();
    try {
      await replica.submit({ op: 'put', key: `${setup.id}/${value}`, value });
      acknowledged.push(value);
      if (latencies.length < 100) latencies.push(performance.now() - start);
    } catch {
      failed++;
    }
  }
}

let writers: Promise<void>[] = [];

async function verify(wanted: Readonly<Record<string, readonly number[]>>): Promise<void> {
  const held = new Map(await replica.query({ op: 'list' }));
  let missing = 0;
  let checked = 0;
  for (const [id, sequences] of Object.entries(wanted)) {
    for (const value of sequences) {
      checked++;
      if (held.get(`${id}/${value}`) !== value) missing++;
    }
  }
  const { index, digest } = await replica.digest();
  say({ type: 'verified', missing, checked, index, digest });
}

async function obey(order: Order): Promise<void> {
  switch (order.type) {
    case 'load':
      writing = true;
      writers = Array.from({ length: order.outstanding }, writer);
      return;
    case 'stop':
      writing = false;
      await Promise.all(writers);
      // One linearizable read: everything that was acknowledged anywhere is applied here.
      await replica.ready();
      setTimeout(() => say({ type: 'stopped' }), 50);
      return;
    case 'verify':
      await verify(order.acknowledged);
      return;
    case 'close':
      clearInterval(statusTimer);
      clearInterval(reportTimer);
      await mesh.close();
      process.disconnect();
  }
}

process.on('message', (order: Order) => {
  obey(order).catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
});
