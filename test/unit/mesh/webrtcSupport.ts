/** A bare end of a webrtc transport, without a mesh above: what the tests of paths, ports and stripes share. */
import { nodeEnvironment } from '../../../lib/environment.js';
import { localSignaling } from '../../../lib/mesh/signaling/local.js';
import type { Signaling } from '../../../lib/mesh/signaling/signaling.js';
import type { RawLink, TransportHost, TransportSession } from '../../../lib/mesh/transport.js';
import { webrtc } from '../../../lib/mesh/webrtc/webrtc.js';
import { until } from './support.js';
import type { WebrtcOptions } from '../../../lib/mesh/webrtc/webrtc.js';

/** One node's end. */
export class End implements TransportHost {
  readonly id: string;
  readonly cluster = 'c';
  readonly incarnation = '1';
  readonly environment = nodeEnvironment;
  readonly links: RawLink[] = [];
  readonly closed: string[] = [];
  readonly present = new Set<string>();
  readonly warnings: Error[] = [];
  addressChanges = 0;
  session!: TransportSession;
  /** Stands in for the way through the mesh. */
  way: (peer: string, payload: string) => boolean = () => false;

  constructor(id: string) {
    this.id = id;
  }

  onLink(link: RawLink): void {
    this.links.push(link);
    link.onClosed = (reason) => this.closed.push(reason);
    link.control.onMessage = (message) => this.got.push(`control ${Buffer.from(message).toString()}`);
    link.bulk.onMessage = (message) => this.got.push(`bulk ${Buffer.from(message).toString()}`);
  }
  readonly got: string[] = [];
  onPresence(peer: string, present: boolean): void {
    if (present) this.present.add(peer);
    else this.present.delete(peer);
  }
  route(peer: string, payload: string): boolean {
    return this.way(peer, payload);
  }
  onAddressChange(): void {
    this.addressChanges++;
  }
  onWarning(error: Error): void {
    this.warnings.push(error);
  }
  codes(): (string | undefined)[] {
    return this.warnings.map((warning) => (warning as { code?: string }).code);
  }
}

const sessions: TransportSession[] = [];

/** Starts an end. By default on 127.0.0.1. */
export async function open(
  id: string,
  signaling: Signaling = localSignaling(),
  options: Partial<WebrtcOptions> = {},
): Promise<End> {
  const end = new End(id);
  end.session = await webrtc({ signaling, bindAddress: '127.0.0.1', ...options }).start(end);
  sessions.push(end.session);
  return end;
}

/** Closes every end that {@link open} started. */
export async function closeAll(): Promise<void> {
  await Promise.all(sessions.splice(0).map((session) => session.close()));
}

/** Links one end with others, asking again as a mesh does: a few set-ups in a hundred die of races in native code. */
export async function link(end: End, ...others: readonly End[]): Promise<void> {
  await until('links', () => {
    for (const other of others) if (other.links.length === 0) end.session.connect(other.id);
    return others.every((other) => other.links.some((one) => one.peer === end.id));
  });
  await until('its own side', () => others.every((other) => end.links.some((one) => one.peer === other.id)));
}

/** Both lanes of a link carry something, both ways. */
export function greet(...ends: readonly End[]): void {
  for (const end of ends) {
    for (const link of end.links) {
      link.control.send(Buffer.from(`from ${end.id}`));
      link.bulk.send(Buffer.from(`from ${end.id}`));
    }
  }
}
