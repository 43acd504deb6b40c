import { expect } from 'chai';
import { describe, it } from 'mocha';
import fc from 'fast-check';
import { decodeSetupMessage, encodeSetupMessage } from '../../../lib/mesh/webrtc/messages.js';
import {
  cleanCandidate,
  isRelayed,
  parseDescription,
  writeDescription,
} from '../../../lib/mesh/webrtc/sdp.js';

const hash = new Array(32).fill('AB').join(':');
const offer = [
  'v=0',
  'o=rtc 2126287048 0 IN IP4 127.0.0.1',
  's=-',
  't=0 0',
  'a=group:BUNDLE 0',
  'a=msid-semantic:WMS *',
  'a=ice-options:ice2,trickle',
  `a=fingerprint:sha-256 ${hash}`,
  'm=application 9 UDP/DTLS/SCTP webrtc-datachannel',
  'c=IN IP4 0.0.0.0',
  'a=mid:0',
  'a=sendrecv',
  'a=sctp-port:5000',
  'a=max-message-size:262144',
  'a=setup:actpass',
  'a=ice-ufrag:ZsxQ',
  'a=ice-pwd:bwn90Or3sZTObL7A1ce/8E',
  '',
].join('\r\n');

describe('what signalling may bring to native code', () => {
  it('takes the description that libdatachannel writes', () => {
    expect(parseDescription(offer)).to.deep.equal({
      fingerprint: hash,
      ufrag: 'ZsxQ',
      password: 'bwn90Or3sZTObL7A1ce/8E',
      setup: 'actpass',
      sctpPort: 5000,
      maxMessageSize: 262144,
    });
  });

  it('takes the description that Chromium writes', () => {
    const chromium = offer
      .replace('o=rtc 2126287048 0', 'o=- 4611731400430051336 2')
      .replace('a=msid-semantic:WMS *', 'a=extmap-allow-mixed\r\na=msid-semantic: WMS')
      .replace('a=ice-options:ice2,trickle', 'a=ice-options:trickle')
      .replace(/a=sendrecv\r\n/, '');
    expect(parseDescription(chromium)?.ufrag).to.equal('ZsxQ');
  });

  // Each of these reached native code in other libraries; a bad ufrag or password aborts the process.
  for (const [name, from, to] of [
    ['a ufrag that is too short', 'ufrag:ZsxQ', 'ufrag:Zsx'],
    ['a ufrag that is too long', 'ufrag:ZsxQ', `ufrag:${'Z'.repeat(257)}`],
    ['a ufrag with other characters', 'ufrag:ZsxQ', 'ufrag:Zs Q'],
    ['a ufrag with a NUL', 'ufrag:ZsxQ', 'ufrag:Zsx\0'],
    ['a password that is too short', 'pwd:bwn90Or3sZTObL7A1ce/8E', 'pwd:bwn90Or3sZTObL7A1ce/8'],
    ['a password with other characters', 'pwd:bwn90Or3sZTObL7A1ce/8E', 'pwd:bwn90Or3sZTObL7A1ce/8é'],
    ['no ufrag', 'a=ice-ufrag:ZsxQ\r\n', ''],
    ['two ufrags', 'a=ice-ufrag:ZsxQ', 'a=ice-ufrag:ZsxQ\r\na=ice-ufrag:ZsxR'],
    ['a fingerprint that is cut', `sha-256 ${hash}`, `sha-256 ${hash.slice(3)}`],
    ['a weak fingerprint', 'sha-256', 'sha-1'],
    ['a port out of range', 'sctp-port:5000', 'sctp-port:65536'],
    ['a maximum message of nothing', 'size:262144', 'size:0'],
    ['a setup it does not know', 'setup:actpass', 'setup:holdconn'],
    ['a line it does not know', 'a=mid:0', 'a=mid:0\r\na=crypto:1 evil'],
    ['media', 'a=mid:0', 'a=mid:0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111'],
    ['another mid', 'a=mid:0', 'a=mid:1'],
    ['too much', 'a=mid:0', `a=mid:0\r\n${'a=sendrecv\r\n'.repeat(800)}`],
    ['too many lines', 'a=mid:0', `a=mid:0\r\n${'a=mid:0\r\n'.repeat(64)}`],
  ] as const) {
    it(`refuses ${name}`, () => {
      expect(offer.includes(from)).to.equal(true);
      expect(parseDescription(offer.replace(from, to))).to.equal(undefined);
    });
  }

  it('writes anew what it took, and nothing else', () => {
    const description = parseDescription(offer)!;
    expect(parseDescription(writeDescription(description))).to.deep.equal(description);
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), fc.nat(), (junk, at) => {
        const cut = at % offer.length;
        const parsed = parseDescription(offer.slice(0, cut) + junk + offer.slice(cut));
        return parsed === undefined || /^[\x20-\x7e\r\n]*$/.test(writeDescription(parsed));
      }),
      { numRuns: 1000 },
    );
  });

  it('takes candidates with addresses, and writes them anew', () => {
    const host = 'candidate:1 1 UDP 2114977791 192.0.2.2 47552 typ host';
    expect(cleanCandidate(`a=${host}`)).to.equal(`a=${host}`);
    expect(cleanCandidate(host)).to.equal(`a=${host}`);
    const reflexive = 'a=candidate:3 1 UDP 1678769919 203.0.113.9 5000 typ srflx raddr 192.0.2.2 rport 47552';
    expect(cleanCandidate(reflexive)).to.equal(reflexive);
    expect(cleanCandidate(`${host} generation 0 ufrag abcd network-id 1`)).to.equal(`a=${host}`);
    const relayed = 'a=candidate:4 1 UDP 8331263 203.0.113.7 50123 typ relay raddr 0.0.0.0 rport 0';
    expect(cleanCandidate(relayed)).to.equal(relayed);
    expect([host, reflexive, relayed].map((candidate) => isRelayed(candidate))).to.deep.equal([
      false,
      false,
      true,
    ]);
    const tcp = 'a=candidate:2 1 TCP 1288699647 192.0.2.2 9 typ host tcptype active';
    expect(cleanCandidate(tcp)).to.equal(tcp);
    const six = 'a=candidate:2 1 UDP 2116026111 fd00::2 47552 typ host';
    expect(cleanCandidate(six)).to.equal(six);
  });

  for (const bad of [
    '',
    'candidate:1 1 UDP 2114977791 evil.example.org 47552 typ host',
    'candidate:1 1 UDP 2114977791 0a2f3f2e-1111-2222-3333-444455556666.local 47552 typ host',
    'candidate:1 1 UDP 2114977791 192.0.2.256 47552 typ host',
    'candidate:1 1 UDP 2114977791 192.0.2.2 65536 typ host',
    'candidate:1 1 UDP 9999999999 192.0.2.2 1 typ host',
    'candidate:1 1 UDP 2114977791 192.0.2.2 47552 typ evil',
    'candidate:1 1 UDP 2114977791 192.0.2.2 47552 typ host\r\na=ice-ufrag:x',
    'candidate:1 1 UDP 2114977791 192.0.2.2 47552 typ host extra stuff',
    `candidate:${'1'.repeat(600)} 1 UDP 1 192.0.2.2 47552 typ host`,
  ]) {
    it(`refuses the candidate ${JSON.stringify(bad.slice(0, 70))}`, () => {
      expect(cleanCandidate(bad)).to.equal(undefined);
    });
  }

  it('reads its own messages, and no others', () => {
    const session = '0123456789abcdef0123456789abcdef';
    const messages = [
      { kind: 'ask' },
      { kind: 'ask', id: session },
      { kind: 'offer', session, lane: 'control', bulkConnections: 1, sdp: offer, candidates: ['x'] },
      { kind: 'answer', session, lane: 'bulk8', bulkConnections: 8, sdp: offer, candidates: [] },
      { kind: 'candidate', session, lane: 'bulk2', candidates: ['y'] },
    ] as const;
    for (const message of messages)
      expect(decodeSetupMessage(encodeSetupMessage(message))).to.deep.equal(message);
    const good = { v: 1, kind: 'offer', session, lane: 'control', sdp: 'x', candidates: [] };
    // An older version says nothing of connections, and means one.
    expect(decodeSetupMessage(JSON.stringify(good))).to.include({ kind: 'offer', bulkConnections: 1 });
    for (const change of [
      { v: 2 },
      { kind: 'other' },
      { session: 'short' },
      { session: session.toUpperCase() },
      { session: 7 },
      { lane: 'side' },
      { lane: 'bulk9' },
      { lane: 'bulk3', bulkConnections: 2 },
      { bulkConnections: 0 },
      { bulkConnections: 9 },
      { bulkConnections: 1.5 },
      { bulkConnections: '2' },
      { kind: 'ask', id: 'short' },
      { sdp: undefined },
      { sdp: 1 },
      { candidates: undefined },
      { candidates: [1] },
      { candidates: new Array(33).fill('x') },
      { candidates: 'x' },
    ]) {
      expect(decodeSetupMessage(JSON.stringify({ ...good, ...change })), JSON.stringify(change)).to.equal(
        undefined,
      );
    }
    for (const text of ['', '{', 'null', '[]', '7', `"${'x'.repeat(40_000)}"`]) {
      expect(decodeSetupMessage(text)).to.equal(undefined);
    }
  });
});
