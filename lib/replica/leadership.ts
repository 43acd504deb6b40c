/**
 * Calls that want the leadership handed over. Each asks the leader, again where the answer may be another soon, until the new
 * leader is known here, or it is said why not.
 */
import type { AppNotice, GroupStatus, TransferFailure } from '../engine/door.js';
import type { Environment, Timer } from '../environment.js';
import { QuorateError, type ErrorCode } from '../errors.js';
import { armLimits } from './callLimits.js';
import type { CallOptions } from './replicaTypes.js';

/** How long until a leader that could not do it just now is asked again. */
const RETRY_MS = 50;
/** How many calls may wait. */
const MAX_CALLS = 64;

/** What may change by itself: the leader is asked again. */
const passing: ReadonlySet<TransferFailure> = new Set([
  'notLeader',
  'transferring',
  'preparing',
  'configPending',
  'stopped',
] as const);

interface Call {
  readonly token: number;
  /** Empty: anyone but who leads. */
  readonly to: string;
  /** Gives up instead of asking again. */
  readonly once: boolean;
  /** Who was asked, in which epoch and by which way; undefined: nobody, since the last refusal. */
  asked: { readonly leader: string; readonly epoch: number; readonly contact: number } | undefined;
  /** The first leader that was asked. */
  from: string;
  /** Why not, as of the last refusal. */
  why: TransferFailure | undefined;
  readonly resolve: () => void;
  readonly reject: (error: QuorateError) => void;
}

export class LeadershipCalls {
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

  /** Resolves when `to` (anyone else than now, when empty) is known to lead. With `once`, any refusal is final. */
  transfer(to: string, limits: CallOptions & { readonly timeout: number }, once = false): Promise<void> {
    return new Promise((resolve, reject) => {
      if (limits.signal?.aborted === true)
        throw new QuorateError('ERR_ABORTED', 'the signal had fired already');
      if (this.#calls.size >= MAX_CALLS)
        throw new QuorateError('ERR_OVERLOADED', `${MAX_CALLS} transfers of the leadership wait already`);
      const token = ++this.#tokens;
      const disarm = armLimits(
        this.#environment,
        limits,
        () => call.reject(this.#late(call, limits.timeout)),
        () => call.reject(new QuorateError('ERR_ABORTED', 'the transfer of the leadership was aborted')),
      );
      const end = (): void => {
        disarm();
        this.#calls.delete(token);
      };
      const call: Call = {
        token,
        to,
        once,
        asked: undefined,
        from: '',
        why: undefined,
        resolve: () => {
          end();
          resolve();
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

  /** The leader did not, or could not, hand over. */
  refused(token: number, why: TransferFailure): void {
    const call = this.#calls.get(token);
    if (!call) return;
    call.why = why;
    if (call.once || !passing.has(why)) {
      const message = `the leadership stays where it is: ${explain(why, call.to)}`;
      call.reject(new QuorateError('ERR_TRANSFER_FAILED', message));
      return;
    }
    call.asked = undefined;
    this.#retryTimer ??= this.#environment.setTimer(RETRY_MS, () => {
      this.#retryTimer = undefined;
      if (this.#status) this.statusChanged(this.#status);
    });
  }

  /** Rejects every call. */
  close(code: ErrorCode, why: string): void {
    this.#retryTimer?.cancel();
    this.#status = undefined;
    for (const call of [...this.#calls.values()]) call.reject(new QuorateError(code, why));
  }

  #look(call: Call, { leader, epoch, contact }: GroupStatus): void {
    if (leader === '' || contact === 0) return;
    if (call.to === '' ? call.from !== '' && leader !== call.from : leader === call.to) {
      call.resolve();
      return;
    }
    const { asked } = call;
    if (asked?.leader === leader && asked.epoch === epoch.n && asked.contact === contact) return;
    if (call.from === '') call.from = leader;
    call.asked = { leader, epoch: epoch.n, contact };
    this.#say({ type: 'transfer', token: call.token, to: call.to });
  }

  #late(call: Call, timeout: number): QuorateError {
    const last = call.why === undefined ? '' : `; the last answer: ${explain(call.why, call.to)}`;
    const who = call.to === '' ? 'no other member leads' : `${call.to} does not lead`;
    return new QuorateError('ERR_TIMEOUT', `${who} after ${timeout} ms${last}`);
  }
}

function explain(why: TransferFailure, to: string): string {
  const who = to === '' ? 'another voter' : to;
  switch (why) {
    case 'notLeader':
      return 'no leader could be asked';
    case 'notVoter':
      return to === '' ? 'there is no other voter on record' : `${to} is no voter on record`;
    case 'notLinked':
      return `the leader has no link to ${who}`;
    case 'lagging':
      return to === '' ? 'no other voter has caught up' : `${to} has not caught up`;
    case 'transferring':
      return 'another transfer is under way, or there were too many just now';
    case 'preparing':
      return 'the leader is new, and nothing of its reign is committed yet';
    case 'configPending':
      return 'the membership is being changed';
    case 'stopped':
      return 'the leader has stopped';
    case 'gaveUp':
      return `${who} did not take over within an election time-out`;
  }
}
