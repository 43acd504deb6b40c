/** What the tests of the mesh share. */
import type { Environment, Timer } from '../../../lib/environment.js';
import { nodeEnvironment } from '../../../lib/environment.js';
import type { Mesh } from '../../../lib/mesh/mesh.js';
import type { Lane, RawLink, TransportHost, TransportSession } from '../../../lib/mesh/transport.js';

export const secret = 'a secret of more than 16 bytes';

/** Waits for a condition, however busy the machine is. */
export async function until(what: string, condition: () => boolean, timeoutMs = 15_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await new Promise<void>((resolve) => void setTimeout(resolve, 2));
  }
}

/** Lets a few turns of the event loop pass. */
export async function turns(count = 5): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise<void>((resolve) => void setImmediate(resolve));
}

/** Everything a mesh says, in order. */
export function record(mesh: Mesh): string[] {
  const events: string[] = [];
  mesh.on('peer:up', (peer) => events.push(`up ${peer}`));
  mesh.on('peer:suspect', (peer) => events.push(`suspect ${peer}`));
  mesh.on('peer:unreachable', (peer) => events.push(`unreachable ${peer}`));
  mesh.on('peer:refused', (peer, error) => {
    events.push(`${error.message.includes('refuses') ? 'told' : 'refused'} ${peer} ${error.code}`);
  });
  mesh.on('local:stall', (ms) => events.push(`stall ${Math.round(ms)}`));
  mesh.on('warning', (error) => events.push(`warning ${(error as { code?: string }).code ?? error.message}`));
  return events;
}

interface Due {
  readonly at: number;
  readonly order: number;
  readonly callback: () => void;
}

/** An environment whose time passes only in {@link VirtualEnvironment.run}. */
export class VirtualEnvironment implements Environment {
  readonly files = nodeEnvironment.files;
  #now = 0;
  #order = 0;
  #timers: Due[] = [];
  #deferred: (() => void)[] = [];

  now(): number {
    return this.#now;
  }

  wallClock(): number {
    return 1_700_000_000_000 + this.#now;
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const due = { at: this.#now + delayMs, order: this.#order++, callback };
    this.#timers.push(due);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((timer) => timer !== due);
      },
    };
  }

  defer(callback: () => void): void {
    this.#deferred.push(callback);
  }

  held = 0;

  hold(): Timer {
    this.held++;
    return {
      cancel: () => {
        this.held--;
      },
    };
  }

  random(): number {
    return nodeEnvironment.random();
  }

  randomBytes(length: number): Uint8Array {
    return nodeEnvironment.randomBytes(length);
  }

  get timers(): number {
    return this.#timers.length;
  }

  /** The process stands still: time passes, nothing runs. */
  stall(ms: number): void {
    this.#now += ms;
  }

  /** Lets time pass, and everything run that is due. */
  async run(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await turns(1);
      if (this.#deferred.length > 0) {
        const callbacks = this.#deferred;
        this.#deferred = [];
        for (const callback of callbacks) callback();
        continue;
      }
      const next = this.#timers.sort((a, b) => a.at - b.at || a.order - b.order)[0];
      if (next === undefined || next.at > end) break;
      this.#timers.shift();
      this.#now = Math.max(this.#now, next.at);
      next.callback();
    }
    this.#now = Math.max(this.#now, end);
  }
}

/** A lane that keeps what it is given until the test takes it. */
export class FakeLane implements Lane {
  readonly maxMessageSize: number = 262_144;
  bufferedAmount = 0;
  open = true;
  onMessage: ((message: Uint8Array) => void) | undefined;
  onDrain: (() => void) | undefined;
  readonly sent: Uint8Array[] = [];

  constructor(maxMessageSize = 262_144) {
    this.maxMessageSize = maxMessageSize;
  }

  send(message: Uint8Array): boolean {
    if (!this.open) return false;
    this.sent.push(Uint8Array.from(message));
    return true;
  }
}

/** One end of a link in a test's hands. */
export class FakeLink implements RawLink {
  readonly peer: string;
  readonly offerer: boolean;
  readonly binding: string;
  readonly control = new FakeLane();
  readonly bulk = new FakeLane();
  onClosed: ((reason: string) => void) | undefined;
  closed = false;

  constructor(peer: string, offerer: boolean, binding = 'binding') {
    this.peer = peer;
    this.offerer = offerer;
    this.binding = binding;
  }

  close(): void {
    this.closed = true;
    this.control.open = false;
    this.bulk.open = false;
  }
}

/** A transport whose host the test drives by hand. */
export function scriptedTransport(): {
  readonly transport: {
    kind: string;
    start: (host: TransportHost) => Promise<TransportSession>;
  };
  readonly host: () => TransportHost;
  readonly connects: string[];
} {
  let host: TransportHost | undefined;
  const connects: string[] = [];
  return {
    connects,
    host: () => host!,
    transport: {
      kind: 'scripted',
      start: (given) => {
        host = given;
        return Promise.resolve({
          connect: (peer) => void connects.push(peer),
          routed: () => undefined,
          close: () => Promise.resolve(),
        });
      },
    },
  };
}
