/** A node on a host of the laboratory: joins the mesh over the host's real address, opens a replica, and obeys lines on stdin. */
import nodeDataChannel from 'node-datachannel';
import { joinMesh } from '../../../../lib/mesh/joinMesh.js';
import { webSocketSignaling } from '../../../../lib/mesh/signaling/webSocket.js';
import { webrtc } from '../../../../lib/mesh/webrtc/webrtc.js';
import { openReplica } from '../../../../lib/replica/openReplica.js';
import { diskStorage } from '../../../../lib/storage/diskStorage.js';
import { QuorateError } from '../../../../lib/errors.js';
import { keyValue } from '../../../../lib/machines/keyValue.js';
import type { KeyValueInput } from '../../../../lib/testing/linearizability/keyValueModel.js';
import { openLog } from './logs.js';
import { lines, now, sleep } from './processes.js';
import type { Done, Load, NodeSetup, Report, Request, View } from './protocol.js';

const setup = JSON.parse(process.argv[2] ?? '') as NodeSetup;
const say = (report: Report): void => void process.stdout.write(`${JSON.stringify(report)}\n`);
const fail = (error: unknown): never => {
  console.error(setup.id, error);
  process.exit(1);
};
process.on('uncaughtException', fail);

const log = openLog(setup.id);
if (log !== undefined) {
  nodeDataChannel.initLogger('Verbose', (level, message) => {
    log.write(`${now().toFixed(1)} ${level} ${message}
`);
  });
}

const signaling = webSocketSignaling(setup.signaling);
const mesh = await joinMesh({
  id: setup.id,
  cluster: 'laboratory',
  secret: setup.secret,
  transport: webrtc({ signaling, ...setup.webrtc }),
  ...setup.mesh,
});
const replica = await openReplica({
  mesh,
  group: 'group',
  members: setup.members,
  stateMachine: keyValue<number>(),
  storage: diskStorage(setup.directory),
});

/** The view of partitions, as far as this mesh has one. */
type Partitions = { readonly partition?: () => NonNullable<View['partition']> };

function view(): View {
  const { role, leader, epoch, quorum, appliedIndex } = replica.status();
  const partition = (mesh as Partitions).partition?.();
  return {
    at: now(),
    peers: Object.fromEntries(mesh.peers().map(({ id, state, path }) => [id, { state, path }])),
    ...(partition && { partition: { state: partition.state, components: partition.components } }),
    role,
    ...(leader !== undefined && { leader }),
    epoch,
    quorum,
    applied: appliedIndex,
  };
}

let told = '';
let toldAt = 0;
const watch = (): void => {
  const seen = view();
  const text = JSON.stringify({ ...seen, at: 0, applied: 0 });
  // The applied index changes all the time: told now and then.
  if (text === told && seen.at - toldAt < 100) return;
  told = text;
  toldAt = seen.at;
  say({ type: 'view', ...seen });
};
setInterval(watch, 10);

const tell = (name: string, ...args: readonly unknown[]): void =>
  say({
    type: 'event',
    at: now(),
    name,
    args: args.map((arg) => (arg instanceof Error ? arg.message : String(arg))),
  });
mesh.on('peer:up', (peer) => tell('peer:up', peer));
mesh.on('peer:suspect', (peer) => tell('peer:suspect', peer));
mesh.on('peer:unreachable', (peer) => tell('peer:unreachable', peer));
mesh.on('peer:refused', (peer, error) => tell('peer:refused', peer, error));
mesh.on('local:stall', (ms) => tell('local:stall', ms));
mesh.on('warning', (error) => tell('warning', error));
replica.on('quorum:lost', () => tell('quorum:lost'));
replica.on('quorum:regained', () => tell('quorum:regained'));
replica.on('replica:failed', (error) => tell('replica:failed', error));
replica.on('warning', (error) => tell('warning', error));

let done: Done[] = [];
setInterval(() => {
  if (done.length > 0) say({ type: 'ops', done });
  done = [];
}, 50);

let operations = 0;

async function perform(client: string, input: KeyValueInput, timeout: number): Promise<Done> {
  const called = { number: ++operations, process: client, call: now(), input };
  const isQuery = input.op === 'get' || input.op === 'list';
  if (!isQuery) say({ type: 'called', ...called });
  try {
    const output: unknown = isQuery
      ? await replica.query(input as { op: 'get'; key: string }, { timeout })
      : await replica.submit(input as { op: 'put'; key: string; value: number }, { timeout });
    return { ...called, return: now(), output };
  } catch (error) {
    if (!(error instanceof QuorateError)) throw error;
    // A query that failed told nothing; a command that was refused did nothing.
    if (isQuery || error.fate === 'refused') return { ...called, return: now(), refused: error.code };
    return called;
  }
}

let loading = false;
/** Values are never written twice, not by another run of this node either. */
let value = process.pid * 1e7;

async function client(name: string, { keys, pauseMs, timeoutMs }: Load): Promise<void> {
  while (loading) {
    const key = `k${Math.floor(Math.random() * keys)}`;
    const fresh = ++value;
    const dice = Math.random();
    const input: KeyValueInput =
      dice < 0.5
        ? { op: 'put', key, value: fresh }
        : dice < 0.65
          ? { op: 'cas', key, expected: await lastSeen(key), value: fresh }
          : { op: 'get', key };
    const operation = await perform(name, input, timeoutMs);
    done.push(operation);
    await sleep(operation.refused === undefined ? pauseMs : Math.max(pauseMs, 50));
  }
}

/** What this member holds, perhaps old: so that some comparisons hit and some miss. */
async function lastSeen(key: string): Promise<unknown> {
  return replica.query({ op: 'get', key }, { consistency: 'committed' });
}

let clients: Promise<void>[] = [];

async function obey(request: Request): Promise<void> {
  switch (request.type) {
    case 'op': {
      const operation = await perform(`${setup.id}/op`, request.input, request.timeoutMs);
      done.push(operation);
      say({ type: 'answer', seq: request.seq, value: operation });
      return;
    }
    case 'load':
      loading = true;
      clients = Array.from({ length: request.clients }, (_, at) => client(`${setup.id}/${at}`, request));
      return;
    case 'rest':
      loading = false;
      await Promise.all(clients);
      if (done.length > 0) say({ type: 'ops', done });
      done = [];
      say({ type: 'answer', seq: request.seq, value: null });
      return;
    case 'digest':
      say({ type: 'answer', seq: request.seq, value: await replica.digest() });
      return;
    case 'close':
      await mesh.close();
      process.exit(0);
  }
}

lines(process.stdin, (line) => void obey(JSON.parse(line) as Request).catch(fail));
// The test is gone: so is this.
process.stdin.on('end', () => process.exit(0));
say({ type: 'open', at: now() });
