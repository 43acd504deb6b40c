import { expect } from 'chai';
import { joinMesh } from '../../../../lib/mesh/joinMesh.js';
import { memoryNetwork } from '../../../../lib/mesh/memory/network.js';
import { counter } from '../../../../lib/machines/counter.js';
import { openReplica } from '../../../../lib/replica/openReplica.js';
import { memoryStorage } from '../../../../lib/storage/memoryStorage.js';
import {
  defineSaga,
  type SagaInput,
  type SagaResults,
} from '../../../../lib/transactions/sagas/definition.js';
import { openSagas } from '../../../../lib/transactions/sagas/openSagas.js';
import { sagas } from '../../../../lib/transactions/sagas/sagasMachine.js';
import { Slots } from '../../../../lib/transactions/sagas/slots.js';
import { errorOf } from '../../machines/helpers.js';

/** Exactly the same type, `any` told apart from all others. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function expectSame<A, B>(...mismatch: Same<A, B> extends true ? [] : ['these types differ']): void {
  expect(mismatch).to.deep.equal([]);
}

describe('the definition of a saga', () => {
  it('knows the types of its input and of the results that each step has before it', () => {
    const order = defineSaga<{ card: string }>({ name: 'order', version: 1 })
      .step('pay', {
        do: (context) => {
          expect(context).to.be.an('object');
          expectSame<(typeof context)['input'], { card: string }>();
          expectSame<keyof (typeof context)['results'], never>();
          return Promise.resolve({ receipt: 1 });
        },
        undo: (context) => {
          expect(context).to.be.an('object');
          expectSame<(typeof context)['result'], { receipt: number } | undefined>();
        },
      })
      .step('stock', {
        do: (context) => {
          expect(context).to.be.an('object');
          expectSame<(typeof context)['results']['pay'], { receipt: number }>();
          return 'shelf';
        },
      })
      .step('bill', {
        after: ['pay'],
        do: (context) => {
          expect(context).to.be.an('object');
          expectSame<keyof (typeof context)['results'], 'pay'>();
          return 5n;
        },
      })
      .step('ship', {
        after: ['stock', 'bill'],
        do: (context) => {
          expect(context).to.be.an('object');
          // What comes before the steps that it names, too.
          expectSame<keyof (typeof context)['results'], 'pay' | 'stock' | 'bill'>();
          expectSame<(typeof context)['results']['bill'], bigint>();
        },
      });
    expectSame<SagaInput<typeof order>, { card: string }>();
    expectSame<SagaResults<typeof order>['stock'], string>();
    expectSame<keyof SagaResults<typeof order>, 'pay' | 'stock' | 'bill' | 'ship'>();
    // @ts-expect-error -- no step of this name comes before
    expect(errorOf(() => order.step('x', { after: ['nobody'], do: () => 1 })).code).to.equal('ERR_CONFIG');
    expect(order.parts.shape.steps.map(({ after }) => after)).to.deep.equal([[], [0], [0], [1, 2]]);
  });

  it('refuses what makes no sense, naming it', () => {
    const saga = defineSaga({ name: 'n', version: 1 });
    const noop = (): number => 1;
    const wrong: [() => unknown, string][] = [
      [() => defineSaga(undefined as never), 'options'],
      [() => defineSaga({ name: '', version: 1 }), 'name'],
      [() => defineSaga({ name: 'n', version: 1.5 }), 'version'],
      [() => defineSaga({ name: 'n', version: 1, timeout: 0 }), 'timeout'],
      [() => defineSaga({ name: 'n', version: 1, retention: -1 }), 'retention'],
      [() => saga.step('', { do: noop }), 'id'],
      [() => saga.step('a', undefined as never), 'step "a"'],
      [() => saga.step('a', {} as never), 'do of step "a"'],
      [() => saga.step('a', { do: noop, undo: 1 as never }), 'undo of step "a"'],
      [() => saga.step('a', { do: noop, pivot: 1 as never }), 'pivot of step "a"'],
      [() => saga.step('a', { do: noop, timeout: 0 }), 'timeout of step "a"'],
      [() => saga.step('a', { do: noop, retry: { attempts: 0 } }), 'retry.attempts of step "a"'],
      [() => saga.step('a', { do: noop, retry: { delay: 0 } }), 'retry.delay of step "a"'],
      [() => saga.step('a', { do: noop, retry: { maxDelay: 2 ** 31 } }), 'retry.maxDelay of step "a"'],
      [() => saga.step('a', { do: noop, retry: 1 as never }), 'retry of step "a"'],
      [() => saga.step('a', { do: noop }).step('a', { do: noop }), 'two steps'],
      [() => saga.step('a', { do: noop, pivot: true, undo: noop }).parts, 'no undo'],
      [() => saga.parts, '1 to 64 steps'],
    ];
    for (const [make, text] of wrong) {
      const error = errorOf(make);
      expect(error.code, text).to.equal('ERR_CONFIG');
      expect(error.message).to.include(text);
    }
    // A definition never changes: adding to it gives another.
    const first = saga.step('a', { do: noop });
    first.step('b', { do: noop });
    expect(first.parts.steps.length).to.equal(1);
  });
});

describe('openSagas', () => {
  it('says what is wrong with its options, and leaves nothing behind when closed', async () => {
    const mesh = await joinMesh({
      id: 'a',
      cluster: 'c',
      secret: 'a secret of sixteen bytes or more',
      transport: memoryNetwork(),
    });
    const storage = memoryStorage();
    const replica = await openReplica({ mesh, group: 's', members: ['a'], stateMachine: sagas(), storage });
    const other = await openReplica({ mesh, group: 'o', members: ['a'], stateMachine: counter(), storage });
    const wrong: [object, string][] = [
      [{}, 'replica'],
      [{ replica: other }, 'a replica of sagas()'],
      [{ replica, lease: 99 }, 'lease'],
      [{ replica, concurrency: 0 }, 'concurrency'],
      [{ replica, settle: 0 }, 'settle'],
    ];
    for (const [options, text] of wrong)
      expect(errorOf(() => openSagas(options as never)).message).to.include(text);
    const running = openSagas({ replica });
    expect(errorOf(() => openSagas({ replica })).message).to.include('not open here yet');
    const double = defineSaga<number>({ name: 'double', version: 1 }).step('one', {
      do: ({ input }) => 2 * input,
    });
    running.define(double);
    await running.start(double, { id: 'x', input: 4 });
    expect(await running.result(double, 'x')).to.deep.equal({ one: 8 });
    // Closing the mesh closes the replica, and that the sagas.
    await mesh.close();
    await running.close();
    expect(errorOf(() => openSagas({ replica })).code).to.equal('ERR_CLOSED');
  });
});

describe('slots', () => {
  it('lets in so many, and the others in their order', async () => {
    const slots = new Slots(2);
    const log: number[] = [];
    const leave: (() => void)[] = [];
    for (let i = 0; i < 4; i++)
      void slots.enter().then((go) => {
        log.push(i);
        leave[i] = go;
      });
    const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    await turn();
    expect(log).to.deep.equal([0, 1]);
    leave[1]!();
    await turn();
    expect(log).to.deep.equal([0, 1, 2]);
    leave[0]!();
    leave[2]!();
    await turn();
    expect(log).to.deep.equal([0, 1, 2, 3]);
  });
});
