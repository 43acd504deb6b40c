/** Reading what came from another member, field by field: whatever makes no sense throws ERR_CODEC, on every member alike. @internal */
import { QuorateError } from '../errors.js';

export type Fields = Record<string, unknown>;

export function optional<T>(fields: Fields, name: string, read: (value: unknown) => T): T | undefined {
  return fields[name] === undefined ? undefined : read(fields[name]);
}

export function textOf(fields: Fields, name: string, max: number): string {
  return text(name, fields[name], max);
}

export function text(name: string, value: unknown, max: number): string {
  if (typeof value === 'string' && value.length > 0 && value.length <= max) return value;
  throw bad(`${name} is no string of 1 to ${max} characters`);
}

export function numberOf(fields: Fields, name: string, min: number, max: number): number {
  const value = fields[name];
  if (typeof value === 'number' && value >= min && value <= max) return value;
  throw bad(`${name} is no number from ${min} to ${max}`);
}

export function oneOf<const T extends string>(fields: Fields, name: string, allowed: readonly T[]): T {
  const found = allowed.find((each) => each === fields[name]);
  if (found === undefined) throw bad(`${name} is none of ${allowed.join(', ')}`);
  return found;
}

export function listOf(fields: Fields, name: string, max: number): readonly unknown[] {
  const value = fields[name];
  if (Array.isArray(value) && value.length <= max) return value;
  throw bad(`${name} is no list of at most ${max}`);
}

export function flagOf(fields: Fields, name: string): boolean {
  const value = fields[name];
  if (typeof value === 'boolean') return value;
  throw bad(`${name} is neither true nor false`);
}

export function isRecord(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function bad(why: string): QuorateError {
  return new QuorateError('ERR_CODEC', `what is said of a transaction makes no sense: ${why}`);
}
