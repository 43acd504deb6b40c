/** A try of two nodes to connect: offer and answer over the rendezvous, then round trips over the path itself. @internal */
import type { Timer } from '../../../environment.js';
import { Phase } from '../scheduler.js';
import { joinEnds, type LinkEnd } from './link.js';
import type { SimSession } from './session.js';
import type { Way } from './way.js';
import type { World } from './world.js';

/** How long connectivity checks pause when nothing passes. */
const recheckMs = 250;
/** Packets each way: connectivity check, DTLS, SCTP, open channels. */
const exchanges = 4;
/** After such a loss the handshakes wait for a time-out. */
const resendMs = 200;

export class Attempt {
  readonly name: string;
  readonly offerer: SimSession;
  answerer: SimSession | undefined;
  /** It came to nothing, or to a link. */
  over = false;
  readonly #world: World;
  readonly #way: Way;
  readonly #timers: Timer[] = [];

  constructor(world: World, name: string, way: Way, offerer: SimSession) {
    this.#world = world;
    this.name = name;
    this.#way = way;
    this.offerer = offerer;
  }

  /** Gives up when the time is over; each side by its own clock. */
  watch(session: SimSession, failed: () => void): void {
    const timer = session.process.setTimer(this.#world.settings.setupTimeoutMs, () => {
      this.abandon();
      failed();
    });
    this.#timers.push(timer);
  }

  /** One side gave it up. The other's timer goes on: nobody tells it. */
  abandon(): void {
    if (this.over) return;
    this.over = true;
    this.#world.counts.setupsFailed++;
  }

  /** Offer and answer are known: looks for a path. */
  answered(): void {
    if (this.over) return;
    if (!this.#way.open) {
      this.#world.scheduler.after(recheckMs, Phase.io, undefined, () => this.answered());
      return;
    }
    let delay = 0;
    for (let i = 0; i < exchanges; i++) {
      for (const way of [this.#way, this.#way.back]) {
        let resend = resendMs;
        while (way.lost('control', 1) > 0) {
          delay += resend;
          resend *= 2;
        }
        delay += way.delay('control');
      }
    }
    const { now } = this.#world.scheduler;
    const start = Math.max(now, this.#way.cloggedUntil, this.#way.back.cloggedUntil);
    this.#world.scheduler.after(start - now + delay, Phase.io, undefined, () => {
      if (this.#way.open) this.#connected();
      else this.answered();
    });
  }

  #connected(): void {
    const { answerer, offerer } = this;
    if (this.over || answerer === undefined || !answerer.process.alive || !offerer.process.alive) return;
    this.over = true;
    for (const timer of this.#timers) timer.cancel();
    const common = { world: this.#world, name: this.name };
    const [near, far] = joinEnds(
      { ...common, ...offerer.endOptions(), way: this.#way, offerer: true },
      { ...common, ...answerer.endOptions(), way: this.#way.back, offerer: false },
    );
    this.#open(near, offerer, 0);
    this.#open(far, answerer, this.#way.delay('control'));
  }

  #open(end: LinkEnd, session: SimSession, delayMs: number): void {
    session.own(end);
    session.process.afterIo(delayMs, () => session.linked(this, end));
  }
}
