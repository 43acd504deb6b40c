/**
 * STUN and TURN servers as a user writes them, taken apart here: what native code makes of a URL is its own secret (it reads no
 * IPv6 address, takes port 99999, and keeps a percent sign in a password). @internal
 */
import { isIP } from 'node:net';
import { QuorateError, configError } from '../../errors.js';

/** A server as native code takes it. */
export interface IceServer {
  readonly hostname: string;
  readonly port: number;
  readonly username?: string;
  readonly password?: string;
  readonly relayType?: 'TurnUdp';
}

const maxServers = 16;
const defaultPort = 3478;
/** What a user name or password may have: TURN servers cap both at about this. */
const maxCredentialChars = 512;

const urlPattern =
  /^(stun|turn|turns):(?:([^@:]+):([^@]+)@)?(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,253})(?::([0-9]{1,5}))?(?:\?transport=(udp|tcp))?$/;

/** Checks the servers; throws ERR_CONFIG, which shows no password. */
export function parseIceServers(servers: unknown): readonly IceServer[] {
  if (!Array.isArray(servers) || servers.length > maxServers)
    throw configError('iceServers', servers, `a list of at most ${maxServers} URLs`);
  return servers.map((server: unknown, index) => parseIceServer(`iceServers[${index}]`, server));
}

function parseIceServer(option: string, value: unknown): IceServer {
  const match = typeof value === 'string' && value.length <= 2048 ? urlPattern.exec(value) : null;
  if (match === null) {
    const expected = 'a URL such as "stun:host:port" or "turn:user:password@host:port"';
    throw configError(option, hidden(value), expected);
  }
  const [, scheme, user, secret, host, portText, transport] = match;
  if (scheme === 'turns' || transport === 'tcp') {
    // libjuice, which this build of native code has, warns and then leaves such a server out: a silent loss.
    const expected = 'a server over UDP: native code speaks TURN over UDP only, not over TCP or TLS';
    throw configError(option, hidden(value), expected);
  }
  const port = Number(portText ?? defaultPort);
  const hostname = host!.replace(/^\[|\]$/g, '');
  const isAddress = isIP(hostname) !== 0;
  const looksLikeOne = host!.startsWith('[') || /^[0-9.]+$/.test(hostname);
  if (port < 1 || port > 65_535 || isAddress !== looksLikeOne || !isHostName(hostname))
    throw configError(option, hidden(value), 'a URL with a valid host and a port from 1 to 65535');
  if (scheme === 'stun') {
    if (user !== undefined) throw configError(option, hidden(value), 'without user: STUN asks for none');
    return { hostname, port };
  }
  const username = decoded(user);
  const password = decoded(secret);
  if (username === undefined || password === undefined) {
    const expected = `"turn:user:password@host:port" with percent-encoded user and password of at most ${maxCredentialChars} printable characters`;
    throw configError(option, hidden(value), expected);
  }
  return { hostname, port, username, password, relayType: 'TurnUdp' };
}

function isHostName(host: string): boolean {
  return isIP(host) !== 0 || host.split('.').every((label) => /^(?!-)[A-Za-z0-9-]{1,63}(?<!-)$/.test(label));
}

function decoded(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  let value: string;
  try {
    value = decodeURIComponent(text);
  } catch {
    return undefined;
  }
  return value.length <= maxCredentialChars && /^[\x20-\x7e]+$/.test(value) ? value : undefined;
}

/** The value without what may be secret in it. */
function hidden(value: unknown): unknown {
  return typeof value === 'string' ? value.replace(/^([a-z]*:).*@/s, '$1***@') : value;
}

/** Whether a list of servers can relay. */
export function canRelay(servers: readonly IceServer[]): boolean {
  return servers.some((server) => server.relayType !== undefined);
}

/** @throws {@link QuorateError} ERR_CONFIG when relaying is all that is allowed, and nothing relays. */
export function checkRelayPolicy(policy: unknown, servers: readonly IceServer[]): boolean {
  if (policy !== 'all' && policy !== 'relay')
    throw configError('iceTransportPolicy', policy, '"all" or "relay"');
  if (policy === 'relay' && !canRelay(servers))
    throw new QuorateError('ERR_CONFIG', 'iceTransportPolicy "relay" needs a turn: server in iceServers');
  return policy === 'relay';
}
