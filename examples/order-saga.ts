/**
 * An order: paid, taken from the shelf, sent. One order goes through; one fails at the shelf, and the money goes back; and in the
 * third the member that runs it dies in the middle, and another one goes on where it was, without paying twice.
 */
import {
  defineSaga,
  joinMesh,
  memoryNetwork,
  memoryStorage,
  openReplica,
  openSagas,
  QuorateError,
  sagas,
  type SagaResults,
} from 'quorate';

/** A service outside: it does a thing once for a key, and keeps to the newest token of each saga. */
class Service {
  readonly done = new Map<string, string>();
  readonly #tokens = new Map<string, number>();

  act({ saga, key, token }: { saga: string; key: string; token: number }, what: string): string {
    if (token < (this.#tokens.get(saga) ?? 0)) throw new Error(`token ${token} is too old`);
    this.#tokens.set(saga, token);
    // What was undone does not happen any more, even if it comes late.
    if (this.done.has(key.replace(/do$/, 'undo'))) throw new Error(`${key} was undone`);
    const before = this.done.get(key);
    if (before !== undefined) console.log(`  ${key}: again, nothing is done twice`);
    else console.log(`  ${what}`);
    this.done.set(key, before ?? what);
    return before ?? what;
  }
}
const bank = new Service();
const shelf = new Service();
const post = new Service();
const books = new Set(['Ulysses', 'Emma']);

/** The definition of a member. `stumble` stands for a process that dies in the middle of a step. */
const orderOf = (stumble: () => Promise<void>) =>
  defineSaga<{ card: string; book: string }>({ name: 'order', version: 1 })
    .step('pay', {
      do: (context) => bank.act(context, `${context.input.card} pays for ${context.input.book}`),
      undo: (context) => bank.act(context, `${context.input.card} gets the money back`),
    })
    .step('stock', {
      do: async (context) => {
        const { book } = context.input;
        if (!books.has(book)) context.reject('SOLD_OUT', { book });
        const place = shelf.act(context, `${book} is taken from the shelf`);
        await stumble();
        return place;
      },
      undo: (context) => shelf.act(context, `${context.input.book} is put back`),
    })
    .step('ship', {
      pivot: true,
      do: (context) => post.act(context, `${context.input.book} is sent, since ${context.results.pay}`),
    });

const transport = memoryNetwork();
const members = ['a', 'b', 'c'];
let dies = (): Promise<void> => Promise.resolve();
async function start(id: string) {
  const mesh = await joinMesh({
    id,
    cluster: 'example',
    secret: 'a secret of sixteen bytes or more',
    transport,
  });
  const replica = await openReplica({
    mesh,
    group: 'sagas',
    members,
    stateMachine: sagas(),
    storage: memoryStorage(),
  });
  const running = openSagas({ replica, lease: 1000, settle: 100 });
  const order = orderOf(() => (id === 'a' ? dies() : Promise.resolve()));
  running.define(order);
  return { mesh, replica, running, order };
}
const [a, b, c] = await Promise.all([start('a'), start('b'), start('c')]);
await b.replica.ready();

console.log('An order:');
await a.running.start(a.order, { id: 'first', input: { card: 'Ada', book: 'Ulysses' } });
const results: SagaResults<typeof b.order> = await b.running.result(b.order, 'first');
console.log(`completed: ${results.ship}`);

console.log('An order that cannot be:');
await b.running.start(b.order, { id: 'second', input: { card: 'Barbara', book: 'Moby Dick' } });
try {
  await b.running.result(b.order, 'second');
} catch (error) {
  if (!(error instanceof QuorateError)) throw error;
  console.log(`${error.reason}: ${error.message}`);
}

console.log('An order whose owner dies:');
const died = new Promise<void>((resolve) => {
  dies = () => {
    console.log('  a dies, with the book in its hand');
    // Without a word: its links end, and what it was at stays as it is.
    void a.mesh.close().then(resolve);
    return new Promise(() => undefined);
  };
});
// It is a's, since that is where it starts.
await a.running.start(a.order, { id: 'third', input: { card: 'Edsger', book: 'Emma' } });
await died;
await b.running.result(b.order, 'third');
const status = await c.running.status('third');
console.log(
  `${status?.state}: ${[...bank.done.keys()].filter((key) => key.startsWith('third')).length} payment`,
);

await Promise.all([b.mesh.close(), c.mesh.close()]);
