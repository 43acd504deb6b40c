import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { createPrivateKey, createPublicKey, generateKeyPairSync, verify } from 'node:crypto';
import { QuorateError } from '../../../lib/errors.js';
import {
  checkPublicKey,
  decodePublicKey,
  formatPublicKey,
  generateIdentity,
  isSignedBy,
  parsePublicKey,
  publicKeyOf,
  signerOf,
} from '../../../lib/mesh/identity.js';
import type { NodeKey } from '../../../lib/mesh/identity.js';

function codeOf(run: () => unknown): string {
  try {
    run();
    return 'taken';
  } catch (error) {
    return (error as QuorateError).code;
  }
}

/** RFC 8032, section 7.1, test 2. */
const vector = {
  seed: Buffer.from('4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb', 'hex'),
  publicKey: Buffer.from('3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c', 'hex'),
  message: Uint8Array.of(0x72),
  signature: Buffer.from(
    '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da' +
      '085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
    'hex',
  ),
};

describe('the keys of nodes', () => {
  it('sign as RFC 8032 says', () => {
    const signer = signerOf('key', vector.seed);
    expect(signer.publicKey).to.equal(formatPublicKey(vector.publicKey));
    expect(Buffer.from(signer.sign(vector.message))).to.deep.equal(vector.signature);
    expect(isSignedBy(signer.publicKey, vector.message, vector.signature)).to.equal(true);
    expect(isSignedBy(signer.publicKey, Uint8Array.of(0x73), vector.signature)).to.equal(false);
    expect(isSignedBy(signer.publicKey, vector.message, vector.signature.subarray(1))).to.equal(false);
    expect(isSignedBy(signer.publicKey, vector.message, new Uint8Array(0))).to.equal(false);
    expect(isSignedBy('ed25519:nonsense', vector.message, vector.signature)).to.equal(false);
  });

  it('are made afresh, and read from PEM text, its bytes, a KeyObject and a seed alike', () => {
    const made = generateIdentity();
    expect(generateIdentity().publicKey).not.to.equal(made.publicKey);
    expect(made.publicKey).to.match(/^ed25519:[\w-]{43}$/);
    const object = createPrivateKey(made.privateKey);
    const { d } = object.export({ format: 'jwk' });
    const forms: NodeKey[] = [
      made.privateKey,
      Buffer.from(made.privateKey),
      object,
      new Uint8Array(Buffer.from(d!, 'base64url')),
    ];
    for (const form of forms) expect(publicKeyOf(form)).to.equal(made.publicKey);
  });

  it('are refused where they are none, and never quoted', () => {
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const x25519 = generateKeyPairSync('x25519');
    const own = createPrivateKey(generateIdentity().privateKey);
    const encrypted = own.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' });
    const wrong: unknown[] = [
      undefined,
      null,
      42,
      {},
      '',
      'SECRET-TEXT',
      generateIdentity().publicKey,
      new Uint8Array(31),
      new Uint8Array(33),
      rsa.privateKey,
      x25519.privateKey,
      createPublicKey(own),
      createPublicKey(own).export({ type: 'spki', format: 'pem' }),
      encrypted,
    ];
    for (const key of wrong)
      expect(
        codeOf(() => publicKeyOf(key as NodeKey)),
        String(key),
      ).to.equal('ERR_CONFIG');
    expect(() => publicKeyOf('SECRET-TEXT'))
      .to.throw(QuorateError)
      .with.property('message')
      .not.match(/SECRET/);
  });

  it('have one text each', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (bytes) => {
        const text = formatPublicKey(bytes);
        expect(Buffer.from(parsePublicKey(text)!)).to.deep.equal(Buffer.from(bytes));
        // The last character carries two bits too many.
        const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
        const last = alphabet.indexOf(text.at(-1)!);
        for (let bits = 1; bits < 4; bits++)
          expect(parsePublicKey(text.slice(0, -1) + alphabet[last + bits]!)).to.equal(undefined);
      }),
      { numRuns: 100, examples: [[new Uint8Array(32).fill(7)]] },
    );
    const { publicKey } = generateIdentity();
    for (const text of [
      undefined,
      42,
      '',
      publicKey.slice(8),
      publicKey.slice(0, -1),
      `${publicKey}A`,
      `${publicKey}=`,
      ` ${publicKey}`,
      publicKey.replace('ed', 'ED'),
    ]) {
      expect(parsePublicKey(text), String(text)).to.equal(undefined);
      expect(codeOf(() => checkPublicKey('key', text))).to.equal('ERR_CONFIG');
    }
  });

  it('are no points of small order, whose holder could sign anything without a private key', () => {
    const points = [
      '0000000000000000000000000000000000000000000000000000000000000000',
      '0100000000000000000000000000000000000000000000000000000000000000',
      '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
      'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
      'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
      'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
      'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    ];
    for (const hex of points) {
      for (const sign of [0, 0x80]) {
        const bytes = Buffer.from(hex, 'hex');
        bytes[31]! |= sign;
        expect(parsePublicKey(formatPublicKey(bytes)), hex).to.equal(undefined);
        expect(
          codeOf(() => decodePublicKey(bytes)),
          hex,
        ).to.equal('ERR_CODEC');
      }
    }
    // The danger is real: with the neutral element as key, R = the neutral element and S = 0 fit every message.
    const neutral = Buffer.from(points[1]!, 'hex');
    const forged = Buffer.concat([neutral, Buffer.alloc(32)]);
    const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), neutral]);
    const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
    expect(verify(null, Buffer.from('anything'), key, forged)).to.equal(true);
    expect(isSignedBy(formatPublicKey(neutral), Buffer.from('anything'), forged)).to.equal(false);
  });

  it('come off the wire as none, or as 32 bytes', () => {
    expect(decodePublicKey(new Uint8Array(0))).to.equal(undefined);
    expect(decodePublicKey(vector.publicKey)).to.equal(formatPublicKey(vector.publicKey));
    for (const length of [1, 31, 33])
      expect(codeOf(() => decodePublicKey(new Uint8Array(length)))).to.equal('ERR_CODEC');
  });
});
