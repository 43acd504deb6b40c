/** What {@link explore} takes and gives. */
import { checkNumber, configError } from '../../errors.js';
import type { ConsensusOption } from '../../replica/consensus.js';
import type { CommandOf, QueryOf, StateMachine } from '../../replica/stateMachine.js';
import type { Model } from '../linearizability/model.js';
import { checkNodes, machineMaker } from '../simulation/settings.js';
import type { ClientRandom } from './clientRandom.js';
import type { FaultKind } from './fault.js';
import { faultKinds } from './planFaults.js';

/** What a client of `explore` does next: a command that it submits, or a query that it asks. */
export type ExploreStep<M extends StateMachine = StateMachine> =
  { readonly command: CommandOf<M> } | { readonly query: QueryOf<M> };

/** The same, with nothing in it that could be changed: what literals are. */
export type ReadonlyDeep<T> = T extends readonly unknown[]
  ? { readonly [K in keyof T]: ReadonlyDeep<T[K]> }
  : T extends ReadonlyMap<unknown, unknown> | ReadonlySet<unknown> | Date | ArrayBufferView
    ? T
    : T extends object
      ? { readonly [K in keyof T]: ReadonlyDeep<T[K]> }
      : T;

/** Options of `explore`. */
export interface ExploreOptions<M extends StateMachine = StateMachine, Step = ExploreStep<M>> {
  /**
   * Makes the state machine of a node; called for every start of every node, and must make another one each time. A machine of
   * this library, or one that has `fresh`, may be given itself.
   */
  readonly stateMachine: M | (() => M);
  /**
   * What a client does next. Several clients work at once, through all nodes. Must answer at once, and depend on `random` alone,
   * or a seed will not go the same way twice; must answer a command now and then.
   */
  readonly client: (random: ClientRandom) => Step;
  /**
   * How many seeds to run. From 1 to 10^9.
   * @defaultValue 20
   */
  readonly seeds?: number;
  /**
   * The first seed. From 0 to 10^12.
   * @defaultValue 1
   */
  readonly from?: number;
  /**
   * The ids of the nodes. 1 to 63.
   * @defaultValue three or five nodes, as the seed decides
   */
  readonly nodes?: readonly string[];
  /**
   * The kinds of faults that may happen; the seed chooses among them. An empty list: none.
   * @defaultValue {@link faultKinds}, all there are
   */
  readonly kinds?: readonly FaultKind[];
  /**
   * The protocol.
   * @defaultValue raft() with settings that the seed decides
   */
  readonly consensus?: ConsensusOption;
  /**
   * Judges what the clients were answered: is there an order of the commands and queries that explains it? What the machine
   * refused is in the history with the output `{ error, reason, data }`, see {@link HistoryOperation}.
   * @defaultValue answers are not judged by what they say; members must agree on them all the same
   */
  readonly model?: Model;
  /**
   * For how long to look for a smaller set of faults when something was found, in milliseconds of real time. From 0 (not at all)
   * to 10^9.
   * @defaultValue 10000
   */
  readonly minimiseMs?: number;
  /** Called after each seed in which all was well. */
  readonly onSeed?: (progress: ExploreProgress) => void;
  /** Ends the exploration with `ERR_ABORTED`. */
  readonly signal?: AbortSignal;
}

/** How an exploration stands. */
export interface ExploreProgress {
  /** The seed that was run. */
  readonly seed: number;
  /** How many seeds were run, this one among them. */
  readonly done: number;
  /** How many it will be. */
  readonly seeds: number;
  /** Virtual milliseconds that this seed took. */
  readonly virtualMs: number;
  /** Events of this seed. */
  readonly events: number;
}

/** What `explore` did, when it found nothing wrong. */
export interface ExploreReport {
  /** How many seeds were run. */
  readonly seeds: number;
  /** Events of all seeds together. */
  readonly events: number;
  /** Virtual milliseconds of all seeds together. */
  readonly virtualMs: number;
  /** What happened how often: faults by kind, elections, calls by their end, states compared. */
  readonly counts: Readonly<Record<string, number>>;
}

/** The options, checked and complete. @internal */
export interface CheckedExploration {
  readonly machine: () => StateMachine;
  readonly client: (random: ClientRandom) => unknown;
  readonly seeds: number;
  readonly from: number;
  readonly nodes: readonly string[] | undefined;
  readonly kinds: readonly FaultKind[] | undefined;
  readonly consensus: ConsensusOption | undefined;
  readonly model: Model | undefined;
  readonly minimiseMs: number;
  readonly onSeed: ((progress: ExploreProgress) => void) | undefined;
  readonly signal: AbortSignal | undefined;
}

/** Throws ERR_CONFIG naming the option that is wrong. @internal */
export function checkExploration<M extends StateMachine>(
  options: ExploreOptions<M, unknown>,
): CheckedExploration {
  if (typeof options !== 'object' || (options as unknown) === null)
    throw configError('options', options, 'an object');
  const { stateMachine, client, nodes, kinds, consensus, model, onSeed, signal } = options;
  const machine = machineMaker(stateMachine);
  machine(); // what it makes is checked here and not in the middle of a run
  if (typeof client !== 'function') throw configError('client', client, 'a function');
  if (nodes !== undefined) checkNodes(nodes);
  if (kinds !== undefined) checkKinds(kinds);
  if (onSeed !== undefined && typeof onSeed !== 'function') throw configError('onSeed', onSeed, 'a function');
  if (consensus !== undefined && typeof (consensus as Partial<ConsensusOption> | null)?.wired !== 'object')
    throw configError('consensus', consensus, 'a protocol, such as raft()');
  const { init, step } = (model ?? {}) as Partial<Model>;
  if (model !== undefined && (typeof init !== 'function' || typeof step !== 'function'))
    throw configError('model', model, 'a model with init and step');
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw configError('signal', signal, 'an AbortSignal');
  return {
    machine,
    client,
    seeds: checkNumber('seeds', options.seeds ?? 20, 1, 1e9),
    from: checkNumber('from', options.from ?? 1, 0, 1e12),
    nodes: nodes && [...nodes],
    kinds: kinds && [...kinds],
    consensus,
    model,
    minimiseMs: checkNumber('minimiseMs', options.minimiseMs ?? 10_000, 0, 1e9, false),
    onSeed,
    signal,
  };
}

function checkKinds(kinds: readonly FaultKind[]): void {
  const given: unknown = kinds;
  if (!Array.isArray(given)) throw configError('kinds', kinds, 'a list of kinds of faults');
  for (const [at, kind] of kinds.entries())
    if (!faultKinds.includes(kind))
      throw configError(`kinds[${at}]`, kind, `one of ${faultKinds.join(', ')}`);
}
