import { expect } from 'chai';
import type { Environment } from '../../../../lib/environment.js';
import type { MeshPort } from '../../../../lib/mesh/port.js';
import { ServedPeer, type Answer } from '../../../../lib/replica/client/servedPeer.js';
import { readMessages, type Message } from '../../../../lib/replica/client/wire.js';

/** A link that takes frames while it has room. */
class FakeLink {
  room = true;
  linked = true;
  maxFrame = 1_000_000;
  readonly sent: Message[] = [];
  frames = 0;
  readonly drained: (() => void)[] = [];
  readonly #deferred: (() => void)[] = [];

  readonly port = {
    linked: () => new Map(this.linked ? [['x', 1]] : []),
    maxFrameBytes: () => this.maxFrame,
    whenDrained: (_peer: string, _lane: string, callback: () => void) => void this.drained.push(callback),
    send: (_peer: string, _kind: number, frame: Uint8Array) => {
      if (!this.room || !this.linked) return false;
      this.frames++;
      return readMessages(frame, (message) => this.sent.push(message) > 0);
    },
  } as unknown as MeshPort;

  readonly environment = {
    defer: (callback: () => void) => void this.#deferred.push(callback),
    setTimer: (_ms: number, callback: () => void) => {
      this.#deferred.push(callback);
      return { cancel: () => undefined };
    },
  } as unknown as Environment;

  turn(): void {
    for (const callback of this.#deferred.splice(0)) callback();
  }

  drain(): void {
    this.room = true;
    for (const callback of this.drained.splice(0)) callback();
    this.turn();
  }
}

const result = (request: number, bytes = 10): Answer => ({
  op: 'result',
  channel: 1,
  request,
  body: new Uint8Array(bytes),
});

describe('the requests of a peer under way', () => {
  let link: FakeLink;
  let peer: ServedPeer;

  beforeEach(() => {
    link = new FakeLink();
    peer = new ServedPeer('x', link.port, link.environment, { requests: 3, bytes: 100, answerBytes: 1000 });
  });

  it('are capped in count until their answers are sent', () => {
    expect([1, 2, 3, 4].map(() => peer.admit(1))).to.deep.equal([true, true, true, false]);
    peer.settle(1, result(1));
    expect(peer.admit(1)).to.equal(false);
    link.turn();
    expect(link.sent).to.deep.equal([result(1)]);
    expect(peer.admit(1)).to.equal(true);
    expect(peer.admit(1)).to.equal(false);
  });

  it('are capped in bytes, but a large one is taken alone', () => {
    expect(peer.admit(60)).to.equal(true);
    expect(peer.admit(60)).to.equal(false);
    expect(peer.admit(40)).to.equal(true);
    peer.settle(60, undefined);
    peer.settle(40, undefined);
    expect(peer.admit(5000)).to.equal(true);
    expect(peer.admit(1)).to.equal(false);
  });

  it('answers of a turn leave in one frame', () => {
    for (const request of [1, 2, 3]) {
      peer.admit(1);
      peer.settle(1, result(request));
    }
    link.turn();
    expect(link.frames).to.equal(1);
    expect(link.sent).to.have.length(3);
    expect(peer.idle).to.equal(true);
  });

  it('answers wait for room, in order, and count until then', () => {
    link.room = false;
    peer.admit(1);
    peer.settle(1, result(1));
    link.turn();
    peer.admit(1);
    peer.settle(1, result(2));
    link.turn();
    expect(link.sent).to.deep.equal([]);
    expect(peer.admit(1)).to.equal(true);
    expect(peer.admit(1)).to.equal(false);
    link.drain();
    expect(link.sent).to.deep.equal([result(1), result(2)]);
    expect(peer.admit(1)).to.equal(true);
  });

  it('answers that wait are capped in bytes: above that the word is that there was one', () => {
    link.room = false;
    for (const request of [1, 2, 3]) {
      peer.admit(1);
      peer.settle(1, result(request, 450));
    }
    link.turn();
    link.drain();
    expect(link.sent.slice(0, 2)).to.deep.equal([result(1, 450), result(2, 450)]);
    expect(link.sent[2])
      .to.have.property('failure')
      .that.includes({ code: 'ERR_OVERLOADED', fate: 'ambiguous' });
  });

  it('an answer above what the link takes is told as such, and not as refused', () => {
    link.maxFrame = 100_000;
    peer.admit(1);
    peer.settle(1, result(1, 100_001));
    link.turn();
    expect(link.sent[0])
      .to.have.property('failure')
      .that.includes({ code: 'ERR_TOO_LARGE', fate: undefined });
    expect(peer.idle).to.equal(true);
  });

  it('refusals are dropped rather than kept without bound', () => {
    link.room = false;
    for (let request = 1; request < 1000; request++) peer.refuse(result(request));
    link.turn();
    link.drain();
    expect(link.sent.length).to.be.within(10, 200);
  });

  it('what waits for a link that is gone counts no more', () => {
    link.room = false;
    for (const request of [1, 2]) {
      peer.admit(1);
      peer.settle(1, result(request));
      link.turn();
    }
    peer.lost();
    expect([1, 2, 3, 4].map(() => peer.admit(1))).to.deep.equal([true, true, true, false]);
  });
});
