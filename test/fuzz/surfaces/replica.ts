/** What the log and snapshots carry for replicas: batches of commands, CBOR, sessions, the state of machines. */
import { ByteReader, ByteWriter } from '../../../lib/bytes.js';
import { QuorateError } from '../../../lib/errors.js';
import { keyValue } from '../../../lib/machines/keyValue.js';
import { encodeBackup } from '../../../lib/replica/backup/backupFormat.js';
import { verifyBackup } from '../../../lib/replica/backup/restoreGroup.js';
import { batchCodec, cbor } from '../../../lib/replica/codec.js';
import {
  decodeHeader,
  encodeBatch,
  encodeItem,
  encodeRegistration,
  isSoundBatch,
  ItemReader,
} from '../../../lib/replica/batch.js';
import { Failure } from '../../../lib/replica/outcome.js';
import { restoreChunks, snapshotChunks } from '../../../lib/replica/snapshotFormat.js';
import { must, sameBytes, stateless, TAKEN, type Surface, type Verdict } from '../surface.js';

const codec = batchCodec(cbor());

const commands = [
  { op: 'put', key: 'theme', value: 'dark' },
  { op: 'cas', key: 'k', expected: undefined, value: new Uint8Array(5) },
  { op: 'list' },
];

function batch(session: number, first: number, requestId: string): Uint8Array {
  const body = new ByteWriter();
  for (const command of commands) encodeItem(body, requestId, command, codec);
  return encodeBatch(session, 1, first, commands.length, body.take());
}

/** A leader checks what peers forward; what it takes, every member must be able to walk over. */
export function batches(): Surface {
  const corpus = [batch(1, 1, ''), batch(9, 300, 'request-7')];
  return stateless('batches', 'forwarded batches of commands', corpus, (input) => {
    if (!isSoundBatch(input, 3, 10)) throw new QuorateError('ERR_CODEC', 'no batch of three');
    const reader = new ByteReader(input);
    const header = decodeHeader(reader);
    must(
      header.type === 'commands' && header.count === 3 && header.session <= 10,
      'another batch than the leader saw',
    );
    const items = new ItemReader(reader);
    for (let i = 0; i < 3; i++) {
      items.next();
      try {
        codec.decodeRange(input, items.from, items.to);
      } catch (error) {
        if (!(error instanceof QuorateError)) throw error; // that command alone fails, alike on every member
      }
    }
    must(reader.remaining === 0, 'a batch with something behind it');
    return TAKEN;
  });
}

export function registrations(): Surface {
  return stateless(
    'registrations',
    'registrations of sessions',
    [encodeRegistration('a', 'n1'), encodeRegistration('node:x', '0123456789abcdef')],
    (input) => {
      if (!isSoundBatch(input, 1, 10)) throw new QuorateError('ERR_CODEC', 'no registration');
      const header = decodeHeader(new ByteReader(input));
      if (header.type === 'register') {
        const again = encodeRegistration(header.origin, header.nonce);
        must(
          JSON.stringify(decodeHeader(new ByteReader(again))) === JSON.stringify(header),
          'it reads otherwise',
        );
      }
      return TAKEN;
    },
  );
}

const values: readonly unknown[] = [
  null,
  undefined,
  true,
  1,
  -1,
  1.5,
  2 ** 40,
  12345678901234567890n,
  'text',
  'ü€😀',
  [1, [2, [3]]],
  { a: 1, b: { c: [] } },
  new Map<unknown, unknown>([
    ['k', 1],
    [2, 'v'],
  ]),
  new Set([1, 'a']),
  new Date(0),
  new Uint8Array(9),
  new Float64Array(3),
  { op: 'put', key: 'k', value: { deep: ['x', 1n] } },
];

export function cborValues(): Surface {
  return stateless(
    'cbor',
    'CBOR of commands and results',
    values.map((value) => codec.encode(value)),
    (input) => {
      const value = codec.decode(input);
      const bytes = codec.encode(value);
      must(sameBytes(codec.encode(codec.decode(bytes)), bytes), 'a value reads otherwise');
      return TAKEN;
    },
  );
}

async function gather(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts);
}

/** A backup, from a disk that nobody vouches for. */
export async function backups(): Promise<Surface> {
  const info = {
    group: 'settings',
    genesis: 'G',
    node: 'a',
    index: 50,
    epoch: { config: 0, n: 2, priority: 0, node: 'b' },
    time: 1e12,
    createdAt: 1e12,
    machineVersion: 1,
    protocol: 'raft',
    members: ['a', 'b', 'c'],
  };
  const corpus = [
    await gather(encodeBackup(info, [])),
    await gather(encodeBackup(info, [new Uint8Array(40), new Uint8Array(3)])),
  ];
  return stateless('backups', 'a backup, read to its end', corpus, async (input) => {
    const half = input.length >> 1;
    const { group } = await verifyBackup([input.subarray(0, half), input.subarray(half)]);
    must(group === 'settings', 'a backup that was changed is taken');
    return TAKEN;
  });
}

/** A replica's whole snapshot, restored into a machine: what a snapshot transfer brings. */
export async function snapshots(): Promise<Surface> {
  const machine = keyValue<string>();
  const image = {
    clock: [1_700_000_000_000, 60_000] as const,
    sessions: [
      {
        id: 3,
        origin: 'a',
        nonce: 'n',
        time: 5,
        floor: 2,
        ranges: [[2, 9]] as [number, number][],
        blocks: [{ first: 2, outcomes: ['x', new Failure('ERR_REJECTED', 'no', 'why', 1)] }],
      },
    ],
    requests: [{ id: 'r', time: 1, outcome: { ok: true } }],
  };
  const corpus = [
    await gather(snapshotChunks(cbor(), machine.version, image, machine.snapshot() as Iterable<Uint8Array>)),
    await gather(
      snapshotChunks(
        cbor(),
        machine.version,
        { clock: [0, 0], sessions: [], requests: [] },
        machine.snapshot() as Iterable<Uint8Array>,
      ),
    ),
  ];
  return {
    name: 'snapshots',
    about: "a replica's snapshot, restored",
    corpus,
    life: 512,
    strict: false,
    begin: () => {
      const waiting: Promise<Verdict>[] = [];
      return {
        take: (input) => {
          waiting.push(restore(input));
          return TAKEN;
        },
        settle: async () => {
          const verdicts = await Promise.all(waiting.splice(0));
          return verdicts.filter((verdict) => verdict !== TAKEN);
        },
      };
    },
  };
}

async function restore(input: Uint8Array): Promise<Verdict> {
  const half = input.length >> 1;
  const chunks = [input.subarray(0, half), input.subarray(half)][Symbol.iterator]();
  const iterator: AsyncIterator<Uint8Array> = {
    next: () => Promise.resolve(chunks.next() as IteratorResult<Uint8Array>),
  };
  try {
    await restoreChunks(cbor(), keyValue<string>(), iterator);
    return TAKEN;
  } catch (error) {
    if (!(error instanceof QuorateError)) throw error;
    return error.code;
  }
}
