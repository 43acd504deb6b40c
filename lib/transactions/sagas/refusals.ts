/** What the state machine rejects, in the words of the library. @internal */
import { QuorateError, type ErrorCode } from '../../errors.js';

const codes: Readonly<Record<string, readonly [code: ErrorCode, message: string]>> = {
  SAGA_EXISTS: ['ERR_SAGA_EXISTS', 'there is another saga with this id'],
  DEFINITION_DIFFERS: [
    'ERR_SAGA_DEFINITION',
    'the group has other steps under this name and version: raise the version where steps change',
  ],
  FULL: ['ERR_OVERLOADED', 'the group remembers as many sagas as it may'],
  UNKNOWN_SAGA: ['ERR_SAGA_UNKNOWN', 'there is no such saga'],
  PAST_PIVOT: ['ERR_SAGA_PIVOT', 'the saga is past its point of no return'],
  NOT_STUCK: ['ERR_SAGA_NOT_STUCK', 'neither the saga nor the step that was named is stuck'],
  NOT_RUNNING: ['ERR_SAGA_NOT_STUCK', 'the saga compensates already'],
  ENDED: ['ERR_SAGA_NOT_STUCK', 'the saga has ended'],
};

export function refusalOf(error: unknown): unknown {
  if (!(error instanceof QuorateError) || error.code !== 'ERR_REJECTED') return error;
  const known = codes[error.reason ?? ''];
  if (known === undefined) return error;
  const [code, message] = known;
  const data = error.data === undefined ? '' : `: ${JSON.stringify(error.data)}`;
  return new QuorateError(code, message + data, { cause: error, data: error.data });
}
