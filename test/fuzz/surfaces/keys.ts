/** Keys: as texts and bytes, in the replicated allow-list, and in the file that remembers it. */
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from '../../../lib/crc.js';
import { QuorateError } from '../../../lib/errors.js';
import { keyring, type KeyringList } from '../../../lib/machines/keyring.js';
import { keyringFile } from '../../../lib/machines/keyringFile.js';
import { Credentials } from '../../../lib/mesh/credentials.js';
import {
  checkPublicKey,
  decodePublicKey,
  formatPublicKey,
  generateIdentity,
  isSignedBy,
  parsePublicKey,
  signerOf,
} from '../../../lib/mesh/identity.js';
import { batchCodec, cbor } from '../../../lib/replica/codec.js';
import type { ApplyContext } from '../../../lib/replica/stateMachine.js';
import type { Random } from '../random.js';
import { must, sameBytes, stateless, TAKEN, type Surface, type Trial, type Verdict } from '../surface.js';

const codec = batchCodec(cbor());
const pairs = [generateIdentity(), generateIdentity(), generateIdentity()];
const texts = pairs.map(({ publicKey }) => publicKey);
const kind = (number: number, ...parts: readonly (string | Uint8Array)[]): Uint8Array =>
  Uint8Array.from(
    Buffer.concat([Uint8Array.of(number), ...parts.map((part) => Buffer.from(part as string))]),
  );

const message = Buffer.from('what was signed');
const signer = signerOf('key', pairs[0]!.privateKey);
const signature = signer.sign(message);
const identityCorpus: readonly Uint8Array[] = [
  ...texts.map((text) => kind(0, text)),
  ...texts.map((text) => kind(1, parsePublicKey(text)!)),
  kind(1),
  ...pairs.map(({ privateKey }) => kind(2, privateKey)),
  kind(3, Buffer.alloc(32, 7)),
  kind(3, pairs[0]!.privateKey),
  kind(4, parsePublicKey(texts[0])!, signature, message),
];
const otherKeys = [
  generateKeyPairSync('x25519').privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
  generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
    type: 'pkcs8',
    format: 'pem',
  }) as string,
  generateKeyPairSync('ed25519').privateKey.export({
    type: 'pkcs8',
    format: 'pem',
    cipher: 'aes-256-cbc',
    passphrase: 'p',
  }) as string,
  generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }) as string,
];

/** Refusals of private keys must not quote them. */
function readPrivate(key: string | Uint8Array): void {
  let found;
  try {
    found = signerOf('key', key);
  } catch (error) {
    if (!(error instanceof QuorateError)) throw error;
    const shown = `${error.message} ${String(error.cause)}`;
    const text = typeof key === 'string' ? key : Buffer.from(key).toString('latin1');
    for (const line of text.split('\n'))
      must(line.length < 12 || !shown.includes(line), 'a refusal that quotes a private key');
    throw error;
  }
  must(parsePublicKey(found.publicKey) !== undefined, 'a private key without a public one');
  must(isSignedBy(found.publicKey, message, found.sign(message)), 'a key that signs nothing');
}

export function identity(): Surface {
  const words = ['ed25519:', '-----BEGIN PRIVATE KEY-----\n', '-----END PRIVATE KEY-----\n', ...otherKeys];
  return stateless(
    'identity',
    'public keys, private keys, signatures',
    identityCorpus,
    (input) => {
      const rest = input.subarray(Math.min(1, input.length));
      const text = Buffer.from(rest).toString('utf8');
      switch ((input[0] ?? 0) % 5) {
        case 0: {
          const bytes = parsePublicKey(text);
          must(bytes === undefined || formatPublicKey(bytes) === text, 'a key with two texts');
          must(checkPublicKey('key', text) === text && bytes !== undefined, 'two opinions of a key');
          break;
        }
        case 1: {
          const found = decodePublicKey(rest);
          must(
            found === undefined ? rest.length === 0 : sameBytes(parsePublicKey(found)!, rest),
            'it reads otherwise',
          );
          break;
        }
        case 2:
          readPrivate(text);
          break;
        case 3:
          readPrivate(rest);
          break;
        default: {
          const key = decodePublicKey(rest.subarray(0, 32));
          const [signed, said] = [rest.subarray(32, 96), rest.subarray(96)];
          const good = key !== undefined && isSignedBy(key, said, signed);
          must(!good || (key === texts[0] && sameBytes(said, message)), 'a signature that nobody made');
          if (!good) throw new QuorateError('ERR_PEER_KEY', 'not signed');
        }
      }
      return TAKEN;
    },
    words,
  );
}

class Rejection extends QuorateError {}

function context(index: number, origin: string): ApplyContext {
  return {
    index,
    time: 1e12 + index,
    origin,
    random: () => 0.5,
    reject: (reason) => {
      throw new Rejection('ERR_REJECTED', reason, { reason });
    },
  };
}

const ids = ['a', 'b', 'c', 'node:with@signs'];
const commandCorpus: readonly Uint8Array[] = [
  ...ids.flatMap((id, i) => [
    { op: 'add', id, key: texts[i % 3] },
    { op: 'add', id, key: `ed25519:${'A'.repeat(42)}${'AEIMQUYcgkosw048'[i]}` },
    { op: 'retire', id, key: texts[i % 3] },
    { op: 'revoke', id },
    { op: 'get', id },
  ]),
  { op: 'list' },
  null,
  ['add'],
].map((value) => codec.encode(value));

type Machine = ReturnType<typeof keyring>;

function listOf(machine: Machine): KeyringList {
  return machine.query!({ op: 'list' }) as KeyringList;
}

/** What no list may say, whatever the commands were. */
function checkList({ trusted, revoked, revokedKeys }: KeyringList): void {
  must(
    trusted.length <= 1024 && revoked.length <= 4096 && revokedKeys.length <= 4096,
    'a list above its cap',
  );
  const out = new Set(revoked);
  const ended = new Set(revokedKeys);
  const owners = new Set<string>();
  for (const [id, keys] of trusted) {
    must(keys.length >= 1 && keys.length <= 4 && !out.has(id), `an entry that cannot be: ${id}`);
    for (const key of keys) {
      must(!owners.has(key) && !ended.has(key), 'a key that is listed twice, or was ended');
      owners.add(key);
    }
  }
}

/** Commands of members, straight out of the log: nobody validated them. */
class KeyringTrial implements Trial {
  readonly #random: Random;
  readonly #machine = keyring();
  #index = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  take(input: Uint8Array): Verdict {
    const command = codec.decode(input) as never;
    const before = listOf(this.#machine);
    const full = before.trusted.length < 16 || this.#random.chance(0.05);
    try {
      const result = this.#machine.apply(command, context(++this.#index, this.#random.pick(ids)));
      codec.encode(result);
    } catch (error) {
      if (full)
        must(
          sameBytes(codec.encode(listOf(this.#machine)), codec.encode(before)),
          'what was rejected changed something',
        );
      if (!(error instanceof QuorateError) || error.code !== 'ERR_UNKNOWN_OPERATION') throw error;
      codec.encode(this.#machine.query!(command));
      return TAKEN;
    }
    const after = listOf(this.#machine);
    if (full) checkList(after);
    must(after.revision >= before.revision && after.revision <= this.#index, 'a revision that goes back');
    return TAKEN;
  }
}

export function keyringCommands(): Surface {
  return {
    name: 'keyring',
    about: 'commands and queries of the replicated allow-list',
    corpus: commandCorpus,
    words: [...ids, ...texts, 'add', 'revoke', 'retire', '__proto__'].map((text) =>
      Uint8Array.from(codec.encode(text)),
    ),
    life: 2048,
    strict: false,
    begin: (random) => new KeyringTrial(random),
  };
}

function snapshotOf(machine: Machine): Buffer {
  return Buffer.concat([...(machine.snapshot() as Iterable<Uint8Array>)]);
}

/** Snapshots of the allow-list whose checksum is right: whoever sends one can compute it. */
export function keyringSnapshots(): Surface {
  const machine = keyring();
  const corpus = [snapshotOf(machine)];
  let index = 0;
  for (const [i, id] of ids.entries()) {
    machine.apply({ op: 'add', id, key: texts[i % 3]!.replace(/.$/, 'AEIM'[i]!) }, context(++index, 'z'));
    corpus.push(snapshotOf(machine));
  }
  machine.apply({ op: 'revoke', id: 'b' }, context(index + 1, 'z'));
  corpus.push(snapshotOf(machine));
  const bodies = corpus.map((bytes) => Uint8Array.from(bytes.subarray(0, -4)));
  return stateless(
    'keyringSnapshots',
    'snapshots of the allow-list, restored and used',
    bodies,
    (input) => restored(input),
    ['trusted', 'revoked', 'revokedKeys', 'revision', ...ids].map((text) => codec.encode(text)),
  );
}

async function restored(input: Uint8Array): Promise<Verdict> {
  const sum = Buffer.alloc(4);
  sum.writeUInt32LE(crc32(input));
  const chunks = [input, sum].values();
  const machine = keyring();
  await machine.restore({
    [Symbol.asyncIterator]: () => ({
      next: () => Promise.resolve(chunks.next() as IteratorResult<Uint8Array>),
    }),
  });
  try {
    codec.encode(listOf(machine));
    machine.apply({ op: 'revoke', id: 'c' }, context(99, 'z'));
  } catch (error) {
    // The replica turns whatever a machine throws into its own errors, alike on every member.
    if (!(error instanceof QuorateError)) return 'ERR_QUERY_FAILED';
    if (error.code !== 'ERR_REJECTED') return error.code;
  }
  const bytes = snapshotOf(machine);
  const again = keyring();
  const whole = [bytes].values();
  await again.restore({
    [Symbol.asyncIterator]: () => ({
      next: () => Promise.resolve(whole.next() as IteratorResult<Uint8Array>),
    }),
  });
  must(sameBytes(snapshotOf(again), bytes), 'a snapshot that restores otherwise');
  return TAKEN;
}

/** The file with what a node remembers of the allow-list. */
export function keyringFiles(): Surface {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-fuzz-'));
  const path = join(directory, 'keyring.json');
  const memory = keyringFile(path);
  const lists: readonly KeyringList[] = [
    { revision: 0, trusted: [], revoked: [], revokedKeys: [] },
    {
      revision: 7,
      trusted: [
        ['a', texts.slice(0, 2)],
        ['b', texts.slice(2)],
      ],
      revoked: ['c'],
      revokedKeys: [],
    },
    { revision: 2 ** 40, trusted: [], revoked: ids, revokedKeys: texts },
  ];
  const corpus = lists.map((list) => Uint8Array.from(Buffer.from(JSON.stringify({ format: 1, ...list }))));
  const words = [
    '"trusted":',
    '"revoked":',
    'null',
    '[]',
    '{}',
    '"__proto__":',
    '"length":',
    '-1',
    '1e400',
    ...texts,
  ];
  return {
    name: 'keyringFile',
    about: 'the file that remembers the allow-list: read, followed, and saved again',
    corpus,
    words: words.map((word) => Buffer.from(word)),
    life: 1_000_000_000,
    strict: true,
    begin: (random) => ({
      take: (input) => {
        writeFileSync(path, input);
        const list = memory.load();
        must(list !== undefined, 'a file that is there and is not seen');
        const said = [
          ...list.revoked,
          ...list.revokedKeys,
          ...list.trusted.flatMap(([id, keys]) => [id, ...keys]),
        ];
        must(
          said.every((each) => typeof each === 'string') && Number.isSafeInteger(list.revision),
          'a list with something else than texts',
        );
        const credentials = new Credentials({
          id: 'a',
          cluster: 'c',
          keys: undefined,
          signer: undefined,
          peers: new Map(),
        } as never);
        credentials.follow(list);
        must(Array.isArray(credentials.trusted()), 'a list that cannot be shown');
        // Saving flushes a real disk: not each time.
        if (!random.chance(0.001)) return TAKEN;
        memory.save(list);
        must(JSON.stringify(memory.load()) === JSON.stringify(list), 'a list that reads otherwise');
        return TAKEN;
      },
      dispose: () => {
        rmSync(directory, { recursive: true, force: true });
        return Promise.resolve();
      },
    }),
  };
}
