/** Transactions: their commands in the log of a group, and what a snapshot says of them. */
import { crc32 } from '../../../lib/crc.js';
import { QuorateError } from '../../../lib/errors.js';
import { keyValue } from '../../../lib/machines/keyValue.js';
import { cbor } from '../../../lib/replica/codec.js';
import type { ApplyContext } from '../../../lib/replica/stateMachine.js';
import { LIMITS, MARK, marked, type Marked } from '../../../lib/transactions/commands.js';
import { Transactional } from '../../../lib/transactions/transactional.js';
import type { Random } from '../random.js';
import { must, sameBytes, stateless, TAKEN, type Surface, type Trial, type Verdict } from '../surface.js';

const codec = cbor();
const ids = ['a', 'b', 'c'];
const T0 = 1_700_000_000_000;

function contextAt(index: number, time: number): ApplyContext {
  return {
    index,
    time,
    origin: 'z',
    random: () => 0.5,
    reject: (reason) => {
      throw new QuorateError('ERR_REJECTED', reason, { reason });
    },
  };
}

function step(id: string, age: number, body: unknown): Marked {
  return marked('step', {
    ...{ id, age: { time: age, id }, home: 'h', at: T0, leaseMs: 1000, opened: false },
    ...{ kind: (body as { op: string }).op === 'put' ? 'command' : 'query', exclusive: false, body },
  });
}

const commands: readonly unknown[] = [
  ...ids.flatMap((id, age) => [
    step(id, age, { op: 'put', key: id, value: age }),
    step(id, age, { op: 'get', key: 'a' }),
    step(id, age, { op: 'list', prefix: '' }),
    marked('prepare', { id, steps: 1 }),
    marked('register', {
      ...{ id, at: T0, leaseMs: 1000, groups: ['g'], resources: [{ name: 'r', payload: 1 }] },
      ...{ request: age === 0 ? undefined : 'q', steps: age === 1 ? 1 : undefined },
    }),
    marked('decide', { id, outcome: 'commit', result: { n: 1 } }),
    marked('single', { id, steps: 1, request: 'q', result: 7 }),
    marked('inquire', { id, at: T0 }),
    marked('finish', { id, outcome: 'commit' }),
    marked('verify', { id }),
    marked('end', { id }),
  ]),
  { op: 'put', key: 'a', value: 1 },
  [MARK, 'request', 'q'],
];
const corpus = commands.map((command) => codec.encode(command));
const words = [MARK, 'step', 'id', 'age', 'locks', 'prefix', 'prepared', 'commit', ...ids].map((word) =>
  codec.encode(word),
);

function machineOf(): Transactional {
  return new Transactional(keyValue(), {});
}

function bytesOf(machine: Transactional): Uint8Array {
  return Buffer.concat([...(machine.snapshot() as Iterable<Uint8Array>)]);
}

async function restored(bytes: Uint8Array): Promise<Transactional> {
  const machine = machineOf();
  const chunks = [bytes].values();
  await machine.restore({
    [Symbol.asyncIterator]: () => ({
      next: () => Promise.resolve(chunks.next() as IteratorResult<Uint8Array>),
    }),
  });
  return machine;
}

/** Commands of members, straight out of the log: nobody validated them. */
class CommandTrial implements Trial {
  readonly #machine = machineOf();
  readonly #random: Random;
  #index = 0;
  #time = T0;

  constructor(random: Random) {
    this.#random = random;
  }

  take(input: Uint8Array): Verdict {
    const command: unknown = codec.decode(input);
    this.#time += this.#random.chance(0.1) ? 500 : 0;
    try {
      codec.encode(this.#machine.apply(command, contextAt(++this.#index, this.#time)));
    } finally {
      must(this.#machine.branches.size <= LIMITS.branches, 'more branches than their cap');
      must(this.#machine.decisions.size <= 2 * LIMITS.decisions, 'more decisions than their cap');
    }
    return TAKEN;
  }

  async settle(): Promise<readonly Verdict[]> {
    const bytes = bytesOf(this.#machine);
    must(sameBytes(bytesOf(await restored(bytes)), bytes), 'a snapshot that is restored to something else');
    return [];
  }
}

export function transactionCommands(): Surface {
  return {
    name: 'transactions',
    about: 'commands of transactions in the log of a group',
    corpus,
    words,
    life: 512,
    strict: false,
    begin: (random) => new CommandTrial(random),
  };
}

/** Snapshots whose checksums are right: whoever sends one can compute them. */
export function transactionSnapshots(): Surface {
  const machine = machineOf();
  const bodies: Uint8Array[] = [];
  let index = 0;
  for (const command of commands.slice(0, -1)) {
    try {
      machine.apply(command, contextAt(++index, T0));
    } catch {
      // some are refused; the others make a state
    }
    const bytes = bytesOf(machine);
    const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(3, true);
    bodies.push(Uint8Array.from(bytes.subarray(11, 11 + length)));
  }
  const own = Buffer.concat([...(keyValue().snapshot() as Iterable<Uint8Array>)]);
  return stateless(
    'transactionSnapshots',
    'what a snapshot says of transactions, restored and used',
    bodies,
    async (input) => {
      const head = Buffer.alloc(11);
      head.set([0x51, 0x54, 1]);
      head.writeUInt32LE(input.length, 3);
      head.writeUInt32LE(crc32(input), 7);
      const one = await restored(Buffer.concat([head, input, own]));
      for (const [at, command] of commands.slice(0, -1).entries()) {
        try {
          one.apply(command, contextAt(1000 + at, T0 + 5000));
        } catch (error) {
          if (!(error instanceof QuorateError)) throw error;
        }
      }
      await restored(bytesOf(one));
      return TAKEN;
    },
    words,
  );
}
