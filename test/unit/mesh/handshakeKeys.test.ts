/** The handshake with keys: every refusal, and everybody who might sit in the middle. */
import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { createHash, randomBytes } from 'node:crypto';
import { ByteReader, ByteWriter } from '../../../lib/bytes.js';
import { Credentials } from '../../../lib/mesh/credentials.js';
import { Handshake } from '../../../lib/mesh/handshake.js';
import type { HandshakeOptions, HandshakeState } from '../../../lib/mesh/handshake.js';
import { parsePublicKey, signerOf } from '../../../lib/mesh/identity.js';
import { resolveSecret } from '../../../lib/mesh/secret.js';

/** Keys from names, so that a failure can be run again. */
const signerNamed = (name: string) => signerOf('key', createHash('sha256').update(name).digest());
const keyOf = (name: string): string => signerNamed(name).publicKey;

interface Spec {
  readonly secret?: string | false;
  /** The name of the key; none by default. */
  readonly key?: string;
  readonly list?: Readonly<Record<string, string>>;
  readonly binding?: string;
  readonly change?: (credentials: Credentials) => void;
}

const secret = 'the secret of the cluster';

async function credentialsOf(id: string, spec: Spec): Promise<Credentials> {
  const credentials = new Credentials({
    id,
    cluster: 'orders',
    keys: await resolveSecret(spec.secret ?? secret, 'orders'),
    ...(spec.key === undefined ? {} : { signer: signerNamed(spec.key) }),
    ...(spec.list && {
      peers: new Map(Object.entries(spec.list).map(([peer, key]) => [peer, [keyOf(key)]])),
    }),
  });
  spec.change?.(credentials);
  return credentials;
}

type End = 'a' | 'b';

async function optionsOf(id: End, spec: Spec): Promise<HandshakeOptions> {
  return {
    cluster: 'orders',
    id,
    incarnation: '000000000000001-0123456789abcdef',
    credentials: await credentialsOf(id, spec),
    nonce: randomBytes(32),
    limits: { controlWindowBytes: 1 << 20, bulkWindowBytes: 1 << 20, maxFrameBytes: 1 << 20 },
    peer: id === 'a' ? 'b' : 'a',
    offerer: id === 'a',
    binding: spec.binding ?? 'AA BB CC DD',
    admit: () => undefined,
  };
}

/** Hands each message on, or what is in its place; `undefined` keeps it back. */
type Wire = (bytes: Uint8Array, from: End, index: number) => Uint8Array | undefined;

function talk(left: HandshakeOptions, right: HandshakeOptions, wire: Wire = (bytes) => bytes) {
  const ends = { a: new Handshake(left), b: new Handshake(right) };
  const states: Record<End, HandshakeState> = { a: { kind: 'running' }, b: { kind: 'running' } };
  const sent = { a: 0, b: 0 };
  const queue: { readonly to: End; readonly bytes: Uint8Array }[] = [];
  const send = (from: End, bytes: Uint8Array): void => {
    const changed = wire(bytes, from, sent[from]++);
    if (changed !== undefined) queue.push({ to: from === 'a' ? 'b' : 'a', bytes: changed });
  };
  send('a', ends.a.start());
  send('b', ends.b.start());
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const { to, bytes } = next;
    if (states[to].kind === 'running') states[to] = ends[to].receive(bytes, (reply) => send(to, reply));
  }
  return { states, ends };
}

function verdict(state: HandshakeState): string {
  return state.kind === 'refused' ? `${state.told ? 'told ' : ''}${state.error.code}` : state.kind;
}

const both = { a: 'A', b: 'B' };

describe('the handshake with keys', () => {
  const table: [what: string, a: Spec, b: Spec, atA: string, atB: string][] = [
    ['secret and keys', { key: 'A', list: both }, { key: 'B', list: both }, 'done', 'done'],
    [
      'keys only',
      { secret: false, key: 'A', list: both },
      { secret: false, key: 'B', list: both },
      'done',
      'done',
    ],
    ['keys that nobody asks for', { key: 'A' }, { key: 'B' }, 'done', 'done'],
    ['one end that lists, one without a list', { key: 'A', list: both }, { key: 'B' }, 'done', 'done'],
    ['one end without a key', { key: 'A' }, {}, 'done', 'done'],
    ['a list without a key of its own', { list: both }, { key: 'B' }, 'done', 'done'],
    ['no key where one is listed', { key: 'A', list: both }, {}, 'ERR_PEER_KEY', 'told ERR_PEER_KEY'],
    ['another key', { key: 'A', list: both }, { key: 'X' }, 'ERR_PEER_KEY', 'told ERR_PEER_KEY'],
    ["the other end's key", { key: 'A', list: both }, { key: 'A' }, 'ERR_PEER_KEY', 'told ERR_PEER_KEY'],
    [
      'an id that is not listed',
      { key: 'A', list: { a: 'A' } },
      { key: 'B' },
      'ERR_PEER_KEY',
      'told ERR_PEER_KEY',
    ],
    [
      'an id that was revoked',
      { key: 'A', list: both, change: (credentials) => credentials.revoke('b') },
      { key: 'B', list: both },
      'ERR_PEER_KEY',
      'told ERR_PEER_KEY',
    ],
    [
      'the right key without the secret',
      { key: 'A', list: both },
      { secret: 'some other secret of length', key: 'B', list: both },
      'ERR_PEER_SECRET',
      'ERR_PEER_SECRET',
    ],
    [
      'a secret on one side only',
      { key: 'A', list: both },
      { secret: false, key: 'B', list: both },
      'ERR_PEER_SECRET',
      'ERR_PEER_SECRET',
    ],
    [
      'keys only, without a key',
      { secret: false, key: 'A', list: both },
      { secret: false },
      'ERR_PEER_KEY',
      'told ERR_PEER_KEY',
    ],
    [
      'keys only, other fingerprints',
      { secret: false, key: 'A', list: both },
      { secret: false, key: 'B', list: both, binding: 'AA BB CC EE' },
      'ERR_PEER_KEY',
      'ERR_PEER_KEY',
    ],
    [
      'secret and keys, other fingerprints',
      { key: 'A', list: both },
      { key: 'B', list: both, binding: 'AA BB CC EE' },
      'ERR_PEER_FINGERPRINT',
      'ERR_PEER_FINGERPRINT',
    ],
  ];
  for (const [what, a, b, atA, atB] of table) {
    it(`${atA === 'done' ? 'takes' : 'refuses'} ${what}`, async () => {
      const { states } = talk(await optionsOf('a', a), await optionsOf('b', b));
      expect([verdict(states.a), verdict(states.b)]).to.deep.equal([atA, atB]);
    });
  }

  it('says what the peer proved', async () => {
    const a = await optionsOf('a', { key: 'A', list: both });
    const { states } = talk(a, await optionsOf('b', { key: 'B', list: both }));
    if (states.a.kind !== 'done' || states.b.kind !== 'done') throw new Error('it should be done');
    expect(states.a.standing).to.deep.equal({
      id: 'b',
      publicKey: keyOf('B'),
      secretKey: a.credentials.keys![0],
    });
    expect([states.a.hello.publicKey, states.b.hello.publicKey]).to.deep.equal([keyOf('B'), keyOf('A')]);
  });

  it('signs nothing that could be taken for anything but a handshake of this mesh', async () => {
    const signed: Uint8Array[] = [];
    const signer = {
      publicKey: keyOf('A'),
      sign: (message: Uint8Array) => (signed.push(message), new Uint8Array(64)),
    };
    const credentials = new Credentials({ id: 'a', cluster: 'orders', keys: undefined, signer });
    talk({ ...(await optionsOf('a', {})), credentials }, await optionsOf('b', { secret: false }));
    expect(new ByteReader(signed[0]!).string()).to.equal('quorate mesh handshake');
  });

  it('tells a stranger nothing of the list: the secret comes first', async () => {
    for (const id of ['listed', 'not listed']) {
      const list: Record<string, string> = id === 'listed' ? both : { a: 'A' };
      const { states } = talk(
        await optionsOf('a', { key: 'A', list }),
        await optionsOf('b', { secret: 'some other secret of length' }),
      );
      expect(verdict(states.a)).to.equal('ERR_PEER_SECRET');
    }
  });

  it('is not done before the proof, and unverified until then', async () => {
    const a = new Handshake(await optionsOf('a', { key: 'A', list: both }));
    const b = new Handshake(await optionsOf('b', { key: 'B', list: both }));
    const toA: Uint8Array[] = [b.start()];
    a.receive(toA.shift()!, () => undefined);
    expect(a.verified).to.equal(false);
    b.receive(a.start(), (bytes) => toA.push(bytes));
    a.receive(toA.shift()!, () => undefined);
    expect(a.verified).to.equal(true);
  });

  for (const [when, index, change, expected] of [
    ['before the proof is checked', 1, (c: Credentials) => c.revoke('b'), 'ERR_PEER_KEY'],
    ['between proof and acceptance', 2, (c: Credentials) => c.revoke('b'), 'ERR_PEER_KEY'],
    ['between proof and acceptance', 2, (c: Credentials) => c.trust('b', keyOf('C')), 'ERR_PEER_KEY'],
  ] as const) {
    it(`counts what changes ${when}: ${change.toString().split('.')[1]!}`, async () => {
      const a = await optionsOf('a', { key: 'A', list: both });
      const { states } = talk(a, await optionsOf('b', { key: 'B', list: both }), (bytes, from, at) => {
        if (from === 'b' && at === index) change(a.credentials);
        return bytes;
      });
      expect(verdict(states.a)).to.equal(expected);
    });
  }

  describe('against somebody in the middle', () => {
    /** Two handshakes of M's own, one with each end, with whatever credentials it has. */
    async function middle(spec: { readonly ends: Spec; readonly m: Spec }) {
      const a = await optionsOf('a', { ...spec.ends, key: 'A', binding: 'A-M' });
      const b = await optionsOf('b', { ...spec.ends, key: 'B', binding: 'M-B' });
      const toA = await optionsOf('b', { ...spec.m, binding: 'A-M' });
      const toB = await optionsOf('a', { ...spec.m, binding: 'M-B' });
      return [verdict(talk(a, toA).states.a), verdict(talk(toB, b).states.b)];
    }

    it('gets in with the secret where nobody lists keys: members of one secret trust each other', async () => {
      expect(await middle({ ends: {}, m: {} })).to.deep.equal(['done', 'done']);
    });

    it('is refused with the secret and without the keys: with none, with one of its own', async () => {
      for (const m of [{}, { key: 'M' }])
        expect(await middle({ ends: { list: both }, m })).to.deep.equal(['ERR_PEER_KEY', 'ERR_PEER_KEY']);
    });

    it('is refused with a listed key of its own under another id', async () => {
      const list = { ...both, m: 'M' };
      expect(await middle({ ends: { list }, m: { key: 'M' } })).to.deep.equal([
        'ERR_PEER_KEY',
        'ERR_PEER_KEY',
      ]);
    });

    it('cannot pass the real signature on: it is about another channel', async () => {
      // M holds the secret, runs its own handshake with A, names B's key, and takes signatures from B's handshake with it.
      const a = await optionsOf('a', { key: 'A', list: both, binding: 'A-M' });
      const b = await optionsOf('b', { key: 'B', list: both, binding: 'M-B' });
      let real: Uint8Array | undefined;
      // A's hello goes to B as it is, so that B signs A's nonce, and B's hello to A, so that the transcripts agree.
      const keys = await resolveSecret(secret, 'orders');
      const { states } = talk(a, b, (bytes, from, index) => {
        if (from === 'b' && index === 1) {
          real = bytes;
          // The MACs would have to be made anew for A's channel; with the secret M can do that.
          return remade(bytes, keys![0], a, b, 'A-M');
        }
        return bytes;
      });
      expect(real).not.to.equal(undefined);
      expect(verdict(states.a)).to.equal('ERR_PEER_KEY');
      // What M does is otherwise perfect: where neither end has a key, A is taken in.
      const naive = await optionsOf('a', { binding: 'A-M' });
      const quiet = await optionsOf('b', { binding: 'M-B' });
      const fooled = talk(naive, quiet, (bytes, from, index) =>
        index === 1
          ? from === 'b'
            ? remade(bytes, keys![0], naive, quiet, 'A-M')
            : remade(bytes, keys![0], quiet, naive, 'M-B')
          : bytes,
      );
      expect(verdict(fooled.states.a)).to.equal('done');
    });

    it('cannot strip or swap the key in a hello', async () => {
      const swap =
        (key: string | undefined): Wire =>
        (bytes, from, index) =>
          from === 'b' && index === 0 ? withKey(bytes, key) : bytes;
      for (const [key, ends, atA, atB] of [
        [undefined, {}, 'ERR_PEER_SECRET', 'ERR_PEER_SECRET'],
        ['X', {}, 'ERR_PEER_SECRET', 'ERR_PEER_SECRET'],
        [undefined, { secret: false }, 'ERR_PEER_KEY', 'ERR_PEER_KEY'],
        ['X', { secret: false }, 'ERR_PEER_KEY', 'ERR_PEER_KEY'],
      ] as const) {
        const { states } = talk(
          await optionsOf('a', { ...ends, key: 'A', list: both }),
          await optionsOf('b', { ...ends, key: 'B', list: both }),
          swap(key),
        );
        expect([verdict(states.a), verdict(states.b)]).to.deep.equal([atA, atB]);
      }
      // Without a list the shown key counts too: a swapped one is no proof.
      const { states } = talk(
        await optionsOf('a', { secret: false }),
        await optionsOf('b', { secret: false, key: 'B' }),
        swap('X'),
      );
      expect(verdict(states.a)).to.equal('ERR_PEER_KEY');
    });

    it('cannot play a signature again', async () => {
      const spec = { secret: false, list: both } as const;
      const recorded: Uint8Array[] = [];
      const ends = async () =>
        [await optionsOf('a', { ...spec, key: 'A' }), await optionsOf('b', { ...spec, key: 'B' })] as const;
      talk(...(await ends()), (bytes, from) => {
        if (from === 'b') recorded.push(bytes);
        return bytes;
      });
      const [a, b] = await ends();
      const replay: Wire = (bytes, from, index) => (from === 'b' ? recorded[index] : bytes);
      expect(verdict(talk(a, b, replay).states.a)).to.equal('ERR_PEER_REPLAY');
      // Touched up to answer the new nonce: the signature is still about the old one.
      const touchedUp: Wire = (bytes, from, index) => {
        if (from !== 'b') return bytes;
        const copy = Uint8Array.from(recorded[index]!);
        if (index === 1) copy.set(a.nonce, 3);
        return copy;
      };
      expect(verdict(talk(a, b, touchedUp).states.a)).to.equal('ERR_PEER_KEY');
    });

    it("cannot send a node's own signature back to it", async () => {
      // The worst case: the list (wrongly) has A's own key for b, so only the role in the transcript tells them apart.
      const a = await optionsOf('a', { secret: false, key: 'A', list: { b: 'A' } });
      const handshake = new Handshake(a);
      const hello = new Handshake(await optionsOf('b', { secret: false, key: 'A' })).start();
      let proof = new Uint8Array(0);
      handshake.receive(hello, (reply) => (proof = Uint8Array.from(reply)));
      proof.set(a.nonce, 3);
      expect(verdict(handshake.receive(proof, () => undefined))).to.equal('ERR_PEER_KEY');
    });
  });

  describe('and builds without keys', () => {
    /** What such a build sends and reads: a hello that ends with the limits, a proof that ends with the second MAC. */
    const old: Wire = (bytes, from, index) => {
      if (index > 1 || bytes[1] === 4) return bytes;
      const appended = from === 'b' ? 1 : index === 0 ? 33 : 65;
      return bytes.subarray(0, bytes.length - appended);
    };

    it('gets along with them where no key is listed', async () => {
      // `secret: false`: b is a new build in disguise, and its MACs would be about the longer hellos.
      const { states } = talk(
        await optionsOf('a', { secret: false, key: 'A' }),
        await optionsOf('b', { secret: false }),
        old,
      );
      expect(verdict(states.a)).to.equal('done');
    });

    it('refuses them where one is', async () => {
      const { states } = talk(
        await optionsOf('a', { secret: false, key: 'A', list: both }),
        await optionsOf('b', { secret: false }),
        old,
      );
      expect(verdict(states.a)).to.equal('ERR_PEER_KEY');
    });
  });

  it('refuses keys and signatures of a wrong form', async () => {
    const small = new Uint8Array(32);
    small[0] = 1;
    const hellos: Uint8Array[] = [small, new Uint8Array(31).fill(9), new Uint8Array(33).fill(9)];
    for (const key of hellos) {
      const { states } = talk(
        await optionsOf('a', { secret: false }),
        await optionsOf('b', { secret: false }),
        (bytes, from, index) => (from === 'b' && index === 0 ? withKeyBytes(bytes, key) : bytes),
      );
      expect(verdict(states.a)).to.equal('ERR_PEER_PROTOCOL');
    }
    for (const length of [0, 63]) {
      const { states } = talk(
        await optionsOf('a', { secret: false }),
        await optionsOf('b', { secret: false, key: 'B' }),
        (bytes, from, index) => (from === 'b' && index === 1 ? withSignature(bytes, length) : bytes),
      );
      expect(verdict(states.a)).to.equal('ERR_PEER_KEY');
    }
  });

  it('lets no changed byte of a hello or proof through, with keys alone', async () => {
    const [left, right] = [
      await optionsOf('a', { secret: false, key: 'A', list: both }),
      await optionsOf('b', { secret: false, key: 'B', list: both }),
    ];
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1 }),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        (which, at, flip) => {
          const { states } = talk(left, right, (bytes, from, index) => {
            if (from !== 'b' || index !== which) return bytes;
            return Uint8Array.from(bytes, (byte, i) => (i === at % bytes.length ? byte ^ flip : byte));
          });
          return states.a.kind !== 'done';
        },
      ),
      { numRuns: 300 },
    );
  });
});

/** A hello with another key at its end. */
function withKey(hello: Uint8Array, name: string | undefined): Uint8Array {
  return withKeyBytes(hello, name === undefined ? new Uint8Array(0) : parsePublicKey(keyOf(name))!);
}

function withKeyBytes(hello: Uint8Array, key: Uint8Array): Uint8Array {
  const had = hello.at(-1) === 0 && hello.at(-33) !== 32 ? 1 : 33;
  const writer = new ByteWriter();
  writer.raw(hello.subarray(0, hello.length - had));
  writer.bytes(key);
  return writer.take();
}

function withSignature(proof: Uint8Array, length: number): Uint8Array {
  const reader = new ByteReader(proof, 2);
  for (let i = 0; i < 3; i++) reader.bytes();
  const writer = new ByteWriter();
  writer.raw(proof.subarray(0, reader.at));
  writer.bytes(new Uint8Array(length));
  return writer.take();
}

/** The proof of `from` for the handshake with `to`, its MACs made anew for another binding by one who holds the secret. */
function remade(
  proof: Uint8Array,
  key: Uint8Array,
  to: HandshakeOptions,
  from: HandshakeOptions,
  binding: string,
): Uint8Array {
  // An honest end that has the nonces and ids of `from`, the secret, and the other channel, but not the key.
  const forger = new Handshake({
    ...from,
    binding,
    credentials: new Credentials({
      id: from.id,
      cluster: from.cluster,
      keys: [key],
      ...(from.credentials.publicKey === undefined
        ? {}
        : { signer: { publicKey: from.credentials.publicKey, sign: () => new Uint8Array(64) } }),
    }),
  });
  const toHello = new Handshake(to).start();
  let made = new Uint8Array(0);
  forger.receive(toHello, (reply) => (made = Uint8Array.from(reply)));
  const signature = new ByteReader(proof, 2);
  for (let i = 0; i < 3; i++) signature.bytes();
  const reader = new ByteReader(made, 2);
  for (let i = 0; i < 3; i++) reader.bytes();
  const writer = new ByteWriter();
  writer.raw(made.subarray(0, reader.at));
  writer.bytes(signature.bytes());
  return writer.take();
}
