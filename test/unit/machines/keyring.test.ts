import { expect } from 'chai';
import fc from 'fast-check';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { keyringFile, type KeyringMemory } from '../../../lib/machines/keyringFile.js';
import { keyring, type KeyringList } from '../../../lib/machines/keyring.js';
import { followKeyring, type FollowKeyringOptions } from '../../../lib/machines/keyringFollower.js';
import { formatPublicKey, generateIdentity, parsePublicKey } from '../../../lib/mesh/identity.js';
import { ChangeFeed } from '../../../lib/replica/changes.js';
import { QuorateError } from '../../../lib/errors.js';
import { bytesOf, contextAt, driver, errorOf, inChunks } from './helpers.js';

const keyNumber = (n: number): string => formatPublicKey(new Uint8Array(32).fill(n + 2));
const [k1, k2, k3, k4, k5] = [1, 2, 3, 4, 5].map(keyNumber) as [string, string, string, string, string];

type Machine = ReturnType<typeof keyring>;
const listOf = (machine: Machine): KeyringList => machine.query!({ op: 'list' }) as KeyringList;

function made(): { machine: Machine; apply: ReturnType<typeof driver> } {
  const machine = keyring();
  return { machine, apply: driver(machine) };
}

describe('keyring', () => {
  it('lists keys, ends them, and puts ids out', () => {
    const { machine, apply } = made();
    expect(listOf(machine)).to.deep.equal({ revision: 0, trusted: [], revoked: [], revokedKeys: [] });
    expect(apply({ op: 'add', id: 'c', key: k3 })).to.deep.equal([k3]);
    expect(apply({ op: 'add', id: 'b', key: k1 })).to.deep.equal([k1]);
    expect(apply({ op: 'add', id: 'b', key: k2 })).to.deep.equal([k1, k2]);
    expect(apply({ op: 'retire', id: 'b', key: k1 })).to.deep.equal([k2]);
    expect(machine.query!({ op: 'get', id: 'b' })).to.deep.equal({ keys: [k2], revoked: false });
    expect(apply({ op: 'revoke', id: 'b' })).to.equal(true);
    expect(machine.query!({ op: 'get', id: 'b' })).to.deep.equal({ keys: [], revoked: true });
    expect(machine.query!({ op: 'get', id: 'x' })).to.deep.equal({ keys: [], revoked: false });
    expect(listOf(machine)).to.deep.equal({
      revision: 5,
      trusted: [['c', [k3]]],
      revoked: ['b'],
      revokedKeys: [k1, k2].sort(),
    });
  });

  it('says nothing twice: what changes nothing has the revision of before', () => {
    const { machine, apply } = made();
    apply({ op: 'add', id: 'b', key: k1 });
    apply({ op: 'add', id: 'c', key: k2 });
    expect(apply({ op: 'add', id: 'b', key: k1 })).to.deep.equal([k1]);
    expect(apply({ op: 'retire', id: 'b', key: k5 })).to.deep.equal([k1]);
    expect(apply({ op: 'retire', id: 'x', key: k5 })).to.deep.equal([]);
    expect(listOf(machine).revision).to.equal(2);
    expect(apply({ op: 'revoke', id: 'b' })).to.equal(true);
    expect(apply({ op: 'revoke', id: 'b' })).to.equal(false);
    expect(listOf(machine).revision).to.equal(6);
  });

  it('lets a revoked id come back with a new key, never with one that was ended', () => {
    const { machine, apply } = made();
    apply({ op: 'add', id: 'b', key: k1 });
    apply({ op: 'add', id: 'c', key: k2 });
    apply({ op: 'revoke', id: 'b' });
    for (const id of ['b', 'd'])
      expect(errorOf(() => apply({ op: 'add', id, key: k1 })).reason).to.equal('KEY_REVOKED');
    expect(listOf(machine).revoked).to.deep.equal(['b']);
    expect(apply({ op: 'add', id: 'b', key: k3 })).to.deep.equal([k3]);
    expect(listOf(machine)).to.deep.include({ revoked: [], revokedKeys: [k1] });
  });

  it('puts out an id that only the options of nodes list', () => {
    const { machine, apply } = made();
    expect(apply({ op: 'revoke', id: 'b' })).to.equal(true);
    expect(listOf(machine)).to.deep.include({ trusted: [], revoked: ['b'] });
  });

  const wrong: [what: string, command: object, reason: string, origin?: string][] = [
    ['no id', { op: 'add', key: k5 }, 'INVALID_ID'],
    ['an id with a blank', { op: 'add', id: 'a b', key: k5 }, 'INVALID_ID'],
    ['an empty id', { op: 'revoke', id: '' }, 'INVALID_ID'],
    ['an id too long', { op: 'revoke', id: 'x'.repeat(129) }, 'INVALID_ID'],
    ['no key', { op: 'add', id: 'b' }, 'INVALID_KEY'],
    ['a key of another kind', { op: 'add', id: 'b', key: 'rsa:xyz' }, 'INVALID_KEY'],
    ['a key too short', { op: 'retire', id: 'b', key: k1.slice(0, -1) }, 'INVALID_KEY'],
    ['a key with a line feed', { op: 'add', id: 'b', key: `${k5}\n` }, 'INVALID_KEY'],
    ["another id's key", { op: 'add', id: 'x', key: k1 }, 'KEY_IN_USE'],
    ['the only key of an id', { op: 'retire', id: 'c', key: k2 }, 'LAST_KEY'],
    ['the submitter itself', { op: 'revoke', id: 'c' }, 'REVOKES_SUBMITTER', 'c'],
    ['a fifth key', { op: 'add', id: 'e', key: keyNumber(14) }, 'FULL'],
  ];
  for (const [what, command, reason, origin] of wrong) {
    it(`rejects ${what}, and changes nothing`, () => {
      const { machine, apply } = made();
      apply({ op: 'add', id: 'b', key: k1 });
      apply({ op: 'add', id: 'c', key: k2 });
      for (let i = 10; i < 14; i++) apply({ op: 'add', id: 'e', key: keyNumber(i) });
      const before = bytesOf(machine);
      const error = errorOf(() => apply(command, 1, origin ?? 'z'));
      expect([error.code, error.reason]).to.deep.equal(['ERR_REJECTED', reason]);
      expect(bytesOf(machine)).to.deep.equal(before);
      if (reason.startsWith('INVALID'))
        expect(errorOf(() => machine.validate!(command as never))).to.include({ reason, fate: 'refused' });
      else machine.validate!(command as never);
    });
  }

  it('never empties the list: the last trusted id stays', () => {
    const { machine, apply } = made();
    apply({ op: 'add', id: 'b', key: k1 });
    expect(errorOf(() => apply({ op: 'revoke', id: 'b' }, 1, 'z')).reason).to.equal('LAST_TRUSTED');
    apply({ op: 'add', id: 'c', key: k2 });
    expect(apply({ op: 'revoke', id: 'b' }, 1, 'z')).to.equal(true);
    expect(listOf(machine).trusted).to.deep.equal([['c', [k2]]]);
  });

  it('has caps: 1024 ids, 4096 revoked ones', () => {
    const { machine } = made();
    const number = (n: number): string => {
      const bytes = new Uint8Array(32).fill(3);
      new DataView(bytes.buffer).setUint32(4, n);
      return formatPublicKey(bytes);
    };
    const run = (command: object, i: number): unknown => machine.apply(command as never, contextAt(i + 1));
    for (let i = 0; i < 1024; i++) run({ op: 'add', id: `n${i}`, key: number(i) }, i);
    expect(errorOf(() => run({ op: 'add', id: 'n1024', key: number(1024) }, 1024)).reason).to.equal('FULL');
    expect(run({ op: 'add', id: 'n3', key: number(2000) }, 1025)).to.have.length(2);
    for (let i = 0; i < 4096; i++) run({ op: 'revoke', id: `r${i}` }, 2000 + i);
    expect(errorOf(() => run({ op: 'revoke', id: 'r4096' }, 7000)).reason).to.equal('FULL');
  });

  it('takes as a key what the mesh takes', () => {
    const machine = keyring();
    const shaped = (key: string): boolean => {
      try {
        machine.validate!({ op: 'add', id: 'b', key });
        return true;
      } catch {
        return false;
      }
    };
    for (let i = 0; i < 20; i++) expect(shaped(generateIdentity().publicKey)).to.equal(true);
    fc.assert(
      fc.property(fc.stringMatching(/^ed25519:[A-Za-z0-9_-]{42,44}$/), (key) => {
        expect(shaped(key)).to.equal(parsePublicKey(key) !== undefined);
      }),
      { numRuns: 2000 },
    );
  });

  it('gives equal bytes to equal histories, restored on the way or not', async () => {
    const id = fc.constantFrom('a', 'b', 'c', 'd');
    const key = fc.integer({ min: 0, max: 9 }).map(keyNumber);
    const command = fc.oneof(
      fc.record({ op: fc.constantFrom('add', 'add', 'retire'), id, key }),
      fc.record({ op: fc.constant('revoke'), id }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(command, { maxLength: 40 }), fc.nat(40), async (commands, at) => {
        const plain = keyring();
        let other = keyring();
        for (const [i, each] of commands.entries()) {
          if (i === at) {
            const fresh = keyring();
            await fresh.restore(inChunks(bytesOf(other), [7]));
            other = fresh;
          }
          for (const machine of [plain, other]) {
            try {
              machine.apply(each, contextAt(i + 1, i, 'z'));
            } catch (error) {
              expect((error as QuorateError).code).to.equal('ERR_REJECTED');
            }
          }
          expect(bytesOf(other)).to.deep.equal(bytesOf(plain));
          // No key is listed twice, none is both listed and ended, no id is both listed and put out.
          const { trusted, revoked, revokedKeys } = listOf(plain);
          const keys = trusted.flatMap(([, own]) => own);
          expect(new Set([...keys, ...revokedKeys]).size).to.equal(keys.length + revokedKeys.length);
          for (const [listed] of trusted) expect(revoked).not.to.include(listed);
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe('followKeyring', () => {
  /** A replica as far as following goes: a machine, and the real stream of its changes. */
  class Followed {
    readonly machine = keyring();
    readonly feed = new ChangeFeed(() => undefined);
    index = 0;
    submit(command: object): void {
      let ok = true;
      try {
        this.machine.apply(command as never, contextAt(++this.index, 0, 'z'));
      } catch {
        ok = false;
      }
      this.feed.applied({ type: 'applied', index: this.index, time: 0, origin: 'z', command, ok });
    }
    changes({ signal }: { signal?: AbortSignal } = {}) {
      return this.feed.subscribe(this.index, undefined, signal);
    }
    peek(): KeyringList {
      return listOf(this.machine);
    }
  }

  function start(replica: Followed, memory?: KeyringMemory) {
    const seen: KeyringList[] = [];
    const warnings: string[] = [];
    const mesh = {
      identity: {
        follow: (list: KeyringList) => void seen.push(list),
        warn: (error: Error) => void warnings.push(String((error as { code?: unknown }).code)),
      },
    };
    const follower = followKeyring({
      mesh,
      replica: replica as unknown as FollowKeyringOptions['replica'],
      ...(memory && { memory }),
    });
    return { seen, warnings, follower };
  }
  const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

  it('applies what is there at once, then every change, and every replacement of the state', async () => {
    const replica = new Followed();
    replica.submit({ op: 'add', id: 'b', key: k1 });
    const { seen, follower } = start(replica);
    expect(seen.at(-1)).to.deep.include({ revision: 1, trusted: [['b', [k1]]] });
    replica.submit({ op: 'add', id: 'c', key: k2 });
    await turn();
    expect(seen.at(-1)).to.deep.include({ revision: 2 });
    const before = seen.length;
    replica.submit({ op: 'add', id: 'd', key: k2 }); // rejected
    await turn();
    expect(seen).to.have.length(before);
    const newer = keyring();
    newer.apply({ op: 'add', id: 'q', key: k4 }, contextAt(9));
    await replica.machine.restore(inChunks(bytesOf(newer)));
    replica.feed.reset(9);
    await turn();
    expect(seen.at(-1)).to.deep.include({ revision: 9, trusted: [['q', [k4]]] });
    follower.close();
    follower.close();
    await follower.closed;
    replica.index = 9;
    replica.submit({ op: 'add', id: 'r', key: k5 });
    await turn();
    expect(seen.at(-1)).to.deep.include({ revision: 9 });
  });

  it('ends with the replica', async () => {
    const replica = new Followed();
    const { follower } = start(replica);
    replica.feed.close();
    await follower.closed;
  });

  it('refuses what is no mesh, no replica, or no replica of a keyring', () => {
    const replica = new Followed() as unknown as FollowKeyringOptions['replica'];
    const mesh = { identity: { follow: () => undefined, warn: () => undefined } };
    for (const options of [
      { replica },
      { mesh: {}, replica },
      { mesh },
      { mesh, replica: {} },
      { mesh, replica, memory: {} },
    ])
      expect(errorOf(() => followKeyring(options as FollowKeyringOptions)).code).to.equal('ERR_CONFIG');
    const wrong = new Followed();
    wrong.peek = () => {
      throw new QuorateError('ERR_UNKNOWN_OPERATION', 'no query "list"');
    };
    expect(errorOf(() => start(wrong)).code).to.equal('ERR_UNKNOWN_OPERATION');
  });

  describe('with a memory', () => {
    let folder: string;
    beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'keyring-'))));
    afterEach(() => rmSync(folder, { recursive: true, force: true }));

    it('goes by what it remembers while the replica is behind, and then by the replica', async () => {
      const memory = keyringFile(join(folder, 'keyring.json'));
      expect(memory.load()).to.equal(undefined);
      const before = new Followed();
      const first = start(before, memory);
      before.submit({ op: 'add', id: 'c', key: k2 });
      before.submit({ op: 'revoke', id: 'b' });
      await turn();
      first.follower.close();
      const remembered = before.peek();
      expect(memory.load()).to.deep.equal(remembered);
      // After a restart the replica begins before the revocation, and is told entry by entry that it was committed.
      const after = new Followed();
      const { seen } = start(after, memory);
      expect(seen).to.deep.equal([remembered]);
      after.submit({ op: 'add', id: 'c', key: k2 });
      await turn();
      after.submit({ op: 'revoke', id: 'b' });
      await turn();
      expect(seen).to.deep.equal([remembered]);
      after.submit({ op: 'add', id: 'd', key: k3 });
      await turn();
      expect(seen.slice(1)).to.deep.equal([after.peek()]);
      expect(memory.load()).to.deep.equal(after.peek());
    });

    it('does not start with a file that makes no sense, and says that it cannot be read or written', async () => {
      const file = join(folder, 'keyring.json');
      const good = { format: 1, revision: 1, trusted: [['b', [k1]]], revoked: [], revokedKeys: [] };
      writeFileSync(file, JSON.stringify(good));
      expect(keyringFile(file).load()).to.deep.include({ revision: 1 });
      for (const text of [
        '',
        'null',
        '[]',
        JSON.stringify(good).slice(0, -1),
        ...[
          { format: 2 },
          { revision: -1 },
          { revision: 'x' },
          { trusted: {} },
          { trusted: [['b']] },
          { trusted: [['b', k1]] },
          { trusted: [[1, [k1]]] },
          { revoked: 'b' },
          { revokedKeys: [1] },
        ].map((change) => JSON.stringify({ ...good, ...change })),
      ]) {
        writeFileSync(file, text);
        expect(errorOf(() => start(new Followed(), keyringFile(file))).code, text).to.equal(
          'ERR_STORAGE_CORRUPT',
        );
      }
      expect(errorOf(() => keyringFile(folder).load()).code).to.equal('ERR_STORAGE_FAILED');
      for (const path of ['', 42])
        expect(errorOf(() => keyringFile(path as string)).code).to.equal('ERR_CONFIG');
      // A folder that is not there: nothing to load, and saving fails aloud while the list is in force.
      const { seen, warnings } = start(new Followed(), keyringFile(join(folder, 'none', 'keyring.json')));
      await turn();
      expect([seen.length, warnings]).to.deep.equal([1, ['ERR_STORAGE_FAILED']]);
    });
  });
});
