import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { mutate } from '../../fuzz/mutate.js';
import { Random } from '../../fuzz/random.js';
import { Found, inputAt, run } from '../../fuzz/run.js';
import { Broken, stateless, TAKEN } from '../../fuzz/surface.js';
import { makeSurfaces, surfaceNames } from '../../fuzz/surfaces.js';

/** Those that compute or wait for each input. */
const slow: Record<string, number> = {
  handshake: 500,
  admission: 500,
  engine: 1000,
  snapshots: 500,
  files: 150,
  signalSocket: 60,
  relayLinks: 1500,
  crowd: 150,
  identity: 1000,
  keyringFile: 500,
};

describe('the fuzzer', () => {
  for (const name of surfaceNames) {
    it(`finds nothing in a short run over ${name}`, async function () {
      this.timeout(60_000);
      const surface = await makeSurfaces[name]!();
      const count = slow[name] ?? 3000;
      const { codes } = await run(surface, { seed: 7, count });
      const inputs = [...codes.values()].reduce((sum, n) => sum + n, 0);
      expect(inputs).to.equal(count);
      // Both ways are gone: what is valid is taken, and some of what is not is refused.
      expect(codes.get(TAKEN) ?? 0).to.be.greaterThan(0);
      expect(codes.size).to.be.greaterThan(1);
    });
  }

  it('makes the same inputs of the same seed, each at its position', async () => {
    const surface = await makeSurfaces['items']!();
    const first = Array.from({ length: 300 }, (_, i) => inputAt(surface, new Random(3, i)).input);
    const again = Array.from(
      { length: 300 },
      (_, i) => inputAt(surface, new Random(3, 299 - i)).input,
    ).reverse();
    expect(again).to.deep.equal(first);
    const other = Array.from({ length: 300 }, (_, i) => inputAt(surface, new Random(4, i)).input);
    expect(other).to.not.deep.equal(first);
  });

  it('changes no input that it was given', () => {
    const corpus = [Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8), Uint8Array.from(Buffer.from('hello'))];
    const before = corpus.map((input) => Uint8Array.from(input));
    const random = new Random(1);
    for (let i = 0; i < 5000; i++) mutate(random, corpus, []);
    expect(corpus).to.deep.equal(before);
  });

  const valid = [Uint8Array.of(1, 2, 3)];
  const failures: Record<string, (input: Uint8Array) => string> = {
    'a crash': (input) => {
      if (input.length === 2) throw new TypeError('no such thing');
      return TAKEN;
    },
    'something that must not be': (input) => {
      if (input.length > 3) throw new Broken('too long');
      return TAKEN;
    },
    'a refusal without a code': (input) => (input.length < 2 ? 'refused' : TAKEN),
    'a valid input that is refused': (input) => (input.length === 3 ? 'ERR_CODEC' : TAKEN),
    'an internal error': (input) => (input.length === 0 ? 'ERR_INTERNAL' : TAKEN),
  };
  for (const [what, take] of Object.entries(failures)) {
    it(`finds ${what}, and says where`, async () => {
      const surface = stateless('broken', 'a broken one', valid, take);
      const found: unknown = await run(surface, { seed: 1, count: 5000 }).catch((error: unknown) => error);
      expect(found).to.be.instanceOf(Found);
      const { position, input } = found as Found;
      const replayed: unknown = await run(surface, { seed: 1, count: position + 1, from: position }).catch(
        (error: unknown) => error,
      );
      expect((replayed as Found).position).to.be.at.most(position);
      expect(inputAt(surface, new Random(1, position)).input).to.deep.equal(input);
    });
  }

  it('finds memory that grows', async function () {
    this.timeout(60_000);
    const kept: Uint8Array[] = [];
    const surface = stateless('hoard', 'keeps everything', valid, () => {
      kept.push(new Uint8Array(256 * 1024).fill(1));
      return TAKEN;
    });
    const found: unknown = await run(surface, { seed: 1, count: 10_000 }).catch((error: unknown) => error);
    expect(found).to.be.instanceOf(Found).with.property('message').that.includes('memory grows');
    kept.length = 0;
  });

  it('does not bring native code down with what the cleaning lets through', async function () {
    this.timeout(120_000);
    const child = fileURLToPath(new URL('../../fuzz/nativeChild.js', import.meta.url));
    const { stdout } = await promisify(execFile)(process.execPath, [child, '300', '3']);
    expect(stdout).to.match(/^3\d\d given, [1-9]\d* taken/);
  });
});
