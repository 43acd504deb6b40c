/** Handshakes under way: how many there may be, and whose link is not wanted. @internal */
import type { NodeId } from '../consensus/consensus.js';
import type { Environment } from '../environment.js';
import { Admission } from './admission.js';
import type { Admitted } from './admission.js';
import type { Credentials } from './credentials.js';
import type { Refusal } from './handshake.js';
import type { ResolvedLimits } from './limits.js';
import type { LinkPath } from './link.js';
import type { MeshCounters } from './metrics.js';
import type { Peer } from './peer.js';
import { isNeedless, isOlder, isOutdone, isOvertaken } from './rivals.js';
import type { Rival } from './rivals.js';
import type { RawLink } from './transport.js';

/** Handshakes under way; over relayed links, whose peers a carrier may have made up, they have places of their own. */
const maxHalfOpen: Readonly<Record<LinkPath, number>> = { direct: 64, relayed: 16 };
const maxHalfOpenPerPeer = 2;
const handshakeTimeoutMs = 5000;

/** What {@link Admissions} is made with. */
export interface AdmissionsOptions {
  readonly id: NodeId;
  readonly cluster: string;
  readonly incarnation: string;
  readonly credentials: Credentials;
  readonly environment: Environment;
  readonly limits: ResolvedLimits;
  readonly counters: MeshCounters;
}

/** Told how a handshake ended. */
type Finished = (peer: Peer, raw: RawLink, path: LinkPath, began: number, outcome: Admitted) => void;

export class Admissions {
  readonly #options: AdmissionsOptions;
  readonly #finished: Finished;
  readonly #halfOpen: Record<LinkPath, number> = { direct: 0, relayed: 0 };

  constructor(options: AdmissionsOptions, finished: Finished) {
    this.#options = options;
    this.#finished = finished;
  }

  /** Lets a link prove itself; closes one of nobody, and what is too much. */
  admit(peer: Peer | undefined, raw: RawLink, path: LinkPath): void {
    const { id, cluster, incarnation, credentials, environment, limits, counters } = this.#options;
    if (
      peer === undefined ||
      (path === 'direct' && peer.turnedAway) ||
      this.#halfOpen[path] >= maxHalfOpen[path]
    ) {
      counters.turnedAway++;
      raw.close();
      return;
    }
    // The offerer runs one set-up at a time: an older one that still hangs is dead.
    const admissions = peer.admissions[path];
    const [oldest] = admissions;
    if (admissions.size >= maxHalfOpenPerPeer) oldest?.cancel();
    this.#halfOpen[path]++;
    const began = environment.now();
    const admission = new Admission(
      raw,
      {
        cluster,
        id,
        incarnation,
        credentials,
        limits,
        nonce: environment.randomBytes(32),
        environment,
        timeoutMs: handshakeTimeoutMs,
        admit: (hello) => this.#objection(peer, { raw, path, hello, began }),
      },
      (outcome) => {
        this.#halfOpen[path]--;
        admissions.delete(admission);
        this.#finished(peer, raw, path, began, outcome);
      },
    );
    admissions.add(admission);
  }

  /** Asked once the peer has proved itself, before this end accepts. */
  #objection(peer: Peer, rival: Rival): Refusal | undefined {
    const { link } = peer;
    if (isOlder(rival.hello, link)) return 'ERR_PEER_DUPLICATE';
    const redundant =
      isOutdone(this.#options.id, rival, link) ||
      isNeedless(rival, link, peer.bad) ||
      isOvertaken(rival, link, peer.bad);
    return redundant ? 'ERR_PEER_REDUNDANT' : undefined;
  }
}
