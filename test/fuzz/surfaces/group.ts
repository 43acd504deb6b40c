/** What engines say to each other: items of groups, Raft's messages, snapshot transfers. */
import { createHash } from 'node:crypto';
import { ByteReader, ByteWriter } from '../../../lib/bytes.js';
import {
  decodeRequest,
  decodeRequestRefused,
  encodeRequest,
  encodeRequestRefused,
} from '../../../lib/engine/requestWire.js';
import { raftCodec } from '../../../lib/engine/raftCodec.js';
import { decodeTransfer, encodeTransfer, type TransferFrame } from '../../../lib/engine/transferWire.js';
import { decodeProgress, encodeProgress } from '../../../lib/engine/progressWire.js';
import { decodeAbsence, encodeAbsence } from '../../../lib/engine/removal.js';
import * as wire from '../../../lib/engine/wire.js';
import { QuorateError } from '../../../lib/errors.js';
import { foundingMembership } from '../../../lib/consensus/membership.js';
import { isSound } from '../../../lib/consensus/raft/validate.js';
import { raftMessages } from '../messages.js';
import { must, sameBytes, stateless, TAKEN, type Surface } from '../surface.js';

export function written(write: (writer: ByteWriter) => void): Uint8Array {
  const writer = new ByteWriter(64);
  write(writer);
  return writer.take();
}

const { ItemType } = wire;

export const helloOf = (group: string, more: Partial<wire.Hello> = {}): wire.Hello => ({
  version: wire.GROUP_WIRE_VERSION,
  group,
  instance: '0123456789abcdef',
  protocol: 'raft',
  incarnation: 'B',
  genesis: '',
  founders: ['a', 'b', 'c'],
  wantsAnswer: true,
  priority: 0,
  witness: false,
  ...more,
});

/** Frames with all kinds of items; `number` is the sender's for the group. */
export function groupFrames(number: number, group: string): Uint8Array[] {
  const bodies: [number, (writer: ByteWriter) => void][] = [
    [ItemType.hello, (w) => wire.encodeHello(w, helloOf(group))],
    [
      ItemType.hello,
      (w) => wire.encodeHello(w, helloOf(group, { wantsAnswer: false, genesis: 'G', priority: 9 })),
    ],
    [ItemType.refusal, (w) => wire.encodeRefusal(w, { group, code: 'ERR_MEMBERS_DIFFER', message: 'no' })],
    [ItemType.bye, () => undefined],
    ...raftMessages().map((message): [number, (writer: ByteWriter) => void] => [
      ItemType.message,
      (w) => raftCodec.encode(w, message),
    ]),
    [ItemType.proposal, (w) => wire.encodeProposal(w, 7, 2, new Uint8Array(20))],
    [ItemType.proposalRefused, (w) => wire.encodeProposalRefused(w, 7, 'overloaded')],
    [ItemType.request, (w) => encodeRequest(w, 3, { type: 'transfer', to: 'a' })],
    [
      ItemType.request,
      (w) =>
        encodeRequest(w, 4, {
          type: 'change',
          change: { addVoters: ['d'], addLearners: ['e', 'f'], remove: ['a'] },
        }),
    ],
    [ItemType.requestRefused, (w) => encodeRequestRefused(w, 3, 'lagging')],
    [ItemType.snapshotAck, (w) => wire.encodeSnapshotAck(w, 3, 50, true)],
    [
      ItemType.snapshotResume,
      (w) => wire.encodeSnapshotResume(w, 3, { offset: 0, digest: new Uint8Array(0) }),
    ],
    [
      ItemType.snapshotResume,
      (w) => wire.encodeSnapshotResume(w, 3, { offset: 20, digest: new Uint8Array(32) }),
    ],
    [ItemType.request, (w) => encodeRequest(w, 5, { type: 'progress' })],
    [
      ItemType.absence,
      (w) =>
        encodeAbsence(w, {
          index: 50,
          membership: { ...foundingMembership(['b', 'c', 'd']), genesis: 'G', formerly: 'F' },
        }),
    ],
    [
      ItemType.progress,
      (w) =>
        encodeProgress(w, 5, {
          lastIndex: 50,
          members: [
            { id: 'c', state: 'replicate', matched: 50, silentMs: 12, snapshot: undefined },
            { id: 'd', state: 'snapshot', matched: 0, silentMs: undefined, snapshot: { sent: 5, total: 30 } },
          ],
        }),
    ],
    [ItemType.snapshotDelegate, (w) => wire.encodeSnapshotDelegate(w, { request: 3, to: 'c', atLeast: 0 })],
  ];
  const frames = bodies.map(([type, body]) => written((w) => wire.writeItem(w, number, type, body)));
  frames.push(
    written((w) => {
      for (const [type, body] of bodies.slice(4)) wire.writeItem(w, number, type, body);
    }),
  );
  return frames;
}

function readItem(type: number, body: ByteReader): (writer: ByteWriter) => void {
  switch (type) {
    case ItemType.hello: {
      const hello = wire.decodeHello(body);
      return (w) => wire.encodeHello(w, hello);
    }
    case ItemType.refusal: {
      const refusal = wire.decodeRefusal(body);
      return (w) => wire.encodeRefusal(w, refusal);
    }
    case ItemType.message: {
      const message = raftCodec.decode(body);
      wire.expectEnd(body);
      return (w) => raftCodec.encode(w, message);
    }
    case ItemType.proposal: {
      const { token, count, data } = wire.decodeProposal(body);
      return (w) => wire.encodeProposal(w, token, count, data);
    }
    case ItemType.proposalRefused: {
      const { token, why } = wire.decodeProposalRefused(body);
      return (w) => wire.encodeProposalRefused(w, token, why);
    }
    case ItemType.request: {
      const { token, request } = decodeRequest(body);
      return (w) => encodeRequest(w, token, request);
    }
    case ItemType.requestRefused: {
      const { token, why } = decodeRequestRefused(body);
      return (w) => encodeRequestRefused(w, token, why);
    }
    case ItemType.absence: {
      const absence = decodeAbsence(body);
      return (w) => encodeAbsence(w, absence);
    }
    case ItemType.progress: {
      const { token, ...report } = decodeProgress(body);
      return (w) => encodeProgress(w, token, report);
    }
    case ItemType.snapshotAck: {
      const { request, index, ok } = wire.decodeSnapshotAck(body);
      return (w) => wire.encodeSnapshotAck(w, request, index, ok);
    }
    case ItemType.snapshotResume: {
      const { request, ...from } = wire.decodeSnapshotResume(body);
      must(
        from.digest.length === 0 || from.digest.length === wire.DIGEST_BYTES,
        'a digest of another length',
      );
      return (w) => wire.encodeSnapshotResume(w, request, from);
    }
    case ItemType.snapshotDelegate: {
      const asked = wire.decodeSnapshotDelegate(body);
      return (w) => wire.encodeSnapshotDelegate(w, asked);
    }
    default:
      wire.expectEnd(body);
      return () => undefined;
  }
}

/** What was read is written, and read again: both writings must be the same bytes, the canonical form. */
export function items(): Surface {
  return stateless(
    'items',
    'group frames: every item decoded',
    groupFrames(5, 'settings'),
    (input) => {
      let count = 0;
      wire.readItems(input, (_group, type, body) => {
        must(++count <= wire.MAX_ITEMS, 'more items than the cap');
        const canonical = written(readItem(type, body));
        const again = written(readItem(type, new ByteReader(canonical)));
        must(sameBytes(canonical, again), `item ${type} reads otherwise`);
      });
      return TAKEN;
    },
    ['settings', 'raft', 'ERR_MEMBERS_DIFFER', 'ERR_GENESIS_DIFFERS'],
  );
}

export function raft(): Surface {
  const corpus = raftMessages().map((message) => written((w) => raftCodec.encode(w, message)));
  return stateless('raft', 'Raft messages: codec and validation', corpus, (input) => {
    const reader = new ByteReader(input);
    const message = raftCodec.decode(reader);
    wire.expectEnd(reader);
    const canonical = written((w) => raftCodec.encode(w, message));
    const again = written((w) => raftCodec.encode(w, raftCodec.decode(new ByteReader(canonical))));
    must(sameBytes(canonical, again), 'a message reads otherwise');
    if (!isSound(message, 10)) throw new QuorateError('ERR_PEER_PROTOCOL', 'it cannot be');
    for (const value of Object.values(message))
      must(typeof value !== 'number' || Number.isSafeInteger(value), 'a number that is none');
    must(!('term' in message) || message.term <= 10 + 2 ** 32, 'a term of the far future');
    return TAKEN;
  });
}

const members = { ...foundingMembership(['a', 'b', 'c']), genesis: 'G' };
export const transferFrames: readonly TransferFrame[] = [
  {
    type: 'begin',
    group: 5,
    request: 1,
    size: 30,
    resume: true,
    meta: {
      index: 50,
      epoch: { config: 0, n: 2, priority: 0, node: 'b' },
      time: 1e12,
      membership: members,
      protocol: 'raft',
    },
  },
  { type: 'chunk', group: 5, request: 1, offset: 0, bytes: new Uint8Array(20) },
  { type: 'chunk', group: 5, request: 1, offset: 20, bytes: new Uint8Array(10) },
  {
    type: 'end',
    group: 5,
    request: 1,
    ok: true,
    digest: createHash('sha256').update(new Uint8Array(30)).digest(),
  },
  { type: 'end', group: 5, request: 1, ok: false, digest: new Uint8Array(0) },
];

export function transfer(): Surface {
  return stateless(
    'transfer',
    'snapshot transfer frames',
    transferFrames.map(encodeTransfer),
    (input) => {
      const canonical = encodeTransfer(decodeTransfer(input));
      must(sameBytes(canonical, encodeTransfer(decodeTransfer(canonical))), 'a frame reads otherwise');
      return TAKEN;
    },
    [
      '"index":',
      '"epoch":{',
      '"membership":{',
      '"voters":[',
      '"priority":',
      '"__proto__":{}',
      '1e999',
      'null',
      '[[[[',
      '"genesis":"',
    ],
  );
}
