/**
 * Calls that only a leader can fulfil: to hand the leadership over, to change the members. Each asks the leader, again where the
 * answer may be another soon, until its effect is known here, or it is said why not.
 */
import type { AppNotice, GroupStatus, LeaderRequest, RequestFailure } from '../engine/door.js';
import type { Environment, Timer } from '../environment.js';
import { QuorateError, type ErrorCode } from '../errors.js';
import { armLimits } from './callLimits.js';
import type { CallOptions } from './replicaTypes.js';

/** How long until a leader that could not do it just now is asked again. */
const RETRY_MS = 50;
/** How many calls may wait. */
const MAX_CALLS = 64;

/** What may change by itself: the leader is asked again. */
const passing: ReadonlySet<RequestFailure> = new Set([
  'notLeader',
  'transferring',
  'preparing',
  'configPending',
  'stopped',
] as const);

/** For how long too few members may answer: right after a crash, links are on their way back. In milliseconds. */
const LACK_MS = 2000;

/** What is wanted, and how to speak of it. */
export interface Wanted {
  readonly request: LeaderRequest;
  /** Whether it has come about. `from`: the leader that was asked first, empty before. */
  readonly reached: (status: GroupStatus, from: string) => boolean;
  /** What has not come about, for the error of a time-out; and what to say of a refusal. */
  readonly missing: string;
  readonly refused: string;
  /** Why it will not, for an error. */
  readonly explain: (why: RequestFailure) => string;
  readonly code: ErrorCode;
  /** Any refusal is final, instead of being asked again. */
  readonly once?: boolean;
}

interface Call {
  readonly token: number;
  readonly wanted: Wanted;
  /** Who was asked, in which epoch and by which way; undefined: nobody, since the last refusal. */
  asked: { readonly leader: string; readonly epoch: number; readonly contact: number } | undefined;
  /** The first leader that was asked. */
  from: string;
  /** Since when too few members answer. */
  lackingSince: number | undefined;
  /** Why not, as of the last refusal. */
  why: RequestFailure | undefined;
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: QuorateError) => void;
}

export class LeaderCalls {
  readonly #environment: Environment;
  readonly #say: (notice: AppNotice) => void;
  readonly #calls = new Map<number, Call>();
  #tokens = 0;
  #status: GroupStatus | undefined;
  #retryTimer: Timer | undefined;

  constructor(environment: Environment, say: (notice: AppNotice) => void) {
    this.#environment = environment;
    this.#say = say;
  }

  /** Resolves when what is wanted has come about, as far as this member knows; or with what the leader answered. */
  ask(wanted: Wanted, limits: CallOptions & { readonly timeout: number }): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (limits.signal?.aborted === true)
        throw new QuorateError('ERR_ABORTED', 'the signal had fired already');
      if (this.#calls.size >= MAX_CALLS)
        throw new QuorateError('ERR_OVERLOADED', `${MAX_CALLS} requests to the leader wait already`);
      const token = ++this.#tokens;
      const disarm = armLimits(
        this.#environment,
        limits,
        () => call.reject(this.#late(call, limits.timeout)),
        () =>
          call.reject(
            new QuorateError('ERR_ABORTED', `the request was aborted; it may come about all the same`),
          ),
      );
      const end = (): void => {
        disarm();
        this.#calls.delete(token);
      };
      const call: Call = {
        token,
        wanted,
        asked: undefined,
        from: '',
        lackingSince: undefined,
        why: undefined,
        resolve: (answer) => {
          end();
          resolve(answer);
        },
        reject: (error) => {
          end();
          reject(error);
        },
      };
      this.#calls.set(token, call);
      if (this.#status) this.#look(call, this.#status);
    });
  }

  statusChanged(status: GroupStatus): void {
    this.#status = status;
    for (const call of [...this.#calls.values()]) this.#look(call, status);
  }

  /** The leader answered. */
  answered(token: number, answer: unknown): void {
    const call = this.#calls.get(token);
    if (call?.wanted.request.type === 'progress') call.resolve(answer);
  }

  /** The leader did not, or could not. */
  refused(token: number, why: RequestFailure): void {
    const call = this.#calls.get(token);
    if (!call) return;
    call.why = why;
    const { wanted } = call;
    if (wanted.once === true || !(passing.has(why) || this.#mayPass(call, why))) {
      call.reject(new QuorateError(wanted.code, `${wanted.refused}: ${wanted.explain(why)}`));
      return;
    }
    call.asked = undefined;
    this.#retryTimer ??= this.#environment.setTimer(RETRY_MS, () => {
      this.#retryTimer = undefined;
      if (this.#status) this.statusChanged(this.#status);
    });
  }

  /** Whether too few answer, and only for a while. */
  #mayPass(call: Call, why: RequestFailure): boolean {
    if (why !== 'noQuorum') return false;
    const now = this.#environment.now();
    call.lackingSince ??= now;
    return now - call.lackingSince < LACK_MS;
  }

  /** Rejects every call. */
  close(code: ErrorCode, why: string): void {
    this.#retryTimer?.cancel();
    this.#status = undefined;
    for (const call of [...this.#calls.values()]) call.reject(new QuorateError(code, why));
  }

  #look(call: Call, status: GroupStatus): void {
    const { leader, epoch, contact } = status;
    if (call.wanted.reached(status, call.from)) {
      call.resolve(undefined);
      return;
    }
    if (leader === '' || contact === 0) return;
    const { asked } = call;
    if (asked?.leader === leader && asked.epoch === epoch.n && asked.contact === contact) return;
    if (call.from === '') call.from = leader;
    call.asked = { leader, epoch: epoch.n, contact };
    this.#say({ type: 'request', token: call.token, request: call.wanted.request });
  }

  #late({ wanted, why }: Call, timeout: number): QuorateError {
    const last = why === undefined ? '' : `; the last answer: ${wanted.explain(why)}`;
    return new QuorateError('ERR_TIMEOUT', `${wanted.missing} after ${timeout} ms${last}`);
  }
}
