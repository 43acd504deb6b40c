/** One node of a simulation: a disk that stays, and one process after another that uses it. */
import { QuorateError } from '../../errors.js';
import { joinMesh } from '../../mesh/joinMesh.js';
import { meshPort, type Mesh } from '../../mesh/mesh.js';
import type { Transport } from '../../mesh/transport.js';
import type { AutopilotOptions } from '../../replica/autopilotOptions.js';
import type { GroupClient } from '../../replica/client/groupClient.js';
import { openClient } from '../../replica/client/openClient.js';
import type { ConsensusOption } from '../../replica/consensus.js';
import { openReplica } from '../../replica/openReplica.js';
import type { SnapshotOptions } from '../../replica/options.js';
import type { Replica } from '../../replica/replica.js';
import type { StateMachine } from '../../replica/stateMachine.js';
import { diskStorage } from '../../storage/diskStorage.js';
import type { SimDisk } from './disk/disk.js';
import type { Disturbances } from './disturbances.js';
import { bury } from './downReplica.js';
import type { History, Recording } from './history.js';
import { Process } from './process.js';
import type { Random } from './random.js';
import type { Scheduler } from './scheduler.js';
import type { Trace } from './trace.js';
import { watchProtocol, type CoreListener, type MessageFate, type NodeView } from './watch/coreWatch.js';
import type { GroupWatch } from './watch/groupWatch.js';
import { digestOf, watchMachine, type Applications } from './watch/machineWatch.js';
import type { Ended, MeshWatch } from './watch/meshWatch.js';
import { watchStorage } from './watch/storeWatch.js';
import type { TransferWatch } from './watch/transferWatch.js';

/** The group and the cluster of every simulation. */
export const GROUP = 'simulation';
const SECRET = 'a secret of the simulation, 32 b';

/** How a node stands. `failed`, `closed`: its process runs, its replica does not any more. */
export type NodeState = 'down' | 'starting' | 'up' | 'closed' | 'failed';

/** As what a node asks to be let into the group. */
export type JoinAs = 'voter' | 'learner' | 'witness';

/** What all nodes of a simulation have in common. */
export interface World {
  /** Those that have a replica; the others are there for clients. */
  readonly nodes: readonly string[];
  readonly founders: readonly string[];
  readonly witnesses: readonly string[];
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly trace: Trace;
  readonly transport: Transport;
  readonly mesh: MeshWatch;
  readonly disturbances: Disturbances;
  readonly history: History;
  readonly group: GroupWatch;
  readonly transfers: TransferWatch;
  readonly applications: Applications;
  readonly fate: MessageFate;
  readonly consensus: (node: string) => ConsensusOption;
  readonly machine: () => StateMachine;
  readonly snapshot: SnapshotOptions;
  readonly timeout: number;
  readonly onNoQuorum: 'wait' | 'reject' | 'queue';
  readonly autopilot: AutopilotOptions | undefined;
  readonly relay: boolean;
  readonly driftRate: number;
  readonly applyMs: number;
  readonly segmentBytes: number;
  readonly reserve: number;
  /** Something happened that coverage counts. */
  count(kind: string): void;
}

export class SimNode {
  readonly id: string;
  readonly disk: SimDisk;
  state: NodeState = 'down';
  /** Why it failed. */
  error: Error | undefined;
  mesh: Mesh | undefined;
  replica: Replica | undefined;
  process: Process | undefined;
  view: NodeView | undefined;
  readonly #world: World;
  #lives = 0;
  #machine: StateMachine | undefined;
  #recording: Recording | undefined;
  #client: Promise<GroupClient> | undefined;

  constructor(id: string, disk: SimDisk, world: World) {
    this.id = id;
    this.disk = disk;
    this.#world = world;
  }

  /** Runs of the node so far. */
  get lives(): number {
    return this.#lives;
  }

  /** Starts a process; does nothing while one runs. `join`: it asks to be let in, as who founded nothing always does. */
  start(join?: JoinAs): void {
    if (this.process !== undefined) return;
    const { scheduler, random, trace, driftRate } = this.#world;
    const life = ++this.#lives;
    const own = random.stream(`${this.id}/${life}`);
    const clock = {
      rate: 1 + (own.next() * 2 - 1) * driftRate,
      wallClock: 1_700_000_000_000 + Math.floor((own.next() * 2 - 1) * driftRate * 1e6),
    };
    this.#world.disturbances.tell('process', scheduler.now, this.id);
    const process = new Process(this.id, life, scheduler, own, clock, (self) => this.disk.files(self));
    this.process = process;
    this.state = 'starting';
    this.error = undefined;
    trace.add(scheduler.now, this.id, 'start', `life ${life} rate ${clock.rate.toFixed(4)}`);
    const { founders, witnesses } = this.#world;
    const as = witnesses.includes(this.id)
      ? 'witness'
      : (join ?? (founders.includes(this.id) ? undefined : 'voter'));
    this.#open(process, as).catch((error: unknown) => this.#failed(process, error));
  }

  async #open(process: Process, join: JoinAs | undefined): Promise<void> {
    const world = this.#world;
    const { relay, transport } = world;
    const ended: Ended = new Map();
    const mesh = await joinMesh({
      id: this.id,
      cluster: GROUP,
      secret: SECRET,
      transport: world.mesh.transport(transport, this.id, ended),
      relay,
      environment: process,
    });
    if (this.process !== process) return;
    world.mesh.mesh(mesh, process, ended);
    world.transfers.watch(meshPort(mesh), this.id);
    this.mesh = mesh;
    if (!world.nodes.includes(this.id)) {
      this.state = 'up';
      world.trace.add(world.scheduler.now, this.id, 'up', 'without a replica');
      return;
    }
    const { group, fate, snapshot, timeout, onNoQuorum, autopilot, segmentBytes, reserve } = world;
    const consensus = world.consensus(this.id);
    const view: NodeView = {
      id: this.id,
      group,
      fate,
      listener: this.#listener(process),
      disk: undefined,
      core: undefined,
    };
    this.view = view;
    group.views.set(this.id, view);
    const { protocol, codec } = consensus.wired;
    const storage = diskStorage('/data', { segmentBytes, reserve });
    const machine = world.machine();
    this.#machine = machine;
    const replica = await openReplica({
      mesh,
      group: GROUP,
      ...(join === undefined ? { members: world.founders } : { join: true, as: join }),
      stateMachine: watchMachine(machine, view, world.applications, () => {
        if (world.applyMs > 0) process.spend(world.applyMs);
      }),
      consensus: { name: consensus.name, wired: { protocol: watchProtocol(protocol, view), codec } },
      storage: watchStorage(storage, GROUP, view),
      snapshot,
      timeout,
      onNoQuorum,
      ...(autopilot && { autopilot }),
    });
    if (this.process !== process) return;
    replica.on('replica:failed', (error) => this.#failed(process, error));
    void replica.closed.then(({ type }) => this.#closed(process, type));
    this.#recording = world.history.record(replica);
    this.replica = replica;
    this.state = 'up';
    world.trace.add(world.scheduler.now, this.id, 'up', `applied ${replica.status().appliedIndex}`);
  }

  /** A client of the group, for a node without a replica; each run of the node has one. */
  client(): Promise<GroupClient> {
    const { mesh, process } = this;
    if (mesh === undefined || process === undefined)
      throw new QuorateError('ERR_CLOSED', `node ${this.id} is ${this.state}`);
    const { machine, timeout, history } = this.#world;
    return (this.#client ??= openClient({ mesh, group: GROUP, stateMachine: machine(), timeout }).then(
      (client) => {
        if (this.process === process) this.#recording = history.record(client);
        return client;
      },
    ));
  }

  /** Ends the process as a good guest does: the replica is closed, with its leadership handed over, and then the mesh. */
  async stop(): Promise<void> {
    const { process, replica, mesh } = this;
    if (process === undefined) return;
    const { scheduler, trace, group, disturbances } = this.#world;
    trace.add(scheduler.now, this.id, 'stop', '');
    if (replica !== undefined) {
      await replica.close();
      const open = this.process === process ? (this.#recording?.open ?? 0) : 0;
      if (open > 0)
        group.report('calls', this.id, `${open} calls of ${this.id} are open after it was closed`);
    }
    disturbances.tell('process', scheduler.now, this.id);
    await mesh?.close();
    if (this.process === process) this.#end(false);
  }

  /** Has the machine's state as it is now compared with those of others at the same index. */
  compareState(): void {
    if (this.state !== 'up' || this.replica === undefined || this.#machine === undefined) return;
    if (this.#world.witnesses.includes(this.id)) return;
    const chunks = this.#machine.snapshot();
    if (!(Symbol.iterator in chunks)) return;
    const { appliedIndex } = this.replica.status();
    this.#world.applications.state(this.id, appliedIndex, digestOf(chunks));
  }

  #listener(process: Process): CoreListener {
    const { scheduler, trace } = this.#world;
    const count = (kind: string): void => this.#world.count(kind);
    const tell = (kind: string, detail: string): void => trace.add(scheduler.now, this.id, kind, detail);
    let role = '';
    return {
      status: (status) => {
        if (this.process !== process) return;
        const { epoch, leader } = status;
        if (status.role !== role) count(status.role === 'leader' ? 'reigns' : `became ${status.role}`);
        role = status.role;
        tell(status.role, `epoch ${epoch.n} leader ${leader || '-'} last ${status.lastIndex}`);
      },
      truncated: (from) => {
        count('truncations');
        tell('truncate', `from ${from}`);
      },
      compacted: ({ index }) => {
        const applied = this.replica?.status().appliedIndex ?? index;
        const message = `${this.id} has a snapshot of its state at ${index}, it applied up to ${applied}`;
        if (index > applied) this.#world.group.report('order of indexes', this.id, message);
      },
      installed: ({ index }) => {
        count('snapshots installed');
        tell('install', `snapshot at ${index}`);
      },
    };
  }

  /** The replica is over, and did not fail. */
  #closed(process: Process, type: string): void {
    if (this.process !== process || type === 'failed') return;
    this.state = 'closed';
    if (type === 'removed') this.error = new QuorateError('ERR_NOT_A_MEMBER', 'it was removed');
    this.#world.trace.add(this.#world.scheduler.now, this.id, 'closed', type);
  }

  #failed(process: Process, error: unknown): void {
    if (this.process !== process) return;
    const { scheduler, trace } = this.#world;
    this.state = 'failed';
    this.error = error instanceof Error ? error : new Error(String(error));
    const code = error instanceof QuorateError ? error.code : this.error.message;
    this.#world.count(`replicas failed (${code})`);
    trace.add(scheduler.now, this.id, 'failed', this.error.message);
    if (!this.#mayFail(code)) {
      const message = `the replica of ${this.id} failed without a fault of its disk: ${this.error.message}`;
      this.#world.group.report('no failure', this.id, message);
    }
  }

  /** A replica may stop itself for its disk, or since the group goes on without it, and for nothing else. */
  #mayFail(code: string): boolean {
    // It was removed, and knows it: it does not come back unless it joins.
    if (code === 'ERR_STORAGE_FAILED' || code === 'ERR_NOT_A_MEMBER') return true;
    return code === 'ERR_STORAGE_CORRUPT' && this.disk.damaged;
  }

  /** Ends the process at once; the disk keeps everything, or after a loss of power what was flushed and some of the rest. */
  crash(power: boolean): void {
    if (this.process === undefined) return;
    const { scheduler, trace } = this.#world;
    trace.add(scheduler.now, this.id, power ? 'power loss' : 'kill', '');
    this.#end(power);
  }

  #end(power: boolean): void {
    const { process, replica } = this;
    const { scheduler } = this.#world;
    process!.alive = false;
    this.#world.disturbances.tell('process', scheduler.now, this.id);
    this.process = undefined;
    this.mesh = undefined;
    this.replica = undefined;
    this.view = undefined;
    this.#world.group.views.delete(this.id);
    this.state = 'down';
    if (power) this.disk.crash();
    else this.disk.kill();
    this.#recording?.abandon();
    this.#recording = this.#client = undefined;
    if (replica !== undefined) bury(replica);
  }
}
