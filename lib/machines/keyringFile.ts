/** What a node remembers of the keyring that it follows, in a file of its own. */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { configError, QuorateError } from '../errors.js';
import type { KeyringList } from './keyring.js';

/** Keeps the latest keyring over restarts. {@link keyringFile} is one; write your own to keep it elsewhere. */
export interface KeyringMemory {
  /** What was saved last, or undefined. Throws if it cannot be read: better not to start than to forget who was revoked. */
  load(): KeyringList | undefined;
  /** Keeps a list in place of the former one; durably, before it returns. */
  save(list: KeyringList): void;
}

/**
 * Remembers the keyring in a file. A member that restarts learns only from the leader how much of its log is committed; until then
 * it goes by this file, so that a peer that was revoked stays out from the first moment.
 *
 * Changes are rare and some kilobytes, and are written (and flushed) at once. Following throws `ERR_STORAGE_CORRUPT` for a file that
 * makes no sense, and `ERR_STORAGE_FAILED` for one that cannot be read. Delete the file when the group is founded anew.
 *
 * @throws QuorateError `ERR_CONFIG` for a path that is no text.
 *
 * @example
 * ```ts
 * followKeyring({ mesh, replica: ring, memory: keyringFile('./data/a/keyring.json') });
 * ```
 */
export function keyringFile(path: string): KeyringMemory {
  if (typeof path !== 'string' || path === '') throw configError('path', path, 'the path of a file');
  return {
    load: () => {
      let text: string;
      try {
        text = readFileSync(path, 'utf8');
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw new QuorateError('ERR_STORAGE_FAILED', `cannot read the keyring in ${path}`, { cause });
      }
      const list = parsed(text);
      if (list === undefined) throw new QuorateError('ERR_STORAGE_CORRUPT', `${path} holds no keyring`);
      return list;
    },
    save: (list) => {
      const fresh = `${path}.new`;
      const { revision, trusted, revoked, revokedKeys } = list;
      try {
        written(fresh, JSON.stringify({ format: 1, revision, trusted, revoked, revokedKeys }));
        renameSync(fresh, path);
        flushed(dirname(path)); // or the new name might not outlive a power cut
      } catch (cause) {
        throw new QuorateError('ERR_STORAGE_FAILED', `cannot write the keyring to ${path}`, { cause });
      }
    },
  };
}

function written(path: string, text: string): void {
  const fd = openSync(path, 'w', 0o600);
  try {
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function flushed(folder: string): void {
  const fd = openSync(folder, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function parsed(text: string): KeyringList | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { format, revision, trusted, revoked, revokedKeys } = (value ?? {}) as Readonly<
    Record<string, unknown>
  >;
  if (format !== 1 || !Number.isSafeInteger(revision) || (revision as number) < 0) return undefined;
  if (!areTexts(revoked) || !areTexts(revokedKeys) || !Array.isArray(trusted)) return undefined;
  for (const pair of trusted as unknown[]) {
    if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== 'string' || !areTexts(pair[1]))
      return undefined;
  }
  return {
    revision: revision as number,
    trusted: trusted as KeyringList['trusted'],
    revoked,
    revokedKeys,
  };
}

function areTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string');
}
