/** Sessions that are being opened: the submitter's own, and one beside it. @internal */
import type { GroupStatus, Proposal } from '../engine/door.js';
import type { Environment } from '../environment.js';
import { Registration } from './registration.js';
import type { SessionTable } from './sessions.js';

export class Openings {
  readonly #self: string;
  readonly #environment: Environment;
  readonly #ownOpened: (id: number) => void;
  #own: Registration | undefined;
  #beside: { readonly registration: Registration; readonly opened: (id: number) => void } | undefined;

  constructor(self: string, environment: Environment, ownOpened: (id: number) => void) {
    this.#self = self;
    this.#environment = environment;
    this.#ownOpened = ownOpened;
  }

  /** A session beside the own one is being opened. */
  get beside(): boolean {
    return this.#beside !== undefined;
  }

  openBeside(opened: (id: number) => void): void {
    this.#beside = { registration: new Registration(this.#self, this.#environment), opened };
  }

  dropBeside(): void {
    this.#beside = undefined;
  }

  /** What is to be proposed in this turn. `own`: commands wait for an own session. */
  collect(status: GroupStatus, now: number, out: Proposal[], own: boolean): void {
    if (own) {
      this.#own ??= new Registration(this.#self, this.#environment);
      this.#own.collect(status, now, out);
    }
    this.#beside?.registration.collect(status, now, out);
  }

  /** The engine or the leader did not take a registration. */
  refused(): void {
    this.#own?.refused();
    this.#beside?.registration.refused();
  }

  /** A session was registered, by this node or by another. */
  registered(id: number, origin: string, nonce: string): void {
    const beside = this.#beside;
    if (beside?.registration.matches(origin, nonce) === true) {
      this.#beside = undefined;
      beside.opened(id);
    } else if (this.#own?.matches(origin, nonce) === true) {
      this.#own = undefined;
      this.#ownOpened(id);
    }
  }

  /** The state was replaced: a session may have been registered meanwhile. */
  restored(table: SessionTable): void {
    for (const each of [this.#beside?.registration, this.#own]) {
      const opened = each && table.findByNonce(this.#self, each.nonce);
      if (opened) this.registered(opened.id, this.#self, opened.nonce);
    }
  }
}
