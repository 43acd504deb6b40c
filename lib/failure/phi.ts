/** The suspicion level of Hayashibara et al., "The φ accrual failure detector" (SRDS 2004), as a pure function. */

const LN10 = Math.LN10;
/** Beyond this many deviations nothing is gained but an overflow. */
const MAX_SIGMAS = 1e6;

/**
 * How improbable a silence of `elapsed` milliseconds is for intervals of that mean and standard deviation: −log10 of the
 * probability that a normal variable exceeds it. 1 means one chance in ten, 8 one in a hundred million.
 *
 * The normal distribution is approximated by the logistic function of Bowling et al. (2009), as Akka does, in a form that stays
 * finite however long the silence. Finite and never negative for finite arguments; grows with `elapsed`.
 *
 * @example
 * ```ts
 * phi(1200, 1000, 100); // 1.64
 * ```
 */
export function phi(elapsed: number, mean: number, sd: number): number {
  const sigmas = (elapsed - mean) / Math.max(sd, Number.MIN_VALUE);
  const y = Math.max(-MAX_SIGMAS, Math.min(MAX_SIGMAS, sigmas));
  const x = logit(y);
  return (x > 0 ? x + Math.log1p(Math.exp(-x)) : Math.log1p(Math.exp(x))) / LN10;
}

/** The inverse: after how many standard deviations beyond the mean the level is `threshold`. @internal */
export function sigmasFor(threshold: number): number {
  const x = threshold * LN10 + Math.log1p(-(10 ** -threshold));
  let low = -40;
  let high = 1000;
  for (let i = 0; i < 80; i++) {
    const middle = (low + high) / 2;
    if (logit(middle) < x) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

function logit(y: number): number {
  return y * (1.5976 + 0.070566 * y * y);
}
