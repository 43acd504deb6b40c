import { expect } from 'chai';
import { Connectivity } from '../../../lib/failure/connectivity.js';
import { RowGossip } from '../../../lib/failure/rowsGossip.js';
import type { ConnectivityRow, RowVersion } from '../../../lib/failure/rows.js';
import { decodeRowMessage, encodeRows, encodeVersions } from '../../../lib/failure/rowsCodec.js';
import { QuorateError } from '../../../lib/errors.js';
import { heartbeatMs, incarnationOf } from './partitionLab.js';

const anyIncarnation = (): boolean => true;

interface End {
  readonly table: Connectivity;
  readonly gossip: RowGossip;
  readonly sent: { to: string; message: Uint8Array }[];
}

function end(id: string, neighbours: string[]): End {
  const sent: End['sent'] = [];
  const table = new Connectivity({ id, incarnation: incarnationOf(1), heartbeatMs });
  const gossip = new RowGossip({
    connectivity: table,
    isIncarnation: anyIncarnation,
    neighbours: () => neighbours,
    send: (to, message) => sent.push({ to, message }),
  });
  for (const peer of neighbours) table.set(peer, { hears: true }, 0);
  return { table, gossip, sent };
}

/** Who was sent what, in short; empties the list. */
function take({ sent }: End): string[] {
  return sent.splice(0).map(({ to, message }) => {
    const read = decodeRowMessage(message, anyIncarnation);
    const text = (rows: readonly RowVersion[]): string =>
      rows.map((row) => `${row.from}${row.version}`).join();
    if (read.kind !== 'versions') return `${to} ${read.kind} ${text(read.rows)}`;
    return `${to} versions ${text(read.versions)} lost ${text(read.lost)}`;
  });
}

/** Hands over what waits, in both directions, until nothing does. */
function exchange(a: End, b: End): void {
  while (a.sent.length + b.sent.length > 0) {
    for (const { message } of a.sent.splice(0)) b.gossip.receive(a.table.id, message, 0);
    for (const { message } of b.sent.splice(0)) a.gossip.receive(b.table.id, message, 0);
  }
}

describe('gossip of rows', () => {
  it('floods the own row once for each change, to all neighbours', () => {
    const a = end('a', ['b', 'c']);
    a.gossip.publish();
    expect(take(a)).to.deep.equal(['b rows a2', 'c rows a2']);
    a.gossip.publish();
    expect(take(a)).to.deep.equal([]);
    a.table.set('b', { hears: true, phi: 4 }, 0);
    a.gossip.publish();
    expect(take(a)).to.deep.equal([]);
    a.table.set('d', { hears: false, pending: true }, 0);
    a.gossip.publish();
    expect(take(a)).to.deep.equal(['b rows a3', 'c rows a3']);
  });

  it('passes on what is news, to all but whom it came from, and nothing else', () => {
    const a = end('a', ['b', 'c', 'd']);
    const b = end('b', ['a']);
    a.gossip.publish();
    take(a);
    b.gossip.publish();
    const { message } = b.sent[0]!;
    a.gossip.receive('b', message, 0);
    expect(take(a)).to.deep.equal(['c rows b2', 'd rows b2']);
    a.gossip.receive('c', message, 0);
    expect(take(a)).to.deep.equal([]);
    expect(a.gossip.metrics()).to.deep.equal({
      rowsMerged: 1,
      rowsKnown: 1,
      rowsRefused: 0,
      rowsSent: 5,
      versionsSent: 0,
    });
  });

  it('evens out two tables after a link came up, or when a digest differs', () => {
    for (const byDigest of [false, true]) {
      const a = end('a', ['b']);
      const b = end('b', ['a']);
      a.table.set('c', { hears: true }, 0);
      a.table.merge({ from: 'c', incarnation: incarnationOf(1), version: 3, left: false, entries: [] }, 0);
      if (byDigest) {
        a.gossip.digest('b', b.table.digest(), 1000);
        b.gossip.digest('a', a.table.digest(), 1000);
      } else {
        a.gossip.linked('b', 0);
        b.gossip.linked('a', 0);
      }
      exchange(a, b);
      expect(b.table.digest()).to.equal(a.table.digest());
      expect(b.table.versions().map(({ from }) => from)).to.have.members(['a', 'b', 'c']);
      a.gossip.digest('b', b.table.digest(), 5000);
      expect(take(a)).to.deep.equal([]);
    }
  });

  it('evens out the last rows of the unreachable too, newest first, and passes them on', () => {
    const a = end('a', ['b']);
    const b = end('b', ['a', 'c']);
    const c = end('c', ['b']);
    const last = (from: string, version: number, ...heard: string[]): ConnectivityRow => ({
      from,
      incarnation: incarnationOf(1),
      version,
      left: false,
      entries: heard.map((peer) => ({ peer, hears: true, pending: false, deaf: false, phi: 0 })),
    });
    for (const peer of ['x', 'y', 'z']) a.table.set(peer, { hears: false }, 0);
    a.table.merge(last('x', 3, 'y', 'z'), 0);
    a.table.merge(last('y', 7, 'x'), 0);
    c.table.merge(last('x', 4, 'y'), 0);
    c.table.merge(last('y', 6, 'x', 'z'), 0);
    c.table.merge(last('z', 1, 'x', 'y'), 0);
    // and the row of a node that nobody names, which goes nowhere
    c.table.merge(last('stranger', 1, 'x'), 0);
    const ends = [a, b, c];
    const byId = new Map(ends.map((one) => [one.table.id, one]));
    const run = (): void => {
      while (ends.some(({ sent }) => sent.length > 0)) {
        for (const one of ends) {
          for (const { to, message } of one.sent.splice(0)) {
            if (one !== a || to === 'b') byId.get(to)!.gossip.receive(one.table.id, message, 0);
          }
        }
      }
    };
    const beat = (now: number): void => {
      for (const one of ends) one.gossip.publish();
      const digests = new Map(ends.map((one) => [one, one.table.digest()]));
      for (const [x, y] of [
        [a, b],
        [b, c],
      ] as const) {
        x.gossip.digest(y.table.id, digests.get(y)!, now);
        y.gossip.digest(x.table.id, digests.get(x)!, now);
      }
      run();
    };
    for (let now = 1000; now < 3000; now += heartbeatMs) beat(now);
    for (const { table } of ends) {
      expect(table.lostVersions().map(({ from, version }) => `${from}${version}`)).to.deep.equal([
        'x4',
        'y7',
        'z1',
      ]);
      expect(table.digest()).to.equal(a.table.digest());
      expect(table.graph().components()).to.deep.equal([['a', 'b', 'c'], ['x', 'y'], ['z']]);
    }
    const asked = ends.map(({ gossip }) => gossip.metrics().versionsSent);
    beat(5000);
    expect(ends.map(({ gossip }) => gossip.metrics().versionsSent)).to.deep.equal(asked);
  });

  it('takes and passes on a last row as such, though its node is heard here, and names it as such', () => {
    const b = end('b', ['a', 'c', 'x']);
    const lost = { from: 'x', incarnation: incarnationOf(1), version: 3, left: false, entries: [] };
    b.gossip.receive('a', encodeRows([lost], true), 0);
    expect(take(b).slice(0, 2)).to.deep.equal(['c lost x3', 'x lost x3']);
    expect(b.table.rows().map(({ from }) => from)).to.deep.equal(['b']);
    b.gossip.linked('c', 0);
    expect(take(b)).to.include('c versions b2 lost x3');
  });

  it('asks a peer once a heartbeat at most, and afresh after a new link', () => {
    const a = end('a', ['b']);
    a.gossip.digest('b', 1, 1000);
    a.gossip.digest('b', 1, 1000 + heartbeatMs / 2 - 1);
    expect(take(a)).to.have.length(1);
    a.gossip.digest('b', 1, 1000 + heartbeatMs);
    expect(take(a)).to.have.length(1);
    a.gossip.unlinked('b');
    a.gossip.digest('b', 1, 1000 + heartbeatMs + 1);
    expect(take(a)).to.have.length(1);
  });

  it('answers a neighbour that asks for the whole table again and again some times at once, then some a second', () => {
    const a = end('a', ['b', 'c']);
    a.gossip.publish();
    take(a);
    const nothing = encodeVersions([], []);
    for (let i = 0; i < 1000; i++) a.gossip.receive('b', nothing, 0);
    expect(take(a)).to.have.length(64);
    for (let i = 0; i < 1000; i++) a.gossip.receive('b', nothing, 1000);
    expect(take(a)).to.have.length(16);
    a.gossip.receive('c', nothing, 1000);
    expect(take(a)).to.deep.equal(['c rows a2']);
  });

  it('sends a big table in messages of about 32 KiB', () => {
    const a = end('a', ['b']);
    const name = (i: number): string => `${'n'.repeat(120)}${String(i).padStart(4, '0')}`;
    const entries = Array.from({ length: 60 }, (_, i) => ({
      peer: `p${String(i).padStart(100, '0')}`,
      hears: false,
      pending: false,
      deaf: false,
      phi: 0,
    }));
    for (let i = 0; i < 50; i++) {
      a.table.set(name(i), { hears: true }, 0);
      a.table.merge({ from: name(i), incarnation: incarnationOf(1), version: 1, left: false, entries }, 0);
    }
    const b = end('b', ['a']);
    b.gossip.linked('a', 0);
    a.gossip.receive('b', b.sent.splice(0)[0]!.message, 0);
    const answers = a.sent.filter(({ to }) => to === 'b');
    expect(answers.length).to.be.greaterThan(5);
    for (const { message } of answers) expect(message.length).to.be.at.most(32 * 1024 + 8);
    exchange(a, b);
    expect(b.table.digest()).to.equal(a.table.digest());
  });

  it('takes nothing of a message that does not decode', () => {
    const a = end('a', ['b', 'c']);
    const b = end('b', ['a']);
    b.gossip.publish();
    const whole = b.sent[0]!.message;
    const error = (() => {
      try {
        a.gossip.receive('b', whole.subarray(0, whole.length - 1), 0);
      } catch (thrown) {
        return thrown;
      }
      return undefined;
    })();
    expect(error).to.be.instanceOf(QuorateError);
    expect((error as QuorateError).code).to.equal('ERR_CODEC');
    expect(a.table.versions().map(({ from }) => from)).to.deep.equal(['a']);
    expect(a.sent).to.deep.equal([]);
  });
});
