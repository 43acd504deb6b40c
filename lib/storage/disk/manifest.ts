/** The manifest binds a directory to a cluster and a node. */
import { join } from 'node:path';
import { crc32 } from '../../crc.js';
import { randomId } from '../../environment.js';
import type { Environment } from '../../environment.js';
import { QuorateError } from '../../errors.js';
import type { FileSystem } from '../../files.js';
import { FORMAT_VERSION } from './format.js';
import { corrupt, syncFile, writeFully } from './io.js';

const NAME = 'manifest';
const MAX_BYTES = 4096;

/** @internal */
export interface Manifest {
  readonly cluster: string;
  readonly node: string;
  /** 128 random bits, in hexadecimal. */
  readonly incarnation: string;
}

/** @internal */
export function newManifest(environment: Environment, cluster: string, node: string): Manifest {
  return { cluster, node, incarnation: randomId(environment) };
}

/** Writes it atomically: after a crash it is there whole, or not at all. @internal */
export async function writeManifest(files: FileSystem, directory: string, manifest: Manifest): Promise<void> {
  const path = join(directory, NAME);
  const temporary = `${path}.tmp`;
  await files.remove(temporary);
  const handle = await files.open(temporary, 'create');
  try {
    await writeFully(handle, [encodeManifest(manifest)], 0);
    await syncFile(handle);
  } finally {
    await handle.close();
  }
  await files.rename(temporary, path);
  await files.syncDirectory(directory);
}

/** undefined when there is none; throws ERR_STORAGE_CORRUPT, ERR_STORAGE_VERSION. @internal */
export async function readManifest(files: FileSystem, directory: string): Promise<Manifest | undefined> {
  if (!(await files.list(directory)).includes(NAME)) return undefined;
  const path = join(directory, NAME);
  const handle = await files.open(path, 'read');
  try {
    return decodeManifest(path, await handle.read(0, MAX_BYTES));
  } finally {
    await handle.close();
  }
}

/** Throws ERR_STORAGE_FOREIGN unless it is of that cluster and node. @internal */
export function checkBinding(directory: string, manifest: Manifest, cluster: string, node: string): void {
  if (manifest.cluster === cluster && manifest.node === node) return;
  throw new QuorateError(
    'ERR_STORAGE_FOREIGN',
    `${directory} belongs to node ${manifest.node} of cluster ${manifest.cluster}, not to node ${node} of cluster ${cluster}`,
  );
}

function encodeManifest(manifest: Manifest): Uint8Array {
  const text = `quorate storage ${FORMAT_VERSION}\n${JSON.stringify(manifest)}\n`;
  return Buffer.from(`${text}${checksum(text)}\n`);
}

function decodeManifest(path: string, bytes: Uint8Array): Manifest {
  const text = Buffer.from(bytes).toString('utf8');
  // Every version ends with the checksum of what comes before it, so that a newer one is told from a damaged one.
  const match = /^(quorate storage (\d+)\n[^]*\n)([0-9a-f]{8})\n$/.exec(text);
  if (match === null || checksum(match[1]!) !== match[3])
    throw corrupt(path, 0, 'its checksum does not match');
  if (Number(match[2]) !== FORMAT_VERSION) {
    throw new QuorateError(
      'ERR_STORAGE_VERSION',
      `${path} has format ${match[2]!}; this version reads format ${FORMAT_VERSION}`,
    );
  }
  const { cluster, node, incarnation } = JSON.parse(match[1]!.slice(match[1]!.indexOf('\n'))) as Manifest;
  return { cluster, node, incarnation };
}

function checksum(text: string): string {
  return crc32(Buffer.from(text)).toString(16).padStart(8, '0');
}
