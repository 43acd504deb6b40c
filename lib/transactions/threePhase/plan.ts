/** What all sites of a transaction know of it, as bytes. @internal */
import type { ByteReader, ByteWriter } from '../../bytes.js';
import { isName, QuorateError } from '../../errors.js';
import { MAX_PAYLOAD_BYTES, MAX_RESOURCE_NAME, MAX_RESOURCES } from './limits.js';
import { MAX_SITES } from './protocol.js';
import type { ThreePhaseForm } from './siteTypes.js';

/** Who takes part, and how. */
export interface Plan {
  readonly form: ThreePhaseForm;
  /** How long a site waits for the next step, in milliseconds. */
  readonly timeoutMs: number;
  /** The nodes, the coordinator first, each with the incarnation of its storage: who lost it has nothing to say any more. */
  readonly sites: readonly { readonly node: string; readonly incarnation: string }[];
}

/** A resource of a node, and what it is to do. */
export interface Task {
  readonly resource: string;
  readonly payload: Uint8Array;
}

export const INCARNATION_CHARS = 64;
const FORMS: readonly ThreePhaseForm[] = ['quorum', 'plain'];

export function encodePlan(writer: ByteWriter, { form, timeoutMs, sites }: Plan): void {
  writer.u8(FORMS.indexOf(form));
  writer.varint(timeoutMs);
  writer.varint(sites.length);
  for (const { node, incarnation } of sites) {
    writer.string(node);
    writer.string(incarnation);
  }
}

/** Throws ERR_CODEC. */
export function decodePlan(reader: ByteReader): Plan {
  const form = FORMS[reader.u8()];
  if (form === undefined) throw bad('a form that is none');
  const timeoutMs = numberOf(reader, 'a time-out', 1, 3_600_000);
  const count = numberOf(reader, 'a number of sites', 1, MAX_SITES);
  const sites = Array.from({ length: count }, () => {
    const node = reader.string(128);
    if (!isName(node)) throw bad('a site without a name');
    return { node, incarnation: nonEmpty(reader, 'an incarnation', INCARNATION_CHARS) };
  });
  if (new Set(sites.map(({ node }) => node)).size < count) throw bad('a site that takes part twice');
  return { form, timeoutMs, sites };
}

export function encodeTasks(writer: ByteWriter, tasks: readonly Task[]): void {
  writer.varint(tasks.length);
  for (const { resource, payload } of tasks) {
    writer.string(resource);
    writer.bytes(payload);
  }
}

/** Throws ERR_CODEC. The payloads are copies. */
export function decodeTasks(reader: ByteReader): Task[] {
  const count = numberOf(reader, 'a number of resources', 0, MAX_RESOURCES);
  let left = MAX_PAYLOAD_BYTES;
  const tasks = Array.from({ length: count }, () => {
    const resource = nonEmpty(reader, 'the name of a resource', 4 * MAX_RESOURCE_NAME);
    if (resource.length > MAX_RESOURCE_NAME) throw bad('the name of a resource is too long');
    const payload = Uint8Array.from(reader.bytes(left));
    left -= payload.length;
    return { resource, payload };
  });
  if (new Set(tasks.map(({ resource }) => resource)).size < count)
    throw bad('a resource that takes part twice');
  return tasks;
}

export function numberOf(reader: ByteReader, what: string, min: number, max: number): number {
  const value = reader.varint();
  if (value < min || value > max) throw bad(`${what} of ${value}, from ${min} to ${max} are allowed`);
  return value;
}

export function nonEmpty(reader: ByteReader, what: string, maxBytes: number): string {
  const value = reader.string(maxBytes);
  if (value === '') throw bad(`${what} that is empty`);
  return value;
}

export function end(reader: ByteReader): void {
  if (reader.remaining > 0) throw bad(`${reader.remaining} bytes too many`);
}

export function bad(why: string): QuorateError {
  return new QuorateError('ERR_CODEC', `what a site says of a transaction makes no sense: ${why}`);
}
