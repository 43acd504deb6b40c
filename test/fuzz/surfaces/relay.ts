/** Datagrams that members pass on, and the packets of relayed links within them. */
import { randomBytes } from 'node:crypto';
import { QuorateError } from '../../../lib/errors.js';
import { decodeDatagram, encodeDatagram } from '../../../lib/mesh/relay/router.js';
import {
  FrameFlag,
  isWellFormed,
  maxPacketBytes,
  MessageType,
  readFrames,
  writeFrames,
  type Ack,
} from '../../../lib/mesh/relay/packets.js';
import { must, stateless, TAKEN, type Surface } from '../surface.js';

const payloads = [new Uint8Array(0), randomBytes(20), randomBytes(400)];
const datagramCorpus = payloads.flatMap((payload, i) => [
  encodeDatagram({ from: 'a', to: 'b', number: i, hops: 4, kind: 1, payload }, 'control'),
  encodeDatagram({ from: 'node:with@signs', to: 'b', number: 2 ** 40, hops: 1, kind: 3, payload }, 'bulk'),
]);

export function datagrams(): Surface {
  return stateless('datagrams', 'datagrams over the mesh', datagramCorpus, (input) => {
    const { datagram, lane } = decodeDatagram(input);
    const again = decodeDatagram(encodeDatagram(datagram, lane));
    must(JSON.stringify(again) === JSON.stringify({ lane, datagram }), 'it reads otherwise');
    return TAKEN;
  });
}

function packet(flags: number, ack: Ack | undefined, seq: number, body: number): Uint8Array {
  const out = new Uint8Array(1024);
  const length = writeFrames(out, flags, ack, seq);
  return Buffer.concat([out.subarray(0, length), randomBytes(body)]);
}

const { ack: ACK, chunk: CHUNK, ping: PING, close: CLOSE } = FrameFlag;
const frameCorpus = [
  packet(PING, undefined, 0, 0),
  packet(CLOSE, undefined, 0, 0),
  packet(CHUNK, undefined, 5, 40),
  packet(ACK, { nextChunk: 9, delayMs: 3, ranges: [[3, 9]] }, 0, 0),
  packet(
    ACK | CHUNK,
    {
      nextChunk: 2 ** 30,
      delayMs: 20,
      ranges: [
        [900, 1000],
        [500, 700],
        [3, 3],
      ],
    },
    2 ** 35,
    100,
  ),
];

export function packets(): Surface {
  return stateless('packets', 'opened packets of relayed links', frameCorpus, (input) => {
    const frames = readFrames(input);
    if (frames === undefined) throw new QuorateError('ERR_PEER_PROTOCOL', 'a packet that makes no sense');
    const { ack, chunk } = frames;
    if (ack !== undefined) {
      must(ack.ranges.length >= 1 && ack.ranges.length <= 255, 'a number of ranges that cannot be');
      let below = Infinity;
      for (const [low, high] of ack.ranges) {
        must(low >= 0 && low <= high && high < below - 1, 'ranges that overlap');
        below = low;
      }
    }
    must(
      chunk === undefined || (chunk.bytes.length > 0 && chunk.bytes.length <= maxPacketBytes),
      'a chunk that cannot be',
    );
    return TAKEN;
  });
}

const headCorpus = [
  Buffer.concat([Uint8Array.of(MessageType.control), randomBytes(80)]),
  Buffer.concat([Uint8Array.of(MessageType.bulk), randomBytes(300)]),
  ...Array.from({ length: 160 }, (_, i) =>
    Buffer.concat([Uint8Array.of(1 + (i % 4)), randomBytes(i)]),
  ).filter(isWellFormed),
];

export function packetHeads(): Surface {
  return stateless(
    'packetHeads',
    'sealed packets and set-up messages of relayed links',
    headCorpus,
    (input) => {
      if (!isWellFormed(input)) throw new QuorateError('ERR_PEER_PROTOCOL', 'no message of a relayed link');
      must(input.length <= maxPacketBytes, 'a packet above its cap');
      return TAKEN;
    },
  );
}
