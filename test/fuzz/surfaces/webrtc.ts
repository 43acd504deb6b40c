/** Session descriptions and candidates: what comes out goes to native code, which a malformed one aborts. */
import { isIP } from 'node:net';
import { QuorateError } from '../../../lib/errors.js';
import { cleanCandidate, parseDescription, writeDescription } from '../../../lib/mesh/webrtc/sdp.js';
import { must, stateless, TAKEN, type Surface } from '../surface.js';

const fingerprint = Array.from({ length: 32 }, (_, i) =>
  (i * 7 + 16).toString(16).toUpperCase().padStart(2, '0'),
).join(':');

/** As libdatachannel and browsers write them. */
export const descriptions: readonly string[] = [
  writeDescription({
    fingerprint,
    ufrag: 'abcd',
    password: '0123456789abcdefghijkl',
    setup: 'actpass',
    sctpPort: 5000,
    maxMessageSize: 262_144,
  }),
  writeDescription({
    fingerprint,
    ufrag: 'A/+9'.repeat(10),
    password: 'x'.repeat(256),
    setup: 'active',
    sctpPort: 65_535,
    maxMessageSize: 1024,
  }),
  [
    'v=0',
    'o=rtc 3767197920 0 IN IP4 127.0.0.1',
    's=-',
    't=0 0',
    'a=group:BUNDLE 0',
    'a=group:LS 0',
    'a=msid-semantic:WMS *',
    'a=setup:passive',
    'a=ice-ufrag:E8Iu',
    'a=ice-pwd:W9SBUcnuWp0ivfWHzb2Vr1',
    'a=ice-options:ice2,trickle',
    `a=fingerprint:sha-256 ${fingerprint}`,
    'm=application 9 UDP/DTLS/SCTP webrtc-datachannel',
    'c=IN IP4 0.0.0.0',
    'a=mid:0',
    'a=sendrecv',
    'a=sctp-port:5000',
    'a=max-message-size:262144',
    'a=candidate:1 1 UDP 2122317823 192.168.1.2 56143 typ host',
    'a=end-of-candidates',
    '',
  ].join('\r\n'),
];

export const candidates: readonly string[] = [
  'a=candidate:1 1 UDP 2122317823 192.168.1.2 56143 typ host',
  'candidate:1 1 udp 2122317823 fe80::1 56143 typ host',
  'a=candidate:2 1 UDP 1686109695 203.0.113.7 61234 typ srflx raddr 192.168.1.2 rport 56143',
  'a=candidate:3 1 UDP 41885695 198.51.100.9 49152 typ relay raddr 203.0.113.7 rport 61234',
  'a=candidate:4 1 TCP 2105458943 192.168.1.2 9 typ host tcptype active',
  'a=candidate:4 1 TCP 2105458942 2001:db8::5 56144 typ host tcptype passive',
  'candidate:842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx raddr 0.0.0.0 rport 0 generation 0 ufrag EEtu network-id 3 network-cost 10',
  'a=candidate:6 2 UDP 1 ::ffff:192.0.2.1 1 typ prflx raddr :: rport 0',
];

const text = (strings: readonly string[]): Uint8Array[] => strings.map((one) => Buffer.from(one));

const lineGrammar = [
  /^v=0$/,
  /^o=- 1 0 IN IP4 127\.0\.0\.1$/,
  /^s=-$/,
  /^t=0 0$/,
  /^a=group:BUNDLE 0$/,
  /^a=msid-semantic:WMS \*$/,
  /^a=ice-options:ice2,trickle$/,
  /^a=fingerprint:sha-256 (?:[0-9A-F]{2}:){31}[0-9A-F]{2}$/,
  /^m=application 9 UDP\/DTLS\/SCTP webrtc-datachannel$/,
  /^c=IN IP4 0\.0\.0\.0$/,
  /^a=mid:0$/,
  /^a=sendrecv$/,
  /^a=sctp-port:[1-9][0-9]{0,4}$/,
  /^a=max-message-size:[1-9][0-9]{3,8}$/,
  /^a=setup:(?:actpass|active|passive)$/,
  /^a=ice-ufrag:[A-Za-z0-9+/]{4,256}$/,
  /^a=ice-pwd:[A-Za-z0-9+/]{22,256}$/,
];

/** Whether a description that goes to native code has exactly the lines it should. */
export function checkDescription(out: string): void {
  const lines = out.split('\r\n');
  must(lines.pop() === '' && lines.length === lineGrammar.length, 'a description with other lines');
  for (const [i, pattern] of lineGrammar.entries())
    must(pattern.test(lines[i]!), `a line that is not clean: ${JSON.stringify(lines[i])}`);
}

/** Whether a candidate that goes to native code is one, word for word. */
export function checkCandidate(out: string): void {
  const word = out.split(' ');
  must(/^a=candidate:[A-Za-z0-9+/]{1,32}$/.test(word[0]!), 'a foundation that is none');
  must(
    /^[12]$/.test(word[1]!) && /^(?:UDP|udp|TCP|tcp)$/.test(word[2]!),
    'a component or protocol that is none',
  );
  must(/^[0-9]{1,10}$/.test(word[3]!) && Number(word[3]) < 2 ** 32, 'a priority that is none');
  must(
    isIP(word[4]!) !== 0 && /^[0-9]{1,5}$/.test(word[5]!) && Number(word[5]) <= 65_535,
    'an address that is none',
  );
  must(word[6] === 'typ' && /^(?:host|srflx|prflx|relay)$/.test(word[7]!), 'a type that is none');
  let at = 8;
  if (word[at] === 'raddr') {
    must(
      isIP(word[at + 1]!) !== 0 && word[at + 2] === 'rport' && Number(word[at + 3]) <= 65_535,
      'a related address that is none',
    );
    at += 4;
  }
  if (word[at] === 'tcptype') {
    must(/^(?:active|passive|so)$/.test(word[at + 1]!), 'a TCP type that is none');
    at += 2;
  }
  must(word.length === at && out.length < 1024 && /^[\x20-\x7e]*$/.test(out), 'a candidate goes on');
}

const sdpWords = [
  '\r\n',
  '\n',
  'a=ice-ufrag:',
  'a=ice-pwd:',
  'a=setup:',
  'a=fingerprint:sha-256 ',
  'a=fingerprint:sha-1 ',
  'a=candidate:',
  'm=audio 9 RTP/AVP 0',
  'a=sctp-port:',
  'a=max-message-size:',
  '99999',
  'a=mid:1',
  'a=rtpmap:0',
  '%s%n',
  'ü',
  ' ',
];
const candidateWords = [
  ' typ ',
  ' raddr ',
  ' rport ',
  ' tcptype ',
  'host',
  'relay',
  ' generation 0',
  ' ufrag ',
  '127.0.0.1',
  '::1',
  '999.1.1.1',
  'evil.example',
  'x.local',
  '4294967296',
  '65536',
  ' ',
  '\n',
  '\u0000',
  '%n',
  'fe80::1%eth0',
];

export function sdp(): Surface {
  return stateless(
    'sdp',
    'session descriptions',
    text(descriptions),
    (input) => {
      const found = parseDescription(Buffer.from(input).toString('utf8'));
      if (found === undefined) throw new QuorateError('ERR_SIGNALING', 'no description');
      const out = writeDescription(found);
      checkDescription(out);
      must(JSON.stringify(parseDescription(out)) === JSON.stringify(found), 'it reads otherwise');
      return TAKEN;
    },
    sdpWords,
  );
}

export function candidate(): Surface {
  return stateless(
    'candidate',
    'ICE candidates',
    text(candidates),
    (input) => {
      const out = cleanCandidate(Buffer.from(input).toString('utf8'));
      if (out === undefined) throw new QuorateError('ERR_SIGNALING', 'no candidate');
      checkCandidate(out);
      must(cleanCandidate(out) === out, 'it reads otherwise');
      return TAKEN;
    },
    candidateWords,
  );
}
