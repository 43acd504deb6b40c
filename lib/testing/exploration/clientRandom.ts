/** The randomness that clients draw from. */
import { checkNumber, configError } from '../../errors.js';
import type { Random } from '../simulation/random.js';

/** What a client of {@link explore} decides by. The seed decides what it gives. */
export interface ClientRandom {
  /** A number in [0, 1). */
  next(): number;
  /** An integer from 0 up to `below`, exclusive. `below` is an integer from 1 to 2^32, else `ERR_CONFIG`. */
  integer(below: number): number;
  /** True with this probability, from 0 to 1, else `ERR_CONFIG`. */
  chance(probability: number): boolean;
  /** One of a list, which must not be empty, else `ERR_CONFIG`. */
  pick<T>(list: readonly T[]): T;
}

/** @internal */
export function clientRandom(random: Random): ClientRandom {
  return {
    next: () => random.next(),
    integer: (below) => random.integer(checkNumber('below', below, 1, 2 ** 32)),
    chance: (probability) => random.chance(checkNumber('probability', probability, 0, 1, false)),
    pick: (list) => {
      const given: unknown = list;
      if (!Array.isArray(given) || given.length === 0) throw configError('list', list, 'a list with members');
      return random.pick(list);
    },
  };
}
