/** What a simulation is made of: virtual time, the network, the nodes with their disks, and those who watch them. @internal */
import { configError } from '../../errors.js';
import { SimDisk } from './disk/disk.js';
import { Disturbances } from './disturbances.js';
import { History } from './history.js';
import { MessageFaults } from './messages.js';
import { SimNetwork } from './network/network.js';
import type { NetworkSettings } from './network/settings.js';
import { SimNode, type World } from './node.js';
import { Random } from './random.js';
import { Scheduler } from './scheduler.js';
import type { CheckedSettings } from './settings.js';
import { Trace } from './trace.js';
import { GroupWatch } from './watch/groupWatch.js';
import { Applications } from './watch/machineWatch.js';
import { MeshWatch } from './watch/meshWatch.js';
import { TransferWatch } from './watch/transferWatch.js';

/** Tells of an invariant that does not hold. */
export type Report = (invariant: string, node: string, message: string) => void;

export class Cluster {
  readonly scheduler = new Scheduler();
  readonly trace: Trace;
  readonly network: SimNetwork;
  readonly disturbances = new Disturbances();
  readonly group: GroupWatch;
  readonly transfers: TransferWatch;
  readonly applications: Applications;
  readonly history: History;
  readonly messages: MessageFaults;
  readonly mesh: MeshWatch;
  readonly nodes = new Map<string, SimNode>();
  /** Chance of processes that stand still. */
  readonly pauses: Random;
  /** Those that have a replica. */
  readonly #names: readonly string[];
  readonly #counts = new Map<string, number>();

  /** Founders and clients begin to start. */
  constructor(settings: CheckedSettings, report: Report) {
    this.#names = settings.nodes;
    const all = [...settings.nodes, ...settings.clients];
    const { scheduler } = this;
    const random = new Random(`quorate ${settings.seed}`);
    this.pauses = random.stream('pauses');
    const trace = new Trace(settings.traceEvents);
    this.trace = trace;
    this.group = new GroupWatch(report, settings.founders, settings.witnesses);
    this.transfers = new TransferWatch(this.group, (kind) => this.count(kind));
    this.applications = new Applications(this.group);
    this.history = new History(() => scheduler.now);
    this.messages = new MessageFaults(settings.messages, random);
    this.network = new SimNetwork({
      scheduler,
      random: random.stream('network'),
      trace,
      settings: settings.network,
      disturbances: this.disturbances,
    });
    this.mesh = new MeshWatch({
      nodes: all,
      disturbances: this.disturbances,
      lossy: isLossy(settings.network),
      now: () => scheduler.now,
      report,
    });
    scheduler.onThrow = (owner, error) => {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      report('no exception', owner?.node ?? '', `an event threw: ${text}`);
    };
    const world: World = {
      nodes: settings.nodes,
      founders: settings.founders,
      witnesses: settings.witnesses,
      scheduler,
      random: random.stream('process'),
      trace,
      transport: this.network,
      mesh: this.mesh,
      disturbances: this.disturbances,
      history: this.history,
      group: this.group,
      transfers: this.transfers,
      applications: this.applications,
      fate: this.messages,
      consensus: settings.consensus,
      machine: settings.machine,
      snapshot: settings.snapshot,
      timeout: settings.timeout,
      onNoQuorum: settings.onNoQuorum,
      autopilot: settings.autopilot,
      relay: settings.relay,
      driftRate: settings.driftRate,
      applyMs: settings.applyMs,
      segmentBytes: 65_536,
      reserve: 262_144,
      count: (kind) => this.count(kind),
    };
    for (const id of all) {
      const disk = new SimDisk({
        node: id,
        scheduler,
        random: random.stream(`disk/${id}`),
        trace,
        settings: settings.disk,
      });
      const node = new SimNode(id, disk, world);
      this.nodes.set(id, node);
      if (settings.founders.includes(id) || settings.clients.includes(id)) node.start();
    }
  }

  /** A node by its id; throws ERR_CONFIG. */
  node(id: string): SimNode {
    const node = this.nodes.get(id);
    if (node === undefined) throw configError('id', id, `one of ${this.#names.join(', ')}`);
    return node;
  }

  /** One more of a kind. */
  count(kind: string): void {
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
  }

  /** How often things happened, by kind. */
  counts(): Record<string, number> {
    const out = new Map(this.#counts);
    const add = (more: Iterable<readonly [string, number]>, prefix: string): void => {
      for (const [kind, n] of more) out.set(prefix + kind, (out.get(prefix + kind) ?? 0) + n);
    };
    add(Object.entries(this.network.counts), 'network: ');
    add(Object.entries(this.messages.counts), 'messages: ');
    add(Object.entries(this.history.counts), 'calls: ');
    add(Object.entries(this.mesh.counts()), '');
    for (const { disk } of this.nodes.values()) add(disk.counts, 'disk: ');
    out.set('commands applied', this.applications.applied);
    out.set('memberships committed', this.group.members.changes);
    out.set('states compared', this.applications.compared);
    return Object.fromEntries([...out].sort(([a], [b]) => (a < b ? -1 : 1)));
  }
}

function isLossy({ lossRate = 0, control, bulk }: NetworkSettings): boolean {
  return Math.max(lossRate, control?.lossRate ?? 0, bulk?.lossRate ?? 0) > 0;
}
