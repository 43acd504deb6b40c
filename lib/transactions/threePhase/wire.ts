/**
 * What the sites of three-phase commit say to each other, one a frame. The bytes are checked here as far as a message by itself can be
 * wrong; {@link isPlausible} has what depends on the transaction.
 *
 * @internal
 */
import { ByteReader, ByteWriter } from '../../bytes.js';
import { MAX_BALLOT, MAX_ID } from './limits.js';
import {
  bad,
  decodePlan,
  decodeTasks,
  encodePlan,
  encodeTasks,
  end,
  INCARNATION_CHARS,
  nonEmpty,
  numberOf,
  type Plan,
  type Task,
} from './plan.js';
import type { SiteMessage, SiteRecord, SiteState } from './siteTypes.js';

export type Message =
  /** This node's sites are open, on a storage with that incarnation; empty: they are closed. */
  | { readonly kind: 'hello'; readonly incarnation: string }
  /** A message of the protocol. Who may have never heard of the transaction is told of it. */
  | {
      readonly kind: 'step';
      readonly id: string;
      readonly message: SiteMessage;
      readonly plan: Plan | undefined;
      readonly tasks: readonly Task[] | undefined;
    }
  /** It has carried out the outcome, durably, and will not ask for it again. */
  | { readonly kind: 'done'; readonly id: string };

const TYPES = ['vote?', 'vote', 'prepare', 'prepared', 'elect', 'elected', 'refused', 'outcome'] as const;
const HELLO = 0;
const DONE = TYPES.length + 1;
const STATES: readonly SiteState[] = [
  'initial',
  'waiting',
  'prepared-commit',
  'prepared-abort',
  'committed',
  'aborted',
];
const OUTCOMES = ['commit', 'abort'] as const;

export function encodeMessage(message: Message): Uint8Array {
  const writer = new ByteWriter(256);
  if (message.kind === 'hello') {
    writer.u8(HELLO);
    writer.string(message.incarnation);
    return writer.take();
  }
  if (message.kind === 'done') {
    writer.u8(DONE);
    writer.string(message.id);
    return writer.take();
  }
  const { id, message: step, plan, tasks } = message;
  writer.u8(TYPES.indexOf(step.type) + 1);
  writer.string(id);
  if ('ballot' in step) writer.varint(step.ballot);
  if ('to' in step) writer.u8(OUTCOMES.indexOf(step.to));
  if (step.type === 'elected') encodeRecord(writer, step.record);
  if (step.type === 'outcome') writer.u8(OUTCOMES.indexOf(step.outcome));
  if (step.type === 'vote?' || step.type === 'elect') encodePlan(writer, plan!);
  if (step.type === 'vote?') encodeTasks(writer, tasks!);
  return writer.take();
}

/** Throws ERR_CODEC. */
export function decodeMessage(frame: Uint8Array): Message {
  const reader = new ByteReader(frame);
  const message = messageOf(reader);
  end(reader);
  return message;
}

function messageOf(reader: ByteReader): Message {
  const at = reader.u8();
  if (at === HELLO) return { kind: 'hello', incarnation: reader.string(INCARNATION_CHARS) };
  const id = nonEmpty(reader, 'an id', MAX_ID);
  if (at === DONE) return { kind: 'done', id };
  const type = TYPES[at - 1];
  if (type === undefined) throw bad(`a message of type ${at}`);
  const message = stepOf(reader, type);
  const plan = type === 'vote?' || type === 'elect' ? decodePlan(reader) : undefined;
  return { kind: 'step', id, message, plan, tasks: type === 'vote?' ? decodeTasks(reader) : undefined };
}

function stepOf(reader: ByteReader, type: SiteMessage['type']): SiteMessage {
  switch (type) {
    case 'vote?':
    case 'vote':
      return { type };
    case 'prepare':
    case 'prepared':
      return { type, ballot: ballotOf(reader), to: outcomeOf(reader) };
    case 'elect':
    case 'refused':
      return { type, ballot: ballotOf(reader) };
    case 'elected':
      return { type, ballot: ballotOf(reader), record: decodeRecord(reader) };
    case 'outcome':
      return { type, outcome: outcomeOf(reader) };
  }
}

export function encodeRecord(writer: ByteWriter, { state, lastElected, lastAttempt }: SiteRecord): void {
  writer.u8(STATES.indexOf(state));
  writer.varint(lastElected);
  writer.varint(lastAttempt + 1); // -1: never
}

/** Throws ERR_CODEC. */
export function decodeRecord(reader: ByteReader): SiteRecord {
  const state = STATES[reader.u8()];
  if (state === undefined) throw bad('a state that is none');
  const lastElected = ballotOf(reader);
  const lastAttempt = numberOf(reader, 'an attempt', 0, MAX_BALLOT) - 1;
  const prepared = state === 'prepared-commit' || state === 'prepared-abort';
  if (lastAttempt > lastElected || (prepared && lastAttempt < 0))
    throw bad(`${state} with attempt ${lastAttempt} and ballot ${lastElected}`);
  return { state, lastElected, lastAttempt };
}

function ballotOf(reader: ByteReader): number {
  return numberOf(reader, 'a ballot', 0, MAX_BALLOT - 1);
}

function outcomeOf(reader: ByteReader): 'commit' | 'abort' {
  const outcome = OUTCOMES[reader.u8()];
  if (outcome === undefined) throw bad('an outcome that is none');
  return outcome;
}

/** Whether a site of a transaction may say that: each has ballots of its own, and only the coordinator asks for votes. */
export function isPlausible(from: string, message: SiteMessage, { sites }: Plan): boolean {
  const place = sites.findIndex(({ node }) => node === from);
  if (place < 0) return false;
  switch (message.type) {
    case 'vote?':
      return place === 0;
    case 'elect':
    case 'prepare':
      return message.ballot % sites.length === place;
    default:
      return true;
  }
}
