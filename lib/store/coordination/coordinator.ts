/**
 * Writes and reads keys on as many of their owners as a call asks for (read and write quorums, read repair: DeCandia et al., "Dynamo",
 * SOSP 2007, sections 4.5 and 4.6), on a node that owns them.
 *
 * @internal
 */
import type { NodeId } from '../../consensus/consensus.js';
import { QuorateError } from '../../errors.js';
import type { Versions } from '../causality/version.js';
import type { LocalStore } from '../local/localStore.js';
import type { Placement } from '../placement/placement.js';
import type { Circuits } from './circuits.js';
import type { StoreDesk } from './desk.js';
import { gather, type Gathering } from './quorum.js';
import type { WriteReport } from './storeOptions.js';
import { decodeKeys, encodeKeys, RequestType } from './wire.js';

export interface CoordinatorSetup {
  readonly self: NodeId;
  readonly local: LocalStore<unknown, unknown, unknown>;
  readonly desk: StoreDesk;
  readonly placement: Placement;
  readonly circuits: Circuits;
  /** Runs something, and again where the owners of keys changed under it: telling and asking twice does no harm. */
  readonly rounds: <T>(timeoutMs: number, run: (leftMs: number) => Promise<T>) => Promise<T>;
}

export class Coordinator {
  readonly #setup: CoordinatorSetup;

  constructor(setup: CoordinatorSetup) {
    this.#setup = setup;
  }

  /** Tells the owners of a key what was written here, durably; resolves once `needed` of them have it on their disks. */
  write(key: string, set: Versions, needed: number, timeoutMs: number): Promise<WriteReport> {
    return this.#setup.rounds(timeoutMs, (left) => this.#write(key, set, needed, left));
  }

  async #write(key: string, set: Versions, needed: number, timeoutMs: number): Promise<WriteReport> {
    const { desk, local, placement, circuits } = this.#setup;
    const { epoch, others, sets } = placement.round(key);
    const body = encodeKeys([[key, local.encode(set)]]);
    const hinted: NodeId[] = [];
    const miss = (peer: NodeId): void => {
      if (local.table.hints.add(peer, key)) hinted.push(peer);
    };
    const linked = desk.port.linked();
    const steps = others.map(async (peer) => {
      if (!linked.has(peer)) {
        miss(peer); // at once: also a write that waits for nobody tells of it
        throw new QuorateError('ERR_NOT_READY', `${peer} is not linked`);
      }
      try {
        await circuits.run(peer, () => placement.call(peer, RequestType.write, body, timeoutMs, epoch));
      } catch (error) {
        miss(peer);
        throw error;
      }
    });
    const what = `write of ${JSON.stringify(key)}`;
    const acknowledged = await this.#gather(sets, others, steps, {
      needed,
      timeoutMs,
      what,
      fate: 'ambiguous',
    });
    return { acknowledged, hinted: [...hinted] };
  }

  /** Takes in what others know of a key; has enough of them know all of it. */
  read(key: string, needed: number, timeoutMs: number): Promise<void> {
    return this.#setup.rounds(timeoutMs, (left) => this.#read(key, needed, left));
  }

  async #read(key: string, needed: number, timeoutMs: number): Promise<void> {
    const { desk, local, placement, circuits } = this.#setup;
    const { environment } = desk;
    const { epoch, others, sets } = placement.round(key);
    const deadline = environment.now() + timeoutMs;
    const what = `read of ${JSON.stringify(key)}`;
    const body = encodeKeys([[key, undefined]]);
    const answers = new Map<NodeId, Uint8Array | undefined>();
    let late = false;
    const steps = others.map(async (peer) => {
      const said = await circuits.run(peer, () =>
        placement.call(peer, RequestType.read, body, timeoutMs, epoch),
      );
      const versions = desk.sound(peer, () => decodeKeys(said))[0]?.[1];
      if (versions) await local.merge(key, versions);
      answers.set(peer, versions);
      if (late) await this.#tell(peer, key, versions, timeoutMs, epoch);
    });
    await this.#gather(sets, others, steps, { needed, timeoutMs, what });
    late = true;
    const peers = [...answers.keys()];
    const told = peers.map((peer) => this.#tell(peer, key, answers.get(peer), timeoutMs, epoch));
    const left = Math.max(1, deadline - environment.now());
    await this.#gather(sets, peers, told, { needed, timeoutMs: left, what });
  }

  /**
   * Waits for enough of each set: of the owners before a move of keys, and of those after it. Resolves to how many of them took part, of
   * the set of which it were fewest.
   */
  async #gather(
    sets: readonly (readonly NodeId[])[],
    peers: readonly NodeId[],
    steps: readonly Promise<unknown>[],
    demands: Pick<Gathering, 'needed' | 'timeoutMs' | 'what' | 'fate'>,
  ): Promise<number> {
    const { self, desk } = this.#setup;
    const of = (set: readonly NodeId[]): Promise<number> =>
      gather({
        ...demands,
        environment: desk.environment,
        members: set.length,
        own: set.includes(self) ? 1 : 0,
        steps: steps.filter((_, i) => set.includes(peers[i]!)),
      });
    return Math.min(...(await Promise.all(sets.map(of))));
  }

  /** Tells a member all that is known of a key, if that is more than it said. */
  async #tell(
    peer: NodeId,
    key: string,
    said: Uint8Array | undefined,
    timeoutMs: number,
    epoch: number,
  ): Promise<void> {
    const { local, placement } = this.#setup;
    const versions = await local.versionsOf(key);
    if (versions === undefined || (said && Buffer.compare(said, versions) === 0)) return;
    await placement.call(peer, RequestType.write, encodeKeys([[key, versions]]), timeoutMs, epoch);
  }
}
