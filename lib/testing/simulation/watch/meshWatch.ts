/** The meshes of a simulation under observation, from outside: at their transports, at the doors of their ports, by their events. */
import type { NodeId } from '../../../consensus/consensus.js';
import type { Mesh } from '../../../mesh/mesh.js';
import { meshPort } from '../../../mesh/mesh.js';
import type { RawLink, Transport } from '../../../mesh/transport.js';
import type { Disturbances } from '../disturbances.js';
import { LinkEnd } from '../network/link.js';
import type { Process } from '../process.js';
import { ConvictionWatch } from './convictionWatch.js';
import { DatagramWatch } from './datagramWatch.js';
import { FrameWatch } from './frameWatch.js';
import type { Report } from './report.js';

/** What a {@link MeshWatch} is made with. */
export interface MeshWatchOptions {
  readonly nodes: readonly NodeId[];
  readonly disturbances: Disturbances;
  readonly lossy: boolean;
  readonly now: () => number;
  readonly report: Report;
}

export class MeshWatch {
  readonly #frames: FrameWatch;
  readonly #datagrams: DatagramWatch;
  readonly #convictions: ConvictionWatch;
  readonly #now: () => number;

  constructor({ nodes, disturbances, lossy, now, report }: MeshWatchOptions) {
    this.#now = now;
    this.#frames = new FrameWatch(report);
    this.#datagrams = new DatagramWatch(nodes, report);
    this.#convictions = new ConvictionWatch(disturbances, lossy, report);
  }

  /** How much was looked at. */
  counts(): Record<string, number> {
    return {
      'mesh: frames': this.#frames.frames,
      'mesh: datagram hops': this.#datagrams.hops,
      'mesh: convictions': this.#convictions.convictions,
    };
  }

  /** The transport of one run of a node. `given`: what is told of the links that the mesh ends by itself. */
  transport(inner: Transport, node: NodeId, ended: Ended): Transport {
    this.#datagrams.started(node);
    return {
      kind: inner.kind,
      start: (host) =>
        inner.start({
          ...host,
          onLink: (link) => {
            this.#tap(link, node, ended);
            host.onLink(link);
          },
        }),
    };
  }

  /** The mesh of one run of a node, before anybody uses it. */
  mesh(mesh: Mesh, process: Process, ended: Ended): void {
    this.#frames.watch(meshPort(mesh), process.node, process.life);
    mesh.on('peer:unreachable', (peer) => {
      const now = this.#now();
      if (ended.get(peer) !== now) return;
      // A link that another one replaced was not given up.
      process.defer(() => {
        const status = mesh.peers().find(({ id }) => id === peer);
        if (status?.state === 'unreachable') this.#convictions.convicted({ node: process.node, peer, now });
      });
    });
  }

  #tap(link: RawLink, node: NodeId, ended: Ended): void {
    let heardAt = -Infinity;
    for (const lane of [link.control, link.bulk]) {
      const accessor = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(lane), 'onMessage');
      Object.defineProperty(lane, 'onMessage', {
        get: () => undefined, // the mesh sets it only
        set: (take: RawLink['control']['onMessage']) => {
          const heard = (message: Uint8Array): void => {
            heardAt = this.#now();
            take?.(message);
          };
          accessor?.set?.call(lane, take && heard);
        },
      });
      const send = lane.send.bind(lane);
      lane.send = (message): boolean => {
        this.#datagrams.message(node, link.peer, message);
        return send(message);
      };
    }
    const close = link.close.bind(link);
    link.close = (): void => {
      // Unless the other end was closed, and could say so, or said farewell: who is heard now is not taken for dead.
      const silent = heardAt !== this.#now();
      if (silent && link instanceof LinkEnd && link.open && (link.other.open || link.other.way.cut)) {
        ended.set(link.peer, this.#now());
        // What is told later has another reason: a retired link may be closed in the moment in which a farewell is read.
        queueMicrotask(() => ended.delete(link.peer));
      }
      close();
    };
  }
}

/** When a node last closed a link to a peer by itself. */
export type Ended = Map<NodeId, number>;
