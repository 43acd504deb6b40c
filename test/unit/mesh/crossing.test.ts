/** A direct and a relayed link that are set up at the same time: both ends keep the same one, whatever is finished first. */
import { expect } from 'chai';
import { phiAccrual } from '../../../lib/failure/phiAccrual.js';
import { Credentials } from '../../../lib/mesh/credentials.js';
import { resolveLimits } from '../../../lib/mesh/limits.js';
import type { LinkPath } from '../../../lib/mesh/link.js';
import { newCounters } from '../../../lib/mesh/metrics.js';
import { Peers } from '../../../lib/mesh/peers.js';
import { resolveSecret } from '../../../lib/mesh/secret.js';
import { FakeLink, secret, VirtualEnvironment } from './support.js';

const environment = new VirtualEnvironment();
const nothing = (): void => undefined;

/** One node, and its ends of links to the other. */
class End {
  readonly peers: Peers;
  readonly other: string;
  readonly #offers: boolean;

  constructor(id: string, other: string, keys: Awaited<ReturnType<typeof resolveSecret>>) {
    this.other = other;
    this.#offers = id < other;
    this.peers = new Peers({
      id,
      cluster: 'c',
      incarnation: '000000000000001-0123456789abcdef',
      credentials: new Credentials({ id, cluster: 'c', keys }),
      environment,
      limits: resolveLimits(),
      detector: phiAccrual(),
      intervalMs: 100,
      counters: newCounters(),
      greet: nothing,
      connect: nothing,
      relay: nothing,
      host: {
        onFrame: () => true,
        onPeer: nothing,
        onState: nothing,
        onPath: nothing,
        onGivenUp: nothing,
        onChange: nothing,
        onLeft: nothing,
        onDigest: nothing,
        onRefused: nothing,
        onWarning: nothing,
      },
    });
  }

  admit(path: LinkPath, asked = this.#offers): FakeLink {
    const raw = new FakeLink(this.other, asked);
    this.peers.admit(raw, path);
    return raw;
  }

  get path(): LinkPath | undefined {
    return this.peers.link(this.other)?.path;
  }
}

/** Brings what one end has sent so far. */
function bring(from: FakeLink, to: FakeLink): void {
  for (const message of from.control.sent.splice(0)) to.control.onMessage?.(message);
}

async function nodes(): Promise<[End, End]> {
  const keys = await resolveSecret(secret, 'c');
  return [new End('a', 'b', keys), new End('b', 'a', keys)];
}

/** Everything but the last word of each end. */
function prove(one: FakeLink, other: FakeLink): void {
  for (let round = 0; round < 2; round++) {
    const words = other.control.sent.splice(0);
    bring(one, other);
    for (const word of words) one.control.onMessage?.(word);
  }
}

describe('a direct and a relayed link that are set up at the same time', () => {
  it('leave the direct one, though the ends finish them in different orders', async () => {
    const [a, b] = await nodes();
    const [relayedA, relayedB] = [a.admit('relayed'), b.admit('relayed')];
    prove(relayedA, relayedB);
    environment.stall(10);
    const [directA, directB] = [a.admit('direct'), b.admit('direct')];
    prove(directA, directB);
    expect([a.path, b.path]).to.deep.equal([undefined, undefined]);
    bring(directB, directA);
    bring(relayedB, relayedA);
    bring(relayedA, relayedB);
    bring(directA, directB);
    expect([a.path, b.path]).to.deep.equal(['direct', 'direct']);
    expect([directA.closed, directB.closed]).to.deep.equal([false, false]);
  });

  it('leave the direct one, which was there before the other was proved', async () => {
    const [a, b] = await nodes();
    const [relayedA, relayedB] = [a.admit('relayed', false), b.admit('relayed', true)];
    environment.stall(10);
    const [directA, directB] = [a.admit('direct'), b.admit('direct')];
    prove(directA, directB);
    bring(directB, directA);
    prove(relayedA, relayedB);
    bring(directA, directB);
    bring(relayedA, relayedB);
    bring(relayedB, relayedA);
    expect([a.path, b.path]).to.deep.equal(['direct', 'direct']);
    expect(relayedA.closed).to.equal(true);
  });

  it('leave the relayed one when the direct one fails before that is finished', async () => {
    const [a, b] = await nodes();
    const [relayedA, relayedB] = [a.admit('relayed'), b.admit('relayed')];
    prove(relayedA, relayedB);
    environment.stall(10);
    const [directA, directB] = [a.admit('direct'), b.admit('direct')];
    prove(directA, directB);
    bring(directB, directA);
    bring(directA, directB);
    for (const end of [a, b]) end.peers.failing(end.peers.get(end.other)!);
    bring(relayedB, relayedA);
    bring(relayedA, relayedB);
    expect([a.path, b.path]).to.deep.equal(['relayed', 'relayed']);
  });

  it('leave the relayed one when it was asked for later: to one end the direct one may be bad', async () => {
    const [a, b] = await nodes();
    const [directA, directB] = [a.admit('direct'), b.admit('direct')];
    prove(directA, directB);
    bring(directB, directA);
    bring(directA, directB);
    environment.stall(10);
    b.peers.failing(b.peers.get('a')!);
    const [relayedA, relayedB] = [a.admit('relayed', false), b.admit('relayed', true)];
    prove(relayedA, relayedB);
    bring(relayedB, relayedA);
    bring(relayedA, relayedB);
    expect([a.path, b.path]).to.deep.equal(['relayed', 'relayed']);
  });
});
