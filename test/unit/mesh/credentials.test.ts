import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';
import type { QuorateError } from '../../../lib/errors.js';
import { Credentials } from '../../../lib/mesh/credentials.js';
import type { FollowedList, Standing } from '../../../lib/mesh/credentials.js';
import { generateIdentity } from '../../../lib/mesh/identity.js';
import { resolveSecret } from '../../../lib/mesh/secret.js';

const secret = 'the secret of the cluster';
const [own, one, two, three, four] = Array.from({ length: 5 }, generateIdentity) as [
  Pair,
  Pair,
  Pair,
  Pair,
  Pair,
];
type Pair = ReturnType<typeof generateIdentity>;

const resolve = (identity: unknown, ...given: unknown[]): Promise<Credentials> =>
  Credentials.resolve({ id: 'm', cluster: 'c', secret: given.length === 0 ? secret : given[0], identity });

async function rejection(promise: Promise<unknown>): Promise<QuorateError> {
  try {
    await promise;
  } catch (error) {
    return error as QuorateError;
  }
  throw new Error('it should have rejected');
}

function codeOf(run: () => unknown): string {
  try {
    run();
    return 'taken';
  } catch (error) {
    return (error as QuorateError).code;
  }
}

const ring = (revision: number, change: Partial<FollowedList> = {}): FollowedList => ({
  revision,
  trusted: [],
  revoked: [],
  revokedKeys: [],
  ...change,
});

describe('the option identity', () => {
  it('takes a key, or a function that fetches it, and shows the public one', async () => {
    expect((await resolve({ key: own.privateKey })).publicKey).to.equal(own.publicKey);
    expect((await resolve({ key: async () => own.privateKey })).publicKey).to.equal(own.publicKey);
    expect((await resolve(undefined)).publicKey).to.equal(undefined);
    expect((await resolve(undefined)).sign(new Uint8Array(1))).to.equal(undefined);
  });

  const bad: [what: string, identity: unknown, message: RegExp][] = [
    ['null', null, /identity must be an object/],
    ['a bare key', 'PRIVATE', /identity must be an object/],
    ['no key', { peers: {} }, /identity\.key must be/],
    ['a wrong key', { key: 'PRIVATE' }, /identity\.key must be/],
    ['a key that cannot be fetched', { key: async () => Promise.reject(new Error('vault')) }, /fetches it/],
    ['a fetched key that is none', { key: async () => 'PRIVATE' }, /identity\.key must be/],
    [
      'a list that is none',
      { key: own.privateKey, peers: [one.publicKey] },
      /identity\.peers must be an object/,
    ],
    ['a list of null', { key: own.privateKey, peers: null }, /identity\.peers must be an object/],
    ['a bad id', { key: own.privateKey, peers: { 'a b': one.publicKey } }, /identity\.peers: an id must be/],
    ['a bad public key', { key: own.privateKey, peers: { b: 'ed25519:x' } }, /identity\.peers\.b must be/],
    [
      'a private key in its place',
      { key: own.privateKey, peers: { b: 'PRIVATE' } },
      /identity\.peers\.b must be/,
    ],
    ['an undefined one', { key: own.privateKey, peers: { b: undefined } }, /identity\.peers\.b must be/],
    ['no keys for an id', { key: own.privateKey, peers: { b: [] } }, /identity\.peers\.b must be 1 to 4/],
    [
      'five keys for an id',
      { key: own.privateKey, peers: { b: new Array(5).fill(one.publicKey) } },
      /1 to 4/,
    ],
    ['a key twice', { key: own.privateKey, peers: { b: [one.publicKey, one.publicKey] } }, /different keys/],
    ['a key for two', { key: own.privateKey, peers: { b: one.publicKey, d: one.publicKey } }, /both b and d/],
    [
      'its own id with another key',
      { key: own.privateKey, peers: { m: one.publicKey } },
      /lists this node, m/,
    ],
    ["its own key for another's", { key: own.privateKey, peers: { b: own.publicKey } }, /own key for b/],
    ['a wrong awaitKeyring', { key: own.privateKey, awaitKeyring: 1 }, /identity\.awaitKeyring must be/],
    [
      'more than 1024 ids',
      {
        key: own.privateKey,
        peers: Object.fromEntries(Array.from({ length: 1025 }, (_, i) => [`n${i}`, 1])),
      },
      /at most 1024/,
    ],
  ];
  for (const [what, identity, message] of bad) {
    it(`refuses ${what}`, async () => {
      const error = await rejection(resolve(identity));
      expect(error.code).to.equal('ERR_CONFIG');
      expect(error.message).to.match(message).and.not.include('PRIVATE');
    });
  }

  it('never makes up for a missing or weak secret', async () => {
    const identity = { key: own.privateKey, peers: { b: one.publicKey } };
    expect((await rejection(resolve(identity, undefined))).code).to.equal('ERR_SECRET_MISSING');
    expect((await rejection(resolve(identity, 'short'))).code).to.equal('ERR_SECRET_WEAK');
    expect((await resolve(identity, false)).keys).to.equal(undefined);
  });
});

describe('who is welcome', () => {
  let secretKey: Uint8Array;
  let reviews: number;
  let warnings: string[];
  beforeEach(async () => {
    secretKey = (await resolveSecret(secret, 'c'))![0];
    reviews = 0;
    warnings = [];
  });

  async function made(peers?: Record<string, string | string[]>, awaitKeyring = false): Promise<Credentials> {
    const credentials = await resolve({ key: own.privateKey, ...(peers && { peers }), awaitKeyring });
    credentials.attach({
      review: () => {
        reviews++;
      },
      onWarning: (error) =>
        void warnings.push(`${String((error as { code?: unknown }).code)} ${error.message}`),
    });
    return credentials;
  }
  const standing = (id: string, publicKey?: string): Standing => ({ id, publicKey, secretKey });
  const verdict = (credentials: Credentials, id: string, key?: string): string =>
    credentials.objection(standing(id, key))?.text ?? 'welcome';

  it('without a list: whoever holds the secret, with any key or none', async () => {
    const credentials = await made();
    expect(verdict(credentials, 'b')).to.equal('welcome');
    expect(verdict(credentials, 'b', one.publicKey)).to.equal('welcome');
    // A pinned id needs its key, the others do not.
    credentials.trust('b', one.publicKey);
    expect(verdict(credentials, 'b')).to.match(/shows none/);
    expect(verdict(credentials, 'b', two.publicKey)).to.match(/not the listed one/);
    expect(verdict(credentials, 'b', one.publicKey)).to.equal('welcome');
    expect(verdict(credentials, 'd')).to.equal('welcome');
  });

  it('with a list: who is on it, with a key of its own', async () => {
    const credentials = await made({ b: [one.publicKey, two.publicKey], d: three.publicKey });
    expect(verdict(credentials, 'b', one.publicKey)).to.equal('welcome');
    expect(verdict(credentials, 'b', two.publicKey)).to.equal('welcome');
    expect(verdict(credentials, 'b', three.publicKey)).to.match(/not the listed one/);
    expect(verdict(credentials, 'b')).to.match(/shows none/);
    expect(verdict(credentials, 'e', four.publicKey)).to.match(/not on the list/);
    expect(verdict(credentials, 'e')).to.match(/not on the list/);
    expect(verdict(await made({}), 'b', one.publicKey)).to.match(/not on the list/);
  });

  it('takes an id that is a word of JavaScript for what it is', async () => {
    const credentials = await made({ b: one.publicKey });
    for (const id of ['constructor', 'toString', '__proto__'])
      expect(verdict(credentials, id, one.publicKey)).to.match(/not on the list/);
  });

  it('changes at once: trust replaces, revoke wins, trust takes it back', async () => {
    const credentials = await made({ b: one.publicKey });
    credentials.trust('b', two.publicKey);
    expect(verdict(credentials, 'b', one.publicKey)).to.match(/not the listed one/);
    expect(verdict(credentials, 'b', two.publicKey)).to.equal('welcome');
    credentials.revoke('b');
    expect(verdict(credentials, 'b', two.publicKey)).to.match(/this node revoked it/);
    expect(credentials.trusted()).to.deep.equal([]);
    credentials.trust('b', [two.publicKey, three.publicKey]);
    expect(verdict(credentials, 'b', three.publicKey)).to.equal('welcome');
    expect(reviews).to.equal(3);
    // Also one that was never listed, on an open mesh.
    const open = await made();
    open.revoke('x');
    expect(verdict(open, 'x')).to.match(/this node revoked it/);
  });

  it('refuses bad calls, and changes nothing by them', async () => {
    const credentials = await made({ b: one.publicKey });
    const before = credentials.trusted();
    const calls: (() => void)[] = [
      () => credentials.trust('no id', two.publicKey),
      () => credentials.trust('d', 'ed25519:nonsense'),
      () => credentials.trust('d', []),
      () => credentials.trust('d', one.publicKey),
      () => credentials.trust('d', own.publicKey),
      () => credentials.revoke('no id'),
      () => credentials.revoke('m'),
    ];
    for (const call of calls) expect(codeOf(call), call.toString()).to.equal('ERR_CONFIG');
    expect(credentials.trusted()).to.deep.equal(before);
    expect(reviews).to.equal(0);
    for (let i = 1; i < 1024; i++) credentials.trust(`n${i}`, generateIdentity().publicKey);
    expect(codeOf(() => credentials.trust('n1024', two.publicKey))).to.equal('ERR_CONFIG');
    expect(codeOf(() => credentials.trust('b', two.publicKey))).to.equal('taken');
  });

  it('follows a keyring: it wins where it says something, the list holds where it does not', async () => {
    const credentials = await made({ b: one.publicKey, d: two.publicKey });
    credentials.follow(ring(5, { trusted: [['b', [three.publicKey]]] }));
    expect(verdict(credentials, 'b', one.publicKey)).to.match(/not the listed one/);
    expect(verdict(credentials, 'b', three.publicKey)).to.equal('welcome');
    expect(verdict(credentials, 'd', two.publicKey)).to.equal('welcome');
    expect(credentials.trusted()).to.deep.equal([
      { id: 'b', keys: [three.publicKey], by: 'keyring' },
      { id: 'd', keys: [two.publicKey], by: 'node' },
    ]);
    credentials.follow(
      ring(6, { trusted: [['b', [three.publicKey]]], revoked: ['d'], revokedKeys: [four.publicKey] }),
    );
    expect(verdict(credentials, 'd', two.publicKey)).to.match(/the keyring revoked it/);
    // The node cannot overrule a revocation, nor give a revoked key to anybody.
    credentials.trust('d', two.publicKey);
    expect(verdict(credentials, 'd', two.publicKey)).to.match(/the keyring revoked it/);
    credentials.trust('e', four.publicKey);
    expect(verdict(credentials, 'e', four.publicKey)).to.match(/revoked its key/);
    expect(credentials.trusted().map((peer) => peer.id)).to.deep.equal(['b']);
    // But it can put out whom the keyring trusts.
    credentials.revoke('b');
    expect(verdict(credentials, 'b', three.publicKey)).to.match(/this node revoked it/);
    expect(warnings).to.deep.equal([]);
  });

  it('takes a key that the keyring gave to one id from another', async () => {
    const credentials = await made({ b: one.publicKey });
    credentials.follow(ring(1, { trusted: [['e', [one.publicKey]]] }));
    expect(verdict(credentials, 'e', one.publicKey)).to.equal('welcome');
    expect(verdict(credentials, 'b', one.publicKey)).to.match(/not the listed one/);
  });

  it('refuses revoked ids and keys on an open mesh too', async () => {
    const credentials = await made();
    credentials.follow(ring(1, { revoked: ['b'], revokedKeys: [one.publicKey] }));
    expect(verdict(credentials, 'b')).to.match(/the keyring revoked it/);
    expect(verdict(credentials, 'e', one.publicKey)).to.match(/revoked its key/);
    expect(verdict(credentials, 'e', two.publicKey)).to.equal('welcome');
  });

  it('ignores a keyring older than the one in force', async () => {
    const credentials = await made({ b: one.publicKey });
    credentials.follow(ring(9, { revoked: ['b'] }));
    credentials.follow(ring(8, { trusted: [['b', [one.publicKey]]] }));
    expect(verdict(credentials, 'b', one.publicKey)).to.match(/the keyring revoked it/);
    expect(warnings).to.have.length(1);
    expect(warnings[0]).to.match(/^ERR_PEER_KEY .*revision 8, older than the 9/);
    credentials.follow(ring(9, { revoked: ['b'] }));
    credentials.follow(ring(10, { trusted: [['b', [one.publicKey]]] }));
    expect(verdict(credentials, 'b', one.publicKey)).to.equal('welcome');
    expect(warnings).to.have.length(1);
  });

  it('says aloud when the keyring puts this node out, once a change', async () => {
    const credentials = await made({ b: one.publicKey });
    const steps: [Partial<FollowedList>, RegExp | undefined][] = [
      [{ trusted: [['m', [own.publicKey]]] }, undefined],
      [{ revoked: ['m'] }, /revoked this node: /],
      [{ revokedKeys: [own.publicKey] }, /revoked this node's key/],
      [{ trusted: [['m', [two.publicKey]]] }, /lists this node with another key/],
    ];
    for (const [i, [change, message]] of steps.entries()) {
      warnings = [];
      credentials.follow(ring(i, change));
      credentials.follow(ring(i, change));
      expect(warnings).to.have.length(message === undefined ? 0 : 1);
      if (message !== undefined) expect(warnings[0]).to.match(message);
    }
  });

  it('lets nobody in before the keyring was read, if told to wait', async () => {
    const credentials = await made({ b: one.publicKey }, true);
    expect(verdict(credentials, 'b', one.publicKey)).to.match(/not been read yet/);
    credentials.follow(ring(0));
    expect(verdict(credentials, 'b', one.publicKey)).to.equal('welcome');
  });

  it('objects to a secret that is no longer accepted, and reviews links only when asked to', async () => {
    const credentials = await made();
    const next = 'another secret of the cluster';
    await credentials.rotateSecret({ current: next, previous: secret });
    expect(verdict(credentials, 'b')).to.equal('welcome');
    await credentials.rotateSecret(next);
    expect(credentials.objection(standing('b'))).to.deep.include({ code: 'ERR_PEER_SECRET' });
    expect(credentials.objection({ id: 'b', publicKey: undefined, secretKey: undefined })).to.deep.include({
      code: 'ERR_PEER_SECRET',
    });
    expect(reviews).to.equal(0);
    await credentials.rotateSecret(next, { relink: true });
    expect(reviews).to.equal(1);
  });

  it('keeps the secret it has when the next is refused, and takes changes in the order of the calls', async () => {
    const credentials = await made();
    const before = credentials.keys;
    for (const [wrong, code] of [
      [undefined, 'ERR_SECRET_MISSING'],
      ['short', 'ERR_SECRET_WEAK'],
      [false, 'ERR_CONFIG'],
      [{ current: 'x'.repeat(16), previous: 'short' }, 'ERR_SECRET_WEAK'],
    ] as [never, string][]) {
      expect((await rejection(credentials.rotateSecret(wrong))).code).to.equal(code);
      expect(credentials.keys).to.equal(before);
    }
    expect((await rejection(credentials.rotateSecret('x'.repeat(16), { relink: 1 as never }))).code).to.equal(
      'ERR_CONFIG',
    );
    let fetched!: (value: string) => void;
    const slow = credentials.rotateSecret(() => new Promise((done) => (fetched = done)));
    const quick = credentials.rotateSecret('the last secret of them all');
    while ((fetched as unknown) === undefined) await new Promise((done) => void setImmediate(done));
    fetched('the slow secret of the cluster');
    await Promise.all([slow, quick]);
    expect(credentials.keys).to.deep.equal(await resolveSecret('the last secret of them all', 'c'));
    const open = await resolve(undefined, false);
    expect((await rejection(open.rotateSecret(secret))).message).to.match(/secret: false/);
  });
});

describe('whom a node could let in', () => {
  it('is anybody without a list, else the listed ones and itself, and never who was revoked', async () => {
    const open = await resolve({ key: own.privateKey });
    expect(open.couldAdmit('x')).to.equal(true);
    open.revoke('x');
    expect(open.couldAdmit('x')).to.equal(false);
    const closed = await resolve({ key: own.privateKey, peers: { a: one.publicKey } });
    expect(['a', 'm', 'x'].map((id) => closed.couldAdmit(id))).to.deep.equal([true, true, false]);
    closed.follow(ring(1, { trusted: [['x', [two.publicKey]]], revoked: ['a'] }));
    expect(['a', 'm', 'x'].map((id) => closed.couldAdmit(id))).to.deep.equal([false, true, true]);
    closed.follow(ring(2, { trusted: [['x', [two.publicKey]]], revokedKeys: [two.publicKey] }));
    expect(closed.couldAdmit('x'), 'no key is left').to.equal(false);
  });

  it('is anybody who was not revoked, until the keyring has been read', async () => {
    const waits = await resolve({ key: own.privateKey, peers: { a: one.publicKey }, awaitKeyring: true });
    expect(waits.couldAdmit('x')).to.equal(true);
    waits.follow(ring(1));
    expect(waits.couldAdmit('x')).to.equal(false);
  });
});
