/** Nodes with relayed links over a network of datagrams in virtual time, which loses, doubles, delays and spoils them. */
import type { Environment } from '../../../../../lib/environment.js';
import { nodeEnvironment } from '../../../../../lib/environment.js';
import type { DatagramHandler, DatagramKind, DatagramPort } from '../../../../../lib/mesh/relay/datagrams.js';
import { RelayLinks } from '../../../../../lib/mesh/relay/relayLinks.js';
import type {
  LaneName,
  RawLink,
  Transport,
  TransportHost,
  TransportSession,
} from '../../../../../lib/mesh/transport.js';
import { Phase, Scheduler } from '../../../../../lib/testing/simulation/scheduler.js';
import { seeded } from '../../../support/seeded.js';

export interface Conditions {
  readonly loss: number;
  readonly twice: number;
  readonly delayMs: number;
  readonly jitterMs: number;
}

export interface Datagram {
  readonly from: string;
  readonly to: string;
  readonly lane: LaneName;
  readonly payload: Uint8Array;
  /** The neighbour that hands it over. By default every sender is one. */
  readonly by?: string;
}

export class Lab {
  readonly scheduler = new Scheduler();
  readonly environment: Environment;
  readonly random: () => number;
  conditions: Conditions = { loss: 0, twice: 0, delayMs: 1, jitterMs: 0 };
  /** Sees every datagram that leaves; may change it, or answer undefined to lose it. */
  onDatagram: ((datagram: Datagram) => Datagram | undefined) | undefined;
  /** The port's answer. */
  accepts: (datagram: Datagram) => boolean = () => true;
  readonly #handlers = new Map<string, { readonly owner: object; readonly handler: DatagramHandler }>();

  constructor(seed: number) {
    this.random = seeded(seed);
    this.environment = this.environmentOf(this.random);
  }

  environmentOf(random: () => number): Environment {
    const { scheduler } = this;
    return {
      now: () => scheduler.now,
      wallClock: () => 1_700_000_000_000 + Math.floor(scheduler.now),
      setTimer: (delayMs, callback) => scheduler.after(delayMs, Phase.timer, undefined, callback),
      defer: (callback) => void scheduler.after(0, Phase.deferred, undefined, callback),
      hold: () => ({ cancel: () => undefined }),
      random,
      randomBytes: (length) => Uint8Array.from({ length }, () => Math.floor(random() * 256)),
      files: nodeEnvironment.files,
    };
  }

  /** A port at an address; the newest one there gets what is sent to it. */
  port(id: string): DatagramPort {
    const owner = {};
    return {
      send: (to, _kind, payload, { lane }) => {
        if (this.#handlers.get(id)?.owner !== owner) return false;
        const datagram = { from: id, to, lane, payload };
        if (!this.accepts(datagram)) return false;
        this.post(datagram);
        return true;
      },
      reaches: (to) => this.#handlers.has(to),
      handle: (_kind: DatagramKind, handler) => void this.#handlers.set(id, { owner, handler }),
    };
  }

  post(original: Datagram): void {
    const datagram = this.onDatagram === undefined ? original : this.onDatagram(original);
    if (datagram === undefined) return;
    const { loss, twice } = this.conditions;
    if (loss > 0 && this.random() < loss) return;
    this.#deliver(datagram);
    if (twice > 0 && this.random() < twice) this.#deliver(datagram);
  }

  /** Hands a datagram over at once. */
  inject({ from, to, lane, payload, by = from }: Datagram): void {
    this.#handlers.get(to)?.handler(from, Uint8Array.from(payload), lane, by);
  }

  #deliver(datagram: Datagram): void {
    const { delayMs, jitterMs } = this.conditions;
    const delay = delayMs + (jitterMs > 0 ? this.random() * jitterMs : 0);
    // A copy each: the bytes belong to whoever handles them.
    this.scheduler.after(delay, Phase.io, undefined, () => this.inject(datagram));
  }

  async run(ms: number): Promise<void> {
    const end = this.scheduler.now + ms;
    // What the code before began in microtasks comes first.
    do for (let i = 0; i < 3; i++) await Promise.resolve();
    while (this.scheduler.step(end));
    this.scheduler.advance(end);
  }

  async until(what: string, condition: () => boolean, maxMs = 60_000): Promise<void> {
    const end = this.scheduler.now + maxMs;
    for (;;) {
      for (let i = 0; i < 3; i++) await Promise.resolve();
      if (condition()) return;
      if (!this.scheduler.step(end)) throw new Error(`${what}: not within ${maxMs} ms`);
    }
  }
}

/** One node's relayed links, with all that came over them. */
export class Node {
  readonly links: End[] = [];
  readonly warnings: Error[] = [];
  readonly relay: RelayLinks;
  readonly environment: Environment;

  constructor(lab: Lab, id: string, environment: Environment = lab.environment) {
    this.environment = environment;
    this.relay = new RelayLinks({
      id,
      environment,
      port: lab.port(id),
      onLink: (raw) => void this.links.push(new End(raw)),
      onWarning: (error) => void this.warnings.push(error),
    });
  }
}

/** An end of a link, with what came. */
export class End {
  readonly raw: RawLink;
  readonly got: Record<LaneName, Uint8Array[]> = { control: [], bulk: [] };
  readonly bytes: Record<LaneName, number> = { control: 0, bulk: 0 };
  readonly closed: string[] = [];
  keep = true;

  constructor(raw: RawLink) {
    this.raw = raw;
    for (const lane of ['control', 'bulk'] as const) {
      raw[lane].onMessage = (message) => {
        this.bytes[lane] += message.length;
        if (this.keep) this.got[lane].push(message);
      };
    }
    raw.onClosed = (reason) => void this.closed.push(reason);
  }
}

/** Two linked nodes, a the opener. */
export async function pair(lab: Lab): Promise<{ a: Node; b: Node; near: End; far: End }> {
  const [a, b] = [new Node(lab, 'a'), new Node(lab, 'b')];
  a.relay.connect('b');
  await lab.until('a link', () => a.links.length > 0 && b.links.length > 0);
  return { a, b, near: a.links[0]!, far: b.links[0]! };
}

/** The lab as a transport, with presence, and with one fixed offerer as the mesh's own transports have. */
export function labTransport(lab: Lab): Transport {
  const nodes = new Map<string, { readonly host: TransportHost; readonly relay: RelayLinks }>();
  const nextTurn = (run: () => void): void => void lab.scheduler.after(0, Phase.io, undefined, run);
  return {
    kind: 'relay lab',
    start: async (host): Promise<TransportSession> => {
      const address = (id: string): string => `${host.cluster}/${id}`;
      const own = address(host.id);
      const port = lab.port(own);
      const relay = new RelayLinks({
        id: host.id,
        environment: host.environment,
        port: {
          send: (to, kind, payload, options) => port.send(address(to), kind, payload, options),
          reaches: (to) => port.reaches(address(to)),
          handle: (kind, handler) =>
            port.handle(kind, (from, payload, lane, by) =>
              handler(from.slice(from.indexOf('/') + 1), payload, lane, by),
            ),
        },
        onLink: (raw) => host.onLink(raw),
        onWarning: (error) => host.onWarning(error),
      });
      const node = { host, relay };
      nodes.set(own, node);
      const announce = (present: boolean): void => {
        for (const other of nodes.values()) {
          if (other === node || other.host.cluster !== host.cluster || other.host.id === host.id) continue;
          nextTurn(() => {
            other.host.onPresence(host.id, present);
            if (present) host.onPresence(other.host.id, true);
          });
        }
      };
      announce(true);
      return {
        connect: (peer) => {
          if (host.id < peer) relay.connect(peer);
          else nextTurn(() => nodes.get(address(peer))?.relay.connect(host.id));
        },
        routed: () => undefined,
        close: async () => {
          relay.close();
          if (nodes.get(own) !== node) return;
          nodes.delete(own);
          announce(false);
        },
      };
    },
  };
}
