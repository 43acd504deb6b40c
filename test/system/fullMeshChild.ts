/** The process of a full mesh: forms it, has three nodes die at once, again and again, and tells its parent what came of it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { keyValue, type KeyValueMachine } from '../../lib/machines/keyValue.js';
import { joinMesh } from '../../lib/mesh/joinMesh.js';
import type { Mesh } from '../../lib/mesh/mesh.js';
import { serveSignaling } from '../../lib/mesh/signaling/server.js';
import { webSocketSignaling } from '../../lib/mesh/signaling/webSocket.js';
import { webrtc } from '../../lib/mesh/webrtc/webrtc.js';
import { openReplica } from '../../lib/replica/openReplica.js';
import type { Replica } from '../../lib/replica/replica.js';
import { diskStorage } from '../../lib/storage/diskStorage.js';
import type { MeshFigures, MeshPlan, Round } from './fullMeshRun.js';
import { now, sleep } from './stalls/messages.js';
import { setUpPair } from './stalls/rawPair.js';
import { severable, type Severable } from './stalls/severable.js';

const voters = 5;
const rawPairs = 20;
const patienceMs = 60_000;

interface Node {
  readonly id: string;
  readonly mesh: Mesh;
  readonly transport: Severable;
  readonly replica: Replica<KeyValueMachine<number>> | undefined;
}

const plan = JSON.parse(process.argv[2] ?? '') as MeshPlan;
const ids = Array.from({ length: plan.nodes }, (_, at) => `n${String(at + 1).padStart(2, '0')}`);
const voterIds = ids.slice(0, voters);
const directory = await mkdtemp(join(tmpdir(), 'quorate-mesh-'));
const signaling = await serveSignaling({});
const nodes = new Map<string, Node>();
/** Of this process, as its meshes say. */
let longestStallMs = 0;
/** Ends of links: who said it of whom. */
const lost: (readonly [by: string, of: string])[] = [];

async function joinAs(id: string): Promise<void> {
  const transport = severable(
    webrtc({ signaling: webSocketSignaling(signaling.url), bindAddress: '127.0.0.1' }),
  );
  const mesh = await joinMesh({
    id,
    cluster: 'full-mesh',
    secret: 'a secret of more than 128 bits, for the test',
    transport,
  });
  mesh.on('local:stall', (ms) => (longestStallMs = Math.max(longestStallMs, ms)));
  mesh.on('peer:unreachable', (peer) => lost.push([id, peer]));
  nodes.set(id, { id, mesh, transport, replica: undefined });
}

/** The group lives on five of the nodes. */
async function openVoter(id: string): Promise<void> {
  const node = nodes.get(id)!;
  const replica = await openReplica({
    mesh: node.mesh,
    group: 'settings',
    members: voterIds,
    stateMachine: keyValue<number>(),
    storage: diskStorage(join(directory, id)),
    timeout: 5000,
  });
  nodes.set(id, { ...node, replica });
}

async function until(what: string, done: () => boolean): Promise<void> {
  const giveUp = now() + patienceMs;
  while (!done()) {
    if (now() > giveUp) throw new Error(`${what}: not within ${patienceMs} ms`);
    await sleep(10);
  }
}

/** Whether all of these have a direct link to all others of them. */
function full(of: readonly string[]): boolean {
  return of.every((id) => {
    const up = new Set(
      nodes
        .get(id)!
        .mesh.peers()
        .filter(({ state, path }) => state === 'up' && path === 'direct')
        .map((peer) => peer.id),
    );
    return of.every((other) => other === id || up.has(other));
  });
}

/** Whether none of these has a link to one of those. */
function givenUp(by: readonly string[], of: readonly string[]): boolean {
  return by.every((id) =>
    nodes
      .get(id)!
      .mesh.peers()
      .every(({ id: peer, state }) => !of.includes(peer) || (state !== 'up' && state !== 'suspect')),
  );
}

/** Three at random, so that the group keeps its quorum: at most two of its voters. */
function three(): string[] {
  for (;;) {
    const left = [...ids];
    const chosen = Array.from(
      { length: 3 },
      () => left.splice(Math.floor(Math.random() * left.length), 1)[0]!,
    );
    if (chosen.filter((id) => voterIds.includes(id)).length <= 2) return chosen;
  }
}

/** Commits through each of these voters, one write at a time, until told to stop. */
class Writers {
  readonly commits: { readonly id: string; readonly at: number }[] = [];
  #running = true;
  readonly #loops: Promise<void>[];

  constructor(of: readonly string[]) {
    this.#loops = of.map((id) => this.#write(id));
  }

  since(id: string, at: number): number {
    return this.commits.filter((commit) => commit.id === id && commit.at >= at).length;
  }

  longestGap(from: number): number {
    let [last, gap] = [from, 0];
    for (const { at } of this.commits) {
      if (at < from) continue;
      gap = Math.max(gap, at - last);
      last = at;
    }
    return gap;
  }

  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#loops);
  }

  async #write(id: string): Promise<void> {
    const { replica } = nodes.get(id)!;
    for (let value = 0; this.#running; value++) {
      // One that times out while there is no leader is no commit; the next one is tried.
      await replica!.submit({ op: 'put', key: id, value }).then(
        () => this.commits.push({ id, at: now() }),
        () => undefined,
      );
      await sleep(10);
    }
  }
}

async function die(): Promise<Round> {
  const dead = three();
  const survivors = ids.filter((id) => !dead.includes(id));
  const leader = nodes.get(voterIds[0]!)!.replica!.status().leader;
  const writers = new Writers(voterIds.filter((id) => survivors.includes(id)));
  await sleep(500);
  const lostBefore = lost.length;
  const cuts = dead.map(() => (Math.random() < 0.5 ? ('silent' as const) : ('closed' as const)));
  const cutAt = now();
  const closing = dead.map((id, at) => {
    const { transport, mesh } = nodes.get(id)!;
    transport.sever(cuts[at]!);
    return mesh.close();
  });
  await until(`${dead.join()} noticed`, () => givenUp(survivors, dead));
  const noticed = now();
  await until('the survivors linked', () => full(survivors));
  const alive = voterIds.filter((id) => survivors.includes(id));
  await until('each surviving voter commits', () => alive.every((id) => writers.since(id, noticed) >= 10));
  await writers.stop();
  const survivorsLost = lost
    .slice(lostBefore)
    .filter(([by, of]) => survivors.includes(by) && survivors.includes(of)).length;

  for (const id of dead) nodes.get(id)!.transport.release();
  await Promise.all(closing);
  const returned = now();
  await Promise.all(dead.map(joinAs));
  await Promise.all(dead.filter((id) => voterIds.includes(id)).map(openVoter));
  await until('the mesh full again', () => full(ids));
  const fullAgainMs = now() - returned;
  await Promise.all(voterIds.map((id) => nodes.get(id)!.replica!.ready({ timeout: patienceMs })));
  return {
    dead,
    cuts,
    votersDead: voters - alive.length,
    leaderDead: leader !== undefined && dead.includes(leader),
    noticedMs: noticed - cutAt,
    survivorsLost,
    commits: writers.commits.filter(({ at }) => at >= cutAt).length,
    longestGapMs: writers.longestGap(cutAt),
    fullAgainMs,
  };
}

const raw: (number | undefined)[] = [];
for (let pair = 0; pair < rawPairs; pair++) raw.push(await setUpPair());

const start = now();
await Promise.all(ids.map(joinAs));
await until('the mesh full', () => full(ids));
const formedMs = now() - start;
await Promise.all(voterIds.map(openVoter));
await Promise.all(voterIds.map((id) => nodes.get(id)!.replica!.ready({ timeout: patienceMs })));
await sleep(3000); // the detectors learn a rhythm

const rounds: Round[] = [];
for (let round = 0; round < plan.triples; round++) rounds.push(await die());

await Promise.all([...nodes.values()].map(({ mesh }) => mesh.close()));
await signaling.close();
await rm(directory, { recursive: true, force: true });
const rawPairMs = raw.filter((ms) => ms !== undefined);
const figures: MeshFigures = {
  nodes: plan.nodes,
  rawPairMs,
  rawFailures: raw.length - rawPairMs.length,
  formedMs,
  longestStallMs,
  rounds,
};
// A bare pair that failed to open may keep a process for ever, however it is closed.
process.send?.(figures, () => process.exit(0));
