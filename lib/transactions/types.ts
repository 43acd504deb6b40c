/** What `transact` takes and gives. */
import type { GroupClient } from '../replica/client/groupClient.js';
import type { Replica } from '../replica/replica.js';
import type { AnswerOf, CommandOf, QueryOf, ResultOf, StateMachine } from '../replica/stateMachine.js';

/** A group that takes part in a transaction: a replica of it, or a client. */
export type TransactionParty = Replica | GroupClient;

/** The groups of a transaction: named, or in a list. The first is the home: its log has the decision. */
export type TransactionParties = Readonly<Record<string, TransactionParty>> | readonly TransactionParty[];

/** The machine of a replica or client. */
export type MachineOf<P> = P extends Replica<infer M> ? M : P extends GroupClient<infer M> ? M : never;

/** A group, within a transaction. */
export interface TransactionHandle<M extends StateMachine> {
  readonly group: string;
  /**
   * Asks the state, with what this transaction has done so far. Nobody changes what the answer depends on until the transaction
   * ends. With `forUpdate` nobody else reads it in a transaction either: for what is to be changed next.
   */
  query<const Q extends QueryOf<M>>(
    query: Q,
    options?: { readonly forUpdate?: boolean },
  ): Promise<AnswerOf<M, Q>>;
  /**
   * Does a command within this transaction, and resolves with what `apply` will return when it is committed. If the machine
   * rejects it, only this command is not part of the transaction.
   */
  submit<const C extends CommandOf<M>>(command: C): Promise<ResultOf<M, C>>;
}

/** The handles of the groups, under the names of their replicas. */
export type TransactionHandles<P> = { readonly [K in keyof P]: TransactionHandle<MachineOf<P[K]>> };

/** What the function of a transaction is told beside its handles. */
export interface TransactionContext {
  /** The id of this attempt. */
  readonly id: string;
  /** From 1; an attempt that gave way to an older transaction is followed by another. */
  readonly attempt: number;
  /** Fires when the transaction is over before its function is. */
  readonly signal: AbortSignal;
  /** Aborts the transaction: `transact` rejects with `ERR_TRANSACTION_ABORTED` with this reason. Throws. */
  readonly abort: (reason: string, data?: unknown) => never;
  /** Has a resource of the home take part, which its machine has under that name (see {@link transactional}). */
  readonly enlist: (resource: string, payload?: unknown) => void;
}

/** How far a transaction is. */
export type TransactionProgress =
  | { readonly type: 'attempt'; readonly id: string; readonly attempt: number }
  /** Younger transactions have what it needs. */
  | {
      readonly type: 'waiting';
      readonly id: string;
      readonly group: string;
      readonly holders: readonly string[];
    }
  /** It gave way, or lost its locks, and begins again. */
  | { readonly type: 'retry'; readonly id: string; readonly group: string; readonly why: 'die' | 'gone' }
  | { readonly type: 'preparing'; readonly id: string; readonly groups: readonly string[] }
  | { readonly type: 'decided'; readonly id: string; readonly outcome: 'commit' | 'abort' }
  /** `complete`: every group and resource has learned it; otherwise members see to it. */
  | { readonly type: 'finished'; readonly id: string; readonly complete: boolean };

/** Options of {@link transact}. */
export interface TransactOptions {
  /**
   * The protocol among the groups.
   *
   * @defaultValue 'two-phase'
   */
  readonly protocol?: 'two-phase';
  /**
   * How long the whole may take, with all attempts, in milliseconds; from 1 to 300,000. If whoever drives it dies, its locks are
   * kept for as long as this.
   *
   * @defaultValue 10000
   */
  readonly timeout?: number;
  /**
   * Names the transaction: once one was committed under it, `transact` with the same id and the same home resolves with that one's
   * result, and does nothing. 1 to 256 characters; remembered for an hour of the home's log time. The result must be a value that
   * the codec carries, of at most 64 KiB.
   */
  readonly requestId?: string;
  /** Ends the call: with `fate` `refused` nothing takes effect, with `ambiguous` the commit was under way. */
  readonly signal?: AbortSignal;
  /** Told how far it is. Must not throw. */
  readonly onProgress?: (progress: TransactionProgress) => void;
}
