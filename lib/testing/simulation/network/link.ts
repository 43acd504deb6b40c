/** One end of a simulated link. @internal */
import type { NodeId } from '../../../consensus/consensus.js';
import type { RawLink } from '../../../mesh/transport.js';
import type { Process } from '../process.js';
import { Phase, type Event } from '../scheduler.js';
import { SimLane } from './lane.js';
import type { Way } from './way.js';
import type { World } from './world.js';

/** What a {@link LinkEnd} is made with. */
export interface LinkEndOptions {
  readonly world: World;
  readonly process: Process;
  /** The way that this end sends. */
  readonly way: Way;
  readonly offerer: boolean;
  /** Names the link; the same at both ends. */
  readonly name: string;
  /** This end is gone. */
  readonly onGone: (end: LinkEnd) => void;
}

/** Makes both ends of a link. */
export function joinEnds(near: LinkEndOptions, far: LinkEndOptions): [LinkEnd, LinkEnd] {
  const ends: [LinkEnd, LinkEnd] = [new LinkEnd(near), new LinkEnd(far)];
  ends[0].join(ends[1]);
  ends[1].join(ends[0]);
  return ends;
}

export class LinkEnd implements RawLink {
  readonly peer: NodeId;
  readonly offerer: boolean;
  readonly binding: string;
  readonly control: SimLane;
  readonly bulk: SimLane;
  onClosed: ((reason: string) => void) | undefined;
  readonly process: Process;
  readonly way: Way;
  /** The path was torn off: what is under way in either direction is lost. */
  severed = false;
  open = true;
  readonly #world: World;
  readonly #onGone: (end: LinkEnd) => void;
  #other!: LinkEnd;
  #silence: Event | undefined;

  constructor(options: LinkEndOptions) {
    const { world, process, way } = options;
    this.peer = way.to;
    this.offerer = options.offerer;
    this.binding = options.name;
    this.process = process;
    this.way = way;
    this.#world = world;
    this.#onGone = options.onGone;
    this.control = new SimLane('control', this, way, world);
    this.bulk = new SimLane('bulk', this, way, world);
    way.ends.add(this);
  }

  get other(): LinkEnd {
    return this.#other;
  }

  join(other: LinkEnd): void {
    this.#other = other;
    this.control.join(other.control);
    this.bulk.join(other.bulk);
  }

  close(): void {
    if (!this.open) return;
    this.#world.counts.linksClosed++;
    this.#shut('closed');
    this.#sayGoodbye();
  }

  /** A lane holds more than it may. */
  overflow(reason: string): void {
    if (!this.open) return;
    this.#world.counts.linksBroken++;
    this.#shut(reason);
    this.#sayGoodbye();
  }

  /** The link breaks, here. */
  break(reason: string): void {
    if (!this.open) return;
    this.#world.counts.linksBroken++;
    this.#shut(reason);
    this.#other.noticeSilence();
  }

  /** Nothing may come any more: if that stays so, this end breaks by itself, as when ICE consent runs out (RFC 7675). */
  noticeSilence(): void {
    if (!this.open || this.#silence !== undefined || !this.#silent) return;
    const { scheduler, settings } = this.#world;
    const delay = settings.silenceMs * this.way.random.between(0.75, 1.25);
    this.#silence = scheduler.after(delay, Phase.io, undefined, () => {
      this.#silence = undefined;
      if (this.process.alive && this.#silent) this.break('the path is silent');
    });
  }

  /** Packets pass again. */
  noticeLife(): void {
    if (this.#silent) return;
    this.#silence?.cancel();
    this.#silence = undefined;
  }

  get #silent(): boolean {
    return !this.#other.open || !this.#other.process.alive || !this.way.open;
  }

  /** What was sent before still arrives first, unless it got lost. A goodbye itself is sent once. */
  #sayGoodbye(): void {
    const { scheduler } = this.#world;
    const { way } = this;
    const other = this.#other;
    if (!this.process.alive || way.lost('control', 1) > 0) {
      other.noticeSilence();
      return;
    }
    const at = Math.max(
      Math.max(scheduler.now, way.cloggedUntil) + way.delay('control'),
      this.control.lastArrival,
      this.bulk.lastArrival,
    );
    other.process.afterIo(at - scheduler.now, () => {
      if (way.cut) {
        other.noticeSilence();
      } else if (other.open) {
        this.#world.counts.linksClosed++;
        other.#shut('closed by the peer');
      }
    });
  }

  #shut(reason: string): void {
    this.open = false;
    this.way.ends.delete(this);
    this.#silence?.cancel();
    this.control.stop();
    this.bulk.stop();
    this.#world.trace.add(this.#world.scheduler.now, this.way.from, 'unlink', `${this.binding} ${reason}`);
    this.#onGone(this);
    // Never from inside a call of the mesh.
    this.process.defer(() => this.onClosed?.(reason));
  }
}
