/**
 * Frames between the engines of two nodes: whole, in order, once, and over the link they were sent on, whether that is a link of
 * its own or goes over other members. Each frame carries a tag that the product does not see: it is put on and taken off at the
 * door of the mesh.
 */
import type { NodeId } from '../../../consensus/consensus.js';
import { FrameKind, type MeshPort, type SendOptions } from '../../../mesh/port.js';
import type { Report } from './report.js';

/** life, session, way, number on that way, number among those of its kind on that way. */
const tagBytes = 17;
const ways = 4;
const kinds = 32;

type Handler = Parameters<MeshPort['handle']>[1];

/** Frames of one link so far, by way (lane, urgent or not) and by kind. */
class Counted {
  readonly ways = new Uint32Array(ways);
  readonly kinds = new Uint32Array(ways * kinds);
}

class Heard extends Counted {
  readonly life: number;
  readonly session: number;

  constructor(life: number, session: number) {
    super();
    this.life = life;
    this.session = session;
  }
}

export class FrameWatch {
  /** Frames that were looked at. */
  frames = 0;
  readonly #report: Report;
  /** Which session at its receiver a sender's session belongs to. */
  readonly #pairs = new Map<string, number>();

  constructor(report: Report) {
    this.#report = report;
  }

  /** Puts tags on what leaves through a port, and reads those of what comes. */
  watch(port: MeshPort, node: NodeId, life: number): void {
    const send = port.send.bind(port);
    const handle = port.handle.bind(port);
    const sent = new Map<number, Counted>();
    const heard = new Map<number, Heard>();
    port.send = (peer, kind, frame, options): boolean => {
      const session = port.linked().get(peer);
      // Other kinds are the mesh's own, and do not come through the door.
      const watched = kind !== FrameKind.datagram && kind !== FrameKind.gossip;
      if (session === undefined || !watched) return send(peer, kind, frame, options);
      let counted = sent.get(session);
      if (counted === undefined) sent.set(session, (counted = new Counted()));
      const way = wayOf(options);
      const tagged = tag(frame, life, session, way, counted, kind);
      if (!send(peer, kind, tagged, options)) return false;
      counted.ways[way]!++;
      counted.kinds[way * kinds + kind]!++;
      return true;
    };
    port.handle = (kind, handler): void => {
      const taken: Handler = (peer, session, frame) => {
        const current = port.linked().get(peer);
        if (current !== session) {
          const text = `a frame of ${peer} came over session ${session}, the link has session ${current}`;
          this.#report('frames', node, text);
        }
        this.#check(node, peer, session, kind, frame, heard);
        return handler(peer, session, frame.subarray(0, frame.length - tagBytes));
      };
      handle(kind, taken);
    };
  }

  #check(
    node: NodeId,
    peer: NodeId,
    session: number,
    kind: FrameKind,
    frame: Uint8Array,
    all: Map<number, Heard>,
  ): void {
    this.frames++;
    const at = frame.length - tagBytes;
    if (at < 0) {
      this.#report('frames', node, `a frame of ${frame.length} bytes from ${peer} lost its end`);
      return;
    }
    const view = new DataView(frame.buffer, frame.byteOffset + at, tagBytes);
    const [theirLife, theirSession, way] = [view.getUint32(0), view.getUint32(4), view.getUint8(8)];
    const [number, ofKind] = [view.getUint32(9), view.getUint32(13)];
    const where = `${peer} (life ${theirLife}, session ${theirSession}) to ${node} (session ${session})`;
    let heard = all.get(session);
    if (heard === undefined) {
      all.set(session, (heard = new Heard(theirLife, theirSession)));
      const pair = `${peer}/${theirLife}/${theirSession}>${node}`;
      const known = this.#pairs.get(pair);
      if (known !== undefined)
        this.#report('frames', node, `${where}: frames of that link came in session ${known} before`);
      this.#pairs.set(pair, session);
    } else if (heard.life !== theirLife || heard.session !== theirSession) {
      const before = `life ${heard.life}, session ${heard.session}`;
      this.#report('frames', node, `${where}: the link carried frames of ${before} before`);
      return;
    }
    const place = way * kinds + kind;
    if (number < heard.ways[way]!)
      this.#report('frames', node, `${where}: frame ${number} came after ${heard.ways[way]! - 1}`);
    const expected = heard.kinds[place]!;
    // The first of a kind may be a later one: a group that was not open yet heard none.
    if (expected > 0 && ofKind !== expected)
      this.#report('frames', node, `${where}: frame ${ofKind} of kind ${kind} in the place of ${expected}`);
    heard.ways[way] = number + 1;
    heard.kinds[place] = ofKind + 1;
  }
}

function wayOf({ lane, urgent }: SendOptions): number {
  return (lane === 'control' ? 0 : 1) + (urgent === true ? 2 : 0);
}

function tag(
  frame: Uint8Array,
  life: number,
  session: number,
  way: number,
  counted: Counted,
  kind: FrameKind,
): Uint8Array {
  const tagged = new Uint8Array(frame.length + tagBytes);
  tagged.set(frame);
  const view = new DataView(tagged.buffer, frame.length, tagBytes);
  view.setUint32(0, life);
  view.setUint32(4, session);
  view.setUint8(8, way);
  view.setUint32(9, counted.ways[way]!);
  view.setUint32(13, counted.kinds[way * kinds + kind]!);
  return tagged;
}
