import { expect } from 'chai';
import { counter } from '../../../lib/machines/counter.js';
import { defineMachine } from '../../../lib/machines/defineMachine.js';
import { keyValue } from '../../../lib/machines/keyValue.js';
import { lock, type LockHolder } from '../../../lib/machines/lock.js';
import type {
  AnswerOf,
  ApplyContext,
  CommandOf,
  QueryOf,
  ResultOf,
  StateMachine,
  TypedStateMachine,
} from '../../../lib/replica/stateMachine.js';

/** Exactly the same type, `any` told apart from all others. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function expectSame<A, B>(...mismatch: Same<A, B> extends true ? [] : ['these types differ']): void {
  expect(mismatch).to.deep.equal([]);
}

/** Checks what a call would resolve to. */
function gives<Expected>(): <Actual>(
  call: () => Promise<Actual>,
  ...mismatch: Same<Actual, Expected> extends true ? [] : ['it gives another type']
) => void {
  return (call, ...mismatch) => {
    expect(call).to.be.a('function');
    expect(mismatch).to.deep.equal([]);
  };
}

/** What a replica's surface looks like. Nothing runs: the compiler is the judge of this file. */
interface Door<M extends StateMachine> {
  submit<const C extends CommandOf<M>>(command: C): Promise<ResultOf<M, C>>;
  query<const Q extends QueryOf<M>>(query: Q): Promise<AnswerOf<M, Q>>;
}
interface Opened<M extends StateMachine> {
  readonly machine: M;
  readonly door: Door<M>;
}
/** Infers `M` the way that opening a replica does. */
function open<M extends StateMachine>(options: { stateMachine: M }): Opened<M> {
  const door = { submit: () => Promise.resolve(undefined), query: () => Promise.resolve(undefined) };
  return { machine: options.stateMachine, door: door as unknown as Door<M> };
}

interface Note {
  readonly title: string;
  tags: string[];
}

class Tally implements StateMachine<number, 'sum'> {
  readonly version = 1;
  #sum = 0;
  apply(command: number): number {
    return (this.#sum += command);
  }
  query(): number {
    return this.#sum;
  }
  snapshot(): Uint8Array[] {
    return [Uint8Array.of(this.#sum)];
  }
  async restore(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const chunk of chunks) this.#sum = chunk[0]!;
  }
}

describe('types of state machines', () => {
  it('infer a result for each operation of a defined machine', async () => {
    const { door } = open({
      stateMachine: defineMachine({
        version: 1,
        initial: () => ({ n: 0, log: new Map<string, number[]>() }),
        commands: {
          add: (state, c: { by: number }) => (state.n += c.by),
          name: (state, c: { text: string; at?: number }, context) => `${c.text}${state.n}${context.index}`,
          note: (state, c: { note: Note; steps: number[] }) => state.log.set(c.note.title, c.steps).size > 0,
          reset: (state) => void (state.n = 0),
        },
        queries: {
          total: (state) => state.n,
          find: (state, q: { title: string }) => state.log.get(q.title),
        },
      }),
    });
    gives<number>()(() => door.submit({ op: 'add', by: 2 }));
    gives<string>()(() => door.submit({ op: 'name', text: 'x' }));
    // Mutable arrays in the input must not widen the result to that of all commands.
    gives<boolean>()(() => door.submit({ op: 'note', note: { title: 't', tags: ['a'] }, steps: [1, 2] }));
    gives<undefined>()(() => door.submit({ op: 'reset' }));
    gives<number>()(() => door.query({ op: 'total' }));
    gives<number[] | undefined>()(() => door.query({ op: 'find', title: 'x' }));
    // @ts-expect-error no such command
    await door.submit({ op: 'sub', by: 2 });
    // @ts-expect-error the input of another type
    await door.submit({ op: 'add', by: '2' });
    // @ts-expect-error the input is missing
    await door.submit({ op: 'add' });
    // @ts-expect-error a command is no query
    await door.query({ op: 'add', by: 2 });
    // @ts-expect-error no such query
    await door.query({ op: 'totals' });
  });

  it('take a command of a type that is only known as a union', () => {
    const { door } = open({ stateMachine: keyValue<number>() });
    type Either = { readonly ok: boolean } | { readonly ok: boolean; readonly current: number | undefined };
    const command = (key: string, remove: boolean) =>
      remove ? ({ op: 'delete', key } as const) : ({ op: 'cas', key, value: 1 } as const);
    gives<Either>()(() => door.submit(command('a', true)));
  });

  it('make a query of a machine without queries impossible', () => {
    const machine = defineMachine({
      version: 1,
      initial: () => ({ n: 0 }),
      commands: { add: (state) => ++state.n },
    });
    expectSame<QueryOf<typeof machine>, never>();
    expectSame<CommandOf<typeof machine>['op'], 'add'>();
    const { door } = open({ stateMachine: machine });
    expect(() => {
      // @ts-expect-error there is none
      void door.query({ op: 'total' });
    }).not.to.throw();
  });

  it('refuse wrong definitions', () => {
    const wrong = (): void => {
      // @ts-expect-error the state is not a number
      defineMachine({ version: 1, initial: () => 5, commands: {} });
      // @ts-expect-error a version is a number
      defineMachine({ version: '1', initial: () => ({}), commands: {} });
      // @ts-expect-error a handler is a function
      defineMachine({ version: 1, initial: () => ({}), commands: { add: 5 } });
      defineMachine({
        version: 1,
        initial: () => ({ n: 1 }),
        commands: {
          // @ts-expect-error the state has no such property
          add: (state) => void (state.m = 1),
          // @ts-expect-error an input without a declared type cannot be read
          set: (state, c) => void (state.n = c.to as number),
        },
      });
    };
    expect(wrong).to.throw();
  });

  it('carry the type of the values of a key-value machine', async () => {
    const { door } = open({ stateMachine: keyValue<string>() });
    gives<{ readonly ok: true }>()(() => door.submit({ op: 'put', key: 'a', value: 'b' }));
    gives<{ readonly ok: boolean; readonly current: string | undefined }>()(() =>
      door.submit({ op: 'cas', key: 'a', expected: undefined, value: 'b' }),
    );
    gives<string | undefined>()(() => door.query({ op: 'get', key: 'a' }));
    gives<[key: string, value: string][]>()(() => door.query({ op: 'list', prefix: 'a' }));
    // @ts-expect-error not a string
    await door.submit({ op: 'put', key: 'a', value: 1 });
    // @ts-expect-error the key is missing
    await door.submit({ op: 'put', value: 'b' });
    const notes = open({ stateMachine: keyValue<Note>() }).door;
    gives<{ readonly ok: true }>()(() =>
      notes.submit({ op: 'put', key: 'a', value: { title: 't', tags: ['x'] } }),
    );
  });

  it('carry those of lock and counter', () => {
    const locks = open({ stateMachine: lock() }).door;
    gives<LockHolder & { readonly ok: boolean }>()(() =>
      locks.submit({ op: 'acquire', name: 'a', ttlMs: 5 }),
    );
    gives<LockHolder | undefined>()(() => locks.query({ op: 'get', name: 'a' }));
    const counters = open({ stateMachine: counter() }).door;
    gives<number>()(() => counters.submit({ op: 'add', name: 'a' }));
    gives<[name: string, value: number][]>()(() => counters.query({ op: 'all' }));
  });

  it('follow apply and query where a machine has no operations', async () => {
    const { door } = open({ stateMachine: new Tally() });
    gives<number>()(() => door.submit(5));
    expectSame<CommandOf<Tally>, number>();
    // @ts-expect-error not a number
    await door.submit('5');
    expectSame<QueryOf<StateMachine<number, 'sum'>>, 'sum'>();
  });

  it('take an object literal', () => {
    const seen: string[] = [];
    const { door } = open({
      stateMachine: {
        version: 3,
        apply(command: { kind: 'say'; text: string } | { kind: 'hush' }, context: ApplyContext) {
          seen.push(command.kind);
          return Promise.resolve({ at: context.index });
        },
        snapshot: () => [],
        restore() {},
      },
    });
    gives<{ at: number }>()(() => door.submit({ kind: 'say', text: 'x' }));
    // @ts-expect-error text is missing
    const bad = () => door.submit({ kind: 'say' });
    expect(bad).to.be.a('function');
  });

  it('let a class name its operations', () => {
    type Commands = {
      push: { input: { item: string }; result: number };
      pop: { input: unknown; result: string | undefined };
    };
    class Stack implements TypedStateMachine<Commands> {
      declare readonly types?: { readonly commands: Commands; readonly queries: Record<string, never> };
      readonly version = 1;
      readonly #items: string[] = [];
      apply(command: CommandOf<Stack>): unknown {
        return command.op === 'push' ? this.#items.push(command.item) : this.#items.pop();
      }
      snapshot(): Uint8Array[] {
        return [];
      }
      restore(): void {}
    }
    const { door, machine } = open({ stateMachine: new Stack() });
    gives<number>()(() => door.submit({ op: 'push', item: 'x' }));
    gives<string | undefined>()(() => door.submit({ op: 'pop' }));
    expect(machine.apply({ op: 'push', item: 'x' })).to.equal(1);
    expect('types' in machine).to.equal(false);
  });

  it('fit where any machine is taken', () => {
    const any: StateMachine[] = [new Tally(), keyValue<string>(), lock(), counter()];
    expect(any.map((machine) => machine.version)).to.deep.equal([1, 1, 1, 1]);
    expectSame<CommandOf<StateMachine>, unknown>();
    expectSame<ResultOf<StateMachine, unknown>, unknown>();
  });
});
