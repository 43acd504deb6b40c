import { expect } from 'chai';
import { describe, it } from 'mocha';
import fc from 'fast-check';
import { randomBytes } from 'node:crypto';
import { Credentials } from '../../../lib/mesh/credentials.js';
import { Handshake } from '../../../lib/mesh/handshake.js';
import type { HandshakeOptions, HandshakeState } from '../../../lib/mesh/handshake.js';
import { resolveSecret } from '../../../lib/mesh/secret.js';

const limits = { controlWindowBytes: 1 << 20, bulkWindowBytes: 1 << 21, maxFrameBytes: 1 << 22 };

type Keys = Awaited<ReturnType<typeof resolveSecret>>;

async function options(
  change: Partial<HandshakeOptions> & { readonly keys?: Keys } = {},
): Promise<HandshakeOptions> {
  const { keys, ...rest } = change;
  const id = change.id ?? 'a';
  const own = 'keys' in change ? keys : await resolveSecret('the secret of the cluster', 'orders');
  return {
    cluster: 'orders',
    id,
    incarnation: '000000000000001-0123456789abcdef',
    credentials: new Credentials({ id, cluster: 'orders', keys: own }),
    nonce: randomBytes(32),
    limits,
    peer: 'b',
    offerer: true,
    binding: 'AA BB CC DD',
    admit: () => undefined,
    ...rest,
  };
}

const answerer = { id: 'b', peer: 'a', offerer: false } as const;

type Tamper = (bytes: Uint8Array, from: 'a' | 'b', index: number) => Uint8Array | undefined;

/** Lets two handshakes talk; `tamper` sits on the wire. */
function talk(
  left: HandshakeOptions,
  right: HandshakeOptions,
  tamper: Tamper = (bytes) => bytes,
): Record<'a' | 'b', HandshakeState> {
  const ends = { a: new Handshake(left), b: new Handshake(right) };
  const states: Record<'a' | 'b', HandshakeState> = { a: { kind: 'running' }, b: { kind: 'running' } };
  const sent = { a: 0, b: 0 };
  const wire: { readonly to: 'a' | 'b'; readonly bytes: Uint8Array }[] = [];
  const send = (from: 'a' | 'b', bytes: Uint8Array): void => {
    const changed = tamper(bytes, from, sent[from]++);
    if (changed !== undefined) wire.push({ to: from === 'a' ? 'b' : 'a', bytes: changed });
  };
  send('a', ends.a.start());
  send('b', ends.b.start());
  for (let next = wire.shift(); next !== undefined; next = wire.shift()) {
    const { to, bytes } = next;
    if (states[to].kind === 'running') states[to] = ends[to].receive(bytes, (reply) => send(to, reply));
  }
  return states;
}

function verdict(state: HandshakeState): string {
  return state.kind === 'refused' ? `${state.told ? 'told ' : ''}${state.error.code}` : state.kind;
}

describe('the handshake', () => {
  it('lets in who holds the secret, and tells each the limits of the other', async () => {
    const states = talk(
      await options(),
      await options({ ...answerer, limits: { ...limits, maxFrameBytes: 1 << 23 } }),
    );
    expect([verdict(states.a), verdict(states.b)]).to.deep.equal(['done', 'done']);
    if (states.a.kind !== 'done') return;
    expect(states.a.hello).to.include({ id: 'b', cluster: 'orders', maxFrameBytes: 1 << 23 });
    expect(states.a.version).to.equal(1);
  });

  it('refuses another secret', async () => {
    const keys = await resolveSecret('the secret of somebody else', 'orders');
    const states = talk(await options(), await options({ ...answerer, keys }));
    expect([verdict(states.a), verdict(states.b)]).to.deep.equal(['ERR_PEER_SECRET', 'ERR_PEER_SECRET']);
  });

  it('refuses the same secret of another cluster', async () => {
    const keys = await resolveSecret('the secret of the cluster', 'another');
    expect(verdict(talk(await options(), await options({ ...answerer, keys })).a)).to.equal(
      'ERR_PEER_SECRET',
    );
  });

  it('accepts the previous secret as well as the current', async () => {
    const both = await resolveSecret(
      { current: 'a new secret, long enough', previous: 'the secret of the cluster' },
      'orders',
    );
    const turned = await resolveSecret(
      { current: 'the secret of the cluster', previous: 'a new secret, long enough' },
      'orders',
    );
    const states = talk(await options({ keys: both }), await options({ ...answerer, keys: turned }));
    expect([verdict(states.a), verdict(states.b)]).to.deep.equal(['done', 'done']);
    // One that has not heard of the new secret refuses whoever proves with it.
    const old = talk(await options({ keys: both }), await options({ ...answerer }));
    expect(verdict(old.b)).to.equal('ERR_PEER_SECRET');
    expect(verdict(old.a)).to.equal('told ERR_PEER_SECRET');
  });

  it('opens without a secret only where both say so', async () => {
    const open = await options({ keys: undefined });
    expect(verdict(talk(open, await options({ ...answerer, keys: undefined })).a)).to.equal('done');
    const states = talk(open, await options(answerer));
    expect([verdict(states.a), verdict(states.b)]).to.deep.equal(['ERR_PEER_SECRET', 'ERR_PEER_SECRET']);
  });

  it('refuses somebody in the middle: same secret, other fingerprints', async () => {
    const states = talk(await options(), await options({ ...answerer, binding: 'AA BB CC EE' }));
    expect([verdict(states.a), verdict(states.b)]).to.deep.equal([
      'ERR_PEER_FINGERPRINT',
      'ERR_PEER_FINGERPRINT',
    ]);
  });

  it('refuses swapped fingerprints', async () => {
    const states = talk(
      await options({ binding: 'AA BB CC DD' }),
      await options({ ...answerer, binding: 'CC DD AA BB' }),
    );
    expect(verdict(states.a)).to.equal('ERR_PEER_FINGERPRINT');
  });

  for (const [name, change] of [
    ['another cluster', { cluster: 'invoices' }],
    ['an id that the link does not lead to', { id: 'c' }],
    ["this node's own id", { id: 'a' }],
  ] as const) {
    it(`refuses a stranger: ${name}`, async () => {
      const states = talk(await options(), await options({ ...answerer, ...change }));
      expect(verdict(states.a)).to.equal('ERR_PEER_STRANGER');
    });
  }

  it('refuses a proof played again', async () => {
    const recorded: Uint8Array[] = [];
    talk(await options(), await options(answerer), (bytes, from) => {
      if (from === 'b') recorded.push(bytes);
      return bytes;
    });
    const states = talk(await options(), await options(answerer), (bytes, from, index) =>
      from === 'b' ? recorded[index] : bytes,
    );
    expect(verdict(states.a)).to.equal('ERR_PEER_REPLAY');
  });

  it('refuses a replay whose nonce was touched up', async () => {
    const recorded: Uint8Array[] = [];
    talk(await options(), await options(answerer), (bytes, from) => {
      if (from === 'b') recorded.push(bytes);
      return bytes;
    });
    const nonce = randomBytes(32);
    const states = talk(await options({ nonce }), await options(answerer), (bytes, from, index) => {
      if (from !== 'b' || recorded[index] === undefined) return bytes;
      const copy = Uint8Array.from(recorded[index]);
      if (index === 1) copy.set(nonce, 3); // magic, type, length of the nonce
      return copy;
    });
    expect(verdict(states.a)).to.equal('ERR_PEER_SECRET');
  });

  it('refuses its own words reflected', async () => {
    const own = await options();
    const hello = new Handshake(own).start();
    expect(verdict(new Handshake(own).receive(hello, () => undefined))).to.equal('ERR_PEER_STRANGER');
    // Behind the hello of another id, the reflected proof is that of the wrong role.
    const handshake = new Handshake(own);
    let proof = new Uint8Array(0);
    handshake.receive(
      new Handshake(await options(answerer)).start(),
      (reply) => (proof = Uint8Array.from(reply)),
    );
    proof.set(own.nonce, 3);
    expect(verdict(handshake.receive(proof, () => undefined))).to.equal('ERR_PEER_SECRET');
  });

  it('refuses a hello with the nonce of this end', async () => {
    const nonce = randomBytes(32);
    expect(verdict(talk(await options({ nonce }), await options({ ...answerer, nonce })).a)).to.equal(
      'ERR_PEER_REPLAY',
    );
  });

  it('refuses a peer that claims the same role', async () => {
    expect(verdict(talk(await options(), await options({ ...answerer, offerer: true })).a)).to.equal(
      'ERR_PEER_PROTOCOL',
    );
  });

  it('covers every byte of both hellos', async () => {
    // A hello changed on the way, past what is checked by itself: the last of its limits, before the empty key.
    const states = talk(await options(), await options(answerer), (bytes, from, index) => {
      if (from !== 'b' || index !== 0) return bytes;
      return Uint8Array.from(bytes, (byte, i) => (i === bytes.length - 2 ? byte ^ 3 : byte));
    });
    expect([verdict(states.a), verdict(states.b)]).to.include('ERR_PEER_SECRET');
    expect(states.a.kind).to.equal('refused');
  });

  it('refuses a wire version it does not speak, whatever else a later hello says', async () => {
    const states = talk(await options(), await options({ ...answerer, versions: { min: 2, max: 7 } }));
    expect([verdict(states.a), verdict(states.b)]).to.deep.equal(['ERR_PEER_VERSION', 'ERR_PEER_VERSION']);
    const future = Uint8Array.from([0x51, 1, 9, 12, 0xff, 0xff, 0xff]);
    expect(verdict(new Handshake(await options()).receive(future, () => undefined))).to.equal(
      'ERR_PEER_VERSION',
    );
  });

  it('speaks the highest version that both know', async () => {
    const left = await options({ versions: { min: 1, max: 4 } });
    const states = talk(left, await options({ ...answerer, versions: { min: 2, max: 3 } }));
    expect(states.a.kind === 'done' && states.a.version).to.equal(3);
  });

  it('asks whether the peer is welcome only after its proof, and says no before it accepts', async () => {
    let asked = 0;
    const admit = (): 'ERR_PEER_DUPLICATE' => {
      asked++;
      return 'ERR_PEER_DUPLICATE';
    };
    const states = talk(await options({ admit }), await options(answerer));
    expect([verdict(states.a), verdict(states.b)]).to.deep.equal([
      'ERR_PEER_DUPLICATE',
      'told ERR_PEER_DUPLICATE',
    ]);
    expect(asked).to.equal(1);
    const keys = await resolveSecret('the secret of somebody else', 'orders');
    talk(await options({ admit }), await options({ ...answerer, keys }));
    expect(asked).to.equal(1);
  });

  for (const [name, bytes] of [
    ['a frame', [0xc1, 1, 0]],
    ['nothing', []],
    ['a proof before the hello', [0x51, 2, 0, 0, 0]],
    ['an acceptance before the hello', [0x51, 3]],
    ['an unknown type', [0x51, 9]],
    ['a hello cut off', [0x51, 1, 1, 1, 5, 1]],
    ['too much', new Array<number>(2000).fill(0x51)],
  ] as [string, number[]][]) {
    it(`refuses ${name} first`, async () => {
      const replies: Uint8Array[] = [];
      const handshake = new Handshake(await options());
      const state = handshake.receive(Uint8Array.from(bytes), (reply) => replies.push(reply));
      expect(verdict(state)).to.equal('ERR_PEER_PROTOCOL');
      expect(replies).to.deep.equal([Uint8Array.from([0x51, 4, 0])]);
    });
  }

  it('refuses a second hello, and an acceptance without proof', async () => {
    const hello = new Handshake(await options(answerer)).start();
    for (const second of [hello, Uint8Array.from([0x51, 3])]) {
      const handshake = new Handshake(await options());
      expect(verdict(handshake.receive(hello, () => undefined))).to.equal('running');
      expect(verdict(handshake.receive(second, () => undefined))).to.equal('ERR_PEER_PROTOCOL');
    }
  });

  it('never throws and never lets garbage in', async () => {
    const own = await options();
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 5 }), (messages) => {
        const handshake = new Handshake(own);
        for (const message of messages) {
          const bytes = Uint8Array.from([0x51, 1 + ((message[0] ?? 0) % 4), ...message]);
          if (handshake.receive(bytes, () => undefined).kind === 'done') return false;
        }
        return true;
      }),
      { numRuns: 2000 },
    );
  });

  it('lets no changed byte of a hello or proof through to either end', async () => {
    const [left, right] = [await options(), await options(answerer)];
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1 }),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        (which, at, flip) => {
          const states = talk(left, right, (bytes, from, index) => {
            if (from !== 'b' || index !== which) return bytes;
            return Uint8Array.from(bytes, (byte, i) => (i === at % bytes.length ? byte ^ flip : byte));
          });
          return states.a.kind !== 'done';
        },
      ),
      { numRuns: 400 },
    );
  });
});
