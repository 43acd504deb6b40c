import { expect } from 'chai';
import {
  analyzeLinearizability,
  checkLinearizable,
} from '../../../../lib/testing/linearizability/checkLinearizable.js';
import { registerModel } from '../../../../lib/testing/linearizability/registerModel.js';
import { readRegisterHistory, readTextHistory, readVerdicts, textModel } from './histories.js';

describe('checkLinearizable: recorded histories', () => {
  const verdicts = Object.entries(readVerdicts());

  it('has them all', () => {
    expect(verdicts.length).to.equal(54);
    expect(readRegisterHistory('etcd_000.log').length).to.be.greaterThan(80);
  });

  for (const [name, legal] of verdicts) {
    it(`${name}: ${legal ? 'ok' : 'illegal'}`, () => {
      const verdict = name.startsWith('etcd')
        ? checkLinearizable(registerModel<number>(), readRegisterHistory(name))
        : checkLinearizable(textModel, readTextHistory(name));
      expect(verdict).to.equal(legal ? 'ok' : 'illegal');
    });
  }

  it('gives the same verdicts without partitions', () => {
    for (const name of ['kv-c01-ok.txt', 'kv-c01-bad.txt']) {
      const model = {
        init: () => new Map<string, string>(),
        step(state: Map<string, string>, input: { op: string; key: string; value: string }, output: unknown) {
          const current = state.get(input.key) ?? '';
          if (input.op === 'get') return { ok: output === current, state };
          const value = input.op === 'put' ? input.value : current + input.value;
          return { ok: true, state: new Map(state).set(input.key, value) };
        },
      };
      expect(checkLinearizable(model, readTextHistory(name))).to.equal(
        name.includes('ok') ? 'ok' : 'illegal',
      );
    }
  });

  it('a prefix that it reports is a legal order', () => {
    const model = registerModel<number>();
    for (const [name, legal] of verdicts.filter(([n, l]) => n.startsWith('etcd') && !l)) {
      expect(legal).to.equal(false);
      const { failure } = analyzeLinearizability(model, readRegisterHistory(name));
      let state = model.init();
      let called = -Infinity;
      for (const operation of failure!.linearized) {
        called = Math.max(called, operation.call);
        expect(operation.return).to.be.at.least(called);
        const result = model.step(state, operation.input, operation.output);
        expect(result.ok).to.equal(true);
        state = result.state;
      }
      expect(state).to.equal(failure!.state);
      expect(failure!.stuck).to.not.be.empty;
      for (const operation of failure!.stuck) {
        expect(model.step(state, operation.input, operation.output).ok).to.equal(false);
        expect(failure!.linearized).to.not.include(operation);
      }
    }
  });
});
