/** What nodes and rendezvous servers say to each other, and what nodes say through them to set up links. */
import {
  helloFrame,
  joinFrame,
  leaveFrame,
  maxFrameBytes,
  messageFrame,
  parseClientFrame,
  parseServerFrame,
  refusedFrame,
  sendFrame,
  welcomeFrames,
  type ClientFrame,
  type ServerFrame,
} from '../../../lib/mesh/signaling/protocol.js';
import {
  decodeSetupMessage,
  encodeSetupMessage,
  type SetupMessage,
} from '../../../lib/mesh/webrtc/messages.js';
import { QuorateError } from '../../../lib/errors.js';
import { must, stateless, TAKEN, type Surface } from '../surface.js';
import { descriptions, candidates } from './webrtc.js';

const namePattern = /^[A-Za-z0-9._:@-]{1,128}$/;
const words = [
  '{"type":"hello"',
  '"type":"send"',
  '"to":',
  '"id":"',
  '"cluster":"',
  '"incarnation":"',
  '"version":1',
  '\n',
  '"from":"',
  '"code":"',
  'refused',
  'peers',
  'welcome',
  '{}',
  '[]',
  'null',
  '"__proto__":{}',
  '\u2028',
  '9007199254740993',
];

const hello = { cluster: 'orders', id: 'a', incarnation: '000000000000001-0123456789abcdef' };

export const clientCorpus: readonly Uint8Array[] = [
  helloFrame(hello),
  helloFrame({ ...hello, id: 'node.with:all@kinds-of_signs' }),
  sendFrame('b', ''),
  sendFrame('b', '{"v":1,"kind":"ask"}'),
  sendFrame('b', 'ü'.repeat(500)),
];

/** Parses what came, writes it again, and parses that: the same must come out. */
export function signalClient(): Surface {
  return stateless(
    'signalClient',
    'frames of a node to the server',
    clientCorpus,
    (input) => {
      const frame = parseClientFrame(Buffer.from(input), false);
      if (frame.type === 'hello') {
        must(
          [frame.cluster, frame.id, frame.incarnation].every((name) => namePattern.test(name)),
          'a name that is none',
        );
        if (frame.version !== 1) return TAKEN;
        same(parseClientFrame(helloFrame(frame), false), frame);
      } else {
        must(namePattern.test(frame.to) && frame.payload.length <= maxFrameBytes, 'a message that is none');
        const head = Buffer.from(`{"type":"send","to":${JSON.stringify(frame.to)}}\n`);
        same(parseClientFrame(Buffer.concat([head, frame.payload]), false), frame);
      }
      return TAKEN;
    },
    words,
  );
}

export const serverCorpus: readonly Uint8Array[] = [
  ...welcomeFrames([]),
  ...welcomeFrames(['b', 'c', 'd']),
  ...welcomeFrames(Array.from({ length: 300 }, (_, i) => `node-${i}`)),
  joinFrame('b'),
  leaveFrame('b'),
  messageFrame('b', Buffer.from('{"v":1,"kind":"ask"}')),
  refusedFrame('replaced', 'a newer run of node "a" is here'),
  refusedFrame('closing', ''),
];

export function signalServer(): Surface {
  return stateless(
    'signalServer',
    'frames of the server to a node',
    serverCorpus,
    (input) => {
      const frame = parseServerFrame(Buffer.from(input), false);
      switch (frame.type) {
        case 'peers':
          must(
            frame.ids.length <= 256 && frame.ids.every((id) => namePattern.test(id)),
            'a name that is none',
          );
          same(parseServerFrame(welcomeFrames(frame.ids)[0]!, false), frame);
          break;
        case 'join':
          must(namePattern.test(frame.id), 'a name that is none');
          same(parseServerFrame(joinFrame(frame.id), false), frame);
          break;
        case 'message':
          must(namePattern.test(frame.from), 'a name that is none');
          same(parseServerFrame(messageFrame(frame.from, Buffer.from(frame.payload)), false), frame);
          break;
        case 'refused':
          must(frame.reason.length <= 300 && !/\p{Cc}/u.test(frame.reason), 'a reason that spoils terminals');
          break;
        default:
      }
      return TAKEN;
    },
    words,
  );
}

function same(a: ClientFrame | ServerFrame, b: ClientFrame | ServerFrame): void {
  must(JSON.stringify(a) === JSON.stringify(b), 'what was read reads otherwise when written again');
}

const session = '0123456789abcdef0123456789abcdef';
const setupCorpus: readonly Uint8Array[] = (
  [
    { kind: 'ask' },
    { kind: 'ask', id: session },
    {
      kind: 'offer',
      session,
      lane: 'control',
      bulkConnections: 1,
      bothRelay: true,
      sdp: descriptions[0]!,
      candidates: candidates.slice(0, 4),
    },
    { kind: 'answer', session, lane: 'bulk', bulkConnections: 2, sdp: descriptions[1]!, candidates: [] },
    { kind: 'candidate', session, lane: 'bulk', candidates: candidates.slice(2, 8) },
  ] satisfies SetupMessage[]
).map((message) => Buffer.from(encodeSetupMessage(message)));

export function setup(): Surface {
  return stateless(
    'setup',
    'set-up messages between nodes',
    setupCorpus,
    (input) => {
      const message = decodeSetupMessage(Buffer.from(input).toString('utf8'));
      // The caller ignores what makes no sense.
      if (message === undefined) throw new QuorateError('ERR_SIGNALING', 'no set-up message');
      must(
        JSON.stringify(decodeSetupMessage(encodeSetupMessage(message))) === JSON.stringify(message),
        'it reads otherwise',
      );
      return TAKEN;
    },
    [
      '"v":1',
      '"kind":"offer"',
      '"kind":"ask"',
      '"lane":"bulk"',
      '"session":"',
      '"candidates":[',
      '"sdp":"',
      '"bulkConnections":9',
      '"bothRelay":true',
      'null',
      '1e999',
      '\\u0000',
    ],
  );
}
