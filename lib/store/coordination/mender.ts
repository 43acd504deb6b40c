/**
 * Brings this node and the others together again: hands over what they missed, and compares, with whoever was linked anew, and with
 * somebody now and then.
 *
 * @internal
 */
import type { NodeId } from '../../consensus/consensus.js';
import type { Timer } from '../../environment.js';
import { QuorateError } from '../../errors.js';
import type { LocalStore } from '../local/localStore.js';
import type { Placement } from '../placement/placement.js';
import type { StoreDesk } from './desk.js';
import { handOver } from './handover.js';
import type { Ask, RepairReport } from './repair.js';

export interface MenderSetup {
  readonly local: LocalStore<unknown, unknown, unknown>;
  readonly desk: StoreDesk;
  readonly placement: Placement;
  readonly timeoutMs: number;
  /** About how long from one comparison to the next, in milliseconds; undefined where there is nobody to compare with. */
  readonly intervalMs: number | undefined;
  compare(peer: NodeId, ask: Ask): Promise<RepairReport>;
  handedOver(peer: NodeId, keys: number): void;
  /** A comparison came to its end. */
  repaired(report: RepairReport): void;
  failed(peer: NodeId, error: Error): void;
}

export class Mender {
  readonly #setup: MenderSetup;
  readonly #due = new Set<NodeId>();
  #repairing = false;
  #closed = false;
  #timer: Timer | undefined;

  constructor(setup: MenderSetup) {
    this.#setup = setup;
    this.#schedule();
  }

  /** Members that are linked. */
  linked(): NodeId[] {
    const linked = this.#setup.desk.port.linked();
    return this.#setup.placement.others.filter((peer) => linked.has(peer));
  }

  /** Repairs with a member as soon as others that were due before it are done. */
  soon(peer: NodeId): void {
    this.#due.add(peer);
    if (this.#repairing) return;
    this.#repairing = true;
    void this.#all();
  }

  /** Repairs with a member now. */
  async repair(peer: NodeId): Promise<RepairReport> {
    const { local, desk, placement, timeoutMs } = this.#setup;
    const ask: Ask = (type, body) => placement.call(peer, type, body, timeoutMs, placement.epoch);
    const owns = (key: string): boolean => placement.round(key).others.includes(peer);
    return desk.sound(peer, async () => {
      const keys = await handOver({ local, member: peer, ask, owns, environment: desk.environment });
      if (keys > 0) this.#setup.handedOver(peer, keys);
      const report = await this.#setup.compare(peer, ask);
      this.#setup.repaired(report);
      return report;
    });
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #schedule(): void {
    const { intervalMs, desk } = this.#setup;
    if (intervalMs === undefined) return;
    const { environment } = desk;
    this.#timer = environment.setTimer(intervalMs * (0.5 + environment.random()), () => {
      const linked = this.linked();
      const peer = linked[Math.floor(environment.random() * linked.length)];
      if (peer !== undefined) this.soon(peer);
      this.#schedule();
    });
  }

  /** One after another, each as often as it is due. */
  async #all(): Promise<void> {
    for (const peer of this.#due) {
      this.#due.delete(peer);
      if (this.#closed || !this.#setup.desk.port.linked().has(peer)) continue;
      try {
        await this.repair(peer);
      } catch (error) {
        this.failed(peer, error as Error);
      }
    }
    this.#repairing = false;
  }

  failed(peer: NodeId, error: Error): void {
    if (this.#closed) return;
    // It has not opened the store yet, or the link went again: it will ask by itself, or come back.
    if (error instanceof QuorateError && ['ERR_REJECTED', 'ERR_NOT_READY'].includes(error.code)) return;
    this.#setup.failed(peer, error);
  }
}
