import { expect } from 'chai';
import { describe, it } from 'mocha';
import { nodeEnvironment } from '../../../../lib/environment.js';
import { Peers } from '../../../../lib/mesh/peers.js';
import type { PeersOptions } from '../../../../lib/mesh/peers.js';

describe('peers that only gossip knows', () => {
  it('make room for one that is there, and not for another of their kind', () => {
    const warnings: Error[] = [];
    const environment = {
      ...nodeEnvironment,
      setTimer: () => ({ cancel: () => undefined }),
    };
    const peers = new Peers({
      id: 'a',
      environment,
      connect: () => undefined,
      relay: () => undefined,
      host: { onWarning: (error: Error) => warnings.push(error) },
    } as unknown as PeersOptions);
    peers.seen('there', true);
    for (let i = 0; i < 1023; i++) peers.known(`z${i}`, true);
    peers.known('more', true);
    expect(peers.get('more')).to.equal(undefined);
    peers.seen('newcomer', true);
    expect(peers.get('newcomer')?.present).to.equal(true);
    expect(peers.get('there')?.present).to.equal(true);
    expect([...peers.all()]).to.have.length(1024);
    expect(warnings).to.deep.equal([]);
    for (let i = 0; i < 1023; i++) peers.seen(`z${i}`, true);
    peers.seen('one too many', true);
    expect(warnings).to.have.length(2);
    peers.close();
  });
});
