/** Carries out a plan: begins each fault at its moment, ends it, and brings back what fell over. */
import { commitSize } from '../../consensus/quorum.js';
import { QuorateError } from '../../errors.js';
import type { Simulation } from '../simulation/simulation.js';
import { MemberNemesis } from './memberNemesis.js';
import type { MeshFault } from './meshFaults.js';
import { LEADER, type Fault, type FaultKind } from './fault.js';
import type { RunPlan } from './plan.js';

/** How long a node whose replica failed stays so before somebody starts it again. */
const REPAIR_MS = 700;
/** How long to wait for a disk to be at work, and how often to look. */
const AMID_MS = 300;
const LOOK_MS = 0.07;

export class Nemesis {
  /** Faults that were really done, by kind. */
  readonly done = new Map<FaultKind, number>();
  readonly #simulation: Simulation;
  readonly #plan: RunPlan;
  readonly #members: MemberNemesis;
  /** Nodes whose disk is damaged: they count as down until it is replaced. */
  readonly #rotten = new Set<string>();
  #over = false;
  /** Who is to serve in the end. */
  #core: string[] = [];

  constructor(simulation: Simulation, plan: RunPlan) {
    this.#simulation = simulation;
    this.#plan = plan;
    this.#members = new MemberNemesis(simulation, {
      later: (ms, what) => this.#later(ms, what),
      rotten: this.#rotten,
    });
    for (const { at, fault } of plan.faults) simulation.after(at, () => this.#begin(fault));
    this.#watch();
  }

  /**
   * Mends the core, and leaves the rest as the plan says, for good. Answers who the core is: who was planned, and as many more as
   * it takes to elect a leader; undefined if nobody can. It grows when {@link Nemesis.widen} is called.
   */
  settle(): readonly string[] | undefined {
    this.#over = true;
    const { rest, nodes, disk } = this.#plan;
    const simulation = this.#simulation;
    const core = this.#enough(this.#plan.core);
    if (core === undefined) return undefined;
    this.#core = core;
    const { network } = simulation;
    network.heal();
    network.resetShapes();
    simulation.setMessages({ lossRate: 0, duplicateRate: 0, reorderRate: 0 });
    for (const id of nodes) {
      network.rendezvous(id, true);
      simulation.disk(id).settings = disk;
    }
    for (const id of core) this.#bringBack(id);
    for (const id of simulation.clients) if (simulation.state(id) !== 'up') simulation.restart(id);
    for (const [id, fate] of Object.entries(rest)) if (!core.includes(id)) this.#abandon(id, fate, core);
    return core;
  }

  /**
   * A change of the members that was asked for before the end may come about after it, and need somebody who was left as broken as
   * the plan says. Mends those as well, and answers who they are.
   */
  widen(): readonly string[] {
    const wider = this.#mayServe(this.#core) ? undefined : this.#enough(this.#core);
    if (wider === undefined) return [];
    const added = wider.slice(this.#core.length);
    this.#core.push(...added);
    const { network } = this.#simulation;
    network.heal();
    network.resetShapes();
    for (const id of added) {
      this.#bringBack(id);
      this.#simulation.count('nodes needed by a change that was under way');
    }
    for (const [id, fate] of Object.entries(this.#plan.rest))
      if (!this.#core.includes(id) && fate !== 'down') this.#abandon(id, fate, this.#core);
    return added;
  }

  /** Has the core be all the members there are. Answers whether it came to that before `until`. */
  reachMembers(core: readonly string[], until: () => number): Promise<boolean> {
    return this.#members.settle(core, until);
  }

  /** These, and as many more as it takes to elect a leader; undefined if there are not so many. */
  #enough(ids: readonly string[]): string[] | undefined {
    const core = [...ids];
    for (const id of this.#plan.nodes) {
      if (this.#mayServe(core)) break;
      if (!core.includes(id) && !this.#rotten.has(id)) core.push(id);
    }
    return this.#mayServe(core) ? core : undefined;
  }

  /** Who is to serve has to run, and to be a member, or to ask for it. */
  #bringBack(id: string): void {
    const { members } = this.#simulation.group;
    if (members.membership !== undefined && !members.has(id)) this.#members.enter(id);
    else if (!this.#members.stays(id)) this.#members.start(id);
  }

  /** Whether these can elect a leader, and be all the members there are: witnesses alone must be no quorum. */
  #mayServe(core: readonly string[]): boolean {
    const { group, witnesses } = this.#simulation;
    const silent = core.filter((id) => witnesses.includes(id)).length;
    return silent < commitSize(core.length) && group.members.mayElect(core);
  }

  #abandon(id: string, fate: RunPlan['rest'][string], core: readonly string[]): void {
    const { network } = this.#simulation;
    if (fate === 'down') this.#simulation.crash(id);
    else if (fate === 'cut off') for (const other of core) network.cut(id, other);
    else if (fate === 'deaf') network.partitionOneWay(core, [id]);
    else if (fate === 'mute') network.partitionOneWay([id], core);
    else {
      for (const other of core) {
        network.shape(id, other, { latencyMs: 100, lossRate: 0.3, bandwidth: 20_000 });
        network.shape(other, id, { latencyMs: 100, lossRate: 0.3, bandwidth: 20_000 });
      }
    }
  }

  /** A supervisor: a replica that stopped itself is started again, on another disk if its own cannot be read. */
  #watch(): void {
    this.#simulation.after(REPAIR_MS, () => {
      for (const id of this.#plan.nodes) {
        if (this.#simulation.state(id) !== 'failed') continue;
        // Who was removed in the end stays away.
        if (this.#over && !this.#core.includes(id) && this.#members.isOut(id)) continue;
        const error = this.#simulation.failure(id);
        const damaged = error instanceof QuorateError && error.code === 'ERR_STORAGE_CORRUPT';
        if (damaged) {
          if (this.#over || !this.#members.wipe(id)) continue;
          this.#rotten.delete(id);
          this.#simulation.count('disks replaced');
        }
        this.#members.start(id);
      }
      this.#watch();
    });
  }

  #begin(planned: Fault): void {
    if (this.#over) return;
    const fault = this.#resolve(planned);
    if (!this.#inflict(fault)) return;
    this.done.set(fault.kind, (this.done.get(fault.kind) ?? 0) + 1);
  }

  /** Puts a name in the place of {@link LEADER}. */
  #resolve(fault: Fault): Fault {
    const { nodes } = this.#plan;
    const leader = this.#simulation.leader() ?? nodes[0]!;
    const name = (id: string): string => (id === LEADER ? leader : id);
    switch (fault.kind) {
      case 'blackout':
      case 'one-way partition':
      case 'bad messages':
      case 'rendezvous down':
      case 'broken transfers':
        return fault;
      case 'members': {
        const remove = [...new Set(fault.remove.map(name))];
        return { ...fault, remove: remove.filter((id) => ![...fault.add, ...fault.learn].includes(id)) };
      }
      case 'partial partition': {
        const { leaderAs, cuts } = fault;
        if (leaderAs === undefined || leaderAs === leader) return fault;
        const swap = (id: string): string => (id === leaderAs ? leader : id === leader ? leaderAs : id);
        return { ...fault, cuts: cuts.map(([a, b]) => [swap(a), swap(b)]) };
      }
      case 'partition': {
        if (!fault.groups.some((group) => group.includes(LEADER))) return fault;
        const others = fault.groups.find((group) => group.includes(LEADER))!.filter((id) => id !== LEADER);
        const side = [leader, ...others.filter((id) => id !== leader)];
        return { ...fault, groups: [side, nodes.filter((id) => !side.includes(id))] };
      }
      case 'cut':
      case 'flap':
      case 'reset': {
        const a = name(fault.a);
        const b = a === fault.b ? nodes.find((id) => id !== a)! : fault.b;
        return fault.kind === 'reset' && fault.side !== undefined
          ? { ...fault, a, b, side: a }
          : { ...fault, a, b };
      }
      case 'one-way cut':
      case 'clog':
      case 'bad way': {
        const from = name(fault.from);
        const to = from === fault.to ? nodes.find((id) => id !== from)! : fault.to;
        return { ...fault, from, to };
      }
      default:
        return { ...fault, node: name(fault.node) };
    }
  }

  /** `false`: it makes no sense now. */
  #inflict(fault: Fault): boolean {
    const simulation = this.#simulation;
    const { network } = simulation;
    switch (fault.kind) {
      case 'crash':
        if (fault.amid) return this.#crashAmid(fault.node, fault.power, fault.ms, simulation.now + AMID_MS);
        return this.#crash([fault.node], fault.power, fault.ms);
      case 'blackout':
        return this.#crash(fault.nodes, true, fault.ms);
      case 'pause':
        simulation.pause(fault.node, fault.ms);
        return simulation.state(fault.node) !== 'down';
      case 'suspend':
        simulation.suspend(fault.node, fault.ms);
        return simulation.state(fault.node) !== 'down';
      case 'cut':
        simulation.cut(fault.a, fault.b);
        return this.#later(fault.ms, () => network.heal(fault.a, fault.b));
      case 'flap':
        return this.#flap(fault.a, fault.b, fault.periodMs, simulation.now + fault.ms);
      case 'one-way cut':
        simulation.cutOneWay(fault.from, fault.to);
        return this.#later(fault.ms, () => network.heal(fault.from, fault.to));
      case 'partition':
        simulation.partition(fault.groups);
        return this.#later(fault.ms, () => network.heal());
      case 'one-way partition':
        network.partitionOneWay(fault.from, fault.to);
        return this.#later(fault.ms, () => network.heal());
      case 'clog':
        network.clog(fault.from, fault.to, fault.ms);
        return true;
      case 'reset':
        network.reset(fault.a, fault.b, fault.side);
        return true;
      case 'bad way':
        network.shape(fault.from, fault.to, fault.shape);
        return this.#later(fault.ms, () => network.resetShapes());
      case 'rendezvous out':
        network.rendezvous(fault.node, false);
        return this.#later(fault.ms, () => network.rendezvous(fault.node, true));
      case 'bad messages':
        simulation.setMessages(fault.messages);
        return this.#later(fault.ms, () =>
          simulation.setMessages({ lossRate: 0, duplicateRate: 0, reorderRate: 0, ...this.#plan.messages }),
        );
      case 'partial partition':
      case 'pauses':
      case 'rendezvous down':
        return this.#inflictOnMesh(fault);
      case 'clock shift':
        simulation.shiftClock(fault.node, fault.byMs);
        return true;
      case 'transfer':
        return this.#members.transfer(fault.node);
      case 'members':
      case 'join':
      case 'stop':
      case 'broken transfers':
        return this.#members.inflict(fault);
      default:
        return this.#inflictOnDisk(fault);
    }
  }

  #inflictOnMesh(fault: MeshFault): boolean {
    const simulation = this.#simulation;
    const { network } = simulation;
    switch (fault.kind) {
      case 'partial partition':
        for (const [a, b] of fault.cuts) {
          if (fault.oneWay) simulation.cutOneWay(a, b);
          else simulation.cut(a, b);
        }
        return this.#later(fault.ms, () => {
          for (const [a, b] of fault.cuts) network.heal(a, b);
        });
      case 'pauses':
        return this.#pause(fault, simulation.now + fault.ms);
      case 'rendezvous down':
        for (const id of this.#plan.nodes) network.rendezvous(id, false);
        for (const [at, [a, b]] of fault.resets.entries())
          this.#later(fault.everyMs * (at + 0.5), () => network.reset(a, b));
        return this.#later(fault.ms, () => {
          for (const id of this.#plan.nodes) network.rendezvous(id, true);
        });
    }
  }

  #pause(fault: Extract<MeshFault, { kind: 'pauses' }>, until: number): boolean {
    const simulation = this.#simulation;
    if (this.#over || simulation.now >= until) return true;
    simulation.pause(fault.node, fault.pauseMs);
    return this.#later(fault.everyMs, () => void this.#pause(fault, until));
  }

  #inflictOnDisk(fault: Extract<Fault, { kind: `disk ${string}` | 'bit rot' }>): boolean {
    const simulation = this.#simulation;
    const disk = simulation.disk(fault.node);
    const mend = (): void => void (disk.settings = this.#plan.disk);
    switch (fault.kind) {
      case 'disk errors':
        simulation.setDisk(fault.node, fault.disk);
        return this.#later(fault.ms, mend);
      case 'disk stall':
        disk.stall(fault.ms);
        return true;
      case 'disk full':
        simulation.setDisk(fault.node, { capacityBytes: disk.usedBytes + fault.spareBytes });
        return this.#later(fault.ms, mend);
      case 'bit rot': {
        const { members } = simulation.group;
        if (this.#rotten.has(fault.node) || !members.mayLoseDisk(fault.node, this.#rotten)) return false;
        simulation.crash(fault.node);
        this.#rotten.add(fault.node);
        disk.flip(fault.bits);
        return this.#later(fault.ms, () => this.#start(fault.node));
      }
      case 'disk lost':
        // Before the group is founded, and while others are lost, it would not outlive that.
        if (this.#rotten.has(fault.node) || !this.#members.wipe(fault.node)) return false;
        return this.#later(fault.ms, () => this.#start(fault.node));
    }
  }

  /** Waits until the node's disk is at work, but not for long. */
  #crashAmid(id: string, power: boolean, ms: number, until: number): boolean {
    const simulation = this.#simulation;
    if (simulation.disk(id).busy || simulation.now >= until) return this.#crash([id], power, ms);
    return this.#later(LOOK_MS, () => void this.#crashAmid(id, power, ms, until));
  }

  #crash(nodes: readonly string[], power: boolean, ms: number): boolean {
    const running = nodes.filter((id) => this.#simulation.state(id) !== 'down');
    for (const [at, id] of running.entries()) {
      this.#simulation.crash(id, { power });
      this.#later(ms * (1 + at / 7), () => this.#start(id));
    }
    return running.length > 0;
  }

  #flap(a: string, b: string, periodMs: number, until: number): boolean {
    const simulation = this.#simulation;
    if (this.#over) return true;
    simulation.cut(a, b);
    return this.#later(periodMs, () => {
      simulation.network.heal(a, b);
      if (simulation.now < until) this.#later(periodMs, () => void this.#flap(a, b, periodMs, until));
    });
  }

  #start(id: string): void {
    if (this.#simulation.state(id) === 'down') this.#members.start(id);
  }

  #later(ms: number, what: () => void): true {
    this.#simulation.after(ms, () => {
      if (!this.#over) what();
    });
    return true;
  }
}
