/**
 * Stock on one node, money on another, and no group anywhere: both, or neither, by three-phase commit. One order goes through; one is
 * refused by the bank, and the book goes back to the shelf; and in the third the node that began it dies in the middle.
 */
import {
  joinMesh,
  memoryNetwork,
  memoryStorage,
  openSites,
  QuorateError,
  transact,
  type TransactionResource,
} from 'quorate';

/** Something of which so much is left. A real one would keep this on a disk: it must be true again after a restart. */
class Shelf implements TransactionResource<number> {
  readonly name: string;
  left: number;
  readonly #held = new Map<string, number>();
  readonly #over = new Set<string>();

  constructor(name: string, left: number) {
    this.name = name;
    this.left = left;
  }

  prepare(id: string, much: number): boolean {
    if (this.#held.has(id)) return true; // asked again
    if (this.#over.has(id) || much > this.left) return false;
    this.#held.set(id, much);
    this.left -= much;
    return true;
  }

  commit(id: string): void {
    if (this.#end(id)) console.log(`  ${this.name}: done`);
  }

  abort(id: string): void {
    const much = this.#held.get(id) ?? 0;
    this.left += much;
    if (this.#end(id)) console.log(`  ${this.name}: as it was`);
  }

  get isBusy(): boolean {
    return this.#held.size > 0;
  }

  #end(id: string): boolean {
    this.#over.add(id);
    return this.#held.delete(id);
  }
}

const books = new Shelf('books', 10);
const money = new Shelf('money', 25);
const transport = memoryNetwork();

async function start(id: string, resources: Record<string, TransactionResource<number>>) {
  const mesh = await joinMesh({
    id,
    cluster: 'example',
    secret: 'a secret of sixteen bytes or more',
    transport,
  });
  return { mesh, sites: await openSites({ mesh, storage: memoryStorage(), resources }) };
}
const shop = await start('shop', {});
const store = await start('store', { books });
const bank = await start('bank', { money });

let last = '';
const order = (price: number, onProgress?: (what: string) => void): Promise<void> =>
  transact(
    { book: shop.sites.at<number>('store', 'books'), payment: shop.sites.at<number>('bank', 'money') },
    ({ book, payment }, { id }) => {
      last = id;
      book.enlist(1);
      payment.enlist(price);
    },
    { protocol: 'three-phase', patience: 1000, onProgress: ({ type }) => onProgress?.(type) },
  );

async function tell(): Promise<void> {
  // Who is refused is told so at once; the resources hear of it a moment later.
  while (books.isBusy || money.isBusy) await new Promise((resolve) => setTimeout(resolve, 10));
  console.log(`${books.left} books, ${money.left} left to spend`);
}

console.log('An order:');
await order(20);
await tell();

console.log('An order that is too dear:');
try {
  await order(20);
} catch (error) {
  if (!(error instanceof QuorateError)) throw error;
  console.log(`${error.code}: ${error.message}`);
}
await tell();

console.log('An order whose shop dies:');
try {
  await order(5, (what) => {
    if (what === 'preparing') setImmediate(() => void shop.mesh.close());
  });
} catch (error) {
  if (!(error instanceof QuorateError)) throw error;
  console.log(`  the shop: ${error.code}`);
}
// The other two are a majority: they need nobody to find out how it ends.
console.log(await store.sites.outcomeOf(last));
await tell();

await Promise.all([store.mesh.close(), bank.mesh.close()]);
