/** What the tests of the simulated network share. */
import { expect } from 'chai';
import { QuorateError } from '../../../../lib/errors.js';
import { joinMesh } from '../../../../lib/mesh/joinMesh.js';
import { meshPort, type Mesh } from '../../../../lib/mesh/mesh.js';
import type { MeshPort } from '../../../../lib/mesh/port.js';
import type { LaneName, RawLink, TransportSession } from '../../../../lib/mesh/transport.js';
import { SimNetwork } from '../../../../lib/testing/simulation/network/network.js';
import type { NetworkSettings } from '../../../../lib/testing/simulation/network/settings.js';
import { Process } from '../../../../lib/testing/simulation/process.js';
import { Random } from '../../../../lib/testing/simulation/random.js';
import { Scheduler } from '../../../../lib/testing/simulation/scheduler.js';
import { Trace } from '../../../../lib/testing/simulation/trace.js';
import { nodeFileSystem } from '../../../../lib/nodeFiles.js';
import { pump, pumpUntil } from '../support/pump.js';

/** A link with all that came of it. */
export interface Seen {
  readonly raw: RawLink;
  readonly got: Record<LaneName, Uint8Array[]>;
  /** When each message came. */
  readonly at: Record<LaneName, number[]>;
  readonly closed: string[];
}

/** A node without a mesh. */
export interface Bare {
  readonly process: Process;
  readonly session: TransportSession;
  readonly links: Seen[];
  readonly presence: string[];
  readonly warnings: string[];
}

/** A node with a mesh. */
export interface Meshed {
  readonly mesh: Mesh;
  readonly port: MeshPort;
  readonly process: Process;
  readonly events: string[];
}

/** A simulation of nothing but a network. */
export class Lab {
  readonly scheduler = new Scheduler();
  readonly trace = new Trace(10_000);
  readonly network: SimNetwork;
  readonly nodes = new Map<string, Bare>();
  readonly random: Random;
  #lives = 0;

  constructor(settings: NetworkSettings = {}, seed = '1') {
    this.random = new Random(seed);
    this.network = new SimNetwork({
      scheduler: this.scheduler,
      random: this.random.stream('network'),
      trace: this.trace,
      settings,
    });
  }

  process(id: string): Process {
    const life = ++this.#lives;
    const clock = { rate: 1, wallClock: 1_700_000_000_000 };
    const random = this.random.stream(`${id}/${life}`);
    return new Process(id, life, this.scheduler, random, clock, () => nodeFileSystem);
  }

  /** A node that listens, and does nothing by itself. */
  async bare(id: string, cluster = 'lab'): Promise<Bare> {
    const process = this.process(id);
    const links: Seen[] = [];
    const presence: string[] = [];
    const warnings: string[] = [];
    const session = await this.network.start({
      id,
      cluster,
      incarnation: `${String(process.life).padStart(15, '0')}-0123456789abcdef`,
      environment: process,
      onLink: (raw) => links.push(this.#record(raw)),
      onPresence: (peer, here) => presence.push(`${here ? '+' : '-'}${peer}`),
      route: () => false,
      onWarning: (error) => warnings.push(codeOf(error)),
    });
    const node = { process, session, links, presence, warnings };
    this.nodes.set(id, node);
    return node;
  }

  /** Two linked nodes: a's end and b's. */
  async pair(): Promise<[Seen, Seen]> {
    const a = await this.bare('a');
    const b = await this.bare('b');
    a.session.connect('b');
    await this.until(() => a.links.length > 0 && b.links.length > 0, 2000);
    return [a.links[0]!, b.links[0]!];
  }

  /** A node with a mesh, and what the mesh said. */
  async mesh(id: string): Promise<Meshed> {
    const process = this.process(id);
    const mesh = await joinMesh({
      id,
      cluster: 'lab',
      secret: 'a secret of thirty-two bytes, yes',
      transport: this.network,
      environment: process,
    });
    const events: string[] = [];
    mesh.on('peer:up', (peer) => events.push(`up ${peer}`));
    mesh.on('peer:suspect', (peer) => events.push(`suspect ${peer}`));
    mesh.on('peer:unreachable', (peer) => events.push(`unreachable ${peer}`));
    mesh.on('warning', (error) => events.push(`warning ${codeOf(error)}`));
    mesh.on('peer:refused', (peer, error) => events.push(`refused ${peer} ${error.code}`));
    mesh.on('local:stall', () => events.push('stall'));
    return { mesh, port: meshPort(mesh), process, events };
  }

  run(ms: number): Promise<void> {
    return pump(this.scheduler, this.scheduler.now + ms);
  }

  async until(condition: () => boolean, maxMs = 30_000): Promise<void> {
    const done = await pumpUntil(this.scheduler, condition, maxMs);
    expect(done, 'the condition came true in time').equal(true);
  }

  #record(raw: RawLink): Seen {
    const seen: Seen = { raw, got: { control: [], bulk: [] }, at: { control: [], bulk: [] }, closed: [] };
    for (const lane of ['control', 'bulk'] as const) {
      raw[lane].onMessage = (message) => {
        seen.got[lane].push(message);
        seen.at[lane].push(this.scheduler.now);
      };
    }
    raw.onClosed = (reason) => seen.closed.push(reason);
    return seen;
  }
}

function codeOf(error: unknown): string {
  return error instanceof QuorateError ? error.code : String(error);
}

/** A message of this size that carries a number. */
export function numbered(index: number, size = 8): Uint8Array {
  const out = new Uint8Array(size);
  new DataView(out.buffer).setUint32(0, index);
  return out;
}

export function numbersOf(messages: readonly Uint8Array[]): number[] {
  return messages.map((m) => new DataView(m.buffer, m.byteOffset).getUint32(0));
}

export function count(length: number): number[] {
  return Array.from({ length }, (_, i) => i);
}
