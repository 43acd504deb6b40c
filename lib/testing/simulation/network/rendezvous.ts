/** The simulated rendezvous: who is there, and a slow way to them. @internal */
import type { NodeId } from '../../../consensus/consensus.js';
import { QuorateError } from '../../../errors.js';
import { Phase } from '../scheduler.js';
import type { SimSession } from './session.js';
import type { World } from './world.js';

/** How often it looks for connections that their process took along. */
const sweepMs = 250;

export class Rendezvous {
  readonly #world: World;
  /** By cluster and id: the newest run of each node that is here. */
  readonly #present = new Map<string, SimSession>();
  /** All that run, whether they are here or not. */
  readonly #sessions = new Set<SimSession>();
  readonly #outOfReach = new Set<NodeId>();
  #sweeping = false;

  constructor(world: World) {
    this.#world = world;
  }

  add(session: SimSession): void {
    this.#sessions.add(session);
    this.#sweepLater();
    if (this.#outOfReach.has(session.id)) this.#lost(session);
    else this.#enter(session);
  }

  remove(session: SimSession): void {
    this.#sessions.delete(session);
    this.#leave(session);
  }

  find(cluster: string, id: NodeId): SimSession | undefined {
    return this.#present.get(`${cluster} ${id}`);
  }

  /** Whether a node reaches it. */
  reaches(id: NodeId): boolean {
    return !this.#outOfReach.has(id);
  }

  /** Whether a node reaches it from now on. */
  reach(id: NodeId, reachable: boolean): void {
    if (this.#outOfReach.has(id) !== reachable) return;
    const { trace, scheduler, counts } = this.#world;
    trace.add(scheduler.now, id, 'rendezvous', reachable ? 'in reach' : 'out of reach');
    if (reachable) this.#outOfReach.delete(id);
    else {
      this.#outOfReach.add(id);
      counts.rendezvousLost++;
    }
    for (const session of this.#sessions) {
      if (session.id !== id || !session.process.alive) continue;
      if (reachable) {
        this.#enter(session);
      } else {
        this.#leave(session);
        this.#lost(session);
      }
    }
  }

  /** Hands something to the newest run of a node, if both reach the rendezvous then. */
  send(from: SimSession, to: NodeId, deliver: (to: SimSession) => void): void {
    const { scheduler } = this.#world;
    if (this.#outOfReach.has(from.id)) return;
    scheduler.after(this.#delay(), Phase.io, undefined, () => {
      const target = this.find(from.cluster, to);
      if (target !== undefined) this.#tell(target, () => deliver(target));
    });
  }

  #enter(session: SimSession): void {
    const key = `${session.cluster} ${session.id}`;
    // A newer run of an id has its place; an older one that comes back stays outside.
    const holder = this.#present.get(key);
    if (holder !== undefined && holder.process.alive && holder.incarnation > session.incarnation) return;
    this.#present.set(key, session);
    const here = new Set<NodeId>();
    for (const other of this.#present.values()) {
      if (other.cluster !== session.cluster || other.id === session.id) continue;
      here.add(other.id);
      this.#announce(other, session.id, true);
    }
    // What it was told before it lost the rendezvous may be wrong by now.
    for (const id of session.known) if (!here.has(id)) this.#announce(session, id, false);
    for (const id of here) this.#announce(session, id, true);
  }

  #leave(session: SimSession): void {
    const key = `${session.cluster} ${session.id}`;
    if (this.#present.get(key) !== session) return;
    this.#present.delete(key);
    for (const other of this.#present.values())
      if (other.cluster === session.cluster) this.#announce(other, session.id, false);
  }

  #announce(to: SimSession, id: NodeId, present: boolean): void {
    if (present) to.known.add(id);
    else to.known.delete(id);
    this.#tell(to, () => to.presence(id, present));
  }

  #lost(session: SimSession): void {
    session.process.afterIo(0, () =>
      session.warn(new QuorateError('ERR_SIGNALING', 'the rendezvous is out of reach')),
    );
  }

  /** In order, as over one connection. */
  #tell(session: SimSession, event: () => void): void {
    const { now } = this.#world.scheduler;
    session.heardAt = Math.max(session.heardAt, now + this.#delay());
    session.process.afterIo(session.heardAt - now, event);
  }

  #delay(): number {
    const { random, settings } = this.#world;
    return settings.rendezvousMs * random.between(0.25, 0.75);
  }

  /** The operating system closes the connections of a dead process; its peers' links only fall silent. */
  #sweepLater(): void {
    if (this.#sweeping || this.#sessions.size === 0) return;
    this.#sweeping = true;
    this.#world.scheduler.after(sweepMs, Phase.io, undefined, () => {
      this.#sweeping = false;
      for (const session of this.#sessions) {
        if (session.process.alive) continue;
        this.remove(session);
        session.died();
      }
      this.#sweepLater();
    });
  }
}
