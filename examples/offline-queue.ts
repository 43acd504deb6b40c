/**
 * Notes on three machines, one of them a laptop that loses its network, and then its power. What is written meanwhile goes into the
 * outbox on the laptop's disk; when it is back it is replayed: in order, each note once.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defineMachine, diskStorage, joinMesh, memoryNetwork, openReplica, QuorateError } from 'quorate';

const notes = () =>
  defineMachine({
    version: 1,
    initial: () => ({ lines: [] as string[] }),
    commands: { write: (state, { text }: { text: string }) => state.lines.push(text) },
    queries: { all: (state) => state.lines },
  });

const network = memoryNetwork();
const directory = await mkdtemp(join(tmpdir(), 'offline-queue-'));
const machines = ['laptop', 'desktop', 'server'];

async function start(id: string) {
  const mesh = await joinMesh({
    id,
    cluster: 'example',
    secret: 'a secret of sixteen bytes or more',
    transport: network,
  });
  const replica = await openReplica({
    mesh,
    group: 'notes',
    members: machines,
    stateMachine: notes(),
    storage: diskStorage(join(directory, id), { segmentBytes: 1024 * 1024 }),
    onNoQuorum: 'queue',
    outbox: { maxEntries: 100 },
  });
  return { mesh, replica };
}

try {
  const [desktop, server] = [await start('desktop'), await start('server')];
  let laptop = await start('laptop');
  for (const { replica } of [laptop, desktop, server]) await replica.ready();
  await laptop.replica.submit({ op: 'write', text: 'written at home' });

  console.log('the laptop leaves the network');
  for (const id of ['desktop', 'server']) network.cut('laptop', id);
  await new Promise<void>((resolve) => {
    if (laptop.replica.status().quorum) laptop.replica.once('quorum:lost', resolve);
    else resolve();
  });
  // A user interface shows these; nobody waits for the promises, which are pending until the notes are applied.
  const saved = new Promise<void>((resolve) => {
    let count = 0;
    laptop.replica.on('outbox:queued', ({ requestId }) => {
      console.log('  saved on the laptop:', requestId);
      if (++count === 3) resolve();
    });
  });
  const write = (text: string, requestId: string): void => {
    laptop.replica.submit({ op: 'write', text }, { requestId }).catch((error: unknown) => {
      if (error instanceof QuorateError)
        console.log(`  ${requestId} so far: ${error.code}, ${error.fate ?? ''}`);
    });
  };
  write('written on the train', 'note-1');
  write('written in haste', 'note-2');
  write('written at the hotel', 'note-3');
  await saved;
  console.log('cancelled before it was sent:', await laptop.replica.outbox.cancel('note-2'));

  await desktop.replica.submit({ op: 'write', text: 'written at home meanwhile' });

  console.log('the laptop is switched off, and on again at home');
  await laptop.mesh.close();
  network.heal();
  laptop = await start('laptop');
  const { replica } = laptop;
  console.log(
    'in the outbox:',
    replica.outbox
      .entries()
      .map(({ requestId }) => requestId)
      .join(', '),
  );
  replica.on('outbox:replayed', ({ requestId, result }) => console.log(`  ${requestId} is line`, result));
  if (replica.outbox.size > 0) await new Promise<void>((resolve) => replica.once('outbox:drained', resolve));

  const lines = await server.replica.query({ op: 'all' });
  for (const line of lines) console.log(' -', line);
  if (lines.length !== 4) throw new Error(`4 lines were expected, there are ${lines.length}`);
  for (const { mesh } of [laptop, desktop, server]) await mesh.close();
} finally {
  await rm(directory, { recursive: true, force: true });
}
