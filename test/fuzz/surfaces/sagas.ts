/** Sagas: commands that came into the log, and records of a snapshot. */
import { QuorateError } from '../../../lib/errors.js';
import { snapshotChunks } from '../../../lib/machines/snapshotFormat.js';
import { batchCodec, cbor } from '../../../lib/replica/codec.js';
import type { ApplyContext } from '../../../lib/replica/stateMachine.js';
import { sagas, type SagasMachine } from '../../../lib/transactions/sagas/sagasMachine.js';
import { fingerprintOf } from '../../../lib/transactions/sagas/shape.js';
import { must, sameBytes, stateless, TAKEN, type Surface } from '../surface.js';

const codec = batchCodec(cbor());
const step = (id: string, after: number[]): object => ({ id, after, undo: true, pivot: false });
const shape = { name: 'n', version: 1, steps: [step('one', []), step('two', [0])] };
const definitions = [fingerprintOf(shape as never)];
const error = { code: 'E', message: 'm', data: undefined };
const attempt = { id: 'x', epoch: 2, step: 0, undo: false, attempt: 1 };
const enlist = { op: 'enlist', runner: 'r', leaseMs: 1000, definitions };
const start = { op: 'start', id: 'x', shape, input: Uint8Array.of(1), timeout: 9, retention: 9 };
const commands: readonly object[] = [
  { ...start, id: 'y' },
  { ...enlist, runner: 's' },
  { op: 'beat', runner: 'r' },
  { op: 'leave', runner: 'r' },
  { op: 'done', ...attempt, result: Uint8Array.of(7) },
  { op: 'failed', ...attempt, error, rejected: false, retryMs: 10 },
  { op: 'failed', ...attempt, error, rejected: true },
  { op: 'retry', ...attempt },
  { op: 'expire', id: 'x', epoch: 2 },
  { op: 'cancel', id: 'x', reason: 'why' },
];

function contextAt(index: number): ApplyContext {
  return {
    index,
    time: index,
    origin: 'a',
    random: () => 0.5,
    reject(reason) {
      throw new QuorateError('ERR_REJECTED', reason, { reason });
    },
  };
}

function begun(): SagasMachine {
  const machine = sagas();
  for (const [i, command] of [enlist, start].entries()) machine.apply(command as never, contextAt(i + 1));
  return machine;
}

function bytesOf(machine: SagasMachine): Uint8Array {
  return Buffer.concat([...(machine.snapshot() as Iterable<Uint8Array>)]);
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(bytes);
}

/** What it answers to a command, if it is no error of its own. */
function apply(machine: SagasMachine, command: unknown, index: number): unknown {
  try {
    return machine.apply(command as never, contextAt(index));
  } catch (thrown) {
    if (!(thrown instanceof QuorateError)) throw thrown;
    return thrown;
  }
}

/** A member that was restored from a snapshot does with any command what the others do. */
export function sagaCommands(): Surface {
  const corpus = commands.map((command) => codec.encode(command));
  return stateless('sagaCommands', 'commands of sagas', corpus, async (input) => {
    const command = codec.decode(input);
    const machine = begun();
    const twin = sagas();
    await twin.restore(once(bytesOf(machine)));
    const answer = apply(machine, command, 3);
    const other = apply(twin, command, 3);
    must(sameBytes(bytesOf(machine), bytesOf(twin)), 'two members differ');
    if (answer instanceof QuorateError) {
      must(other instanceof QuorateError && other.code === answer.code, 'a command that one member refuses');
      throw answer;
    }
    must(JSON.stringify(answer) === JSON.stringify(other), 'two members answer differently');
    return TAKEN;
  });
}

/** A record of a snapshot whose checksum holds: what is taken has to work. */
export function sagaSnapshots(): Surface {
  const header = {
    now: 2,
    reassigned: 1,
    runners: [{ id: 'r', node: 'a', leaseMs: 1000, expires: 1001, definitions }],
    shapes: [shape],
  };
  const records: Uint8Array[] = [];
  const machines = commands.map((command) => {
    const machine = begun();
    apply(machine, command, 3);
    return machine;
  });
  for (const machine of machines) {
    const { saga } = machine.query!({ op: 'get', id: 'x' }) as { saga: { owner: string } };
    if (saga.owner === 'r' || saga.owner === '') records.push(codec.encode(saga));
  }
  return stateless('sagaSnapshots', 'a saga in a snapshot', records, async (input) => {
    const raw = [codec.encode(header), input];
    const chunks = [...snapshotChunks('sagas', 2, raw, (writer, record) => writer.raw(record))];
    const machine = sagas();
    await machine.restore(once(Buffer.concat(chunks)));
    for (const command of commands) apply(machine, command, 5);
    machine.query!({ op: 'list' });
    const twin = sagas();
    await twin.restore(once(bytesOf(machine)));
    must(sameBytes(bytesOf(twin), bytesOf(machine)), 'a snapshot that reads otherwise');
    return TAKEN;
  });
}
