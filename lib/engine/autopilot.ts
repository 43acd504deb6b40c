/**
 * Autopilot of one group: while this node leads, looks at the members now and then, and makes the change that
 * {@link autopilotStep} finds due, one at a time. What it knows of them it has seen itself in this reign.
 */
import {
  autopilotStep,
  changeOf,
  type AutopilotPolicy,
  type AutopilotStep,
  type ObservedMember,
} from '../consensus/autopilot.js';
import type { Consensus, MemberProgress, MembershipChange, NodeId } from '../consensus/consensus.js';
import { findMember } from '../consensus/membership.js';
import type { Environment, Timer } from '../environment.js';

/** A policy, and when a member is up and stable. Times are in milliseconds. @internal */
export interface AutopilotSettings extends AutopilotPolicy {
  readonly lastContactMs: number;
  readonly stabilizationMs: number;
  /** In indexes. */
  readonly maxLag: number;
}

/** What autopilot needs of its group. @internal */
export interface AutopilotHost {
  readonly self: NodeId;
  readonly environment: Environment;
  readonly core: Consensus;
  /** The core has something to do. */
  wake(): void;
  /** A step was begun. */
  did(step: AutopilotStep): void;
}

/** @internal */
export class Autopilot {
  readonly #host: AutopilotHost;
  readonly #settings: AutopilotSettings;
  readonly #intervalMs: number;
  /** Since when members have been up without a break. */
  readonly #upSince = new Map<NodeId, number>();
  /** From when on silence counts. */
  #begin = 0;
  #lookedAt = 0;
  #timer: Timer | undefined;
  #closed = false;

  constructor(host: AutopilotHost, settings: AutopilotSettings) {
    this.#host = host;
    this.#settings = settings;
    const { stabilizationMs, deadMs } = settings;
    this.#intervalMs = Math.max(25, Math.min(1000, stabilizationMs / 4, deadMs / 4));
  }

  /** The core's status changed: a leader begins to look, and stops when it leads no more. */
  statusChanged(): void {
    const leads = this.#host.core.status.role === 'leader' && !this.#closed;
    if (!leads) {
      this.#timer?.cancel();
      this.#timer = undefined;
    } else if (this.#timer === undefined) {
      this.#forget(this.#host.environment.now());
      this.#arm();
    }
  }

  close(): void {
    this.#closed = true;
    this.statusChanged();
  }

  #arm(): void {
    this.#timer = this.#host.environment.setTimer(this.#intervalMs, () => {
      this.#arm();
      this.#look();
    });
  }

  #forget(now: number): void {
    this.#begin = this.#lookedAt = now;
    this.#upSince.clear();
  }

  #look(): void {
    const { core, environment, self } = this.#host;
    const now = environment.now();
    // This process stood still: it heard nobody, which says nothing about them.
    if (now - this.#lookedAt > 2 * this.#intervalMs + this.#settings.lastContactMs) this.#forget(now);
    this.#lookedAt = now;
    const members = this.#observe(now, core.progress(now));
    const { membership, stable, transferring, role } = core.status;
    if (role !== 'leader' || membership !== stable || membership.outgoing.length > 0 || transferring !== '')
      return;
    if (membership.next === undefined) {
      const step = autopilotStep(self, members, this.#settings);
      if (step !== undefined) this.#do(now, step, changeOf(step));
      return;
    }
    // Somebody is to vote once it has caught up. Should it die meanwhile, it would hold up everything else.
    const { voters } = membership.next;
    const lost = members.find(({ id, voter, silentMs }) => {
      return !voter && voters.includes(id) && silentMs >= this.#settings.deadMs;
    });
    if (lost === undefined) return;
    const step: AutopilotStep = { why: 'demote', promoted: [], demoted: [lost.id], removed: [] };
    this.#do(now, step, changeOf(step));
  }

  #do(now: number, step: AutopilotStep, change: MembershipChange): void {
    const { core } = this.#host;
    const { membership } = core.status;
    if (!core.changeMembership(now, change).ok) return; // it is looked at again
    this.#host.wake();
    if (core.status.membership !== membership) this.#host.did(step);
  }

  #observe(now: number, progress: readonly MemberProgress[]): ObservedMember[] {
    const { self, core } = this.#host;
    const { membership, lastIndex } = core.status;
    const { lastContactMs, stabilizationMs, maxLag } = this.#settings;
    const voters = new Map(membership.voters.map(({ id, witness }) => [id, witness === true]));
    const members: ObservedMember[] = [
      { id: self, voter: voters.has(self), witness: false, up: true, stable: true, silentMs: 0 },
    ];
    for (const { id, heardAt, counts, state, matched } of progress) {
      const silentMs = Math.max(0, now - Math.max(heardAt, this.#begin));
      const up = counts && state !== 'absent' && now - heardAt <= lastContactMs;
      const since = up ? (this.#upSince.get(id) ?? now) : undefined;
      if (since === undefined) this.#upSince.delete(id);
      else this.#upSince.set(id, since);
      const stable = since !== undefined && now - since >= stabilizationMs && lastIndex - matched <= maxLag;
      // One that is being admitted learns until it has caught up.
      const witness = voters.get(id) ?? findMember(membership, id)?.witness === true;
      members.push({ id, voter: voters.has(id), witness, up, stable, silentMs });
    }
    for (const id of this.#upSince.keys())
      if (!members.some((one) => one.id === id)) this.#upSince.delete(id);
    return members;
  }
}
