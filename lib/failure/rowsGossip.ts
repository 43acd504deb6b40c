/** Spreads rows: floods what is new, and evens out tables whose digests differ. @internal */
import type { NodeId } from '../consensus/consensus.js';
import type { Connectivity } from './connectivity.js';
import { TokenBuckets } from '../tokenBucket.js';
import { isNewerRow } from './rows.js';
import type { ConnectivityRow } from './rows.js';
import { decodeRowMessage, encodeRows, encodeVersions, rowBytes } from './rowsCodec.js';
import type { IncarnationCheck } from './rowsCodec.js';

/** What {@link RowGossip} is made with. */
export interface RowGossipOptions {
  readonly connectivity: Connectivity;
  readonly isIncarnation: IncarnationCheck;
  /** Sends a message over the direct link to a peer; what is not taken is lost, and made up for by digests. */
  readonly send: (peer: NodeId, message: Uint8Array) => void;
  /** The peers whose direct link is up. */
  readonly neighbours: () => Iterable<NodeId>;
}

/** What the gossip of rows counts: a row says whom one member hears. */
export interface RowGossipMetrics {
  /** Rows that were news. */
  readonly rowsMerged: number;
  /** Rows that were known already. */
  readonly rowsKnown: number;
  /** Rows that a neighbour sent above its allowance: not looked at, and made up for by digests. */
  readonly rowsRefused: number;
  /** Rows sent, each to one peer. */
  readonly rowsSent: number;
  /** Lists of versions sent because digests differed, or a link was new. */
  readonly versionsSent: number;
}

/** Rows of one message come to about this many bytes, or it is one row alone. */
const messageBytes = 32 * 1024;

/** News of one neighbour: two whole tables at once, then so many rows a second. */
const newsBurst = 2048;
const newsPerSecond = 256;
/** Lists of versions that a neighbour gets answered: at once, and a second. Its own digests ask for four a second at most by default. */
const answersBurst = 64;
const answersPerSecond = 16;

export class RowGossip {
  readonly #options: RowGossipOptions;
  readonly #counters = { rowsMerged: 0, rowsKnown: 0, rowsRefused: 0, rowsSent: 0, versionsSent: 0 };
  /** When a peer was last sent the versions: once a heartbeat is enough. */
  readonly #asked = new Map<NodeId, number>();
  readonly #news = new TokenBuckets(newsPerSecond, newsBurst);
  readonly #answers = new TokenBuckets(answersPerSecond, answersBurst);
  #published: ConnectivityRow | undefined;

  constructor(options: RowGossipOptions) {
    this.#options = options;
  }

  metrics(): RowGossipMetrics {
    return { ...this.#counters };
  }

  /** Floods the own row if it changed since the last call: once a turn in which links changed, and before each heartbeat. */
  publish(): void {
    const own = this.#options.connectivity.own();
    if (own === this.#published) return;
    this.#published = own;
    this.#flood([own], false);
  }

  /** A link came up: tells the peer at once what is known here. */
  linked(peer: NodeId, now: number): void {
    this.#sendVersions(peer, now);
  }

  /** A link is gone. */
  unlinked(peer: NodeId): void {
    this.#asked.delete(peer);
  }

  /** A heartbeat of a linked peer carried this digest. */
  digest(peer: NodeId, digest: number, now: number): void {
    const { connectivity } = this.#options;
    if (digest === connectivity.digest()) return;
    const asked = this.#asked.get(peer);
    if (asked !== undefined && now - asked < connectivity.heartbeatMs / 2) return;
    this.#sendVersions(peer, now);
  }

  /**
   * Takes a message of a linked peer.
   *
   * @throws QuorateError `ERR_CODEC` when it is none; nothing of it is taken then, and the sender should lose its link.
   */
  receive(peer: NodeId, message: Uint8Array, now: number): void {
    const { connectivity, isIncarnation } = this.#options;
    const decoded = decodeRowMessage(message, isIncarnation);
    if (decoded.kind === 'versions') {
      // A short list asks for the whole table.
      if (!this.#answers.allows(peer, now)) return;
      const own = decoded.versions.find(({ from }) => from === connectivity.id);
      if (own !== undefined && isNewerRow(own, connectivity.own())) {
        // Somebody spoke in this node's name.
        connectivity.outdo(own, now);
        this.publish();
        if (isNewerRow(own, connectivity.own())) this.#sendRows(peer, [connectivity.own()], false);
      }
      this.#sendRows(peer, connectivity.missing(decoded.versions), false);
      this.#sendRows(peer, connectivity.missingLost(decoded.versions, decoded.lost), true);
      return;
    }
    const lost = decoded.kind === 'lost';
    const allowance = this.#news.of(peer, now);
    const news: ConnectivityRow[] = [];
    let refused = 0;
    for (const row of decoded.rows) {
      if (!allowance.has(now)) refused++;
      else if (lost ? connectivity.mergeLost(row) : connectivity.merge(row, now, peer)) {
        allowance.allows(now);
        news.push(row);
      }
    }
    this.#counters.rowsMerged += news.length;
    this.#counters.rowsRefused += refused;
    this.#counters.rowsKnown += decoded.rows.length - news.length - refused;
    this.#flood(news, lost, peer);
    this.publish();
  }

  #flood(rows: readonly ConnectivityRow[], lost: boolean, but?: NodeId): void {
    if (rows.length === 0) return;
    const batches = inBatches(rows).map((batch) => ({
      count: batch.length,
      message: encodeRows(batch, lost),
    }));
    for (const peer of this.#options.neighbours()) {
      if (peer === but) continue;
      for (const { count, message } of batches) {
        this.#counters.rowsSent += count;
        this.#options.send(peer, message);
      }
    }
  }

  #sendRows(peer: NodeId, rows: readonly ConnectivityRow[], lost: boolean): void {
    for (const batch of inBatches(rows)) {
      this.#counters.rowsSent += batch.length;
      this.#options.send(peer, encodeRows(batch, lost));
    }
  }

  #sendVersions(peer: NodeId, now: number): void {
    this.#asked.set(peer, now);
    this.#counters.versionsSent++;
    const { connectivity } = this.#options;
    this.#options.send(peer, encodeVersions(connectivity.versions(), connectivity.lostVersions()));
  }
}

function inBatches(rows: readonly ConnectivityRow[]): ConnectivityRow[][] {
  const batches: ConnectivityRow[][] = [];
  let batch: ConnectivityRow[] = [];
  let bytes = 0;
  for (const row of rows) {
    const size = rowBytes(row);
    if (batch.length > 0 && bytes + size > messageBytes) {
      batches.push(batch);
      batch = [];
      bytes = 0;
    }
    batch.push(row);
    bytes += size;
  }
  if (batch.length > 0) batches.push(batch);
  return batches;
}
