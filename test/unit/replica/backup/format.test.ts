import { expect } from 'chai';
import { describe, it } from 'mocha';
import { verifyBackup } from '../../../../lib/index.js';
import { encodeBackup, openBackup, type BackupInfo } from '../../../../lib/replica/backup/backupFormat.js';
import { seeded } from '../../support/seeded.js';
import { failure } from './support.js';

const info: BackupInfo = {
  group: 'settings',
  genesis: 'f'.repeat(32),
  node: 'a',
  index: 2 ** 40,
  epoch: { config: 0, n: 7, priority: 0, node: 'b' },
  time: 1.7e12,
  createdAt: 1.8e12,
  machineVersion: 3,
  protocol: 'raft',
  members: ['a', 'b', 'ü'],
};

async function joined(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const out: Uint8Array[] = [];
  for await (const chunk of chunks) out.push(chunk);
  return Buffer.concat(out);
}

/** Made of pieces of all sizes, among them none and one that is cut in two. */
function content(): Uint8Array[] {
  return [0, 1, 5, 0, 300_000].map((length, i) => new Uint8Array(length).fill(i + 1));
}

describe('a backup as bytes', () => {
  it('says what it is and holds what was put in, however it is cut into pieces', async () => {
    const bytes = await joined(encodeBackup(info, content()));
    for (const size of [1000, 65_536, bytes.length, 1]) {
      const pieces: Uint8Array[] = [new Uint8Array(0)];
      const end = size === 1 ? 2000 : bytes.length;
      for (let at = 0; at < end; at += size) pieces.push(bytes.subarray(at, Math.min(at + size, end)));
      if (size === 1) pieces.push(bytes.subarray(end));
      const backup = await openBackup(pieces);
      expect(backup.info).to.deep.equal(info);
      expect(Buffer.compare(await joined(backup.content), Buffer.concat(content()))).to.equal(0);
    }
    expect(await verifyBackup([bytes])).to.deep.equal(info);
  });

  it('is refused with any bit changed, cut off anywhere, or with something behind it', async () => {
    const bytes = await joined(encodeBackup(info, [new Uint8Array(64).fill(7)]));
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const changed = Buffer.from(bytes);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      const { code } = await failure(verifyBackup([changed]));
      // The eighth byte is the format.
      expect(code, `bit ${bit}`).to.equal(bit >> 3 === 7 ? 'ERR_BACKUP_VERSION' : 'ERR_BACKUP_CORRUPT');
    }
    for (let length = 0; length < bytes.length; length++) {
      const { code, message } = await failure(verifyBackup([bytes.subarray(0, length)]));
      expect(code, `${length} bytes`).to.equal('ERR_BACKUP_CORRUPT');
      expect(message).to.match(/^the backup is damaged at byte \d+: /);
    }
    expect((await failure(verifyBackup([bytes, new Uint8Array(1)]))).message).to.equal(
      `the backup is damaged at byte ${bytes.length}: something follows its end`,
    );
  });

  it('is refused with chunks that changed places, or are of another backup', async () => {
    const of = async (fill: number[]): Promise<Buffer[]> => {
      const out: Buffer[] = [];
      for await (const chunk of encodeBackup(
        info,
        fill.map((n) => new Uint8Array(32).fill(n)),
      ))
        out.push(Buffer.from(chunk));
      return out;
    };
    const [head, one, two, end] = await of([1, 2]);
    const [, , other] = await of([2, 1]);
    expect(await verifyBackup([head!, one!, two!, end!])).to.deep.equal(info);
    for (const wrong of [
      [head, two, one, end],
      [head, one, end],
      [head, one, one, end],
      [head, one, other, end],
    ])
      expect((await failure(verifyBackup(wrong as Buffer[]))).code).to.equal('ERR_BACKUP_CORRUPT');
  });

  it('hands on no chunk that was changed', async () => {
    const out: Buffer[] = [];
    for await (const chunk of encodeBackup(info, [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)]))
      out.push(Buffer.from(chunk));
    out[2]![20]! ^= 1;
    const seen: number[] = [];
    const { content } = await openBackup(out);
    const reading = (async () => {
      for await (const chunk of content) seen.push(chunk[0]!);
    })();
    expect((await failure(reading)).message).to.match(/a chunk was changed/);
    expect(seen).to.deep.equal([1]);
  });

  it('is refused where it is anything at all, without holding more than a chunk of it', async () => {
    const random = seeded(7);
    const magic = Buffer.from('QRTBACK\u0001');
    for (let i = 0; i < 300; i++) {
      const noise = Buffer.from(Array.from({ length: Math.floor(random() * 80) }, () => random() * 256));
      const start = i % 3 === 0 ? noise : Buffer.concat([magic, noise]);
      expect((await failure(verifyBackup([start]))).code).to.match(/^ERR_BACKUP_/);
    }
    // A length without end is not believed: no memory is made ready for it.
    const claim = Buffer.concat([magic, Buffer.from([255, 255, 255, 255])]);
    expect((await failure(verifyBackup([claim]))).message).to.match(
      /at byte 8: its head claims 4294967295 bytes/,
    );
    for (const from of [undefined, 'settings.backup', new Uint8Array(9), 7])
      expect((await failure(verifyBackup(from as never))).code).to.equal('ERR_CONFIG');
    expect((await failure(verifyBackup(['text'] as never))).message).to.match(/^from must yield Uint8Array/);
  });

  it('lets its source go when it is refused or left', async () => {
    for (const broken of [true, false]) {
      let ended = false;
      const bytes = await joined(encodeBackup(info, content()));
      async function* source(): AsyncGenerator<Uint8Array> {
        try {
          yield broken ? Buffer.from('not a backup') : bytes.subarray(0, 400);
          yield bytes.subarray(400);
          yield* [];
          await Promise.resolve();
        } finally {
          ended = true;
        }
      }
      if (broken) await failure(verifyBackup(source()));
      else for await (const chunk of (await openBackup(source())).content) if (chunk.length > 0) break;
      expect(ended).to.equal(true);
    }
  });
});
