/**
 * A state machine under observation. Members must get the same commands at the same indexes, answer them alike, and reach the
 * same states; no command may reach a machine twice.
 */
import { ByteReader } from '../../../bytes.js';
import { lastOf, type Entry, type Index } from '../../../consensus/consensus.js';
import { crc32 } from '../../../crc.js';
import { QuorateError } from '../../../errors.js';
import { decodeHeader } from '../../../replica/batch.js';
import { cbor } from '../../../replica/codec.js';
import { accompany, companion, type Accompanied } from '../../../replica/companion.js';
import type { ApplyContext, StateMachine } from '../../../replica/stateMachine.js';
import type { NodeView } from './coreWatch.js';
import type { GroupWatch } from './groupWatch.js';

/** Every so many indexes the members' whole states are compared. */
const COMPARE_EVERY = 32;

const codec = cbor();

/** What the members of a group agree on about what they applied. */
export class Applications {
  /** How many commands were applied, on all members together. */
  applied = 0;
  /** Whole states that were compared. */
  compared = 0;
  readonly #group: GroupWatch;
  readonly #outcomes = new Map<
    Index,
    { readonly digest: number; readonly node: string; readonly text: string }
  >();
  readonly #states = new Map<Index, { readonly digest: string; readonly node: string }>();
  /** The index at which a command of a session was applied. */
  readonly #commands = new Map<string, Index>();
  #entry: { readonly entry: Entry; readonly session: number; readonly first: number } | undefined;

  constructor(group: GroupWatch) {
    this.#group = group;
  }

  begins(node: string, index: Index): void {
    this.applied++;
    const place = this.#placeOf(index);
    if (place === undefined) {
      this.#group.report('state machine safety', node, `${node} applies ${index}, which is not committed`);
      return;
    }
    const known = this.#commands.get(place);
    if (known === undefined) this.#commands.set(place, index);
    else if (known !== index)
      this.#group.report('exactly once', node, `${node} applies the command of ${known} again at ${index}`);
  }

  ended(node: string, index: Index, outcome: unknown, failed: boolean): void {
    const bytes = bytesOf(outcome);
    if (bytes === undefined) return;
    const digest = crc32(bytes, failed ? 1 : 0);
    const known = this.#outcomes.get(index);
    if (known === undefined) {
      this.#outcomes.set(index, { digest, node, text: textOf(outcome) });
    } else if (known.digest !== digest) {
      const message = `the state machines of ${known.node} and ${node} differ: the command at ${index} gave ${known.text} and ${textOf(outcome)}`;
      this.#group.report('divergence', node, message);
    }
  }

  state(node: string, index: Index, digest: string): void {
    const known = this.#states.get(index);
    this.compared++;
    if (known === undefined) this.#states.set(index, { digest, node });
    else if (known.digest !== digest)
      this.#group.report(
        'divergence',
        node,
        `the state machines of ${known.node} and ${node} differ after ${index}`,
      );
  }

  /** Names the session and the sequence of a command. */
  #placeOf(index: Index): string | undefined {
    let current = this.#entry;
    if (current === undefined || index < current.entry.index || index > lastOf(current.entry)) {
      const entry = this.#group.committedAt(index);
      if (entry?.kind !== 'user') return undefined;
      const header = decodeHeader(new ByteReader(entry.data));
      if (header.type !== 'commands') return undefined;
      this.#entry = current = { entry, session: header.session, first: header.first };
    }
    return `${current.session}:${current.first + index - current.entry.index}`;
  }
}

/** The machine of one run of a node. `spend` makes each command take its time. */
export function watchMachine(
  machine: StateMachine,
  view: NodeView,
  all: Applications,
  spend: () => void,
): StateMachine {
  let applied: Index = 0;
  const compare = async (index: Index): Promise<void> => {
    // What is captured is the state of now; only its bytes may take a while.
    const chunks: Uint8Array[] = [];
    for await (const chunk of machine.snapshot()) chunks.push(chunk);
    all.state(view.id, index, digestOf(chunks));
  };
  const watched: StateMachine & Accompanied = {
    version: machine.version,
    apply(command, context: ApplyContext) {
      const { index } = context;
      if (index <= applied)
        view.group.report('exactly once', view.id, `${view.id} applies ${index} after ${applied}`);
      if (index > (view.core?.commitIndex ?? 0))
        view.group.report(
          'order of indexes',
          view.id,
          `${view.id} applies ${index}, which it does not know as committed`,
        );
      applied = index;
      spend();
      all.begins(view.id, index);
      try {
        const result = machine.apply(command, context);
        all.ended(view.id, index, result, false);
        return result;
      } catch (error) {
        all.ended(view.id, index, error instanceof Error ? error.message : String(error), true);
        throw error;
      } finally {
        // What a snapshot throws is a fault of the replica, when it takes one itself.
        if (index % COMPARE_EVERY === 0) compare(index).catch(() => undefined);
      }
    },
    snapshot: () => machine.snapshot(),
    async restore(chunks) {
      await machine.restore(chunks);
      applied = 0;
    },
    [companion]: (replica, mesh, own) => accompany(machine, replica, mesh, own),
  };
  if (machine.query) watched.query = (query) => machine.query!(query);
  if (machine.validate) watched.validate = (command) => machine.validate!(command);
  return watched;
}

function bytesOf(value: unknown): Uint8Array | undefined {
  try {
    return codec.encode(value);
  } catch (error) {
    if (error instanceof QuorateError) return undefined; // a result that no codec carries fails alike everywhere
    throw error;
  }
}

function textOf(value: unknown): string {
  let text = String(value);
  try {
    if (typeof value === 'object') text = JSON.stringify(value);
  } catch {
    // a bigint within, or a circle: the plain text will do
  }
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

/** Tells states apart, whatever the bounds of the chunks. */
export function digestOf(chunks: Iterable<Uint8Array>): string {
  let digest = 0;
  let length = 0;
  for (const chunk of chunks) {
    digest = crc32(chunk, digest);
    length += chunk.length;
  }
  return `${length}:${digest}`;
}
