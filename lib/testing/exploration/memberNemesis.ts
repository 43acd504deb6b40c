/** Does to the members of a group what a plan says: changes them, has nodes join and stop, breaks what is sent to them. */
import { QuorateError } from '../../errors.js';
import { allMembers } from '../../consensus/membership.js';
import type { JoinAs } from '../simulation/node.js';
import type { Simulation } from '../simulation/simulation.js';
import type { MemberFault } from './memberFaults.js';

/** How long a change of the members, or a transfer of the leadership, is tried. */
const CHANGE_MS = 4000;
const TRANSFER_MS = 2000;
/** Between two tries to reach the members that are wanted. */
const AGAIN_MS = 200;

/** What a {@link MemberNemesis} needs of who carries out the whole plan. */
export interface MemberNemesisHost {
  /** Calls back, unless the faults are over by then. */
  later(ms: number, what: () => void): true;
  /** Disks that are not to be trusted. */
  readonly rotten: ReadonlySet<string>;
}

export class MemberNemesis {
  readonly #simulation: Simulation;
  readonly #host: MemberNemesisHost;
  /** Nodes that are about to be down. */
  readonly #stopping = new Set<string>();

  constructor(simulation: Simulation, host: MemberNemesisHost) {
    this.#simulation = simulation;
    this.#host = host;
  }

  /** `false`: it makes no sense now. */
  inflict(fault: MemberFault): boolean {
    switch (fault.kind) {
      case 'members':
        return this.#change(fault);
      case 'join':
        return this.#join(fault);
      case 'stop':
        return this.#stop(fault.node, fault.ms);
      case 'broken transfers':
        return this.#breakTransfers(fault);
    }
  }

  /** Starts a node, in the way that suits what it knows. */
  start(id: string): void {
    const simulation = this.#simulation;
    if (this.isOut(id)) {
      this.enter(id);
      return;
    }
    // Who founds a group when its founders have forgotten it would found another one (docs/raft.md, "What no protocol can do").
    const join = simulation.founders.includes(id) && !simulation.group.members.mayFound(id);
    simulation.restart(id, join ? { join: 'voter' } : {});
  }

  /** Whether a node was removed and knows it: it comes back only when it joins. */
  isOut(id: string): boolean {
    const state = this.#simulation.state(id);
    const error = this.#simulation.failure(id);
    const ended = state === 'failed' || state === 'closed';
    return ended && error instanceof QuorateError && error.code === 'ERR_NOT_A_MEMBER';
  }

  /** Whether a node runs, and will go on. */
  stays(id: string): boolean {
    return this.#simulation.state(id) === 'up' && !this.#stopping.has(id);
  }

  /** A node starts and asks to take part, whatever it was. */
  enter(id: string): void {
    this.#simulation.restart(id, { join: 'voter' });
  }

  /** The disk of a node is lost, and an empty one takes its place. `false`: the group would not outlive it. */
  wipe(id: string): boolean {
    const { group } = this.#simulation;
    if (!group.members.mayLoseDisk(id, this.#host.rotten)) return false;
    this.#simulation.crash(id);
    this.#simulation.disk(id).wipe();
    group.members.wiped(id);
    return true;
  }

  /** Asked through any node: what is forwarded gets into trouble too. */
  transfer(to: string): boolean {
    const simulation = this.#simulation;
    const through = this.#door();
    const leader = simulation.leader();
    if (through === undefined || leader === undefined) return false;
    simulation.count('transfers asked for');
    const call = simulation
      .replica(through)
      .transferLeadership(to === leader ? undefined : to, { timeout: TRANSFER_MS });
    this.#follow('transfers', through, call);
    return true;
  }

  /** Has the members be exactly these, until they are, or until `until`, which may move; the group has to manage that. */
  async settle(core: readonly string[], until: () => number): Promise<boolean> {
    const simulation = this.#simulation;
    const { members } = simulation.group;
    // What was asked for before may still come about until it is given up.
    await simulation.sleep(CHANGE_MS);
    for (let tries = 0; simulation.now < until(); tries++) {
      for (const id of core) if (this.isOut(id)) this.enter(id);
      const { membership } = members;
      const others = membership === undefined ? [] : allMembers(membership).map(({ id }) => id);
      const remove = [...new Set([...others, ...(membership?.next?.voters ?? [])])].filter(
        (id) => !core.includes(id),
      );
      const through = simulation.replica(core[tries % core.length]!);
      const change = { add: core.map((id) => this.#as(id, 'voter')), remove };
      const done = await through.changeMembers(change, { timeout: CHANGE_MS }).then(
        () => true,
        (error: unknown) => {
          if (!(error instanceof QuorateError)) throw error;
          return false;
        },
      );
      // A member that was removed, and does not know it, takes what it knew for what is.
      if (done && members.settled(core)) return true;
      await simulation.sleep(AGAIN_MS);
    }
    return false;
  }

  /** Who keeps no data is a witness, or nothing. */
  #as(id: string, as: 'voter' | 'learner'): { id: string; as: JoinAs } {
    return { id, as: this.#simulation.witnesses.includes(id) ? 'witness' : as };
  }

  #door(): string | undefined {
    const simulation = this.#simulation;
    const up = simulation.nodes.filter((id) => simulation.state(id) === 'up');
    return up[Math.floor(simulation.now) % Math.max(1, up.length)];
  }

  #change({ add, learn, remove }: Extract<MemberFault, { kind: 'members' }>): boolean {
    const simulation = this.#simulation;
    for (const id of add) if (!simulation.began(id) || this.isOut(id)) this.enter(id);
    const through = this.#door();
    if (through === undefined) return false;
    const leader = simulation.leader();
    if (leader !== undefined && remove.includes(leader)) simulation.count('removals of the leader asked for');
    if (remove.some((id) => simulation.state(id) === 'down'))
      simulation.count('removals of dead nodes asked for');
    const call = simulation.replica(through).changeMembers(
      {
        add: [...add.map((id) => this.#as(id, 'voter')), ...learn.map((id) => this.#as(id, 'learner'))],
        remove,
      },
      { timeout: CHANGE_MS },
    );
    this.#follow('changes of the members', through, call);
    return true;
  }

  #join({ node, as, blank }: Extract<MemberFault, { kind: 'join' }>): boolean {
    const simulation = this.#simulation;
    if (simulation.group.members.membership === undefined || simulation.group.members.has(node)) return false;
    if (blank && !this.wipe(node)) return false;
    simulation.restart(node, { join: as });
    return true;
  }

  #stop(id: string, ms: number): boolean {
    const simulation = this.#simulation;
    if (simulation.state(id) !== 'up') return false;
    if (simulation.leader() === id) simulation.count('stops of the leader');
    this.#stopping.add(id);
    void simulation.stop(id).then(() => {
      this.#stopping.delete(id);
      this.#host.later(ms, () => {
        if (simulation.state(id) === 'down') this.start(id);
      });
    });
    return true;
  }

  #breakTransfers({ parts, times, ms }: Extract<MemberFault, { kind: 'broken transfers' }>): boolean {
    const simulation = this.#simulation;
    const { transfers, network } = simulation;
    let left = times;
    let seen = 0;
    transfers.onChunk = (from, to) => {
      if (left === 0 || ++seen < parts) return;
      seen = 0;
      left--;
      simulation.count('transfers broken');
      // Not within the event that brings the part.
      simulation.after(0, () => network.reset(from, to));
    };
    return this.#host.later(ms, () => (transfers.onChunk = undefined));
  }

  #follow(what: string, through: string, call: Promise<void>): void {
    const simulation = this.#simulation;
    call.then(
      () => simulation.count(`${what} done`),
      (error: unknown) => {
        if (error instanceof QuorateError && error.code !== 'ERR_INTERNAL') return;
        simulation.report('no exception', through, `one of the ${what} ended with ${String(error)}`);
      },
    );
  }
}
