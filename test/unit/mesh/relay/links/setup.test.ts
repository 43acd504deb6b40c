import { expect } from 'chai';
import { describe, it } from 'mocha';
import { seeded } from '../../../support/seeded.js';
import type { Datagram } from './lab.js';
import { Lab, Node, pair } from './lab.js';

const type = { open: 1, challenge: 2, accept: 3, gone: 4 } as const;

/** All datagrams that leave, as they leave. */
function record(lab: Lab): Datagram[] {
  const seen: Datagram[] = [];
  lab.onDatagram = (datagram) => {
    seen.push(datagram);
    return datagram;
  };
  return seen;
}

function count(seen: readonly Datagram[], wanted: number, from?: string): number {
  return seen.filter((d) => d.payload[0] === wanted && (from === undefined || d.from === from)).length;
}

describe('relayed links: set-up', () => {
  it('makes one link, the opener being the offerer, with one binding and fresh keys each time', async () => {
    const lab = new Lab(31);
    const { a, b, near, far } = await pair(lab);
    expect([near.raw.peer, near.raw.offerer, far.raw.peer, far.raw.offerer]).to.deep.equal([
      'b',
      true,
      'a',
      false,
    ]);
    expect(near.raw.binding).to.equal(far.raw.binding);
    expect(near.raw.binding).to.match(/^relay [0-9a-f]{64} [0-9a-f]{64} [0-9a-f]{32}$/);
    b.relay.connect('a');
    await lab.until('another', () => a.links.length === 2 && b.links.length === 2);
    expect(b.links[1]!.raw.offerer).to.equal(true);
    const parts = [near.raw.binding, b.links[1]!.raw.binding].flatMap((text) => text.split(' ').slice(1));
    expect(new Set(parts).size).to.equal(6);
  });

  it('comes from the seed alone', async () => {
    const bindings: string[] = [];
    for (const seed of [40, 40, 41]) bindings.push((await pair(new Lab(seed))).near.raw.binding);
    expect(bindings[0]).to.equal(bindings[1]);
    expect(bindings[0]).to.not.equal(bindings[2]);
  });

  it('makes one link when both ends open at once: the smaller id is the opener', async () => {
    for (const delayMs of [0, 1, 30]) {
      for (const lag of [0, 1, 2, 3, 4, 40, 75, 100]) {
        const lab = new Lab(50 + lag);
        lab.conditions = { loss: 0, twice: 0, delayMs, jitterMs: 0 };
        const [a, b] = [new Node(lab, 'a'), new Node(lab, 'b')];
        b.relay.connect('a');
        await lab.run(lag);
        const linked = a.links.length + b.links.length > 0;
        a.relay.connect('b');
        await lab.run(5000);
        const what = `delay ${delayMs}, lag ${lag}`;
        expect(a.links.length, what).to.equal(b.links.length);
        expect(a.links.length, what).to.be.within(1, 2);
        if (lag === 0 && delayMs > 0)
          expect([a.links.length, a.links[0]!.raw.offerer]).to.deep.equal([1, true]);
        if (!linked && a.links.length === 2) expect.fail(`two links for one: ${what}`);
        expect([...a.warnings, ...b.warnings], what).to.deep.equal([]);
        for (const [index, end] of a.links.entries()) {
          const other = b.links[index]!;
          expect(end.raw.binding).to.equal(other.raw.binding);
          expect(end.raw.offerer).to.equal(!other.raw.offerer);
        }
      }
    }
  });

  it('gets through heavy loss, or says in time that it did not', async () => {
    let linked = 0;
    for (let seed = 0; seed < 30; seed++) {
      const lab = new Lab(seed);
      lab.conditions = { loss: 0.3, twice: 0.2, delayMs: 5, jitterMs: 30 };
      const [a, b] = [new Node(lab, 'a'), new Node(lab, 'b')];
      a.relay.connect('b');
      await lab.run(14_000);
      expect(a.links.length + a.warnings.length).to.equal(1);
      // An end that the other never learned of is told so.
      if (b.links.length === 0) expect(a.links.length).to.equal(a.links[0]?.closed.length ?? 0);
      else linked++;
    }
    expect(linked).to.be.at.least(25);
  });

  it('warns once when nobody answers, and leaves nothing behind', async () => {
    const lab = new Lab(32);
    const a = new Node(lab, 'a');
    const seen = record(lab);
    for (let i = 0; i < 5; i++) a.relay.connect('b');
    a.relay.connect('a');
    await lab.run(4999);
    expect(a.warnings).to.deep.equal([]);
    await lab.run(2);
    expect(a.warnings.map((error) => (error as { code?: string }).code)).to.deep.equal(['ERR_PEER_TIMEOUT']);
    expect(seen.length).to.be.within(5, 10);
    expect(lab.scheduler.step(Infinity), 'no timer is left').to.equal(false);
    a.relay.connect('b');
    expect(count(seen, type.open)).to.equal(seen.length);
  });

  it('costs the answerer nothing but a cookie until that is back: old and invented openings', async () => {
    const lab = new Lab(33);
    const [a, b] = [new Node(lab, 'a'), new Node(lab, 'b')];
    const seen = record(lab);
    let drawn = 0;
    const random = seeded(1);
    const c = new Node(lab, 'c', {
      ...lab.environment,
      randomBytes: (length) => {
        drawn += length;
        return Uint8Array.from({ length }, () => Math.floor(random() * 256));
      },
    });
    const atStart = drawn;
    a.relay.connect('c');
    await lab.until('a link', () => c.links.length === 1);
    const opens = seen.filter((d) => d.payload[0] === type.open);
    expect(opens.length).to.equal(2);
    const perLink = drawn - atStart;
    expect(perLink).to.be.above(0);
    // At once: it is the same session, which is there. Later, when it is over: it is remembered. Much later: the cookie is old.
    for (const wait of [0, 100, 9000]) {
      if (wait === 100) c.links[0]!.raw.close();
      await lab.run(wait);
      for (let i = 0; i < 200; i++) for (const open of opens) lab.inject(open);
      await lab.run(10);
    }
    for (const from of ['x', 'y', 'a']) {
      for (let i = 0; i < 200; i++) {
        const payload = Uint8Array.from(opens[1]!.payload);
        payload[1 + (i % 16)]! ^= i + 1;
        lab.inject({ from, to: 'c', lane: 'control', payload });
      }
    }
    await lab.run(100);
    expect(c.links.length).to.equal(1);
    expect(drawn - atStart, 'no key was made for them').to.equal(perLink);
    expect(b.links).to.deep.equal([]);
  });

  it('answers an opening with less than it got, whoever asks', async () => {
    const lab = new Lab(34);
    const { b } = await pair(lab);
    const seen = record(lab);
    lab.inject({ from: 'z', to: 'b', lane: 'control', payload: new Uint8Array(69).fill(1) });
    expect(seen.map((d) => [d.to, d.payload[0], d.payload.length])).to.deep.equal([
      ['z', type.challenge, 37],
    ]);
    expect(b.relay.counters.openingsRefused).to.equal(0);
  });

  it('caps what is half open, of one peer and of all, and forgets it in time', async () => {
    const lab = new Lab(35);
    const victim = new Node(lab, 'v');
    const openers = Array.from({ length: 100 }, (_, i) => `n${i}`);
    const cookies = new Map<string, Uint8Array>();
    const accepts: string[] = [];
    lab.onDatagram = ({ to, payload }) => {
      if (payload[0] === type.challenge) cookies.set(to, payload.slice(17));
      if (payload[0] === type.accept) accepts.push(to);
      return undefined;
    };
    const open = (from: string, session: number): void => {
      const payload = new Uint8Array(69).fill(9);
      payload[0] = type.open;
      payload.set([session, Number(from.slice(1))], 1);
      payload.fill(0, 49);
      for (let i = 0; i < 2; i++) {
        const cookie = cookies.get(from);
        if (cookie !== undefined) payload.set(cookie, 49);
        lab.inject({ from, to: 'v', lane: 'control', payload });
      }
      cookies.delete(from);
    };
    for (let session = 1; session <= 20; session++) open('n0', session);
    expect(accepts.length).to.equal(4);
    for (const id of openers.slice(1)) open(id, 1);
    expect(accepts.length).to.equal(48);
    expect(victim.relay.counters.openingsRefused).to.equal(16 + 55);
    await lab.run(5001);
    open('n99', 2);
    expect(accepts.length, 'there is room again').to.equal(49);
    expect(victim.links).to.deep.equal([]);
    await lab.run(6000);
    expect(lab.scheduler.step(Infinity), 'no timer is left').to.equal(false);
  });

  it('gives each neighbour a share of what is half open: one that makes up openings shuts out nobody else', async () => {
    const lab = new Lab(38);
    const victim = new Node(lab, 'v');
    const cookies = new Map<string, Uint8Array>();
    const accepts: string[] = [];
    lab.onDatagram = ({ to, payload }) => {
      if (payload[0] === type.challenge) cookies.set(to, payload.slice(17));
      if (payload[0] === type.accept) accepts.push(to);
      return undefined;
    };
    let session = 0;
    const open = (from: string, by: string): void => {
      const payload = new Uint8Array(69).fill(9);
      payload[0] = type.open;
      new DataView(payload.buffer).setUint32(1, ++session);
      payload.fill(0, 49);
      for (let i = 0; i < 2; i++) {
        const cookie = cookies.get(from);
        if (cookie !== undefined) payload.set(cookie, 49);
        lab.inject({ from, to: 'v', lane: 'control', payload, by });
      }
      cookies.delete(from);
    };
    for (let round = 0; round < 5; round++) {
      for (let i = 0; i < 40; i++) open(`n${i}`, 'h');
      for (let i = 0; i < 10; i++) open('n1', 'h');
      await lab.run(900);
    }
    expect(accepts.length, 'as many as one neighbour may').to.equal(16);
    for (let i = 0; i < 5; i++) open('n1', 'b');
    expect(accepts.length, 'a peer that h spoke for, over another neighbour').to.equal(20);
    expect(victim.relay.counters.openingsRefused).to.equal(5 * 50 - 16 + 1);
  });

  it('is not held back for longer than a second by openings that others make up in the name of a peer', async () => {
    const lab = new Lab(39);
    const victim = new Node(lab, 'b');
    let opened = 0;
    const cookies: Uint8Array[] = [];
    lab.onDatagram = ({ payload }) => {
      if (payload[0] === type.challenge) cookies.push(payload.slice(17));
      if (payload[0] === type.open) opened++;
      return undefined;
    };
    for (let i = 1; i <= 4; i++) {
      const payload = new Uint8Array(69).fill(9);
      payload[0] = type.open;
      payload[1] = i;
      payload.fill(0, 49);
      lab.inject({ from: 'c', to: 'b', lane: 'control', payload, by: 'h' });
      await lab.run(1);
      payload.set(cookies.pop()!, 49);
      lab.inject({ from: 'c', to: 'b', lane: 'control', payload, by: 'h' });
      victim.relay.connect('c');
      if (i === 1) expect(opened).to.equal(0);
      await lab.run(900);
    }
    expect(opened).to.be.greaterThan(0);
  });

  it('refuses keys of low order, in an opening and in an answer', async () => {
    for (const wanted of [type.open, type.accept]) {
      const lab = new Lab(36);
      const [a, b] = [new Node(lab, 'a'), new Node(lab, 'b')];
      lab.onDatagram = (datagram) => {
        if (datagram.payload[0] !== wanted) return datagram;
        const payload = Uint8Array.from(datagram.payload);
        payload.fill(0, 17, 49);
        return { ...datagram, payload };
      };
      a.relay.connect('b');
      await lab.run(6000);
      expect([a.links, b.links]).to.deep.equal([[], []]);
      expect(a.warnings.length).to.equal(1);
    }
  });

  it('shows somebody in the middle in the binding, for the handshake to refuse', async () => {
    const lab = new Lab(37);
    const [a, b] = [new Node(lab, 'a'), new Node(lab, 'b')];
    // One that speaks as b to a, and as a to b, with keys of its own.
    const [asB, asA] = [new Lab(38), new Lab(39)];
    asB.scheduler.after = asA.scheduler.after = (...event) => lab.scheduler.after(...event);
    const [mb, ma] = [new Node(asB, 'b', lab.environment), new Node(asA, 'a', lab.environment)];
    asB.onDatagram = asA.onDatagram = (datagram) => {
      lab.scheduler.after(1, 2, undefined, () => lab.inject(datagram));
      return undefined;
    };
    lab.onDatagram = (datagram) => {
      const middle = datagram.from === 'a' ? asB : asA;
      lab.scheduler.after(1, 2, undefined, () => middle.inject(datagram));
      return undefined;
    };
    a.relay.connect('b');
    ma.relay.connect('b');
    await lab.until(
      'both halves',
      () => a.links.length + b.links.length === 2 && ma.links.length + mb.links.length === 2,
    );
    expect(a.links[0]!.raw.binding).to.equal(mb.links[0]!.raw.binding);
    expect(a.links[0]!.raw.binding).to.not.equal(b.links[0]!.raw.binding);
  });

  it('hands over only what has shown the keys', async () => {
    const lab = new Lab(43);
    const [a, b] = [new Node(lab, 'a'), new Node(lab, 'b')];
    lab.onDatagram = (datagram) =>
      datagram.payload[0]! >= 5 && datagram.from === 'a' ? undefined : datagram;
    a.relay.connect('b');
    await lab.run(1000);
    expect([a.links.length, b.links.length]).to.deep.equal([1, 0]);
    lab.onDatagram = undefined;
    await lab.until('the other end', () => b.links.length === 1, 3000);
  });
});
