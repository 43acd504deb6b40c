/** Snapshots on their way from node to node: how often they are sent, by whom, and whether they go on where they broke off. */
import type { NodeId } from '../../../consensus/consensus.js';
import { decodeTransfer } from '../../../engine/transferWire.js';
import { FrameKind, type MeshPort } from '../../../mesh/port.js';
import type { GroupWatch } from './groupWatch.js';

export class TransferWatch {
  /** Called when a part of a snapshot arrives. */
  onChunk: ((from: NodeId, to: NodeId) => void) | undefined;
  readonly #group: GroupWatch;
  readonly #count: (kind: string) => void;

  constructor(group: GroupWatch, count: (kind: string) => void) {
    this.#group = group;
    this.#count = count;
  }

  /** Looks at what comes through the port of a node. */
  watch(port: MeshPort, node: NodeId): void {
    const handle = port.handle.bind(port);
    // The transfers of which nothing came yet.
    const begun = new Set<string>();
    port.handle = (kind, handler): void => {
      if (kind !== FrameKind.snapshot) {
        handle(kind, handler);
        return;
      }
      handle(kind, (peer, session, frame) => {
        this.#look(node, peer, frame, begun);
        return handler(peer, session, frame);
      });
    };
  }

  #look(node: NodeId, peer: NodeId, bytes: Uint8Array, begun: Set<string>): void {
    const frame = decodeTransfer(bytes);
    const key = `${peer} ${frame.group} ${frame.request}`;
    if (frame.type === 'begin') {
      begun.add(key);
      this.#count('snapshots sent');
      if (this.#group.views.get(peer)?.core?.status.role !== 'leader')
        this.#count('snapshots sent by followers');
    } else if (frame.type === 'chunk') {
      if (begun.delete(key) && frame.offset > 0) this.#count('snapshots resumed');
      this.onChunk?.(peer, node);
    }
  }
}
