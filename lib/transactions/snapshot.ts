/**
 * The form of the snapshot of a transactional machine: `QT`, format number, length (u32) and CRC-32 of the transactions, the
 * transactions in CBOR, and then the machine's own snapshot as it is. @internal
 */
import { ByteReader, ByteWriter } from '../bytes.js';
import { crc32 } from '../crc.js';
import { QuorateError } from '../errors.js';
import { cbor } from '../replica/codec.js';
import { readImage, type TransactionsImage } from './image.js';

const FORMAT = 1;
const HEAD_BYTES = 11;
/** More than the caps of all tables together. */
const MAX_BYTES = 2 ** 29;

/** The bytes of the transactions, as they are now. */
export function encodeImage(image: TransactionsImage): Uint8Array {
  const body = cbor().encode(image);
  const writer = new ByteWriter(HEAD_BYTES + body.length);
  writer.u8(0x51);
  writer.u8(0x54);
  writer.u8(FORMAT);
  writer.u32(body.length);
  writer.u32(crc32(body));
  writer.raw(body);
  return writer.take();
}

/** Takes the transactions off the front of a snapshot; what is left is the machine's own. */
export async function decodeImage(
  chunks: AsyncIterable<Uint8Array>,
): Promise<{ image: TransactionsImage; rest: AsyncIterable<Uint8Array> }> {
  const source = chunks[Symbol.asyncIterator]() as AsyncIterator<Uint8Array, undefined>;
  let bytes = new Uint8Array(0);
  const fill = async (length: number): Promise<void> => {
    const parts: Uint8Array[] = [bytes];
    let size = bytes.length;
    while (size < length) {
      const { done, value } = await source.next();
      if (done === true) throw bad(`it ends after ${size} bytes`);
      // The chunk is its producer's again when the next one is asked for.
      parts.push(value.slice());
      size += value.length;
    }
    if (parts.length > 1) bytes = new Uint8Array(Buffer.concat(parts));
  };
  await fill(HEAD_BYTES);
  const reader = new ByteReader(bytes);
  if (reader.u8() !== 0x51 || reader.u8() !== 0x54) throw bad('it is no snapshot of a transactional machine');
  const format = reader.u8();
  if (format !== FORMAT) throw bad(`it has format ${format}, known is ${FORMAT}`);
  const length = reader.u32();
  const crc = reader.u32();
  if (length > MAX_BYTES) throw bad(`its transactions have ${length} bytes, above their cap of ${MAX_BYTES}`);
  await fill(HEAD_BYTES + length);
  const body = bytes.subarray(HEAD_BYTES, HEAD_BYTES + length);
  if (crc32(body) !== crc) throw bad('its checksum is wrong');
  const image = readImage(cbor().decode(body));
  const left = bytes.slice(HEAD_BYTES + length);
  return { image, rest: follow(left, source) };
}

async function* follow(
  first: Uint8Array,
  source: AsyncIterator<Uint8Array, undefined>,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (first.length > 0) yield first;
  for (;;) {
    const { done, value } = await source.next();
    if (done === true) return;
    yield value;
  }
}

function bad(why: string): QuorateError {
  return new QuorateError('ERR_CODEC', `the snapshot cannot be read: ${why}`);
}
