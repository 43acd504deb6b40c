/** What a group does for a transaction: locks and rehearses step by step, and applies it all when it is committed. @internal */
import { QuorateError } from '../errors.js';
import { cbor } from '../replica/codec.js';
import type { LockRange, Rehearsal } from '../replica/rehearsal.js';
import type { ApplyContext, StateMachine } from '../replica/stateMachine.js';
import type { Branch, Branches, Step } from './branches.js';
import type { StepCommand } from './commands.js';
import { contextOf, rehearsalOf } from './stepContext.js';

/** The answer to a step. A machine's rejection is thrown instead, as for any command. */
export type StepAnswer =
  | { readonly type: 'ok'; readonly value: unknown }
  | { readonly type: 'wait'; readonly holders: readonly string[] }
  | { readonly type: 'die' }
  | { readonly type: 'gone' };

export class Part {
  readonly #machine: StateMachine;
  readonly #rehearse: Rehearsal['rehearse'];
  readonly #touches: (operation: unknown) => readonly LockRange[];
  readonly #branches: Branches;
  readonly #codec = cbor();

  constructor(
    machine: StateMachine,
    rehearse: Rehearsal['rehearse'],
    touches: (operation: unknown) => readonly LockRange[],
    branches: Branches,
  ) {
    this.#machine = machine;
    this.#rehearse = rehearse;
    this.#touches = touches;
    this.#branches = branches;
  }

  step(step: StepCommand, context: ApplyContext): StepAnswer {
    const isQuery = step.kind === 'query';
    const shared = isQuery && !step.exclusive;
    const claim = { ranges: this.#touches(step.body), mode: shared ? 'shared' : 'exclusive' } as const;
    const grant = this.#branches.claim(step, claim, context.time);
    if (grant.type === 'full') context.reject('TRANSACTIONS_FULL', { cap: grant.what });
    if (grant.type !== 'granted') return grant;
    const { branch } = grant;
    // From here on locks stay also if this throws: a rejection has told something of the state.
    const before = rehearsalOf(branch.steps, context);
    if (isQuery) {
      const plain = before.length === 0 && this.#machine.query !== undefined;
      const value = plain ? this.#machine.query!(step.body) : this.#rehearse(before, { query: step.body });
      return { type: 'ok', value };
    }
    const bytes = this.#codec.encode(step.body).length;
    const added: Step = {
      command: step.body,
      index: context.index,
      time: context.time,
      origin: context.origin,
      seed: context.random(),
    };
    const value = this.#rehearse([...before, { command: step.body, context: contextOf(added, context) }]);
    const tooMuch = this.#branches.add(branch, added, bytes);
    if (tooMuch !== undefined) context.reject('TRANSACTIONS_FULL', { cap: tooMuch });
    return { type: 'ok', value };
  }

  /** Applies what was rehearsed. Answers what went otherwise than rehearsed, which is a bug of the machine, the same on every member. */
  apply(branch: Branch, context: ApplyContext): string | undefined {
    let failed: string | undefined;
    for (const step of branch.steps) {
      const rejected = (code: string): never => {
        throw new QuorateError('ERR_REJECTED', `it rejected the command: ${code}`);
      };
      const own: ApplyContext = { ...contextOf(step, context), reject: rejected };
      try {
        this.#machine.apply(step.command, own);
      } catch (error) {
        failed ??= error instanceof Error ? error.message : String(error);
      }
    }
    return failed;
  }
}
