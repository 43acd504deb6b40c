/** What a convergent replicated data type is to a store. */
import type { HybridTimestamp } from '../causality/hybridClock.js';
import type { Dot, VectorClock } from '../causality/vectorClock.js';

/** The write that an operation is part of. */
export interface CrdtContext {
  /** The event that the write is: no other one has it. All operations of one `update` share it. */
  readonly dot: Dot;
  /** What this node knows of the key before: all events that the operation may rely on, those of removals among them. */
  readonly seen: VectorClock;
  /** Later than the stamp of all that the state holds. */
  readonly stamp: HybridTimestamp;
}

/**
 * A convergent replicated data type by states (Shapiro, Preguiça, Baquero, Zawirski: "Conflict-free Replicated Data Types", SSS 2011).
 * States are never changed; `merge` has to be commutative, associative and idempotent (`checkResolver` in `quorate/testing`
 * tries that), and what an operation makes has to contain the state that it began with.
 */
export interface CrdtType<State = unknown, Value = unknown, Operation = unknown> {
  /** Names the type and what it was made with; members of a store with other names refuse each other. */
  readonly name: string;
  /** The state of a key that holds nothing. */
  initial(): State;
  /** The state after an operation. Throws ERR_CONFIG for one that makes no sense. */
  apply(state: State, operation: Operation, context: CrdtContext): State;
  /** What two states stand for together. */
  merge(a: State, b: State): State;
  /** What the app sees of a state. */
  value(state: State): Value;
  /** The state as a value that the codec takes. Equal states must give equal values. */
  encode(state: State): unknown;
  /** The state that {@link encode} made this of. Throws ERR_CODEC for anything else. */
  decode(data: unknown): State;
}
