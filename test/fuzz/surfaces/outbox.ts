/** The outbox: its records, and the file that they are in. */
import { dirname } from 'node:path';
import { ByteReader } from '../../../lib/bytes.js';
import { QuorateError } from '../../../lib/errors.js';
import {
  encodeAdd,
  encodeRemove,
  encodeSent,
  encodeUnknown,
  encodeWhole,
  Entry,
  readRecords,
} from '../../../lib/replica/outbox/outboxRecords.js';
import { diskStorage } from '../../../lib/storage/diskStorage.js';
import { openRecordFile } from '../../../lib/storage/disk/recordFile.js';
import { damage } from '../../unit/storage/support/damage.js';
import { FaultyDisk } from '../../unit/storage/support/faultyDisk.js';
import { environmentOn } from '../../unit/storage/support/harness.js';
import { must, sameBytes, stateless, TAKEN, type Surface, type Verdict } from '../surface.js';
import { written } from './group.js';

function entry(number: number, fields: Partial<Entry> = {}): Entry {
  return Object.assign(
    new Entry(number, `request-${number}`, Uint8Array.of(1, 2, number & 0xff), 1.7e12),
    fields,
  );
}

const sent = [3, 4, 5].map((number, i) => entry(number, { session: 9, sequence: 40 + i, after: 100 }));
const lists: readonly (readonly Uint8Array[])[] = [
  [encodeAdd(entry(1)), encodeAdd(entry(2))],
  [...sent.map(encodeAdd), encodeSent(sent), encodeRemove(sent.slice(0, 1)), encodeUnknown(sent.slice(1))],
  [...encodeWhole(entry(7, { state: 'unknown', session: 3, sequence: 1 })), encodeAdd(entry(2 ** 40))],
  [],
];
const packed = lists.map((records) => written((w) => records.forEach((record) => w.bytes(record))));

/** What an input says the records are. What is left over is a record too. */
function unpacked(input: Uint8Array): Uint8Array[] {
  const records: Uint8Array[] = [];
  const reader = new ByteReader(input);
  while (reader.remaining > 0) {
    const before = reader.remaining;
    try {
      records.push(reader.bytes());
    } catch {
      records.push(input.subarray(input.length - before));
      break;
    }
  }
  return records;
}

function fieldsOf({ number, requestId, item, queuedAt, state, session, sequence, after }: Entry): string {
  const queued = Object.is(queuedAt, NaN) ? 'NaN' : String(queuedAt);
  const fate = state === 'queued' ? [] : [session, sequence, after];
  return JSON.stringify([number, requestId, Buffer.from(item).toString('hex'), queued, state, ...fate]);
}

export function outboxRecords(): Surface {
  return stateless('outboxRecords', 'the records of an outbox', packed, (input) => {
    const { entries, next } = readRecords(unpacked(input));
    const numbers = new Set(entries.map(({ number }) => number));
    must(numbers.size === entries.length, 'two entries of one number');
    must(
      entries.every(({ number }) => number < next),
      'a number that will be given twice',
    );
    const again = readRecords(entries.flatMap(encodeWhole));
    must(
      JSON.stringify(again.entries.map(fieldsOf)) === JSON.stringify(entries.map(fieldsOf)),
      'an outbox that reads otherwise when it is written anew',
    );
    return TAKEN;
  });
}

const DIRECTORY = '/d';
const GROUP = 'g';

interface Made {
  readonly disk: FaultyDisk;
  readonly path: string;
  /** Contents of the file at times, each with its own header or its own length. */
  readonly contents: readonly { readonly bytes: Buffer; readonly records: readonly string[] }[];
}

async function make(): Promise<Made> {
  const disk = new FaultyDisk();
  const environment = environmentOn(disk);
  const storage = diskStorage(DIRECTORY, { segmentBytes: 65_536, reserve: 0 });
  const store = await storage.open({ environment, cluster: 'c', node: 'a' });
  const contents: { bytes: Buffer; records: string[] }[] = [];
  let path = '';
  let records: string[] = [];
  const file = await storage.openRecords!({ environment, group: GROUP });
  const note = (): void => {
    path = [...disk.files().keys()].find((name) => name.endsWith('.records'))!;
    contents.push({ bytes: Buffer.from(disk.files().get(path)!.current), records });
  };
  const wait = (begin: (done: (error?: Error) => void) => void): Promise<void> =>
    new Promise((resolve, reject) => begin((error) => (error === undefined ? resolve() : reject(error))));
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 4; i++) {
      const added = [`${round} ${i}`, 'x'.repeat(i * 300)];
      await wait((done) =>
        file.append(
          added.map((text) => Buffer.from(text)),
          false,
          done,
        ),
      );
      records = [...records, ...added];
      note();
    }
    const kept = [`kept ${round}`];
    await wait((done) =>
      file.replace(
        kept.map((text) => Buffer.from(text)),
        done,
      ),
    );
    records = kept;
    note();
  }
  await file.close();
  await store.close();
  return { disk, path, contents };
}

const HEADER = 64;

/**
 * The file of an outbox with other bytes in it. What is read may end early, as a crash leaves it, but is what was written; and
 * what is read once reads so again.
 */
export async function recordFile(): Promise<Surface> {
  const { disk, path, contents } = await make();
  const environmentDirectory = dirname(dirname(path));
  const read = async (from: FaultyDisk): Promise<string[]> => {
    const file = await openRecordFile(environmentDirectory, environmentOn(from), GROUP, 0);
    const records = file.records.map((bytes) => Buffer.from(bytes).toString());
    await file.close();
    return records;
  };
  const open = async (input: Uint8Array, twice: boolean): Promise<Verdict> => {
    const damaged = damage(disk, path, () => Buffer.from(input));
    let records: string[];
    try {
      records = await read(damaged);
    } catch (error) {
      if (!(error instanceof QuorateError)) throw error;
      must(error.code.startsWith('ERR_STORAGE_'), `refused with ${error.code}`);
      return error.code;
    }
    const head = input.subarray(0, HEADER);
    const origins = contents.filter(({ bytes }) => sameBytes(bytes.subarray(0, HEADER), head));
    must(origins.length > 0, 'a file whose header was never written was taken');
    must(
      origins.some((origin) => records.every((record, i) => origin.records[i] === record)),
      'records were read that were never written so',
    );
    if (twice)
      must(
        JSON.stringify(await read(damaged)) === JSON.stringify(records),
        'it reads otherwise the second time',
      );
    return TAKEN;
  };
  return {
    name: 'recordFile',
    about: 'the file of an outbox, damaged: opened and read',
    corpus: contents.map(({ bytes }) => bytes),
    life: 1_000_000_000,
    strict: true,
    begin: (random) => ({ take: (input) => open(input, random.chance(0.1)) }),
  };
}
