/** What drives a transaction, and what it drives. @internal */
import type { Environment } from '../environment.js';
import type { Age } from './commands.js';
import type { TransactionResource } from './resource.js';
import type { TransactionProgress } from './types.js';

/** What a group must do for a transaction. */
export interface Asking {
  readonly group: string;
  submit(command: unknown, options: { timeout?: number; signal?: AbortSignal }): Promise<unknown>;
  query(query: unknown, options: { timeout?: number; signal?: AbortSignal }): Promise<unknown>;
}

/** What all attempts of a transaction have in common. */
export interface Drive {
  readonly environment: Environment;
  readonly age: Age;
  readonly home: Asking;
  readonly parties: readonly Asking[];
  readonly request: string | undefined;
  /** When the call is over, by the monotonic clock. */
  readonly deadline: number;
  readonly signal: AbortSignal;
  readonly resources: ReadonlyMap<string, TransactionResource>;
  tell(progress: TransactionProgress): void;
  warn(error: Error): void;
}
