import { expect } from 'chai';
import type { RaftMessage } from '../../../lib/consensus/raft/messages.js';
import { Outbox } from '../../../lib/engine/outbox.js';
import { raftCodec } from '../../../lib/engine/raftCodec.js';
import { ItemType, readItems } from '../../../lib/engine/wire.js';
import type { MeshPort, SendOptions } from '../../../lib/mesh/port.js';

interface Sent {
  readonly peer: string;
  readonly frame: Uint8Array;
  readonly options: SendOptions;
}

const KiB = 1024;

function append(bytes: number): RaftMessage {
  const epoch = { config: 0, n: 1, priority: 0, node: 'a' };
  const data = new Uint8Array(bytes);
  const entries = [{ index: 1, count: 1, epoch, time: 1, kind: 'user' as const, data }];
  return { type: 'append', term: 1, prevIndex: 0, prevEpoch: epoch, commit: 0, entries };
}

function itemsOf(frame: Uint8Array): string[] {
  const items: string[] = [];
  readItems(frame, (group, type, body) => items.push(`${group}:${type}:${body.remaining}`));
  return items;
}

describe('the outbox', () => {
  let sent: Sent[];
  let taken: boolean;
  let outbox: Outbox;

  beforeEach(() => {
    sent = [];
    taken = true;
    const port: Partial<MeshPort> = {
      send: (peer, _kind, frame, options) => {
        sent.push({ peer, frame, options });
        return taken;
      },
    };
    outbox = new Outbox(port as MeshPort);
  });

  const raw = (to: string, group: number, type: number, urgent: boolean, length: number): void =>
    outbox.item(to, group, type, urgent, (writer) => writer.raw(new Uint8Array(length)));

  it('sends one frame a peer and lane, what leads first', () => {
    raw('b', 1, ItemType.hello, true, 3);
    raw('b', 2, ItemType.proposal, false, 4);
    raw('c', 1, ItemType.hello, true, 5);
    raw('b', 1, ItemType.bye, true, 0);
    expect(sent).to.have.length(0);
    outbox.flush();
    expect(
      sent.map(({ peer, frame, options }) => [peer, options.urgent ?? false, ...itemsOf(frame)]),
    ).to.deep.equal([
      ['b', false, '2:5:4'],
      ['b', true, '1:1:3', '1:3:0'],
      ['c', true, '1:1:5'],
    ]);
    outbox.flush();
    expect(sent).to.have.length(3);
  });

  it('never lets a frame of many items grow towards what the mesh drops', () => {
    for (let i = 0; i < 100; i++) raw('b', i, ItemType.proposal, false, 200 * KiB);
    outbox.flush();
    expect(sent.flatMap(({ frame }) => itemsOf(frame))).to.have.length(100);
    expect(Math.max(...sent.map(({ frame }) => frame.length))).to.be.below(1300 * KiB);
    expect(sent.every(({ options }) => options.lane === 'control')).to.equal(true);
  });

  it('sends large appends and proposals at once on the bulk lane, and says when they were not taken', () => {
    const body = (length: number): boolean =>
      outbox.sized('b', 1, ItemType.proposal, length, (writer) => writer.raw(new Uint8Array(length)));
    expect(outbox.message('b', 1, raftCodec, append(300 * KiB))).to.equal(true);
    expect(body(300 * KiB)).to.equal(true);
    expect(sent.map(({ options }) => options)).to.deep.equal([{ lane: 'bulk' }, { lane: 'bulk' }]);
    taken = false;
    expect(outbox.message('b', 1, raftCodec, append(300 * KiB))).to.equal(false);
    expect(body(300 * KiB)).to.equal(false);
    expect(body(256 * KiB)).to.equal(true);
    outbox.message('b', 1, raftCodec, append(10));
    expect(sent).to.have.length(4);
    outbox.flush();
    expect(sent).to.have.length(5);
    expect(sent[4]!.options).to.deep.equal({ lane: 'control' });
  });

  it('forgets what waits for a peer that is gone', () => {
    raw('b', 1, ItemType.hello, true, 3);
    raw('c', 1, ItemType.hello, true, 3);
    outbox.drop('b');
    outbox.flush();
    expect(sent.map(({ peer }) => peer)).to.deep.equal(['c']);
  });
});
