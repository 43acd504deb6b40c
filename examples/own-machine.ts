/**
 * A state machine written by hand: a guest book. Shows the whole contract: commands and queries with types of their own, a
 * snapshot that is captured at once and made piece by piece while the book goes on growing, and a restore that leaves the
 * former state alone until all of the snapshot has made sense. Then the process "restarts" and finds the book on its disk.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  diskStorage,
  joinMesh,
  memoryNetwork,
  openReplica,
  QuorateError,
  type ApplyContext,
  type OperationOf,
  type TypedStateMachine,
} from 'quorate';

interface Entry {
  readonly name: string;
  readonly text: string;
  readonly time: number;
}
type Commands = {
  readonly sign: {
    readonly input: { readonly name: string; readonly text: string };
    readonly result: number;
  };
};
type Queries = {
  readonly count: { readonly input: unknown; readonly result: number };
  readonly last: { readonly input: { readonly count: number }; readonly result: Entry[] };
};

class GuestBook implements TypedStateMachine<Commands, Queries> {
  /** For the compiler only: what each operation takes and returns. */
  declare readonly types?: { readonly commands: Commands; readonly queries: Queries };
  readonly version = 1;
  /** Only for this example: how the state came to be. */
  readonly past = { restored: 0, applied: 0 };
  #entries: Entry[] = [];

  /** Runs on the submitting node only, before the command goes anywhere. */
  validate(command: OperationOf<Commands>): void {
    if (command.name === '')
      throw new QuorateError('ERR_REJECTED', 'a guest needs a name', { reason: 'NO_NAME' });
  }

  /** Must come out alike on every member: so the time is that of the context, and what is wrong is rejected alike. */
  apply(command: OperationOf<Commands>, context: ApplyContext): number {
    const { op, name, text } = command as { op: string; name: unknown; text: unknown };
    if (op !== 'sign') throw new QuorateError('ERR_UNKNOWN_OPERATION', `no command ${JSON.stringify(op)}`);
    if (typeof name !== 'string' || typeof text !== 'string') context.reject('NOT_TEXT');
    this.past.applied++;
    return this.#entries.push({ name, text, time: context.time });
  }

  query(query: OperationOf<Queries>): number | Entry[] {
    return query.op === 'count' ? this.#entries.length : this.#entries.slice(-query.count);
  }

  /** The book only grows, so that its length is all that has to be captured; lines are made when they are asked for. */
  snapshot(): Iterable<Uint8Array> {
    const entries = this.#entries;
    const { length } = entries;
    return (function* () {
      for (let at = 0; at < length; at += 100) {
        const lines = entries
          .slice(at, Math.min(at + 100, length))
          .map((entry) => JSON.stringify(entry) + '\n');
        yield Buffer.from(lines.join(''));
      }
    })();
  }

  /** Chunks may be cut anywhere, also within a character. */
  async restore(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const entries: Entry[] = [];
    const decoder = new TextDecoder('utf-8', { fatal: true });
    let rest = '';
    for await (const chunk of chunks) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
      rest = lines.pop()!;
      for (const line of lines) entries.push(JSON.parse(line) as Entry);
    }
    if (rest + decoder.decode() !== '')
      throw new QuorateError('ERR_CODEC', 'the snapshot ends within a line');
    this.#entries = entries; // a new array: a snapshot that is still being made keeps the old one
    this.past.restored = entries.length;
    this.past.applied = 0;
  }
}

const directory = await mkdtemp(join(tmpdir(), 'guest-book-'));

async function open() {
  const mesh = await joinMesh({
    id: 'a',
    cluster: 'example',
    secret: 'a secret of sixteen bytes or more',
    transport: memoryNetwork(),
  });
  const book = new GuestBook();
  const replica = await openReplica({
    mesh,
    group: 'guest-book',
    members: ['a'],
    stateMachine: book,
    storage: diskStorage(directory),
    snapshot: { logBytes: 16_384, keepEntries: 0 }, // small, so that this short program sees one
  });
  await replica.ready();
  return { mesh, replica, book };
}

try {
  const before = await open();
  for (let round = 0; round < 20; round++) {
    const guests = Array.from({ length: 25 }, (_, i) => `guest ${round * 25 + i + 1}`);
    await Promise.all(
      guests.map((name) => before.replica.submit({ op: 'sign', name, text: 'It was lovely.' })),
    );
  }
  console.log('signed:', await before.replica.query({ op: 'count' }));
  await before.replica.submit({ op: 'sign', name: '', text: '?' }).catch((error: unknown) => {
    if (error instanceof QuorateError) console.log('refused:', error.code, error.reason);
  });
  await before.mesh.close();

  const after = await open();
  const { restored, applied } = after.book.past;
  console.log(`after a restart: ${restored} from the snapshot, ${applied} from the log`);
  console.log('signed:', await after.replica.query({ op: 'count' }));
  const [last] = await after.replica.query({ op: 'last', count: 1 });
  console.log(`the last was ${last?.name ?? 'nobody'}: "${last?.text ?? ''}"`);
  await after.mesh.close();
} finally {
  await rm(directory, { recursive: true, force: true });
}
