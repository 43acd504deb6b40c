import { expect } from 'chai';
import { describe, it } from 'mocha';
import { QuorateError } from '../../../lib/errors.js';
import { resolveSecret } from '../../../lib/mesh/secret.js';

async function code(option: unknown): Promise<string> {
  try {
    await resolveSecret(option, 'c');
    return 'taken';
  } catch (error) {
    return (error as QuorateError).code;
  }
}

describe('the cluster secret', () => {
  it('must be given: undefined never opens the door', async () => {
    expect(await code(undefined)).to.equal('ERR_SECRET_MISSING');
    expect(await code(null)).to.equal('ERR_SECRET_MISSING');
    expect(await code(async () => undefined)).to.equal('ERR_SECRET_MISSING');
    expect(await code(async () => Promise.reject(new Error('vault is down')))).to.equal('ERR_SECRET_MISSING');
    expect(await code({ current: undefined, previous: 'x'.repeat(16) })).to.equal('ERR_SECRET_MISSING');
    expect(await resolveSecret(false, 'c')).to.equal(undefined);
  });

  it('has at least 128 bits, counted in bytes of UTF-8', async () => {
    expect(await code('x'.repeat(15))).to.equal('ERR_SECRET_WEAK');
    expect(await code('')).to.equal('ERR_SECRET_WEAK');
    expect(await code('é'.repeat(8))).to.equal('taken');
    expect(await code(new Uint8Array(15))).to.equal('ERR_SECRET_WEAK');
    expect(await code(new Uint8Array(16))).to.equal('taken');
    expect(await code({ current: 'x'.repeat(16), previous: 'short' })).to.equal('ERR_SECRET_WEAK');
    expect(await code(async () => 'short')).to.equal('ERR_SECRET_WEAK');
  });

  it('refuses other types, and never quotes a value', async () => {
    for (const option of [true, 42, [], { previous: 'x' }]) expect(await code(option)).to.equal('ERR_CONFIG');
    const error = await resolveSecret(123456789, 'c').catch((caught: unknown) => caught as QuorateError);
    expect(String(error)).not.to.include('123456789');
  });

  it('gives each cluster a key of its own, the current one first', async () => {
    const [one] = (await resolveSecret('x'.repeat(16), 'one'))!;
    const [two] = (await resolveSecret('x'.repeat(16), 'two'))!;
    expect(one).not.to.deep.equal(two);
    const both = (await resolveSecret({ current: 'y'.repeat(16), previous: 'x'.repeat(16) }, 'one'))!;
    expect([both.length, both[1]]).to.deep.equal([2, one]);
    expect(await resolveSecret(async () => Buffer.from('x'.repeat(16)), 'one')).to.deep.equal([one]);
  });
});
