/** The caps of the state machine of sagas: what they refuse, at which number, and that there is room again afterwards. */
import { expect } from 'chai';
import {
  MAX_DEFINITIONS,
  MAX_INPUT_BYTES,
  MAX_RESULT_BYTES,
  MAX_RUNNERS,
  MAX_SAGAS,
  MAX_STATE_BYTES,
} from '../../../../lib/transactions/sagas/limits.js';
import { refusalOf } from '../../../../lib/transactions/sagas/refusals.js';
import type { SagaView } from '../../../../lib/transactions/sagas/record.js';
import { sagas, type SagasMachine } from '../../../../lib/transactions/sagas/sagasMachine.js';
import { fingerprintOf, type SagaShape } from '../../../../lib/transactions/sagas/shape.js';
import type { QuorateError } from '../../../../lib/errors.js';
import { driver, errorOf } from '../../machines/helpers.js';

const shape: SagaShape = {
  name: 'n',
  version: 1,
  steps: [{ id: 'one', after: [], undo: true, pivot: false }],
};
const start = (id: string, input = new Uint8Array([1])) => {
  return { op: 'start', id, shape, input, timeout: 0, retention: 0 };
};

const enlist = { op: 'enlist', runner: 'r', leaseMs: 1000, definitions: [fingerprintOf(shape)] };

/** What the owner of a saga says when its only step is done. */
function doneOf(machine: SagasMachine, id: string, result?: Uint8Array): unknown {
  const { epoch } = (machine.query!({ op: 'get', id }) as SagaView).saga;
  return { op: 'done', id, epoch, step: 0, undo: false, attempt: 1, result };
}

describe('the caps of sagas', () => {
  it('so many are remembered and no more, until one is forgotten', function () {
    this.timeout(60_000);
    const machine = sagas();
    const apply = driver(machine);
    apply(enlist, 1);
    for (let n = 0; n < MAX_SAGAS; n++) apply(start(`s${n}`), 1);
    const error = errorOf(() => apply(start('more'), 1));
    expect([error.reason, error.data]).to.deep.equal(['FULL', { sagas: MAX_SAGAS }]);
    const said = refusalOf(error) as QuorateError;
    expect([said.code, said.data]).to.deep.equal(['ERR_OVERLOADED', { sagas: MAX_SAGAS }]);
    // Who asks for what there is already is answered all the same.
    expect(apply(start('s0'), 1)).to.deep.equal({ created: false });
    expect(apply(doneOf(machine, 's0'), 1)).to.deep.include({ verdict: 'ok' });
    expect(apply(start('more'), 2)).to.deep.equal({ created: true });
    expect(errorOf(() => apply(start('another'), 2)).reason).to.equal('FULL');
  });

  it('bytes count, too', () => {
    const machine = sagas();
    const apply = driver(machine);
    const input = new Uint8Array(MAX_INPUT_BYTES);
    let begun = 0;
    let error: QuorateError | undefined;
    while (error === undefined && begun <= MAX_STATE_BYTES / MAX_INPUT_BYTES) {
      try {
        apply(start(`s${begun}`, input));
        begun++;
      } catch (cause) {
        error = cause as QuorateError;
      }
    }
    expect([error?.reason, error?.data]).to.deep.equal(['FULL', { bytes: MAX_STATE_BYTES }]);
    expect(begun).to.be.within(MAX_STATE_BYTES / MAX_INPUT_BYTES - 2, MAX_STATE_BYTES / MAX_INPUT_BYTES);
    // Those under way may add their results: a saga that cannot end would be worse.
    apply(enlist);
    expect(apply(doneOf(machine, 's0', new Uint8Array(MAX_RESULT_BYTES)))).to.deep.include({ verdict: 'ok' });
  });

  it('members that run sagas, and what one of them runs', () => {
    const apply = driver(sagas());
    const definitions = [fingerprintOf(shape)];
    const enlistOf = (n: number) => ({ ...enlist, runner: `r${n}` });
    for (let n = 0; n < MAX_RUNNERS; n++) apply(enlistOf(n), 1, `node${n}`);
    const error = errorOf(() => apply(enlistOf(MAX_RUNNERS), 1, 'more'));
    expect([error.reason, error.data]).to.deep.equal(['FULL', { runners: MAX_RUNNERS }]);
    // One that begins anew on its node takes its own place.
    apply(enlistOf(MAX_RUNNERS + 1), 1, 'node0');
    apply({ op: 'leave', runner: 'r1' }, 1);
    apply(enlistOf(MAX_RUNNERS + 2), 1, 'more');
    const many = Array.from({ length: MAX_DEFINITIONS + 1 }, () => definitions[0]);
    expect(errorOf(() => apply({ ...enlist, definitions: many }, 1)).reason).to.equal('INVALID');
  });
});
