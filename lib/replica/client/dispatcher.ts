/**
 * What a client has under way, and how it gets to members and back: each turn's calls leave in one frame, and go to another member
 * when the one that was asked is gone, cannot do it, or says nothing for too long.
 *
 * @internal
 */
import { ByteWriter } from '../../bytes.js';
import type { NodeId } from '../../consensus/consensus.js';
import type { Timer } from '../../environment.js';
import { QuorateError, type ErrorCode } from '../../errors.js';
import { FrameKind } from '../../mesh/port.js';
import { needsQuorum as asksQuorum } from '../consistency.js';
import { Call, type Asked } from './call.js';
import type { ChangesOfClient } from './clientStreams.js';
import { ClientStreams } from './clientStreams.js';
import type { CheckedClientOptions, ClientStatus } from './clientTypes.js';
import type { ClientDesk, ClientEnd } from './desk.js';
import { laneFor, whenRoom } from './frames.js';
import { Members } from './members.js';
import {
  MAX_MESSAGES,
  MESSAGE_OVERHEAD,
  writeMessage,
  type MemberMessage,
  type WireFailure,
} from './wire.js';

/** How long a member may take for an answer before the call is sent again, to another if there is one; doubled each time. */
const ATTEMPT_MS = 5000;
const MAX_ATTEMPT_MS = 60_000;
/** For how long others come first when a member could not do it, or said nothing. */
const AVOID_MS = 50;
const SILENT_MS = 1000;
const FRAME_BYTES = 64 * 1024;

/** What a member says that cannot do it now; another one may. */
const elsewhere: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'ERR_CLOSED',
  'ERR_REPLICA_FAILED',
  'ERR_NOT_READY',
  'ERR_NOT_A_MEMBER',
  'ERR_LEADER_CHANGED',
  'ERR_TIMEOUT',
]);

/** Calls that go to one member in one frame. */
interface Batch {
  readonly writer: ByteWriter;
  calls: Call[];
}

export class Dispatcher implements ClientEnd {
  readonly group: string;
  readonly #desk: ClientDesk;
  readonly #options: CheckedClientOptions;
  readonly #members: Members;
  readonly #streams: ClientStreams;
  readonly #channel: number;
  /** All that is not settled, by request. */
  readonly #calls = new Map<number, Call>();
  /** Those of them that are at no member; and some that were settled meanwhile. */
  #waiting: Call[] = [];
  /** Members whose link has no room. */
  readonly #full = new Set<NodeId>();
  #bytes = 0;
  #commands = 0;
  #requests = 0;
  #scheduled = false;
  #timer: Timer | undefined;
  #timerAt = Infinity;
  #closed = false;

  constructor(desk: ClientDesk, options: CheckedClientOptions) {
    this.group = options.group;
    this.#desk = desk;
    this.#options = options;
    this.#members = new Members(desk.environment);
    this.#channel = desk.addClient(this);
    this.#streams = new ClientStreams({
      desk,
      channel: this.#channel,
      codec: options.codec,
      members: this.#members,
      nextRequest: () => ++this.#requests,
      schedule: () => this.#schedule(),
    });
  }

  /** Takes a call in. Throws ERR_OVERLOADED. */
  call(
    asked: Asked,
    timeoutMs: number,
    signal: AbortSignal | undefined,
    resolve: (value: unknown) => void,
    reject: (error: unknown) => void,
  ): void {
    const { maxPending, maxPendingBytes } = this.#options;
    if (
      this.#calls.size >= maxPending ||
      (this.#bytes > 0 && this.#bytes + asked.body.length > maxPendingBytes)
    ) {
      const message =
        `${this.#calls.size} calls with ${this.#bytes} bytes are in flight, ` +
        `at most ${maxPending} with ${maxPendingBytes} are allowed`;
      throw new QuorateError('ERR_OVERLOADED', message, { fate: 'refused' });
    }
    const deadline = this.#desk.environment.now() + timeoutMs;
    const call = new Call(++this.#requests, asked, deadline, timeoutMs, resolve, reject);
    if (signal !== undefined) {
      const onAbort = (): void => this.#reject(call, call.error('ERR_ABORTED', 'the call was aborted'));
      signal.addEventListener('abort', onAbort, { once: true });
      call.disarm = () => signal.removeEventListener('abort', onAbort);
    }
    this.#calls.set(call.request, call);
    this.#bytes += call.size;
    if (asked.op === 'submit') this.#commands++;
    this.#waiting.push(call);
    this.#armTimer(deadline);
    this.#schedule();
  }

  follow(from: number | undefined, signal: AbortSignal | undefined): ChangesOfClient {
    return this.#streams.open(from, signal);
  }

  status(): Pick<ClientStatus, 'member' | 'leader' | 'refused' | 'pending'> {
    const refusal = this.#members.refusal;
    return {
      member: this.#closed ? undefined : this.#members.target(),
      leader: this.#members.leader,
      refused: refusal && { code: refusal.code, message: refusal.message },
      pending: {
        commands: this.#commands,
        queries: this.#calls.size - this.#commands,
        streams: this.#streams.size,
      },
    };
  }

  receive(peer: NodeId, message: MemberMessage): boolean {
    switch (message.op) {
      case 'here':
        return true;
      case 'standing':
        this.#members.heard(peer, message);
        this.#review();
        return true;
      case 'result':
        this.#result(message.request, message.body);
        return true;
      case 'failure':
        this.#failure(peer, message.request, message.failure);
        return true;
      case 'changes':
        return this.#streams.receive(peer, message.request, message.changes);
    }
  }

  linked(): void {
    // The peer says how it stands, if it has anything to say.
  }

  lost(peer: NodeId): void {
    this.#members.lost(peer);
    this.#review();
  }

  /** An answer to any attempt will do: all of them have one request id. */
  #result(request: number, body: Uint8Array): void {
    const call = this.#calls.get(request);
    if (call === undefined || call.attempts === 0) return;
    let value: unknown;
    try {
      value = this.#options.codec.decode(body);
    } catch (cause) {
      const text = 'the codec cannot decode the answer';
      const requestId = call.asked.op === 'submit' ? call.asked.requestId : undefined;
      this.#reject(call, new QuorateError('ERR_CODEC', text, { requestId, cause }));
      return;
    }
    this.#remove(call);
    call.resolve(value);
  }

  #failure(peer: NodeId, request: number, failure: WireFailure): void {
    const moves = elsewhere.has(failure.code);
    const call = this.#calls.get(request);
    if (call === undefined) {
      const error = this.#errorOf(failure, undefined, undefined);
      if (this.#streams.failed(peer, request, moves ? undefined : error) && moves)
        this.#avoid(peer, AVOID_MS);
      return;
    }
    // An older attempt elsewhere, which is given up, says nothing about this one.
    if (call.at !== peer) return;
    call.at = undefined;
    call.attemptEnds = Infinity;
    if (failure.fate === 'ambiguous' || (moves && failure.fate !== 'refused')) call.unsure = true;
    const { asked } = call;
    if (!moves) {
      const settled = failure.fate === undefined;
      const fate = settled || asked.op === 'query' ? undefined : call.unsure ? 'ambiguous' : failure.fate;
      const requestId = asked.op === 'submit' ? asked.requestId : undefined;
      this.#reject(call, this.#errorOf(failure, fate, requestId));
      return;
    }
    call.obstacle = this.#errorOf(failure, failure.fate, undefined);
    this.#waiting.push(call);
    this.#avoid(peer, AVOID_MS);
    this.#schedule();
  }

  #errorOf(failure: WireFailure, fate: WireFailure['fate'], requestId: string | undefined): QuorateError {
    const { code, message, reason } = failure;
    let data: unknown;
    try {
      if (failure.data !== undefined) data = this.#options.codec.decode(failure.data);
    } catch {
      data = undefined; // code and reason are what counts
    }
    return new QuorateError(code, message, { fate, requestId, reason, data });
  }

  /** A member is gone, or stands otherwise than before: what is there may have to go elsewhere. */
  #review(): void {
    const other = this.#members.target() !== undefined;
    for (const call of this.#calls.values()) {
      if (call.at === undefined) continue;
      const stays =
        this.#members.serves(call.at) && (!needsQuorum(call) || !other || this.#members.hasQuorum(call.at));
      if (stays) continue;
      call.giveUpAttempt();
      this.#waiting.push(call);
    }
    this.#streams.review();
    this.#schedule();
  }

  #avoid(peer: NodeId, ms: number): void {
    this.#members.avoid(peer, ms);
    this.#armTimer(this.#members.nextAt);
  }

  #schedule(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    this.#desk.environment.defer(this.#pump);
  }

  readonly #pump = (): void => {
    this.#scheduled = false;
    if (this.#closed) return;
    this.#streams.place();
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    const target = this.#members.target();
    const anybody = this.#members.anybody();
    const batches = new Map<NodeId, Batch>();
    for (const call of waiting) {
      if (call.settled) continue;
      const peer = needsQuorum(call) ? target : anybody;
      if (peer === undefined || this.#full.has(peer)) this.#waiting.push(call);
      else this.#add(batches, peer, call);
    }
    for (const [peer, batch] of batches) this.#send(peer, batch);
  };

  #add(batches: Map<NodeId, Batch>, peer: NodeId, call: Call): void {
    const most = this.#desk.port.maxFrameBytes(peer) - MESSAGE_OVERHEAD;
    if (call.size > most && most > 0) {
      const text = `the value has ${call.size} bytes, the link to ${peer} takes at most ${most}`;
      this.#reject(call, call.error('ERR_TOO_LARGE', text));
      return;
    }
    let batch = batches.get(peer);
    if (batch === undefined) batches.set(peer, (batch = { writer: new ByteWriter(), calls: [] }));
    const { writer, calls } = batch;
    if (calls.length >= MAX_MESSAGES || (calls.length > 0 && writer.length + call.size > FRAME_BYTES))
      this.#send(peer, batch);
    writeMessage(writer, call.message(this.#channel));
    batch.calls.push(call);
  }

  #send(peer: NodeId, batch: Batch): void {
    const { calls } = batch;
    batch.calls = [];
    const frame = batch.writer.take();
    const lane = laneFor(frame.length);
    const { port, environment } = this.#desk;
    const sent = !this.#full.has(peer) && port.send(peer, FrameKind.client, frame, { lane });
    if (sent) {
      const now = environment.now();
      for (const call of calls) {
        call.at = peer;
        call.attemptEnds = now + Math.min(MAX_ATTEMPT_MS, ATTEMPT_MS * 2 ** call.attempts++);
        this.#armTimer(call.attemptEnds);
      }
      return;
    }
    // Nothing of it has left.
    this.#waiting.push(...calls);
    if (this.#full.has(peer)) return;
    this.#full.add(peer);
    whenRoom(port, environment, peer, lane, () => {
      this.#full.delete(peer);
      this.#schedule();
    });
  }

  #armTimer(at: number): void {
    if (at >= this.#timerAt || this.#closed) return;
    this.#timer?.cancel();
    this.#timerAt = at;
    const { environment } = this.#desk;
    this.#timer = environment.setTimer(Math.max(1, at - environment.now()), () => this.#tick());
  }

  #tick(): void {
    this.#timer = undefined;
    this.#timerAt = Infinity;
    const now = this.#desk.environment.now();
    let next = Infinity;
    for (const call of this.#calls.values()) {
      if (call.deadline <= now) {
        this.#reject(call, this.#timedOut(call));
        continue;
      }
      if (call.at !== undefined && call.attemptEnds <= now) {
        this.#members.avoid(call.at, SILENT_MS);
        call.giveUpAttempt();
        this.#waiting.push(call);
      }
      next = Math.min(next, call.deadline, call.attemptEnds);
    }
    this.#armTimer(Math.min(next, this.#members.nextAt));
    this.#schedule();
  }

  #timedOut(call: Call): QuorateError {
    const refusal = this.#members.refusal;
    if (refusal !== undefined && call.attempts === 0)
      return call.error(
        refusal.code as ErrorCode,
        `no member served within ${call.timeoutMs} ms: ${refusal.message}`,
      );
    const why =
      call.attempts === 0
        ? `no member with a quorum was linked within ${call.timeoutMs} ms`
        : `no answer within ${call.timeoutMs} ms`;
    return call.error('ERR_TIMEOUT', why);
  }

  #remove(call: Call): void {
    call.settled = true;
    call.disarm?.();
    this.#calls.delete(call.request);
    this.#bytes -= call.size;
    if (call.asked.op === 'submit') this.#commands--;
  }

  #reject(call: Call, error: QuorateError): void {
    if (call.settled) return;
    this.#remove(call);
    call.reject(error);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#timer?.cancel();
    for (const call of [...this.#calls.values()])
      this.#reject(call, call.error('ERR_CLOSED', 'the client was closed'));
    this.#waiting = [];
    this.#streams.close();
    this.#desk.removeClient(this.#channel);
  }
}

function needsQuorum({ asked }: Call): boolean {
  return asked.op === 'submit' || asksQuorum(asked.consistency);
}
