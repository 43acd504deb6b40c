/** The definition of linearizability, word for word: tries every order of every subset. For a few operations only. */
import type { Model, Operation } from '../../../../lib/testing/linearizability/model.js';

export function bruteForce<S, I, O>(model: Model<S, I, O>, history: readonly Operation<I, O>[]): boolean {
  const visit = (state: S, left: readonly Operation<I, O>[]): boolean => {
    if (left.every((operation) => operation.return === Infinity)) return true;
    return left.some((next) => {
      if (left.some((other) => other !== next && other.return < next.call)) return false;
      const { ok, state: after } = model.step(state, next.input, next.output);
      return (
        ok &&
        visit(
          after,
          left.filter((other) => other !== next),
        )
      );
    });
  };
  return visit(model.init(), history);
}
