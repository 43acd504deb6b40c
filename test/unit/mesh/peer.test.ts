/** When a peer is tried for, over others and directly. */
import { expect } from 'chai';
import { Peer } from '../../../lib/mesh/peer.js';
import { VirtualEnvironment } from './support.js';

describe('a peer that is out of reach', () => {
  it('is tried for at once when a member hears it again, however long the tries were put off by then', async () => {
    const environment = new VirtualEnvironment();
    const relayed: number[] = [];
    const peer = new Peer({
      id: 'b',
      offers: true,
      environment,
      connect: () => undefined,
      relay: () => relayed.push(environment.now()),
    });
    peer.seen(true);
    peer.tried = true;
    peer.lost();
    await environment.run(30_000);
    const put = relayed.at(-1)! - relayed.at(-2)!;
    expect(put, 'tries are put off').to.be.above(2000);
    // Just after a try, when the next one is far away.
    while (environment.now() - relayed.at(-1)! > 50) await environment.run(10);
    const before = relayed.length;
    peer.known(true);
    await environment.run(100);
    expect(relayed.length - before).to.be.at.least(1);
    peer.close();
  });
});
