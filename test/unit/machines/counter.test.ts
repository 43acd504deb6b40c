import { expect } from 'chai';
import { counter } from '../../../lib/machines/counter.js';
import { bytesOf, driver, errorOf, inChunks } from './helpers.js';

describe('counter', () => {
  it('counts by name, up and down', async () => {
    const machine = counter();
    const apply = driver(machine);
    expect(apply({ op: 'add', name: 'a' })).to.equal(1);
    expect(apply({ op: 'add', name: 'a', by: 5 })).to.equal(6);
    expect(apply({ op: 'add', name: 'b', by: -2 })).to.equal(-2);
    expect(apply({ op: 'set', name: 'a', value: 100 })).to.equal(6);
    expect(machine.query!({ op: 'get', name: 'a' })).to.equal(100);
    expect(machine.query!({ op: 'get', name: 'toString' })).to.equal(0);
    expect(machine.query!({ op: 'all' })).to.deep.equal([['a', 100], ['b', -2]]); // prettier-ignore
    const restored = counter();
    await restored.restore(inChunks(bytesOf(machine), [2]));
    expect(driver(restored)({ op: 'add', name: 'b' })).to.equal(-1);
    expect(apply({ op: 'remove', name: 'a' })).to.equal(100);
    expect(apply({ op: 'remove', name: 'a' })).to.equal(0);
    expect(apply({ op: 'set', name: 'n', value: -0 })).to.equal(0);
    expect(Object.is(machine.query!({ op: 'get', name: 'n' }), 0)).to.equal(true);
  });

  it('rejects what leaves the safe integers, and changes nothing', () => {
    const machine = counter();
    const apply = driver(machine);
    apply({ op: 'set', name: 'a', value: Number.MAX_SAFE_INTEGER });
    const before = bytesOf(machine);
    expect(errorOf(() => apply({ op: 'add', name: 'a' })).reason).to.equal('OUT_OF_RANGE');
    for (const by of [0.5, NaN, Infinity, '1', 1n, 2 ** 53]) {
      expect(errorOf(() => apply({ op: 'add', name: 'a', by })).reason).to.equal('INVALID_VALUE');
      expect(errorOf(() => apply({ op: 'set', name: 'a', value: by })).reason).to.equal('INVALID_VALUE');
    }
    for (const op of ['add', 'set', 'remove']) {
      expect(errorOf(() => apply({ op, value: 1 })).reason).to.equal('INVALID_NAME');
    }
    expect(bytesOf(machine).equals(before)).to.equal(true);
  });
});
