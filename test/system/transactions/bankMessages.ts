/** The bank of real processes: who has which group, what is in an account, and what is said. */
import type { TransactionRecord } from '../../../lib/testing/index.js';

export const layout: Readonly<Record<string, readonly string[]>> = {
  east: ['a', 'b', 'c'],
  north: ['b', 'c', 'd'],
  west: ['c', 'd', 'a'],
};
export const groups = Object.keys(layout);
export const accounts = groups.flatMap((group) => [0, 1, 2, 3].map((n) => [group, `${group}-${n}`] as const));
export const BALANCE = 100;
export const TOTAL = BALANCE * accounts.length;
/** Of each transaction; locks of who died last as long. */
export const TIMEOUT_MS = 3000;

/** What is in an account: how much, and for the checker which version this is and who wrote it. */
export interface Account {
  readonly balance: number;
  readonly version: number;
  readonly by: string;
}

export type Request =
  | { readonly type: 'fill' }
  | { readonly type: 'run'; readonly tellers: number }
  | { readonly type: 'stop' }
  | { readonly type: 'figures' }
  | { readonly type: 'audit' };

export type Reply =
  | { readonly type: 'open' }
  | { readonly type: 'filled' }
  /** Said before an attempt may commit, so that the test knows what it would have written if the process dies. */
  | { readonly type: 'attempt'; readonly record: TransactionRecord }
  | { readonly type: 'over'; readonly record: TransactionRecord; readonly why: string }
  /** What somebody read does not add up. */
  | { readonly type: 'wrong'; readonly message: string }
  | { readonly type: 'stopped' }
  | {
      readonly type: 'figures';
      readonly leads: readonly string[];
      readonly inDoubt: number;
      readonly unfinished: number;
      readonly digests: Readonly<Record<string, string>>;
    }
  | { readonly type: 'audited'; readonly total: number };
