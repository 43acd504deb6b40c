/**
 * What may pass from signalling to native code. A malformed ufrag or password aborts the process, so nothing that a peer wrote
 * is passed on: its values are taken out by strict patterns, and a description is written anew around them. @internal
 */
import { isIP } from 'node:net';

/** The values of a session description that matter for a data channel. */
export interface Description {
  /** SHA-256 of the certificate: 32 upper-case hexadecimal pairs with colons. */
  readonly fingerprint: string;
  readonly ufrag: string;
  readonly password: string;
  readonly setup: 'actpass' | 'active' | 'passive';
  readonly sctpPort: number;
  readonly maxMessageSize: number;
}

/** Most bytes of a description. */
export const maxSdpBytes = 8192;
const maxLines = 64;
const maxCandidateBytes = 512;

const fingerprintPattern = /^(?:[0-9A-F]{2}:){31}[0-9A-F]{2}$/;
const hashPattern = /^a=fingerprint:sha-256 ((?:[0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2})$/;
const ufragPattern = /^a=ice-ufrag:([A-Za-z0-9+/]{4,256})$/;
const passwordPattern = /^a=ice-pwd:([A-Za-z0-9+/]{22,256})$/;
const setupPattern = /^a=setup:(actpass|active|passive)$/;
const portPattern = /^a=sctp-port:([0-9]{1,5})$/;
const sizePattern = /^a=max-message-size:([0-9]{1,9})$/;
/** Lines that say nothing we need, as libdatachannel and browsers write them. */
const idlePatterns = [
  /^v=0$/,
  /^o=[\x21-\x7e]{1,64} [0-9]{1,20} [0-9]{1,20} IN IP[46] [0-9A-Fa-f:.]{2,45}$/,
  /^s=-$/,
  /^t=0 0$/,
  /^m=application [0-9]{1,5} UDP\/DTLS\/SCTP webrtc-datachannel$/,
  /^c=IN IP[46] [0-9A-Fa-f:.]{2,45}$/,
  /^a=group:(?:BUNDLE|LS) 0$/,
  /^a=msid-semantic: ?WMS(?: \*)?$/,
  /^a=ice-options:[a-z0-9, ]{1,64}$/,
  /^a=mid:0$/,
  /^a=(?:sendrecv|extmap-allow-mixed|end-of-candidates)$/,
  /^a=candidate:[\x20-\x7e]{1,512}$/,
];

/** Whether it is a SHA-256 fingerprint as native code writes them. */
export function isFingerprint(text: string): boolean {
  return fingerprintPattern.test(text);
}

/** Takes a description apart; `undefined` when there is anything unknown in it, or something missing or double. */
export function parseDescription(sdp: string): Description | undefined {
  if (sdp.length > maxSdpBytes) return undefined;
  const lines = sdp.split(/\r?\n/);
  if (lines.at(-1) === '') lines.pop();
  if (lines.length > maxLines) return undefined;
  const found = new Map<RegExp, string>();
  for (const line of lines) {
    const pattern = valuePatterns.find((p) => p.test(line));
    if (pattern === undefined) {
      if (!idlePatterns.some((p) => p.test(line))) return undefined;
    } else {
      if (found.has(pattern)) return undefined;
      found.set(pattern, pattern.exec(line)![1]!);
    }
  }
  const fingerprint = found.get(hashPattern);
  const ufrag = found.get(ufragPattern);
  const password = found.get(passwordPattern);
  const setup = found.get(setupPattern) as Description['setup'] | undefined;
  const sctpPort = Number(found.get(portPattern) ?? 5000);
  const maxMessageSize = Number(found.get(sizePattern) ?? 65536);
  if (fingerprint === undefined || ufrag === undefined || password === undefined || setup === undefined)
    return undefined;
  if (sctpPort < 1 || sctpPort > 65535 || maxMessageSize < 1024) return undefined;
  return { fingerprint: fingerprint.toUpperCase(), ufrag, password, setup, sctpPort, maxMessageSize };
}

const valuePatterns = [hashPattern, ufragPattern, passwordPattern, setupPattern, portPattern, sizePattern];

/** Writes a description that native code takes. */
export function writeDescription(description: Description): string {
  const { fingerprint, ufrag, password, setup, sctpPort, maxMessageSize } = description;
  return [
    'v=0',
    'o=- 1 0 IN IP4 127.0.0.1',
    's=-',
    't=0 0',
    'a=group:BUNDLE 0',
    'a=msid-semantic:WMS *',
    'a=ice-options:ice2,trickle',
    `a=fingerprint:sha-256 ${fingerprint}`,
    'm=application 9 UDP/DTLS/SCTP webrtc-datachannel',
    'c=IN IP4 0.0.0.0',
    'a=mid:0',
    'a=sendrecv',
    `a=sctp-port:${sctpPort}`,
    `a=max-message-size:${maxMessageSize}`,
    `a=setup:${setup}`,
    `a=ice-ufrag:${ufrag}`,
    `a=ice-pwd:${password}`,
    '',
  ].join('\r\n');
}

const candidatePattern =
  /^(?:a=)?candidate:([A-Za-z0-9+/]{1,32}) ([12]) (UDP|udp|TCP|tcp) ([0-9]{1,10}) ([0-9A-Fa-f:.]{2,45}) ([0-9]{1,5}) typ (host|srflx|prflx|relay)(?: raddr ([0-9A-Fa-f:.]{2,45}) rport ([0-9]{1,5}))?(?: tcptype (active|passive|so))?(?: generation [0-9]{1,5}| ufrag [A-Za-z0-9+/]{4,256}| network-id [0-9]{1,5}| network-cost [0-9]{1,5}){0,4}$/;

/**
 * Writes a candidate anew from its values; `undefined` when it is none. Addresses only: a name would have native code ask the
 * resolver whatever a stranger likes.
 */
export function cleanCandidate(text: string): string | undefined {
  if (text.length > maxCandidateBytes) return undefined;
  const match = candidatePattern.exec(text);
  if (match === null) return undefined;
  const [
    ,
    foundation,
    component,
    protocol,
    priority,
    address,
    port,
    type,
    relatedAddress,
    relatedPort,
    tcpType,
  ] = match;
  if (isIP(address!) === 0 || Number(port) > 65535 || Number(priority) > 0xffff_ffff) return undefined;
  let out = `a=candidate:${foundation!} ${component!} ${protocol!} ${priority!} ${address!} ${port!} typ ${type!}`;
  if (relatedAddress !== undefined) {
    if (isIP(relatedAddress) === 0 || Number(relatedPort) > 65535) return undefined;
    out += ` raddr ${relatedAddress} rport ${relatedPort!}`;
  }
  return tcpType === undefined ? out : `${out} tcptype ${tcpType}`;
}

/** Whether a candidate that {@link cleanCandidate} wrote is an address at a TURN server. */
export function isRelayed(candidate: string): boolean {
  return / typ relay(?: |$)/.test(candidate);
}
