/** Errors on their way between threads: a structured clone would forget their class and their code. @internal */
import { QuorateError, type ErrorCode, type Fate } from '../errors.js';

/** An error as data. */
export interface PackedError {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  readonly cause: PackedError | undefined;
  /** Only of a {@link QuorateError}. */
  readonly code?: ErrorCode;
  readonly fate?: Fate | undefined;
  readonly requestId?: string | undefined;
  readonly reason?: string | undefined;
  /** Of an error of the operating system. */
  readonly system?: { readonly code?: unknown; readonly errno?: unknown; readonly syscall?: unknown };
}

/** Causes within causes are told this far down. */
const MAX_CAUSES = 8;

/** Makes data of an error. */
export function packError(error: unknown, depth = 0): PackedError {
  if (!(error instanceof Error))
    return { name: 'Error', message: String(error), stack: undefined, cause: undefined };
  const { name, message, stack } = error;
  const inner = error.cause;
  const cause = inner === undefined || depth >= MAX_CAUSES ? undefined : packError(inner, depth + 1);
  const packed = { name, message, stack, cause };
  if (error instanceof QuorateError) {
    const { code, fate, requestId, reason } = error;
    return { ...packed, code, fate, requestId, reason };
  }
  const { code, errno, syscall } = error as NodeJS.ErrnoException;
  return { ...packed, system: { code, errno, syscall } };
}

/** Makes an error of the data. */
export function unpackError(packed: PackedError): Error {
  const { message, code, fate, requestId, reason } = packed;
  const cause = packed.cause === undefined ? undefined : unpackError(packed.cause);
  let error: Error;
  if (code !== undefined) {
    error = new QuorateError(code, message, { fate, requestId, reason, cause });
  } else {
    error = new Error(message, cause === undefined ? undefined : { cause });
    error.name = packed.name;
    for (const [field, value] of Object.entries(packed.system ?? {}))
      if (value !== undefined) Object.assign(error, { [field]: value });
  }
  if (packed.stack !== undefined) error.stack = packed.stack;
  return error;
}
