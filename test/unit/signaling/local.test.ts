import { expect } from 'chai';
import { localSignaling } from '../../../lib/mesh/signaling/local.js';
import { TestHost, until } from './support.js';

describe('localSignaling', () => {
  it('tells both sides of each other, in a later turn', async () => {
    const signaling = localSignaling();
    const [a, b] = [new TestHost('a'), new TestHost('b')];
    await signaling.start(a);
    const seat = signaling.start(b);
    expect(a.presence).to.deep.equal([]);
    await seat;
    await until('presence', () => a.present.has('b') && b.present.has('a'));
    expect([a.presence, b.presence]).to.deep.equal([['+b'], ['+a']]);
  });

  it('delivers in order, in a later turn, and only what fits, to who is there', async () => {
    const signaling = localSignaling();
    const [a, b] = [new TestHost('a'), new TestHost('b')];
    const atA = await signaling.start(a);
    await signaling.start(b);
    for (const payload of ['1', 'x'.repeat(65_536), 'x'.repeat(65_537), 'é'.repeat(40_000), '2'])
      atA.send('b', payload);
    atA.send('nobody', '3');
    atA.send('a', '4');
    expect(b.messages).to.deep.equal([]);
    await until('the last message', () => b.messages.at(-1)?.[1] === '2');
    expect(b.messages.map(([from, payload]) => [from, payload.length])).to.deep.equal([
      ['a', 1],
      ['a', 65_536],
      ['a', 1],
    ]);
    expect(a.messages).to.deep.equal([]);
  });

  it('keeps clusters and hubs apart', async () => {
    const signaling = localSignaling();
    const [a, b, c, d] = [
      new TestHost('a'),
      new TestHost('b', { cluster: 'other' }),
      new TestHost('c'),
      new TestHost('d'),
    ];
    await signaling.start(a);
    const atB = await signaling.start(b);
    await localSignaling().start(c);
    atB.send('a', 'hello');
    await signaling.start(d);
    await until('presence of the last', () => a.present.has('d'));
    expect(a.presence).to.deep.equal(['+d']);
    expect(a.messages).to.deep.equal([]);
    expect([...b.presence, ...c.presence]).to.deep.equal([]);
  });

  it('reports who leaves, and nothing to who left', async () => {
    const signaling = localSignaling();
    const [a, b] = [new TestHost('a'), new TestHost('b')];
    const atA = await signaling.start(a);
    const atB = await signaling.start(b);
    await until('presence', () => a.present.has('b') && b.present.has('a'));
    atA.send('b', 'too late');
    await atB.close();
    await atB.close();
    expect(atB.connected).to.equal(false);
    await until('absence', () => !a.present.has('b'));
    atB.send('a', 'ghost');
    atA.send('b', 'nobody');
    await new Promise(setImmediate);
    expect(b.messages).to.deep.equal([]);
    expect(a.messages).to.deep.equal([]);
  });

  it('gives the seat to the newer run of an id', async () => {
    const signaling = localSignaling();
    const [other, older, newer] = [
      new TestHost('other'),
      new TestHost('a', { incarnation: '1' }),
      new TestHost('a', { incarnation: '2' }),
    ];
    const atOther = await signaling.start(other);
    const atOlder = await signaling.start(older);
    await signaling.start(newer);
    atOther.send('a', 'for the newer');
    await until('the message', () => newer.messages.length === 1);
    expect(older.messages).to.deep.equal([]);
    expect(older.codes()).to.deep.equal(['ERR_PEER_REPLACED']);
    expect(atOlder.connected).to.equal(false);
    await atOlder.close(); // must not take the newer one's seat away
    await new Promise(setImmediate);
    expect(other.presence).to.deep.equal(['+a', '+a']);
  });

  it('refuses an older run while a newer one is there', async () => {
    const signaling = localSignaling();
    const [older, newer] = [new TestHost('a', { incarnation: '1' }), new TestHost('a', { incarnation: '2' })];
    const atNewer = await signaling.start(newer);
    const atOlder = await signaling.start(older);
    await until('the warning', () => older.warnings.length === 1);
    expect(older.codes()).to.deep.equal(['ERR_PEER_REPLACED']);
    expect([atOlder.connected, atNewer.connected]).to.deep.equal([false, true]);
    expect(newer.warnings).to.deep.equal([]);
  });
});
